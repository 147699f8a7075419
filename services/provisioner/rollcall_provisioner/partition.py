"""One worker per partition of the requests: batch → transaction → announcement.

Read `_apply_batch` first: it is the order of a batch. The first statement of its transaction
compares and sets the partition's position. A worker that lost its partition without knowing (a
process that slept, a rebalance) finds another position there, and writes nothing.

What is told to the world comes after the commit (announce.py). A database that is away is waited
for, batch in hand, for hours if need be; it is never a reason for a dead letter. What is too much
for a time-out of ours is another matter: attempts.py.

How much is in one transaction follows from what it would load and calculate (weight.py), and the
memory of all partitions' batches from one budget of the process.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from rollcall.applying import foreign
from rollcall.applying.apply import Apply, apply_at_once
from rollcall.applying.dead_letters import Place
from rollcall.applying.decided import Decided, count, ids_of, told_and_refused, was_awaited
from rollcall.applying.manner import Manner
from rollcall.applying.measure import LARGEST, assumed, load_sizes, needs_sizes, parts_of
from rollcall.applying.one_by_one import apply_one_by_one
from rollcall.applying.understand import (
    Entry,
    Understood,
    drop_duplicates,
    drop_expired,
    runs,
    stands_alone,
    understand,
)
from rollcall.applying.weight import FACTOR, PART_BYTES, Part, Sizes, is_large, slices
from rollcall.events.topics import MEBIBYTE, Topics
from rollcall.kafka.feed import Feed, FeedClosed, Record
from rollcall.kafka.log_identity import event_id_of
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.producer import Producer
from rollcall.kafka.worker import (
    OUT_OF_RANGE,
    TRIED_AGAIN,
    Fenced,
    OutOfRange,
    PartitionHalted,
    halted_before,
    insist,
    log_differs,
    until,
)
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres import audit, progress
from rollcall.postgres.pool import CutOff, Database
from rollcall.postgres.refusal import refusal_of
from rollcall.runtime.budget import Budget, Seat
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.lifecycle import FaultPoint
from rollcall_provisioner.announce import Announcer
from rollcall_provisioner.attempts import TWICE, Attempts, Standing, TooMuch, divided
from rollcall_provisioner.forgotten import decided_below
from rollcall_provisioner.identity import Identity

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

IDLE_S = 1.0
"""After so long without a record the position of the announcements is written on its own."""

BUDGET_BYTES = 256 * MEBIBYTE
"""Memory that the batches of a process take together (weight.py); more than one part has each."""

LIVELY_S = 30.0
"""A long batch says at least every few seconds that it goes on (busy.py, directory_write.py)."""

LOOK_WITHIN_S = 2.0
LOOKS = 3
"""How often the outcomes are asked what was decided before, where Kafka does not answer."""

PAUSED_POLL_S = 0.2
"""How often a paused partition asks whether it may go on: the pause is short, and IdPs wait."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Tools:
    """What all workers of the process share, and the bounds of a batch."""

    database: Database
    producer: Producer
    topics: Topics
    faults: FaultPoint
    batch_records: int = 500
    batch_bytes: int = 4 * MEBIBYTE
    dead_letter_limit: int = 10
    budget: Budget = field(default_factory=lambda: Budget(BUDGET_BYTES))
    standing: Standing = field(default_factory=Standing)
    outcomes: LogProbe | None = None
    """Where what was decided before is read, if it can be."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How many entries of a batch there are, and are left after each thing that drops some."""

    all: int
    in_time: int
    present: int
    fresh: int


