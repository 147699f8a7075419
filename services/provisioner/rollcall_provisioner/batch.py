"""Records of one partition → rows and announcements, one transaction for each part of a batch.

The path of what is taken from Kafka, in order:

1. `apply` reads the records in slices, each within its share of the process's memory;
2. `_apply_parts` cuts a slice by what it would load and calculate (rollcall.applying.weight);
3. `_apply_part` tries a part again while Postgres is away (attempts.py);
4. `_apply_batch` applies it in one transaction and announces what came of it. Read this first.

A part that takes longer than a time-out while Postgres is well is divided; one that Postgres
refuses is applied once more, event by event (rollcall.applying.one_by_one).
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from rollcall.applying import foreign
from rollcall.applying.apply import Apply, apply_at_once
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import Decided, count, refused_after_success, was_awaited
from rollcall.applying.measure import (
    LARGEST,
    assumed,
    load_sizes,
    needs_sizes,
    ordinary_part,
    parts_of,
)
from rollcall.applying.one_by_one import apply_one_by_one
from rollcall.applying.options import ApplyOptions
from rollcall.applying.understand import (
    Entry,
    Understood,
    answered_early,
    drop_duplicates,
    drop_expired,
    runs,
    stands_alone,
    understand,
)
from rollcall.applying.weight import (
    FACTOR,
    MEMBERSHIP_BYTES,
    PART_BYTES,
    Part,
    Sizes,
    is_large,
    slices,
)
from rollcall.consuming.position import Position
from rollcall.kafka.feed import Feed, Record
from rollcall.observability import metrics
from rollcall.postgres import audit
from rollcall.postgres.batch_begin import MOST_MEMBERSHIPS, Large
from rollcall.postgres.pool import CutOff
from rollcall.postgres.refusal import refusal_of
from rollcall.runtime.budget import Seat
from rollcall.runtime.errors import Unavailable
from rollcall_provisioner.announce import Announcer
from rollcall_provisioner.attempts import TWICE, Attempts, TooMuch, divided
from rollcall_provisioner.forgotten import decided_below
from rollcall_provisioner.opening import Opening, wanted_by
from rollcall_provisioner.worker_context import WorkerContext

LIVELY_S: Final = 30.0
"""How long a report of progress counts: a long batch reports every few seconds (busy.py)."""

LOOK_WITHIN_S: Final = 2.0
LOOKS: Final = 3
"""How many batches ask the outcomes what was decided before, where Kafka does not answer."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How many entries a batch had, and how many were left after each step that drops some."""

    all: int
    in_time: int
    present: int
    fresh: int


