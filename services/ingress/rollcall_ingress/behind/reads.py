"""Reads of the directory that are true while it is behind, and cost nothing more while it is not.

- By id, or by a filter with `eq` on id, userName, externalId or displayName: everything that any
  replica has answered before the read began. Where the partition is in time Postgres has it;
  otherwise it is what the log leads to, up to its end (`rollcall.tail`). That nothing is found is
  certain; where it is not, or where something in the log is known only once it is applied: 503.
- Any other list: what Postgres has, with what is pending folded in while few resources are pending
  and few match. Beyond that, as Postgres has it.

Where the log cannot be read at all and nothing was answered here that is not applied, what is
found is what is applied, and has no version; that nothing is found is 503.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from rollcall.events.request import Endpoint
from rollcall.observability.logging import get_logger
from rollcall.postgres.directory_search import Resource, Search
from rollcall.postgres.filter_sql import BY_ID
from rollcall.runtime.breaker import Breaker
from rollcall.runtime.errors import Unavailable
from rollcall.scim.page import Page
from rollcall.tail.batch import Uncertain
from rollcall.tail.lookup import Target
from rollcall.tail.replica import Replica
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.aside import aside
from rollcall_ingress.behind.lists import key_of, most_work_of, names_related, page_of
from rollcall_ingress.behind.log_end import RETRY_AFTER_S, Applied, LogEnd, judge_id
from rollcall_ingress.behind.own_writes import OwnWrites
from rollcall_ingress.read.directory_reads import DirectoryReads
from rollcall_ingress.read.listing import Listing

BEHIND: Final = "the directory (it is behind, and may hold what was asked for)"
FEW: Final = 200
"""Most pending resources, and most that Postgres finds, that a list looks up."""
READABLE_WITHIN_S: Final = 2.0
"""Seconds to wait for a log that is not read yet, at the start of this process."""
READ_WITHIN_S: Final = 0.5
"""Seconds to wait until the reader of the log has come as far as the log went."""
IN_THE_LOG_WITHIN_S: Final = 3.0
"""Seconds for a look-up in the log; a long tail is folded by the first of them, for all."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class ExactReads:
    """The reads that SCIM needs. Each raises Unavailable. `clock` gives monotonic seconds."""

    reads: DirectoryReads
    replica: Replica
    log_end: LogEnd
    own: OwnWrites
    is_behind: Callable[[str], bool]
    """Organisation id → whether what was accepted for it may not be in Postgres."""
    accept_s: float
    clock: Callable[[], float]
    _kafka: Breaker = field(default_factory=Breaker)

    def may_be_behind(self, organisation: Organisation) -> bool:
        """Whether Postgres may lack something that a replica has accepted for it."""
        return self.is_behind(organisation.id) or self.replica.is_behind(
            organisation.id, organisation.partition
        )

    async def find(
        self,
        endpoint: Endpoint,
        organisation: Organisation,
        resource_id: str,
        *,
        with_related: bool,
    ) -> Resource | None:
        """The resource of this id, or None, which is certain."""
        if await self._is_in_time(organisation):
            one = await self.reads.find(
                endpoint, organisation.id, resource_id, with_related=with_related
            )
            if one is None:
                self._be_certain(organisation)
            return one
        keys = frozenset({resource_id})
        target = Target(organisation.id, endpoint, "id", keys, with_related)
        found = await self.look_up(target, organisation)
        return found[0] if found else None

    async def search(
        self, endpoint: Endpoint, organisation: Organisation, asked: Listing, *, with_related: bool
    ) -> tuple[int, list[Resource]]:
        """How many resources match, and one page of them."""
        needs_related = with_related or names_related(asked.filter)
        target = _target(organisation, endpoint, asked, needs_related)
        is_in_time = await self._is_in_time(organisation)
        if target is not None and not is_in_time:
            return await _page(await self.look_up(target, organisation), asked)
        if not is_in_time:
            few = await self._few(endpoint, organisation, asked, needs_related)
            if few is not None:
                return await _page(few, asked)
        total, page = await self.reads.search(
            endpoint, organisation.id, asked.search, asked.page, with_related=with_related
        )
        if target is not None and not total:
            self._be_certain(organisation)
        return total, page

    async def look_up(
        self, target: Target, organisation: Organisation, *, certain: bool = True
    ) -> list[Resource]:
        """The resources that the target means; none only if that is certain, where it must be."""
        partition = organisation.partition
        try:
            async with asyncio.timeout(IN_THE_LOG_WITHIN_S):
                if not await self.replica.become_readable(partition, READABLE_WITHIN_S):
                    return await self._applied(target, partition)
                found, is_all = await self._in_the_log(target, partition, certain=certain)
        except TimeoutError as error:  # Postgres stands still, or much is folded: for all who ask
            raise Unavailable(BEHIND, RETRY_AFTER_S) from error
        except Uncertain as why:
            log.debug("tail.uncertain", partition=partition, reason=str(why))
            raise Unavailable(BEHIND, RETRY_AFTER_S) from why
        if certain and not found:
            if not is_all:
                raise Unavailable(BEHIND, RETRY_AFTER_S)
            self._be_certain(organisation)
        return found

    async def _is_in_time(self, organisation: Organisation) -> bool:
        """Whether Postgres has all that any replica was answered for until now."""
        partition = organisation.partition
        return self.own.are_applied(partition) and await self.replica.is_in_time(partition)

    async def _in_the_log(
        self, target: Target, partition: int, *, certain: bool
    ) -> tuple[list[Resource], bool]:
        """What is found, and whether nothing can be missing. Raises Uncertain, Unavailable."""
        end = await self._end(partition) if certain else None
        await self.replica.reach(
            partition, max(self.own.end_of(partition), end or 0), READ_WITHIN_S
        )
        found = await self.replica.find(target, partition)
        is_all = end is not None or self._is_too_old(target, partition)
        return found, is_all or not self.replica.is_behind(target.organisation_id, partition)

    async def _end(self, partition: int) -> int | None:
        """Where the log ended just now; None where Kafka does not say: then nobody is answered."""
        if not self._kafka.may_wait(self.clock()):
            return None
        try:
            end = await self.log_end.end(partition)
        except Unavailable:
            self._kafka.trip(self.clock())
            return None
        self._kafka.succeeded()
        return end

    async def _applied(self, target: Target, partition: int) -> list[Resource]:
        """What is applied, where the log cannot be read and nothing newer was answered here."""
        if not (self.replica.cannot_read(partition) and self.own.are_applied(partition)):
            raise Unavailable(BEHIND, RETRY_AFTER_S)
        found = await self.replica.find_applied(target, partition)
        if not found:
            raise Unavailable(BEHIND, RETRY_AFTER_S)
        return [replace(each, is_exact=False) for each in found]

    async def _few(
        self, endpoint: Endpoint, organisation: Organisation, asked: Listing, with_related: bool
    ) -> list[Resource] | None:
        """What is pending and what Postgres finds, as the log leaves it; None where it is much."""
        partition = organisation.partition
        try:
            async with asyncio.timeout(IN_THE_LOG_WITHIN_S):
                pending = await self.replica.changed(organisation.id, partition, endpoint)
                if not 0 < len(pending) <= FEW:
                    return None
                total, stored = await self.reads.search(
                    endpoint, organisation.id, _by_id(asked), Page(1, FEW), with_related=False
                )
                if total != len(stored):
                    return None
                ids = pending | {each.row.id for each in stored}
                few = Target(organisation.id, endpoint, "id", ids, with_related)
                return await self.replica.find(few, partition)
        except (Uncertain, TimeoutError) as why:
            log.debug("tail.uncertain", partition=partition, reason=str(why))
            return None

    def _be_certain(self, organisation: Organisation) -> None:
        """Raise Unavailable where something unacknowledged may be what was not found."""
        if self.own.may_come(organisation.id):
            raise Unavailable(BEHIND, RETRY_AFTER_S)

    def _is_too_old(self, target: Target, partition: int) -> bool:
        """Whether nothing with these ids can still be accepted, ahead of what was read."""
        applied = Applied(0, self.replica.last_applied(partition))
        return target.attribute == "id" and all(
            judge_id(each, applied, accept_s=self.accept_s) == "certain" for each in target.keys
        )


def _target(
    organisation: Organisation, endpoint: Endpoint, asked: Listing, with_related: bool
) -> Target | None:
    key = key_of(asked.filter, endpoint)
    if key is None:
        return None
    attribute, value = key
    return Target(organisation.id, endpoint, attribute, frozenset({value}), with_related)


def _by_id(asked: Listing) -> Search:
    return replace(asked.search, order=BY_ID)


async def _page(found: list[Resource], asked: Listing) -> tuple[int, list[Resource]]:
    units = most_work_of(found, asked.filter, asked.sort)
    return await aside(
        units, page_of, found, asked.filter, asked.sort, asked.page, asked.search.base_url
    )