class PartitionWorker:
    """Applies one partition of the requests topic (a `rollcall.kafka.worker.Worker`)."""

    def __init__(self, tools: Tools, partition: int) -> None:
        self._tools = tools
        self._place = Place(tools.topics.requests, partition)
        self._next_offset = 0
        self._stored_published = 0
        self._announcer = Announcer(tools.producer, tools.topics, self._place, 0)
        self._identity = Identity(tools.database)
        self._homes = foreign.Homes(partition)
        self._waits = False
        self._waits_for_turn = False
        self._lively_until_s = 0.0
        self._is_paused = False
        self._looks_left = LOOKS
        self._log = log.bind(topic=self._place.topic, partition=partition)

    @property
    def next_offset(self) -> int:
        """The offset behind the last record that is applied for good."""
        return self._next_offset

    @property
    def waits_for_outage(self) -> bool:
        """Whether Postgres or Kafka is away, an announcement waits for Kafka, or it is paused.

        Or it waits for its share of the memory, or has said lately that a long batch goes on.
        """
        return (
            self._waits
            or self._is_paused
            or self._announcer.is_settling
            or self._waits_for_turn
            or time.monotonic() < self._lively_until_s
        )

    async def start(self, feed: Feed) -> int:
        """The position that Postgres holds, once the log is known to be the one it belongs to."""
        found = await insist(feed, self._read_position, self._outage)
        if found.state == "paused":
            found = await self._wait_for_resume(feed)
        self._place = Place(self._place.topic, self._place.partition, found.epoch)
        self._looks_left = LOOKS
        self._next_offset = found.next_offset
        self._stored_published = found.published_offset
        self._announcer = Announcer(
            self._tools.producer, self._tools.topics, self._place, found.published_offset
        )
        if found.state == "halted":
            raise halted_before(found.reason, found.detail)
        try:
            await self._identity.check(feed, found, self._outage)
        except PartitionHalted as differs:
            await self._halt(feed, differs)
        self._log.info(
            "partition.started",
            next_offset=found.next_offset,
            published_offset=found.published_offset,
            epoch=found.epoch,
        )
        return found.next_offset

    async def _wait_for_resume(self, feed: Feed) -> progress.Progress:
        """The position after a pause: another one, perhaps in another directory."""
        self._log.info("partition.paused")
        self._is_paused = True
        try:
            while True:
                if await feed.closes_within(PAUSED_POLL_S):
                    raise FeedClosed
                found = await insist(feed, self._read_position, self._outage)
                if found.state != "paused":
                    self._log.info("partition.resumed")
                    return found
        finally:
            self._is_paused = False

    async def until_resumed(self, feed: Feed) -> None:
        """Announce what is applied and not told yet, then wait for `rollcall partition resume`."""
        await self._store_published(feed)
        await self._announcer.settle()
        await self._store_published(feed)
        await until(feed, self._is_running, self._outage)
        self._log.info("partition.resumed")

    async def run(self, feed: Feed) -> None:
        """Announce what a predecessor did not, then apply batch after batch."""
        try:
            await self._catch_up(feed)
            while True:
                records = await feed.take(
                    self._tools.batch_records, self._tools.batch_bytes, IDLE_S
                )
                if records:
                    await self._check_again(feed)
                    await self._apply(feed, records)
                else:
                    await self._store_published(feed)
                    self._tools.standing.passed(self._place.partition)
        except FeedClosed:
            await self._announcer.settle()
            await self._store_published_once()
        except OutOfRange as error:
            await self._halt(feed, log_differs(OUT_OF_RANGE, str(error)))
        except (Fenced, PartitionHalted):
            raise
        except Exception:  # a bug of ours, for which the next worker begins where this one stood
            self._tools.standing.tried(self._place.partition, self._next_offset)
            raise
        finally:
            self._log.info("partition.stopped", next_offset=self._next_offset)

    async def _apply(self, feed: Feed, records: Sequence[Record]) -> None:
        """Apply what was taken, slice by slice, up to what halts the partition."""
        for some in slices(records):
            size = sum(len(record.value or b"") for record in some)
            share = FACTOR * size + min(PART_BYTES, len(some) * FACTOR * LARGEST)
            halt: PartitionHalted | None = None
            async with self._tools.budget.seat(0) as seat:
                await self._take_seat(seat, share)
                understood = await _understand(some)
                halt = understood.halt
                if understood.entries:
                    self._announcer.broker_time.read(understood.entries[-1].record.timestamp)
                    if is_large(some):
                        await self._announcer.say_size(understood.entries)
                    await self._look_for_forgotten(understood.entries)
                    try:
                        await self._apply_parts(feed, seat, FACTOR * size, understood.entries)
                    except PartitionHalted as halted:
                        halt = halted
            if halt is not None:
                await self._halt(feed, halt)
        await self._catch_up(feed)

    async def _apply_parts(
        self, feed: Feed, seat: Seat, read_bytes: int, entries: Sequence[Entry]
    ) -> None:
        """Apply a slice, cut by what it loads; a part that is too much is divided.

        `read_bytes`: memory that the slice itself takes. Raises PartitionHalted.
        """
        sizes = await insist(feed, partial(self._sizes_of, entries), self._outage)
        parts = [part for run in runs(entries, stands_alone) for part in await parts_of(run, sizes)]
        largest = max(part.weight.memory_bytes for part in parts)
        await self._take_seat(seat, read_bytes + largest)
        left = deque((part, TWICE) for part in parts)
        while left:
            part, tries = left.popleft()
            try:
                await self._try(feed, part, Manner(self._tools.dead_letter_limit), tries)
            except TooMuch as too_much:
                if len(part.entries) > 1:
                    left.extendleft(reversed(divided(part, tries)))
                    self._log.warning("batch.divided", events=len(part.entries))
                    continue
                known = too_much.refusals(part.entries[0])
                await self._try(feed, part, Manner(self._tools.dead_letter_limit, known))

    async def _try(self, feed: Feed, part: Part, manner: Manner, tries: int = TWICE) -> None:
        """Apply a part, tried again while Postgres is away. Raises TooMuch, PartitionHalted."""
        attempts = Attempts(
            self._tools.database, self._place, self._next_offset, len(part.entries), tries
        )
        manner = replace(manner, in_thread=part.weight.is_heavy, alive=self._is_lively)
        apply = partial(self._isolating, feed, part.entries, manner)
        await insist(feed, partial(attempts.attempt, apply), self._outage)
        self._tools.standing.passed(self._place.partition)

    async def _sizes_of(self, entries: Sequence[Entry]) -> Sizes:
        """What the entries would load; the most that there may be where that takes too long."""
        if not needs_sizes(entries):
            return assumed(entries)
        try:
            async with self._tools.database.connection() as connection:
                return await load_sizes(connection, entries)
        except CutOff as cut:
            self._log.warning("batch.cut_off", cause=cut.cause, events=len(entries))
            return assumed(entries)

    async def _take_seat(self, seat: Seat, size_bytes: int) -> None:
        """Wait for a share of the process's memory."""
        self._waits_for_turn = True
        try:
            await seat.resize(size_bytes)
        finally:
            self._waits_for_turn = False

    def _is_lively(self) -> None:
        self._lively_until_s = time.monotonic() + LIVELY_S

    async def _look_for_forgotten(self, entries: Sequence[Entry]) -> None:
        """Once, before the first batch: was it decided before, and is that forgotten?

        Where Kafka does not say at once, lateness alone decides, as it does for what is new: too
        many refusals are listed then, none too few. A burst does not wait for that again and again.
        """
        outcomes = self._tools.outcomes
        if (
            not self._looks_left
            or outcomes is None
            or not any(was_awaited(each.request) for each in entries)
        ):
            return
        self._looks_left -= 1
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                below = await decided_below(outcomes, self._place)
        except (Unavailable, TimeoutError) as error:
            reason = error.what if isinstance(error, Unavailable) else "no answer in time"
            self._log.warning("kafka.unavailable", doing="read outcomes", reason=reason)
            return
        self._looks_left = 0
        if below > self._next_offset:
            self._place = replace(self._place, decided_below=below)
            self._log.warning("partition.forgotten", next_offset=self._next_offset, below=below)

    async def _isolating(self, feed: Feed, entries: Sequence[Entry], manner: Manner) -> None:
        """Apply a batch; if Postgres refuses its data, once more, event by event."""
        position = self._next_offset
        try:
            await self._apply_batch(feed, entries, apply_at_once, manner)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None or self._next_offset != position:
                raise
            self._log.warning("batch.refused", error_class=refusal.error_class)
            await self._apply_batch(feed, entries, apply_one_by_one, manner)

    async def _apply_batch(
        self, feed: Feed, entries: Sequence[Entry], apply: Apply, manner: Manner
    ) -> None:
        """The order of a batch, from the position to the announcement; `apply`: isolate.py.

        Raises Fenced before anything else is read or written. Raises Unavailable where Postgres
        fails: then nothing was written, or all of it if the commit's answer was lost. In that case
        the next attempt is fenced, and what was committed is announced from the audit.
        """
        started_s = time.perf_counter()
        published = self._announcer.published
        unheard = self._announcer.unheard
        await self._tools.faults.reaches("provisioner.before_batch")
        async with self._tools.database.transaction() as connection:
            # Whoever comes second stops here.
            await self._advance(connection, entries[-1], published)
            await audit.record_unheard(connection, sorted(unheard))
            ours = await self._homes.refuse_misplaced(connection, entries)
            # Expired copies first: they leave no trace, so a later copy of the same id may count.
            in_time = drop_expired(ours)
            present = await foreign.drop_departed(connection, in_time)
            applied = await audit.already_applied(connection, ids_of(present))
            fresh = drop_duplicates(present, applied)
            broker_ms = self._announcer.broker_time.least_ms
            manner = replace(manner, broker_ms=broker_ms)
            decided = await apply(connection, self._place, fresh, manner)
            self._tools.faults.passes("provisioner.before_commit")
        self._next_offset = entries[-1].record.offset + 1
        self._stored_published = published
        self._announcer.noted(unheard)
        self._tools.faults.passes("provisioner.after_commit")
        await self._announcer.send_replies(decided.replies, feed.backlog)
        self._tools.faults.passes("provisioner.after_replies")
        await self._announcer.send_outcomes(decided.rows, self._next_offset)
        foreign.tell(self._place, ours)
        taken = Taken(len(entries), len(in_time), len(present), len(fresh))
        self._note(decided, taken, started_s)

    def _note(self, decided: Decided, taken: Taken, started_s: float) -> None:
        metrics.PROVISIONER_BATCH_EVENTS.observe(taken.all)
        metrics.PROVISIONER_BATCH_SECONDS.observe(time.perf_counter() - started_s)
        metrics.PROVISIONER_EXPIRED.inc(taken.all - taken.in_time)
        metrics.PROVISIONER_DEPARTED.inc(taken.in_time - taken.present)
        metrics.PROVISIONER_DUPLICATES.inc(taken.present - taken.fresh)
        count(decided)
        if refused := told_and_refused(decided):
            self._log.warning("pending.refused", requests=refused)
        for death in decided.deaths:
            self._log.error(
                "event.dead_lettered",
                dead_letter=death.name,
                error_class=death.error_class,
                runbook="dead-letters",
            )
        for park in decided.fates.parks:
            self._log.error(
                "organisation.parked",
                organisation_id=park.organisation_id,
                dead_letter=park.name,
                runbook="parked-organisation",
            )
        for organisation_id in decided.fates.freed:
            self._log.info("organisation.freed", organisation_id=organisation_id)
        if decided.repeats:
            self._log.warning("event.repeated", events=decided.repeats)
        if taken.all > taken.in_time:
            self._log.warning("event.expired", events=taken.all - taken.in_time)
        if taken.in_time > taken.present:
            self._log.warning("event.departed", events=taken.in_time - taken.present)
        self._log.debug("batch.applied", events=taken.all, next_offset=self._next_offset)

    async def _advance(self, connection: "Connection", last: Entry, published: int) -> None:
        is_ours = await progress.advance(
            connection,
            self._place.topic,
            self._place.partition,
            expected=self._next_offset,
            epoch=self._place.epoch,
            new=last.record.offset + 1,
            published=published,
            last_event_id=event_id_of(last.record.headers),
            last_append_time=last.append_time,
        )
        if not is_ours:
            self._fenced()

    def _fenced(self) -> None:
        metrics.PROVISIONER_FENCED.inc()
        self._log.warning("batch.fenced", expected=self._next_offset)
        raise Fenced

    async def _catch_up(self, feed: Feed) -> None:
        """Announce from the audit what a predecessor, or a failed delivery, left."""
        announcer = self._announcer
        if announcer.is_behind or (
            announcer.published < self._next_offset and not announcer.is_sending
        ):
            await insist(
                feed,
                lambda: announcer.catch_up(self._tools.database, self._next_offset),
                self._outage,
            )

    async def _store_published(self, feed: Feed) -> None:
        """Nothing comes: write on its own how far the announcements are."""
        await self._catch_up(feed)
        if self._announcer.published > self._stored_published:
            await insist(feed, self._write_published, self._outage)

    async def _store_published_once(self) -> None:
        """The same at the end, tried once: a successor would only announce again."""
        if self._announcer.published > self._stored_published:
            try:
                await self._write_published()
            except (Fenced, Unavailable):
                return

    async def _write_published(self) -> None:
        published = self._announcer.published
        unheard = self._announcer.unheard
        async with self._tools.database.transaction() as connection:
            is_ours = await progress.publish(
                connection,
                self._place.topic,
                self._place.partition,
                expected=self._next_offset,
                epoch=self._place.epoch,
                published=published,
            )
            if is_ours:
                await audit.record_unheard(connection, sorted(unheard))
        if not is_ours:
            self._fenced()
        self._stored_published = published
        self._announcer.noted(unheard)

    async def _read_position(self) -> progress.Progress:
        async with self._tools.database.transaction() as connection:
            return await progress.begin(
                connection, self._place.topic, self._place.partition, tried_again=TRIED_AGAIN
            )

    async def _check_again(self, feed: Feed) -> None:
        try:
            await self._identity.check_again(feed, self._place, self._next_offset)
        except PartitionHalted as differs:
            await self._halt(feed, differs)

    async def _halt(self, feed: Feed, halted: PartitionHalted) -> None:
        """Note in Postgres that the partition stands, and raise `halted`; Fenced if not ours."""

        async def note() -> bool:
            async with self._tools.database.connection() as connection:
                return await progress.halt(
                    connection,
                    self._place.topic,
                    self._place.partition,
                    expected=self._next_offset,
                    epoch=self._place.epoch,
                    reason=halted.cause,
                    detail=str(halted),
                )

        await self._announcer.settle()
        if not await insist(feed, note, self._outage):
            self._fenced()
        self._tools.standing.passed(self._place.partition)  # it has an alert of its own
        raise halted

    async def _is_running(self) -> bool:
        async with self._tools.database.connection() as connection:
            found = await progress.read(connection, self._place.topic, self._place.partition)
        return found is not None and found.state == "running"

    def _outage(self, is_away: bool) -> None:
        self._waits = is_away
        if is_away:
            self._tools.standing.tried(self._place.partition, self._next_offset)


async def _understand(records: Sequence[Record]) -> Understood:
    if is_large(records):
        return await asyncio.to_thread(understand, records)
    return understand(records)
