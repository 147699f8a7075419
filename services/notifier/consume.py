"""One worker per partition of the outcomes: records → plan → rows, with the position beside them.

Rows and position are written in one transaction, so an outcome is planned once in effect. A slow
mail server never stops consumption: mails are the sender's matter (send.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.notifier.due import KINDS
from services.notifier.plan import Layer, plan
from shared.events.envelope import MalformedEvent, NewerVersion, decode, from_milliseconds
from shared.events.outcome import Announcement, from_event
from shared.events.topics import MEBIBYTE
from shared.kafka.feed import Feed, FeedClosed, Record
from shared.kafka.worker import Fenced, OutOfRange, PartitionHalted, insist
from shared.observability.logging import get_logger
from shared.postgres import notification, progress
from shared.runtime import clock
from shared.runtime.ids import parse_id

if TYPE_CHECKING:
    from shared.postgres.pool import Connection, Database

IDLE_S = 5.0
BATCH_BYTES = 4 * MEBIBYTE
log = get_logger()


@dataclass(frozen=True, slots=True)
class PlannerTools:
    """What all workers of the process share; `on_planned` is called after rows were committed."""

    database: Database
    topic: str
    grace_s: float
    batch_records: int
    on_planned: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Understood:
    """The outcomes of a batch up to what halts the partition, and the last record before that."""

    announcements: tuple[Announcement, ...]
    last: Record | None
    halt: PartitionHalted | None = None


class OutcomesWorker:
    """Plans one partition of the outcomes topic (a `shared.kafka.worker.Worker`)."""

    def __init__(self, tools: PlannerTools, partition: int) -> None:
        self._tools = tools
        self._partition = partition
        self._next_offset = 0
        self._waits = False
        self._log = log.bind(topic=tools.topic, partition=partition)

    @property
    def next_offset(self) -> int:
        """The offset behind the last outcome that is planned for good."""
        return self._next_offset

    @property
    def waits_for_outage(self) -> bool:
        """Whether Postgres is away."""
        return self._waits

    async def start(self, feed: Feed) -> int:
        """The position that Postgres holds; a partition that was halted is tried again."""
        self._next_offset = await insist(feed, self._read_position, self._outage)
        self._log.info("partition.started", next_offset=self._next_offset)
        return self._next_offset

    async def run(self, feed: Feed) -> None:
        """Plan batch after batch. Raises Fenced, PartitionHalted."""
        try:
            while True:
                records = await feed.take(self._tools.batch_records, BATCH_BYTES, IDLE_S)
                if records:
                    await self._apply(feed, records)
        except FeedClosed:
            return
        except OutOfRange as error:
            await self._halt(feed, PartitionHalted(str(error), "log-and-progress-differ"))
        finally:
            self._log.info("partition.stopped", next_offset=self._next_offset)

    async def _apply(self, feed: Feed, records: Sequence[Record]) -> None:
        understood = understand(records)
        layers = plan(
            understood.announcements, partition=self._partition, grace_s=self._tools.grace_s
        )
        last = understood.last
        if last is not None:
            await insist(feed, lambda: self._commit(last, layers), self._outage)
            if layers:
                self._tools.on_planned()
        if understood.halt is not None:
            await self._halt(feed, understood.halt)

    async def _commit(self, last: Record, layers: Sequence[Layer]) -> None:
        """One batch in one transaction. Raises Unavailable: nothing, or all of it, was written."""
        async with self._tools.database.transaction() as connection:
            is_ours = await progress.advance(
                connection,
                self._tools.topic,
                self._partition,
                expected=self._next_offset,
                new=last.offset + 1,
                published=last.offset + 1,
                last_event_id=None,
                last_append_time=from_milliseconds(last.timestamp),
                schema="notice",
            )
            if not is_ours:
                self._log.warning("batch.fenced", expected=self._next_offset)
                raise Fenced
            planned = sum([await write_layer(connection, layer) for layer in layers])
        self._next_offset = last.offset + 1
        if planned:
            self._log.debug("notification.planned", notices=planned)

    async def _read_position(self) -> int:
        async with self._tools.database.transaction() as connection:
            found = await progress.ensure(
                connection, self._tools.topic, self._partition, schema="notice"
            )
            if found.state == "halted":
                await self._set_state(connection, "running")
        return found.next_offset

    async def _halt(self, feed: Feed, halted: PartitionHalted) -> None:
        """Note in Postgres that the partition stands, and raise `halted`."""

        async def note() -> None:
            async with self._tools.database.connection() as connection:
                await self._set_state(connection, "halted")

        await insist(feed, note, self._outage)
        raise halted

    async def _set_state(self, connection: Connection, state: progress.ProgressState) -> None:
        await progress.set_state(
            connection, self._tools.topic, self._partition, state, schema="notice"
        )

    def _outage(self, is_away: bool) -> None:
        self._waits = is_away


async def write_layer(connection: Connection, layer: Layer) -> int:
    """Insert the layer's notices, then drop what its endings end; how many notices are new."""
    added = await notification.plan(connection, layer.notices)
    now = clock.now()
    for ending in layer.endings:
        if ending.revocation is None:
            kinds: Sequence[str] = KINDS
            reason = "removed"
        elif (ending.revocation, "revocation") in added:
            kinds, reason = ("invitation",), "revoked"
        else:
            continue  # a repeat: what is open now was opened after this revocation
        await notification.drop_open(
            connection, ending.organisation_id, ending.member_id, kinds, reason, now=now
        )
    return len(added)


def understand(records: Sequence[Record]) -> Understood:
    """Read the outcomes; stop before a newer version, pass over what is none of ours."""
    announcements: list[Announcement] = []
    last: Record | None = None
    for record in records:
        try:
            announcement = from_event(decode(record.headers, record.value))
            _check_ids(announcement)
            announcements.append(announcement)
        except NewerVersion as newer:
            reason = f"offset {record.offset}: {newer}"
            return Understood(tuple(announcements), last, PartitionHalted(reason, "newer-version"))
        except MalformedEvent as error:
            # The provisioner alone writes here; what it did not write causes no mail.
            log.error(  # noqa: TRY400 - a traceback would quote the record
                "outcome.malformed",
                offset=record.offset,
                error=type(error).__name__,
                runbook="outcome-malformed",
            )
        last = record
    return Understood(tuple(announcements), last)


def _check_ids(announcement: Announcement) -> None:
    outcome = announcement.outcome
    for identifier in (announcement.request_id, outcome.organisation_id, outcome.resource_id):
        if not isinstance(identifier, str) or parse_id(identifier) != identifier:
            raise MalformedEvent("an id is no UUID in canonical form")
