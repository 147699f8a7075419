"""One worker per partition of the outcomes: records → plan → rows, with the position beside them.

Rows and position are written in one transaction, so an outcome takes effect once. A slow mail
server never stops consumption: mails leave in the sender (send.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from rollcall.consuming.position import Position
from rollcall.consuming.positioned import Positioned
from rollcall.events import mail
from rollcall.events.envelope import MalformedEvent, NewerVersion, decode
from rollcall.events.mail import MailSent
from rollcall.events.outcome import Announcement, from_event
from rollcall.events.topics import MEBIBYTE
from rollcall.kafka.feed import Feed, FeedClosed, Record
from rollcall.kafka.worker import OUT_OF_RANGE, OutOfRange, PartitionHalted, log_differs
from rollcall.observability.logging import get_logger
from rollcall.postgres import notification, progress
from rollcall.postgres.progress import Progress
from rollcall.runtime import clock
from rollcall.runtime.ids import parse_id
from rollcall.runtime.lifecycle import FaultPoint
from rollcall_notifier.judge import KINDS
from rollcall_notifier.plan import Layer, plan

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection, Database

IDLE_S = 5.0
BATCH_RECORDS = 500
"""Most outcomes in one transaction: their rows are written in one statement, in milliseconds."""
BATCH_BYTES = 4 * MEBIBYTE
SOON = timedelta(seconds=1)
"""How far this machine's clock may be behind the broker's without a mail that waits for a look."""
log = get_logger()


@dataclass(frozen=True, slots=True)
class PlannerContext:
    """What all workers of the process share; `on_planned` is called after rows were committed that
    are due, `on_position` with partition, epoch and offset after each batch."""

    database: Database
    topic: str
    grace_s: float
    settle_s: float
    on_planned: Callable[[], None]
    faults: FaultPoint
    on_position: Callable[[int, int, int], None] = lambda _partition, _epoch, _offset: None
    positions: Positions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions", Positions(self.database, self.topic))


class Positions:
    """The stored positions of all partitions, read once for all workers that are idle together."""

    def __init__(self, database: Database, topic: str) -> None:
        self._database = database
        self._topic = topic
        self._reading = asyncio.Lock()
        self._found: dict[int, Progress] = {}
        self._read_at_s = float("-inf")

    async def read(self) -> dict[int, Progress]:
        """As they were at some moment of the last `IDLE_S` / 2. Raises Unavailable.

        A worker asks after `IDLE_S` without a record, so that is later than its last batch.
        """
        async with self._reading:
            now_s = time.monotonic()
            if now_s - self._read_at_s > IDLE_S / 2:
                async with self._database.connection() as connection:
                    rows = await progress.read_all(connection, self._topic, schema="notice")
                self._found = {each.partition: each for each in rows}
                self._read_at_s = now_s
            return self._found


@dataclass(frozen=True, slots=True)
class Understood:
    """The outcomes of a batch up to what halts the partition, and the last record before that."""

    announcements: tuple[Announcement, ...]
    last: Record | None
    halt: PartitionHalted | None = None
    mails: tuple[MailSent, ...] = ()


class OutcomesWorker(Positioned):
    """Plans one partition of the outcomes topic (a `rollcall.kafka.worker.Worker`)."""

    def __init__(self, context: PlannerContext, partition: int) -> None:
        self._context = context
        self._partition = partition
        super().__init__(Position(context.database, context.topic, partition, schema="notice"))
        self._log = self._position.log

    async def run(self, feed: Feed) -> None:
        """Plan batch after batch. Raises Fenced, PartitionHalted."""
        try:
            while True:
                records = await feed.take(BATCH_RECORDS, BATCH_BYTES, IDLE_S)
                if records:
                    await self._apply(feed, records)
                elif await self._was_moved(feed):
                    self._position.fence()  # `rollcall replay`: there is something to read again
        except FeedClosed:
            return
        except OutOfRange as error:
            await self._position.halt(feed, log_differs(OUT_OF_RANGE, str(error)))
        finally:
            self._log.info("partition.stopped", next_offset=self.next_offset)

    async def _was_moved(self, feed: Feed) -> bool:
        found = await self._position.insist(feed, self._context.positions.read)
        return self._position.differs_from(found.get(self._partition))

    async def _apply(self, feed: Feed, records: Sequence[Record]) -> None:
        await self._context.faults.reaches("notifier.before_batch")
        understood = understand(records)
        layers = plan(
            understood.announcements,
            partition=self._partition,
            grace_s=self._context.grace_s,
            settle_s=self._context.settle_s,
        )
        last, mails = understood.last, understood.mails
        if last is not None:
            await self._position.insist(feed, partial(self._commit, last, layers, mails))
            self._context.on_position(self._partition, self._position.epoch, self.next_offset)
            if _is_due(layers):
                self._context.on_planned()
        if understood.halt is not None:
            await self._position.halt(feed, understood.halt)

    async def _commit(
        self, last: Record, layers: Sequence[Layer], mails: Sequence[MailSent]
    ) -> None:
        """One batch in one transaction. Raises Unavailable: nothing, or all of it, was written.

        One call, unless a member has a notice again after an ending: then layer by layer.
        """
        if len(layers) > 1:
            planned = await self._commit_layers(last, layers, mails)
        else:
            layer = layers[0] if layers else Layer()
            step = self._position.step(last)
            async with self._context.database.connection() as connection:
                added = await notification.plan_batch(
                    connection, step, layer.notices, layer.endings, mails
                )
            if added is None:
                self._position.fence()
            self._position.moved(step)
            planned = added
        if planned:
            self._log.debug("notification.planned", notices=planned)

    async def _commit_layers(
        self, last: Record, layers: Sequence[Layer], mails: Sequence[MailSent]
    ) -> int:
        async with self._position.advance(last) as connection:
            planned = sum([await write_layer(connection, layer) for layer in layers])
            # Last: the outcome that caused a mail stands before it, so its row is there by now.
            await notification.mark_sent(connection, mails)
        return planned


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


def _is_due(layers: Sequence[Layer]) -> bool:
    """Whether a notice may leave now: then the sender need not wait for its next look."""
    soon = clock.now() + SOON
    return any(notice.due_at <= soon for layer in layers for notice in layer.notices)


def understand(records: Sequence[Record]) -> Understood:
    """Read the outcomes; stop before a newer version, skip and log what is malformed."""
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
