"""Reads of the directory that are true while it is behind, and cost nothing more while it is not.

- By id, or by a filter with `eq` on id, userName, externalId or displayName: Postgres with the
  overlay folded in. That nothing is found is certain; where it is not, it is 503.
- Any other list: the same while few resources are pending and few match, but what another replica
  has accepted is not looked for. Beyond that, as Postgres has it.

An organisation is behind while its partition's breaker is open, and while this replica has accepted
something for it that is not decided yet. Otherwise Postgres is asked, and knows all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from rollcall.events.request import Endpoint
from rollcall.postgres.directory_search import FoundGroup, FoundMember, Search
from rollcall.postgres.filter_sql import BY_ID
from rollcall.scim.page import Page
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.aside import aside
from rollcall_ingress.behind.lists import key_of, most_work_of, names_related, page_of
from rollcall_ingress.behind.log_end import is_older_than
from rollcall_ingress.behind.lookup import Lookup
from rollcall_ingress.behind.overlay import Overlay
from rollcall_ingress.behind.selecting import Target
from rollcall_ingress.read.directory_reads import DirectoryReads
from rollcall_ingress.read.listing import Listing

T = TypeVar("T", FoundMember, FoundGroup)

FEW: Final = 200
"""So many pending resources, and so many that Postgres finds, are looked up for a list."""


@dataclass(frozen=True, slots=True)
class OverlayReads:
    """The reads that SCIM needs. Each raises Unavailable."""

    reads: DirectoryReads
    lookup: Lookup
    overlay: Overlay
    is_behind: Callable[[str], bool]
    """Organisation id → whether what was accepted for it may not be in Postgres."""

    async def member(
        self, organisation: Organisation, member_id: str, *, with_groups: bool
    ) -> FoundMember | None:
        """The member of this id, or None, which is certain."""
        if not self.is_behind(organisation.id):
            return await self.reads.member(organisation.id, member_id, with_groups=with_groups)
        if is_older_than(member_id, organisation.created):
            return None
        target = Target(organisation.id, "Users", "id", member_id, with_groups)
        found = await self.lookup.members(target, organisation.partition)
        return found[0] if found else None

    async def group(
        self, organisation: Organisation, group_id: str, *, with_members: bool
    ) -> FoundGroup | None:
        """The group of this id, or None, which is certain."""
        if not self.is_behind(organisation.id):
            return await self.reads.group(organisation.id, group_id, with_members=with_members)
        if is_older_than(group_id, organisation.created):
            return None
        target = Target(organisation.id, "Groups", "id", group_id, with_members)
        found = await self.lookup.groups(target, organisation.partition)
        return found[0] if found else None

    async def members(
        self, organisation: Organisation, asked: Listing, *, with_groups: bool
    ) -> tuple[int, list[FoundMember]]:
        """How many members match, and one page of them."""
        if self.is_behind(organisation.id):
            with_related = with_groups or names_related(asked.filter)
            target = _target(organisation, "Users", asked, with_related)
            if target is not None:
                found = await self.lookup.members(target, organisation.partition)
                return await _page(found, asked)
            pending = set(self.overlay.pending_members(organisation.id))
            if 0 < len(pending) <= FEW:
                total, stored = await self.reads.members(
                    organisation.id, _by_id(asked), Page(1, FEW), with_groups=False
                )
                if total == len(stored):
                    pending.update(each.member.id for each in stored)
                    few = _few(organisation, "Users", pending, with_related)
                    found = await self.lookup.few_members(few, organisation.partition)
                    return await _page(found, asked)
        return await self.reads.members(
            organisation.id, asked.search, asked.page, with_groups=with_groups
        )

    async def groups(
        self, organisation: Organisation, asked: Listing, *, with_members: bool
    ) -> tuple[int, list[FoundGroup]]:
        """How many groups match, and one page of them."""
        if self.is_behind(organisation.id):
            with_related = with_members or names_related(asked.filter)
            target = _target(organisation, "Groups", asked, with_related)
            if target is not None:
                found = await self.lookup.groups(target, organisation.partition)
                return await _page(found, asked)
            pending = set(self.overlay.pending_groups(organisation.id))
            if 0 < len(pending) <= FEW:
                total, stored = await self.reads.groups(
                    organisation.id, _by_id(asked), Page(1, FEW), with_members=False
                )
                if total == len(stored):
                    pending.update(each.group.id for each in stored)
                    few = _few(organisation, "Groups", pending, with_related)
                    found = await self.lookup.few_groups(few, organisation.partition)
                    return await _page(found, asked)
        return await self.reads.groups(
            organisation.id, asked.search, asked.page, with_members=with_members
        )


def _target(
    organisation: Organisation, endpoint: Endpoint, asked: Listing, with_related: bool
) -> Target | None:
    key = key_of(asked.filter, endpoint)
    return None if key is None else Target(organisation.id, endpoint, *key, with_related)


def _few(
    organisation: Organisation, endpoint: Endpoint, ids: set[str], with_related: bool
) -> Target:
    first, *more = sorted(ids)
    return Target(organisation.id, endpoint, "id", first, with_related, tuple(more))


def _by_id(asked: Listing) -> Search:
    return replace(asked.search, order=BY_ID)


async def _page(found: list[T], asked: Listing) -> tuple[int, list[T]]:
    units = most_work_of(found, asked.filter, asked.sort)
    return await aside(
        units, page_of, found, asked.filter, asked.sort, asked.page, asked.search.base_url
    )
