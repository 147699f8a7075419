"""Reads of the directory that are true while it is behind, and cost nothing more while it is not.

- By id, or by a filter with `eq` on id, userName, externalId or displayName: what the log leads to,
  whichever replica accepted it and whenever it was started (`rollcall.tail`). Where the log is not
  read far enough, or something in it is only known once it is applied: Postgres with the overlay
  folded in. That nothing is found is certain; where it is not, it is 503.
- Any other list: the same while few resources are pending and few match, but what another replica
  has accepted is not looked for. Beyond that, as Postgres has it.

While the organisation is not behind, by what this replica has accepted (is_behind.py) and by what
it has read in the log, Postgres alone is asked, and knows all.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from rollcall.events.request import Endpoint
from rollcall.observability.logging import get_logger
from rollcall.postgres.directory_search import Resource, Search
from rollcall.postgres.filter_sql import BY_ID
from rollcall.runtime.errors import Unavailable
from rollcall.scim.page import Page
from rollcall.tail import lookup as tail
from rollcall.tail.replica import Replica, Uncertain
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.aside import aside
from rollcall_ingress.behind.lists import key_of, most_work_of, names_related, page_of
from rollcall_ingress.behind.log_end import (
    RETRY_AFTER_S,
    Applied,
    LogEnd,
    is_older_than,
    judge_id,
)
from rollcall_ingress.behind.lookup import BEHIND, Lookup
from rollcall_ingress.behind.overlay import Overlay
from rollcall_ingress.behind.selecting import Target
from rollcall_ingress.read.directory_reads import DirectoryReads
from rollcall_ingress.read.listing import Listing

FEW: Final = 200
"""Most pending resources, and most that Postgres finds, that a list looks up."""
READ_WITHIN_S: Final = 0.15
"""Seconds to wait until the reader of the log has come as far as this replica's own writes."""
IN_THE_LOG_WITHIN_S: Final = 3.0
"""Seconds for a look-up in the log; a long tail is folded by the first of them, for all."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class OverlayReads:
    """The reads that SCIM needs. Each raises Unavailable."""

    reads: DirectoryReads
    lookup: Lookup
    overlay: Overlay
    is_behind: Callable[[str], bool]
    """Organisation id → whether what was accepted for it may not be in Postgres."""
    replica: Replica
    log_end: LogEnd
    accept_s: float

    def may_be_behind(self, organisation: Organisation) -> bool:
        """Whether Postgres may lack something that a replica has accepted for it."""
        return self.is_behind(organisation.id) or self.replica.is_behind(
            organisation.id, organisation.partition
        )

    async def look_up(
        self, target: Target, organisation: Organisation, *, certain: bool = True
    ) -> list[Resource]:
        """The resources that the target means; none only if that is certain, where it must be."""
        partition = organisation.partition
        try:
            async with asyncio.timeout(IN_THE_LOG_WITHIN_S):
                found = await self._in_the_log(target, partition, certain=certain)
        except TimeoutError as error:  # Postgres stands still, or much is folded: for all who ask
            raise Unavailable(BEHIND, RETRY_AFTER_S) from error
        except Uncertain as why:
            log.debug("tail.uncertain", partition=partition, reason=str(why))
            return await self.lookup.find(target, partition)
        if (applied := self.replica.applied(partition)) is not None:
            epoch, next_offset = applied
            seen = self.overlay.applied_of(partition, epoch, next_offset)
            self.overlay.read_at(partition, epoch, seen)
        return found

    async def _in_the_log(self, target: Target, partition: int, *, certain: bool) -> list[Resource]:
        """Raises Uncertain, Unavailable."""
        await self.replica.reach(partition, self.overlay.end_of(partition), READ_WITHIN_S)
        wanted = tail.Target(
            target.organisation_id,
            target.endpoint,
            target.attribute,
            frozenset(target.keys),
            target.with_related,
        )
        position = self.replica.position(partition)
        found = await self.replica.find(wanted, partition)
        if found or not certain or self._is_too_old(target, partition):
            return found
        # What another replica has accepted meanwhile may not be read yet.
        end = await self.log_end.end(partition)
        if position is not None and position >= end:
            return found
        await self.replica.reach(partition, end, READ_WITHIN_S)
        return await self.replica.find(wanted, partition)

    def _is_too_old(self, target: Target, partition: int) -> bool:
        """Whether nothing with this id can still be accepted, and so be ahead of what was read."""
        if target.attribute != "id":
            return False
        applied = Applied(0, self.replica.last_applied(partition))
        return judge_id(target.key, applied, accept_s=self.accept_s) == "certain"

    async def find(
        self,
        endpoint: Endpoint,
        organisation: Organisation,
        resource_id: str,
        *,
        with_related: bool,
    ) -> Resource | None:
        """The resource of this id, or None, which is certain."""
        if not self.may_be_behind(organisation):
            return await self.reads.find(
                endpoint, organisation.id, resource_id, with_related=with_related
            )
        if is_older_than(resource_id, organisation.created):
            return None
        target = Target(organisation.id, endpoint, "id", resource_id, with_related)
        found = await self.look_up(target, organisation)
        return found[0] if found else None

    async def search(
        self, endpoint: Endpoint, organisation: Organisation, asked: Listing, *, with_related: bool
    ) -> tuple[int, list[Resource]]:
        """How many resources match, and one page of them."""
        if self.may_be_behind(organisation):
            needs_related = with_related or names_related(asked.filter)
            target = _target(organisation, endpoint, asked, needs_related)
            if target is not None:
                found = await self.look_up(target, organisation)
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