class Batches:
    """Applies the batches of one partition, from its `position` on, as the owner of `source`."""

    def __init__(
        self, context: WorkerContext, position: Position, source: SourceLog, announcer: Announcer
    ) -> None:
        self._context = context
        self._position = position
        self._source = source
        self._announcer = announcer
        self._owned = foreign.OwnedOrganisations(source.partition)
        self._log = position.log
        self._looks_left = LOOKS
        self._waits_for_memory = False
        self._lively_until_s = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether it stands still for a known reason: it waits for memory, or a batch is long."""
        return self._waits_for_memory or time.monotonic() < self._lively_until_s

    async def apply(self, feed: Feed, records: Sequence[Record]) -> None:
        """Apply what was taken, slice by slice.

        Raises PartitionHalted when all is applied up to what halts the partition, and Fenced.
        """
        for some in slices(records):
            size = sum(len(record.value or b"") for record in some)
            share = FACTOR * size + min(PART_BYTES, len(some) * FACTOR * LARGEST)
            async with self._context.budget.seat(0) as seat:
                await self._take_seat(seat, share)
                understood = await _understand(some)
                if understood.entries:
                    self._announcer.broker_time.read(understood.entries[-1].record.timestamp)
                    if is_large(some):
                        await self._announcer.say_size(understood.entries)
                    await self._look_for_forgotten(understood.entries)
                    await self._apply_parts(feed, seat, FACTOR * size, understood.entries)
            if understood.halt is not None:
                raise understood.halt

    async def _apply_batch(
        self, feed: Feed, part: Part, apply: Apply, options: ApplyOptions
    ) -> None:
        """One transaction, from the position to the rows, then its replies and outcomes.

        Four round trips: BEGIN, one call that compares, sets and loads, one that writes, COMMIT
        (docs/decisions/0061). More only where there is much to load or to write, or where an event
        is dead. `apply` decides and writes, set-based or event by event. Raises Fenced before
        anything else is read or written, Large before anything is written, and Unavailable where
        Postgres fails: then nothing was written, or all of it if only the answer to the commit was
        lost. In that case the next attempt is fenced, and what was committed is announced from the
        audit.
        """
        started_s = time.perf_counter()
        announcer, faults, entries = self._announcer, self._context.faults, part.entries
        published, unheard = announcer.published, announcer.unheard
        await faults.reaches("provisioner.before_batch")
        wanted = await wanted_by(
            self._source,
            part,
            unplaced=self._owned.unknown(entries),
            unheard=unheard,
            loads=options.in_few_calls,
        )
        opening = Opening(wanted)
        async with self._position.advance(
            entries[-1].record, published=published, move=opening.move
        ) as connection:
            begun = opening.begun
            ours = self._owned.refused_by(entries, begun.partitions)
            # Expired copies first: they leave no trace, so a later copy of the same id may count.
            in_time = drop_expired(ours)
            present = foreign.without(in_time, begun.departed)
            fresh = drop_duplicates(present, begun.applied)
            await audit.record_unheard(connection, answered_early(present, fresh))
            options = replace(
                options, broker_ms=announcer.broker_time.least_ms, states=begun.states
            )
            decided = await apply(connection, self._source, fresh, options)
            faults.passes("provisioner.before_commit")
        announcer.noted(unheard)
        faults.passes("provisioner.after_commit")
        await announcer.send_replies(decided.replies, feed.backlog)
        faults.passes("provisioner.after_replies")
        await announcer.send_outcomes(decided.rows, self._position.next_offset)
        foreign.report(self._source, ours)
        metrics.PROVISIONER_BATCH_SECONDS.observe(time.perf_counter() - started_s)
        self._report(decided, Taken(len(entries), len(in_time), len(present), len(fresh)))

    def _report(self, decided: Decided, taken: Taken) -> None:
        """Metrics and lines of what became of a batch."""
        metrics.PROVISIONER_BATCH_EVENTS.observe(taken.all)
        metrics.PROVISIONER_EXPIRED.inc(taken.all - taken.in_time)
        metrics.PROVISIONER_DEPARTED.inc(taken.in_time - taken.present)
        metrics.PROVISIONER_DUPLICATES.inc(taken.present - taken.fresh)
        count(decided)
        if refused := refused_after_success(decided):
            self._log.warning("pending.refused", requests=refused)
        for death in decided.deaths:
            self._log.error(
                "event.dead_lettered",
                request_id=death.id,
                dead_letter=death.name,
                error_class=death.error_class,
                runbook="dead-letters",
            )
        for park in decided.event_results.parks:
            self._log.error(
                "organisation.parked",
                request_id=park.id,
                organisation_id=park.organisation_id,
                dead_letter=park.name,
                runbook="parked-organisation",
            )
        for organisation_id in decided.event_results.freed:
            self._log.info("organisation.freed", organisation_id=organisation_id)
        if decided.repeats:
            self._log.warning("event.repeated", events=decided.repeats)
        if taken.all > taken.in_time:
            self._log.warning("event.expired", events=taken.all - taken.in_time)
        if taken.in_time > taken.present:
            self._log.warning("event.departed", events=taken.in_time - taken.present)
        self._log.debug("batch.applied", events=taken.all, next_offset=self._position.next_offset)

    async def _apply_parts(
        self, feed: Feed, seat: Seat, read_bytes: int, entries: Sequence[Entry]
    ) -> None:
        """Apply a slice, cut by what it loads; a part that is too much is divided.

        `read_bytes`: memory that the slice itself takes. Raises PartitionHalted.
        """
        ordinary = [await ordinary_part(run) for run in runs(entries, stands_alone)]
        parts = [part for part in ordinary if part is not None]
        if len(parts) < len(ordinary):
            parts = await self._measured(feed, entries)
        await self._take_seat(seat, read_bytes + _largest_of(parts))
        left = deque((part, TWICE) for part in parts)
        while left:
            part, tries = left.popleft()
            options = ApplyOptions(self._context.dead_letter_limit)
            try:
                await self._apply_part(feed, part, options, tries)
            except Large:
                measured = await self._measured(feed, part.entries)
                await self._take_seat(seat, read_bytes + _largest_of(measured))
                left.extendleft((each, TWICE) for each in reversed(measured))
            except TooMuch as too_much:
                if len(part.entries) > 1:
                    left.extendleft(reversed(divided(part, tries)))
                    self._log.warning("batch.divided", events=len(part.entries))
                    continue
                known = too_much.refusals(part.entries[0])
                await self._apply_part(feed, part, replace(options, known=known))

    async def _measured(self, feed: Feed, entries: Sequence[Entry]) -> list[Part]:
        """The entries, cut by what they load."""
        sizes = await self._position.insist(feed, partial(self._sizes_of, entries))
        return [part for run in runs(entries, stands_alone) for part in await parts_of(run, sizes)]

    async def _apply_part(
        self, feed: Feed, part: Part, options: ApplyOptions, tries: int = TWICE
    ) -> None:
        """Apply a part, tried again while Postgres is away.

        Raises Large, TooMuch, PartitionHalted.
        """
        attempts = Attempts(
            self._context.database,
            self._source,
            self._position.next_offset,
            len(part.entries),
            tries,
        )
        options = replace(options, in_thread=part.weight.is_heavy, alive=self._report_progress)
        apply = partial(self._apply_or_isolate, feed, part, options)
        await self._position.insist(feed, partial(attempts.attempt, apply))
        self._context.stuck.passed(self._source.partition)

    async def _apply_or_isolate(self, feed: Feed, part: Part, options: ApplyOptions) -> None:
        """Apply a batch; if Postgres refuses its data, once more, event by event."""
        position = self._position.next_offset
        try:
            # What is known to be dead is not loaded: its load may be what took too long.
            in_few_calls = not options.known
            at_once = replace(options, in_few_calls=in_few_calls)
            await self._apply_batch(feed, part, apply_at_once, at_once)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None or self._position.next_offset != position:
                raise
            self._log.warning("batch.refused", error_class=refusal.error_class)
            await self._apply_batch(feed, part, apply_one_by_one, options)

    async def _sizes_of(self, entries: Sequence[Entry]) -> Sizes:
        """What the entries would load; the most that there may be where that takes too long."""
        if not needs_sizes(entries):
            return assumed(entries)
        try:
            async with self._context.database.connection() as connection:
                return await load_sizes(connection, entries)
        except CutOff as cut:
            self._log.warning("batch.cut_off", cause=cut.cause, events=len(entries))
            return assumed(entries)

    async def _take_seat(self, seat: Seat, size_bytes: int) -> None:
        """Wait for a share of the process's memory."""
        self._waits_for_memory = True
        try:
            await seat.resize(size_bytes)
        finally:
            self._waits_for_memory = False

    def _report_progress(self) -> None:
        self._lively_until_s = time.monotonic() + LIVELY_S

    async def _look_for_forgotten(self, entries: Sequence[Entry]) -> None:
        """Ask once, before the first batch, what was decided before and is forgotten.

        Where Kafka does not answer within two seconds, lateness alone decides, as it does for new
        requests: then too many refusals are listed, never too few. After three such batches it is
        not asked any more, so that a burst does not wait again and again.
        """
        outcomes = self._context.outcomes
        if (
            not self._looks_left
            or outcomes is None
            or not any(was_awaited(each.request) for each in entries)
        ):
            return
        self._looks_left -= 1
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                below = await decided_below(outcomes, self._source)
        except (Unavailable, TimeoutError) as error:
            reason = error.what if isinstance(error, Unavailable) else "no answer in time"
            self._log.warning("kafka.unavailable", doing="read outcomes", reason=reason)
            return
        self._looks_left = 0
        next_offset = self._position.next_offset
        if below > next_offset:
            self._source = replace(self._source, decided_below=below)
            self._log.warning("partition.forgotten", next_offset=next_offset, below=below)


def _largest_of(parts: Sequence[Part]) -> int:
    """Most bytes of memory that one of the parts takes."""
    return max(
        part.weight.memory_bytes + (0 if part.is_measured else MOST_MEMBERSHIPS * MEMBERSHIP_BYTES)
        for part in parts
    )


async def _understand(records: Sequence[Record]) -> Understood:
    if is_large(records):
        return await asyncio.to_thread(understand, records)
    return understand(records)
