"""Reads of the directory that are true while it is behind, and cost nothing more while it is not.

- By id, or by a filter with `eq` on id, userName, externalId or displayName: Postgres with the
  overlay folded in. That nothing is found is certain; where it is not, it is 503.
- Any other list: the same while few resources are pending and few match, but what another replica
  has accepted is not looked for. Beyond that, as Postgres has it.

While the organisation is not behind (is_behind.py), Postgres alone is asked, and knows all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from rollcall.events.request import Endpoint
from rollcall.postgres.directory_search import Resource, Search
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

FEW: Final = 200
"""Most pending resources, and most that Postgres finds, that a list looks up."""


@dataclass(frozen=True, slots=True)
class OverlayReads:
    """The reads that SCIM needs. Each raises Unavailable."""

    reads: DirectoryReads
    lookup: Lookup
    overlay: Overlay
    is_behind: Callable[[str], bool]
    """Organisation id → whether what was accepted for it may not be in Postgres."""

    async def find(
        self,
        endpoint: Endpoint,
        organisation: Organisation,
        resource_id: str,
        *,
        with_related: bool,
    ) -> Resource | None:
        """The resource of this id, or None, which is certain."""
        if not self.is_behind(organisation.id):
            return await self.reads.find(
                endpoint, organisation.id, resource_id, with_related=with_related
            )
        if is_older_than(resource_id, organisation.created):
            return None
        target = Target(organisation.id, endpoint, "id", resource_id, with_related)
        found = await self.lookup.find(target, organisation.partition)
        return found[0] if found else None

    async def search(
        self, endpoint: Endpoint, organisation: Organisation, asked: Listing, *, with_related: bool
    ) -> tuple[int, list[Resource]]:
        """How many resources match, and one page of them."""
        if self.is_behind(organisation.id):
            needs_related = with_related or names_related(asked.filter)
            target = _target(organisation, endpoint, asked, needs_related)
            if target is not None:
                found = await self.lookup.find(target, organisation.partition)
                return await _page(found, asked)
            pending = set(self.overlay.pending(endpoint, organisation.id))
            if 0 < len(pending) <= FEW:
                total, stored = await self.reads.search(
                    endpoint, organisation.id, _by_id(asked), Page(1, FEW), with_related=False
                )
                if total == len(stored):
                    pending.update(each.row.id for each in stored)
                    few = _few(organisation, endpoint, pending, needs_related)
                    found = await self.lookup.find_known(few, organisation.partition)
                    return await _page(found, asked)
        return await self.reads.search(
            endpoint, organisation.id, asked.search, asked.page, with_related=with_related
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


async def _page(found: list[Resource], asked: Listing) -> tuple[int, list[Resource]]:
    units = most_work_of(found, asked.filter, asked.sort)
    return await aside(
        units, page_of, found, asked.filter, asked.sort, asked.page, asked.search.base_url
    )
