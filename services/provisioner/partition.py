"""One worker per partition of the requests: batch → transaction → announcement.

Read `_apply_batch` first: it is the order of a batch. The first statement of its transaction
compares and sets the partition's position. A worker that lost its partition without knowing (a
process that slept, a rebalance) finds another position there, and writes nothing.

What is told to the world comes after the commit (announce.py). A database that is away is waited
for, batch in hand, for hours if need be; it is never a reason for a dead letter.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.provisioner.announce import Announcer
from services.provisioner.dead_letters import Place
from services.provisioner.decided import Decided, count, decide_batch, ids_of, requests_of
from services.provisioner.understand import (
    Entry,
    Understood,
    drop_duplicates,
    drop_expired,
    understand,
)
from shared.directory.fold import Folded, fold_batch
from shared.directory.state import State
from shared.directory.touch import touches
from shared.events.topics import MEBIBYTE, Topics
from shared.kafka.feed import Feed, FeedClosed, Record
from shared.kafka.producer import Producer
from shared.kafka.worker import Fenced, OutOfRange, PartitionHalted, insist
from shared.observability import metrics
from shared.observability.logging import get_logger
from shared.postgres import audit, dead_letter, progress
from shared.postgres.directory_load import load_states
from shared.postgres.directory_write import write_changes
from shared.postgres.pool import Database
from shared.runtime.errors import Unavailable
from shared.runtime.lifecycle import FaultPoint

if TYPE_CHECKING:
    from shared.postgres.pool import Connection

IDLE_S = 1.0
"""After so long without a record the position of the announcements is written on its own."""
THREAD_BYTES = 256 * 1024
"""Batches with more bytes of values are read and folded in a thread: the loop stays free."""

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


class PartitionWorker:
    """Applies one partition of the requests topic (a `shared.kafka.worker.Worker`)."""

    def __init__(self, tools: Tools, partition: int) -> None:
        self._tools = tools
        self._place = Place(tools.topics.requests, partition)
        self._next_offset = 0
        self._stored_published = 0
        self._announcer = Announcer(tools.producer, tools.topics, self._place, 0)
        self._waits = False
        self._log = log.bind(topic=self._place.topic, partition=partition)

    @property
    def next_offset(self) -> int:
        """The offset behind the last record that is applied for good."""
        return self._next_offset

    @property
    def waits_for_outage(self) -> bool:
        """Whether Postgres or Kafka is away, or an announcement waits for Kafka."""
        return self._waits or self._announcer.is_settling

    async def start(self, feed: Feed) -> int:
        """The position that Postgres holds; a partition that was halted is tried again."""
        found = await insist(feed, self._read_position, self._outage)
        self._place = Place(self._place.topic, self._place.partition, found.epoch)
        self._next_offset = found.next_offset
        self._stored_published = found.published_offset
        self._announcer = Announcer(
            self._tools.producer, self._tools.topics, self._place, found.published_offset
        )
        self._log.info(
            "partition.started",
            next_offset=found.next_offset,
            published_offset=found.published_offset,
            epoch=found.epoch,
        )
        return found.next_offset

    async def run(self, feed: Feed) -> None:
        """Announce what a predecessor did not, then apply batch after batch."""
        try:
            await self._catch_up(feed)
            while True:
                records = await feed.take(
                    self._tools.batch_records, self._tools.batch_bytes, IDLE_S
                )
                if records:
                    await self._apply(feed, records)
                else:
                    await self._store_published(feed)
        except FeedClosed:
            await self._announcer.settle()
            await self._store_published_once()
        except OutOfRange as error:
            await self._halt(feed, PartitionHalted(str(error), "log-and-progress-differ"))
        finally:
            self._log.info("partition.stopped", next_offset=self._next_offset)

    async def _apply(self, feed: Feed, records: Sequence[Record]) -> None:
        """Apply what was taken, up to what halts the partition; retry while Postgres is away."""
        understood = await _understand(records)
        if understood.entries:
            await insist(feed, lambda: self._apply_batch(feed, understood.entries), self._outage)
            await self._catch_up(feed)
        if understood.halt is not None:
            await self._halt(feed, understood.halt)

    async def _apply_batch(self, feed: Feed, entries: Sequence[Entry]) -> None:
        """The order of a batch, from the position to the announcement.

        Raises Fenced before anything else is read or written. Raises Unavailable where Postgres
        fails: then nothing was written, or all of it if the commit's answer was lost. In that case
        the next attempt is fenced, and what was committed is announced from the audit.
        """
        started_s = time.perf_counter()
        published = self._announcer.published
        self._tools.faults.passes("provisioner.before_batch")
        async with self._tools.database.transaction() as connection:
            # Whoever comes second stops here.
            await self._advance(connection, entries[-1], published)
            # Expired copies first: they leave no trace, so a later copy of the same id may count.
            in_time = drop_expired(entries)
            applied = await audit.already_applied(connection, ids_of(in_time))
            fresh = drop_duplicates(in_time, applied)
            states = await load_states(connection, touches(requests_of(fresh)))
            folded = await _fold(states, fresh)
            decided = decide_batch(self._place, fresh, folded)
            await write_changes(connection, decided.changes)
            await audit.record(connection, decided.rows)
            await dead_letter.record(connection, decided.letters)
            self._tools.faults.passes("provisioner.before_commit")
        self._next_offset = entries[-1].record.offset + 1
        self._stored_published = published
        self._tools.faults.passes("provisioner.after_commit")
        await self._announcer.send_replies(decided.replies, feed.backlog)
        self._tools.faults.passes("provisioner.after_replies")
        await self._announcer.send_outcomes(decided.rows, self._next_offset)
        self._note(decided, len(entries), len(in_time), len(fresh), started_s)

    def _note(
        self, decided: Decided, taken: int, in_time: int, fresh: int, started_s: float
    ) -> None:
        metrics.PROVISIONER_BATCH_EVENTS.observe(taken)
        metrics.PROVISIONER_BATCH_SECONDS.observe(time.perf_counter() - started_s)
        metrics.PROVISIONER_EXPIRED.inc(taken - in_time)
        metrics.PROVISIONER_DUPLICATES.inc(in_time - fresh)
        count(decided)
        for letter in decided.letters:
            self._log.error(
                "event.dead_lettered",
                offset=letter.offset,
                error_class=letter.error_class,
                runbook="dead-letters",
            )
        if taken > in_time:
            self._log.warning("event.expired", events=taken - in_time)
        self._log.debug("batch.applied", events=taken, next_offset=self._next_offset)

    async def _advance(self, connection: "Connection", last: Entry, published: int) -> None:
        is_ours = await progress.advance(
            connection,
            self._place.topic,
            self._place.partition,
            expected=self._next_offset,
            new=last.record.offset + 1,
            published=published,
            last_event_id=last.event_id,
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
        async with self._tools.database.connection() as connection:
            is_ours = await progress.advance(
                connection,
                self._place.topic,
                self._place.partition,
                expected=self._next_offset,
                new=self._next_offset,
                published=published,
                last_event_id=None,
                last_append_time=None,
            )
        if not is_ours:
            self._fenced()
        self._stored_published = published

    async def _read_position(self) -> progress.Progress:
        async with self._tools.database.transaction() as connection:
            found = await progress.ensure(connection, self._place.topic, self._place.partition)
            if found.state == "halted":
                await self._set_state(connection, "running")
        return found

    async def _halt(self, feed: Feed, halted: PartitionHalted) -> None:
        """Note in Postgres that the partition stands, and raise `halted`."""

        async def note() -> None:
            async with self._tools.database.connection() as connection:
                await self._set_state(connection, "halted")

        await self._announcer.settle()
        await insist(feed, note, self._outage)
        raise halted

    async def _set_state(self, connection: "Connection", state: progress.ProgressState) -> None:
        await progress.set_state(connection, self._place.topic, self._place.partition, state)

    def _outage(self, is_away: bool) -> None:
        self._waits = is_away


async def _understand(records: Sequence[Record]) -> Understood:
    if _is_large(records):
        return await asyncio.to_thread(understand, records)
    return understand(records)


async def _fold(states: dict[str, State], entries: Sequence[Entry]) -> list[Folded]:
    batch = [(entry.request, entry.append_time) for entry in entries if entry.request is not None]
    if _is_large([entry.record for entry in entries]):
        return await asyncio.to_thread(fold_batch, states, batch)
    return fold_batch(states, batch)


def _is_large(records: Sequence[Record]) -> bool:
    return sum(len(record.value or b"") for record in records) > THREAD_BYTES
