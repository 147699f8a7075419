"""The tenancy topic, copied into Postgres: a worker of the same kind, with a position of its own.

The topic has one partition, so one replica of the group copies it. A malformed record is logged
and skipped: whoever may write this topic owns every organisation already, and the record can be
written again. A newer version than this release knows halts the copy, not the requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rollcall.events.envelope import MalformedEvent, NewerVersion, from_milliseconds
from rollcall.kafka.feed import Feed, Record
from rollcall.kafka.log_identity import event_id_of
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
from rollcall.postgres import progress, tenancy
from rollcall.postgres.pool import Database
from rollcall.tenancy.fold import read_change
from rollcall.tenancy.organisation import Record as TenancyRecord
from rollcall_provisioner.identity import Identity

BATCH_RECORDS = 500
BATCH_BYTES = 1024 * 1024
IDLE_S = 5.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class Copied:
    """A batch of the topic: the records, keys that were removed, and what halts it, if anything."""

    records: tuple[TenancyRecord, ...]
    removed: frozenset[str]
    next_offset: int
    halt: PartitionHalted | None = None


class TenancyWorker:
    """Copies the tenancy topic (a `rollcall.kafka.worker.Worker`)."""

    def __init__(self, database: Database, topic: str, partition: int) -> None:
        self._database = database
        self._topic = topic
        self._partition = partition
        self._next_offset = 0
        self._epoch = 0
        self._identity = Identity(database, compares_record=False)  # the topic is compacted
        self._waits = False

    @property
    def next_offset(self) -> int:
        """The offset behind the last record that is copied."""
        return self._next_offset

    @property
    def waits_for_outage(self) -> bool:
        """Whether Postgres is away."""
        return self._waits

    async def start(self, feed: Feed) -> int:
        """The position that Postgres holds, if the log can be the one that it belongs to."""
        found = await insist(feed, self._read_position, self._outage)
        self._next_offset, self._epoch = found.next_offset, found.epoch
        if found.state == "halted":
            raise halted_before(found.reason, found.detail)
        try:
            await self._identity.check(feed, found, self._outage)
        except PartitionHalted as differs:
            await self._halt(feed, differs)
        log.info(
            "partition.started",
            topic=self._topic,
            partition=self._partition,
            next_offset=self._next_offset,
        )
        return self._next_offset

    async def until_resumed(self, feed: Feed) -> None:
        """Wait for `rollcall partition resume --topic tenancy`."""
        await until(feed, self._is_running, self._outage)

    async def run(self, feed: Feed) -> None:
        """Copy batch after batch, until the feed is closed."""
        while True:
            try:
                taken = await feed.take(BATCH_RECORDS, BATCH_BYTES, IDLE_S)
            except OutOfRange as error:
                await self._halt(feed, log_differs(OUT_OF_RANGE, str(error)))
            if not taken:
                continue
            copied = read(taken, self._next_offset)
            if copied.next_offset > self._next_offset:
                await insist(feed, lambda: self._write(copied, taken), self._outage)  # noqa: B023
            if copied.halt is not None:
                await self._halt(feed, copied.halt)

    async def _write(self, copied: Copied, taken: Sequence[Record]) -> None:
        last = next(each for each in reversed(taken) if each.offset < copied.next_offset)
        async with self._database.transaction() as connection:
            is_ours = await progress.advance(
                connection,
                self._topic,
                self._partition,
                expected=self._next_offset,
                epoch=self._epoch,
                new=copied.next_offset,
                published=copied.next_offset,
                last_event_id=event_id_of(last.headers),
                last_append_time=from_milliseconds(last.timestamp),
            )
            if not is_ours:
                self._fenced()
            await tenancy.fold_records(connection, copied.records, copied.removed)
        self._next_offset = copied.next_offset

    def _fenced(self) -> None:
        metrics.PROVISIONER_FENCED.inc()
        log.warning("batch.fenced", topic=self._topic, expected=self._next_offset)
        raise Fenced

    async def _read_position(self) -> progress.Progress:
        async with self._database.transaction() as connection:
            return await progress.begin(
                connection, self._topic, self._partition, tried_again=TRIED_AGAIN
            )

    async def _halt(self, feed: Feed, halted: PartitionHalted) -> None:
        async def note() -> bool:
            async with self._database.connection() as connection:
                return await progress.halt(
                    connection,
                    self._topic,
                    self._partition,
                    expected=self._next_offset,
                    epoch=self._epoch,
                    reason=halted.cause,
                    detail=str(halted),
                )

        if not await insist(feed, note, self._outage):
            self._fenced()
        raise halted

    async def _is_running(self) -> bool:
        async with self._database.connection() as connection:
            found = await progress.read(connection, self._topic, self._partition)
        return found is not None and found.state == "running"

    def _outage(self, is_away: bool) -> None:
        self._waits = is_away


def read(taken: Sequence[Record], next_offset: int) -> Copied:
    """The records of a batch in order, up to the first of a newer version.

    A record whose last word is a tombstone is removed; `next_offset` is where the copy stands.
    """
    found: dict[str, TenancyRecord | None] = {}
    for record in taken:
        try:
            change = read_change(record)
        except NewerVersion as newer:
            halt = PartitionHalted(f"offset {record.offset}: {newer}", "newer-version")
            return _copied(found, next_offset, halt)
        except MalformedEvent:
            log.warning("tenancy.malformed", offset=record.offset)
        else:
            found.pop(change.key, None)
            found[change.key] = change.record
        next_offset = record.offset + 1
    return _copied(found, next_offset, None)


def _copied(
    found: dict[str, TenancyRecord | None], next_offset: int, halt: PartitionHalted | None
) -> Copied:
    return Copied(
        records=tuple(record for record in found.values() if record is not None),
        removed=frozenset(key for key, record in found.items() if record is None and key),
        next_offset=next_offset,
        halt=halt,
    )
