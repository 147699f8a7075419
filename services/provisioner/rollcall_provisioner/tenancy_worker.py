"""The tenancy topic, copied into Postgres: a worker of the same kind, with a position of its own.

The topic has one partition, so one replica of the group copies it. A malformed record is logged
and skipped: an intruder who can write this topic owns every organisation already, and a mistake is
mended by writing the record again. A version that this release does not know halts the copy, not
the requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rollcall.consuming.position import Position
from rollcall.consuming.positioned import Positioned
from rollcall.events.envelope import MalformedEvent, NewerVersion
from rollcall.kafka.feed import Feed, Record
from rollcall.kafka.worker import OUT_OF_RANGE, OutOfRange, PartitionHalted, log_differs
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres import tenancy
from rollcall.postgres.pool import Database
from rollcall.tenancy.fold import read_change
from rollcall.tenancy.organisation import Record as TenancyRecord

BATCH_RECORDS = 500
BATCH_BYTES = 1024 * 1024
IDLE_S = 5.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class Copied:
    """A batch of the topic up to what halts it, if anything does; `removed`: keys.

    `last` is the last record that was read before that; None where it was the first.
    """

    records: tuple[TenancyRecord, ...]
    removed: frozenset[str]
    last: Record | None
    halt: PartitionHalted | None = None


class TenancyWorker(Positioned):
    """Copies the tenancy topic (a `rollcall.kafka.worker.Worker`)."""

    def __init__(self, database: Database, topic: str, partition: int) -> None:
        super().__init__(
            Position(
                database,
                topic,
                partition,
                compares_record=False,  # the topic is compacted
                fenced=metrics.PROVISIONER_FENCED,
            )
        )

    async def run(self, feed: Feed) -> None:
        """Copy batch after batch, until the feed is closed."""
        while True:
            try:
                taken = await feed.take(BATCH_RECORDS, BATCH_BYTES, IDLE_S)
            except OutOfRange as error:
                await self._position.halt(feed, log_differs(OUT_OF_RANGE, str(error)))
            if not taken:
                continue
            copied = read(taken)
            if copied.last is not None:
                await self._position.insist(feed, partial(self._write, copied, copied.last))
            if copied.halt is not None:
                await self._position.halt(feed, copied.halt)

    async def _write(self, copied: Copied, last: Record) -> None:
        async with self._position.advance(last) as connection:
            await tenancy.fold_records(connection, copied.records, copied.removed)


def read(taken: Sequence[Record]) -> Copied:
    """The records of a batch in order, up to the first of a newer version.

    A key whose last record is a tombstone is removed.
    """
    found: dict[str, TenancyRecord | None] = {}
    last: Record | None = None
    for record in taken:
        try:
            change = read_change(record)
        except NewerVersion as newer:
            halt = PartitionHalted(f"offset {record.offset}: {newer}", "newer-version")
            return _copied(found, last, halt)
        except MalformedEvent:
            log.warning("tenancy.malformed", offset=record.offset)
        else:
            found.pop(change.key, None)
            found[change.key] = change.record
        last = record
    return _copied(found, last, None)


def _copied(
    found: dict[str, TenancyRecord | None], last: Record | None, halt: PartitionHalted | None
) -> Copied:
    return Copied(
        records=tuple(record for record in found.values() if record is not None),
        removed=frozenset(key for key, record in found.items() if record is None and key),
        last=last,
        halt=halt,
    )
