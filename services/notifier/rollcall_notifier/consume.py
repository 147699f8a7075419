"""One worker per partition of the outcomes: records → plan → rows, with the position beside them.

Rows and position are written in one transaction, so an outcome is planned once in effect. A slow
mail server never stops consumption: mails are the sender's matter (send.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollcall.events import mail
from rollcall.events.envelope import MalformedEvent, NewerVersion, decode, from_milliseconds
from rollcall.events.mail import MailSent
from rollcall.events.outcome import Announcement, from_event
from rollcall.events.topics import MEBIBYTE
from rollcall.kafka.feed import Feed, FeedClosed, Record
from rollcall.kafka.log_identity import difference, event_id_of
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
from rollcall.observability.logging import get_logger
from rollcall.postgres import notification, progress
from rollcall.runtime.ids import parse_id
from rollcall.runtime.lifecycle import FaultPoint
from rollcall_notifier.due import KINDS
from rollcall_notifier.plan import Layer, plan

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection, Database

IDLE_S = 5.0
BATCH_BYTES = 4 * MEBIBYTE
log = get_logger()


@dataclass(frozen=True, slots=True)
class PlannerTools:
    """What all workers of the process share; `on_planned` is called after rows were committed,
    `on_position` with partition, epoch and offset after each batch."""

    database: Database
    topic: str
    grace_s: float
    settle_s: float
    batch_records: int
    on_planned: Callable[[], None]
    faults: FaultPoint
    on_position: Callable[[int, int, int], None] = lambda _partition, _epoch, _offset: None


@dataclass(frozen=True, slots=True)
class Understood:
    """The outcomes of a batch up to what halts the partition, and the last record before that."""

    announcements: tuple[Announcement, ...]
    last: Record | None
    halt: PartitionHalted | None = None
    mails: tuple[MailSent, ...] = ()


class OutcomesWorker:
    """Plans one partition of the outcomes topic (a `rollcall.kafka.worker.Worker`)."""

    def __init__(self, tools: PlannerTools, partition: int) -> None:
        self._tools = tools
        self._partition = partition
        self._next_offset = 0
        self._epoch = 0
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
        """The position that Postgres holds, once the log is known to be the one it belongs to."""
        found = await insist(feed, self._read_position, self._outage)
        self._next_offset, self._epoch = found.next_offset, found.epoch
        if found.state == "halted":
            raise halted_before(found.reason, found.detail)
        look = await insist(feed, lambda: feed.look(found.next_offset), self._outage)
        differs = None if look is None else difference(found, look)
        if differs is not None:
            await self._halt(feed, differs)
        self._log.info("partition.started", next_offset=self._next_offset)
        return self._next_offset

    async def until_resumed(self, feed: Feed) -> None:
        """Wait for `rollcall partition resume --topic outcomes`."""
        await until(feed, self._is_running, self._outage)

    async def run(self, feed: Feed) -> None:
        """Plan batch after batch. Raises Fenced, PartitionHalted."""
        try:
            while True:
                records = await feed.take(self._tools.batch_records, BATCH_BYTES, IDLE_S)
                if records:
                    await self._apply(feed, records)
                elif await insist(feed, self._was_moved, self._outage):
                    self._fenced()  # `rollcall replay`: there is something to read again
        except FeedClosed:
            return
        except OutOfRange as error:
            await self._halt(feed, log_differs(OUT_OF_RANGE, str(error)))
        finally:
            self._log.info("partition.stopped", next_offset=self._next_offset)

    async def _apply(self, feed: Feed, records: Sequence[Record]) -> None:
        await self._tools.faults.reaches("notifier.before_batch")
        understood = understand(records)
        layers = plan(
            understood.announcements,
            partition=self._partition,
            grace_s=self._tools.grace_s,
            settle_s=self._tools.settle_s,
        )
        last = understood.last
        if last is not None:
            mails = understood.mails
            await insist(feed, lambda: self._commit(last, layers, mails), self._outage)
            self._tools.on_position(self._partition, self._epoch, self._next_offset)
            if layers or mails:
                self._tools.on_planned()
        if understood.halt is not None:
            await self._halt(feed, understood.halt)

    async def _commit(
        self, last: Record, layers: Sequence[Layer], mails: Sequence[MailSent]
    ) -> None:
        """One batch in one transaction. Raises Unavailable: nothing, or all of it, was written."""
        async with self._tools.database.transaction() as connection:
            is_ours = await progress.advance(
                connection,
                self._tools.topic,
                self._partition,
                expected=self._next_offset,
                epoch=self._epoch,
                new=last.offset + 1,
                published=last.offset + 1,
                last_event_id=event_id_of(last.headers),
                last_append_time=from_milliseconds(last.timestamp),
                schema="notice",
            )
            if not is_ours:
                self._fenced()
            planned = sum([await write_layer(connection, layer) for layer in layers])
            # Last, because a mail's outcome stands before it; whatever came of its row since.
            await notification.mark_sent(connection, mails)
        self._next_offset = last.offset + 1
        if planned:
            self._log.debug("notification.planned", notices=planned)

    def _fenced(self) -> None:
        self._log.warning("batch.fenced", expected=self._next_offset)
        raise Fenced

    async def _read_position(self) -> progress.Progress:
        async with self._tools.database.transaction() as connection:
            return await progress.begin(
                connection,
                self._tools.topic,
                self._partition,
                tried_again=TRIED_AGAIN,
                schema="notice",
            )

    async def _halt(self, feed: Feed, halted: PartitionHalted) -> None:
        """Note in Postgres that the partition stands, and raise `halted`; Fenced if not ours."""

        async def note() -> bool:
            async with self._tools.database.connection() as connection:
                return await progress.halt(
                    connection,
                    self._tools.topic,
                    self._partition,
                    expected=self._next_offset,
                    epoch=self._epoch,
                    reason=halted.cause,
                    detail=str(halted),
                    schema="notice",
                )

        if not await insist(feed, note, self._outage):
            self._fenced()
        raise halted

    async def _is_running(self) -> bool:
        async with self._tools.database.connection() as connection:
            found = await progress.read(
                connection, self._tools.topic, self._partition, schema="notice"
            )
        return found is not None and found.state == "running"

    async def _was_moved(self) -> bool:
        async with self._tools.database.connection() as connection:
            found = await progress.read(
                connection, self._tools.topic, self._partition, schema="notice"
            )
        here = (self._next_offset, self._epoch)
        return found is None or (found.next_offset, found.epoch) != here

    def _outage(self, is_away: bool) -> None:
        self._waits = is_away


async def write_layer(connection: Connection, layer: Layer) -> int:
    """Insert the layer's notices, then drop what its endings end; how many notices are new."""
    added = await notification.plan(connection, layer.notices)
    if not layer.endings:
        return len(added)
    now = await notification.present(connection)
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
    mails: list[MailSent] = []
    last: Record | None = None
    for record in records:
        try:
            event = decode(record.headers, record.value)
            if event.type.startswith(mail.TYPE_PREFIX):
                mails.append(_checked_mail(mail.from_event(event)))
            else:
                announcements.append(_checked(from_event(event)))
        except NewerVersion as newer:
            reason = f"offset {record.offset}: {newer}"
            halt = PartitionHalted(reason, "newer-version")
            return Understood(tuple(announcements), last, halt, tuple(mails))
        except MalformedEvent as error:
            # Provisioner and notifier alone write here; what they did not write causes no mail.
            log.error(  # noqa: TRY400 - a traceback would quote the record
                "outcome.malformed",
                offset=record.offset,
                error=type(error).__name__,
                runbook="outcome-malformed",
            )
        last = record
    return Understood(tuple(announcements), last, mails=tuple(mails))


def _checked(announcement: Announcement) -> Announcement:
    outcome = announcement.outcome
    _check_ids(announcement.request_id, outcome.organisation_id, outcome.resource_id)
    return announcement


def _checked_mail(fact: MailSent) -> MailSent:
    _check_ids(fact.request_id, fact.organisation_id, fact.member_id)
    if not isinstance(fact.kind, str) or not isinstance(fact.message_id, str):
        raise MalformedEvent("kind and Message-ID of a mail are text")
    return fact


def _check_ids(*identifiers: object) -> None:
    for identifier in identifiers:
        if not isinstance(identifier, str) or parse_id(identifier) != identifier:
            raise MalformedEvent("an id is no UUID in canonical form")
