"""What is announced after the commit: replies, then outcomes. The audit is the outbox.

Everything below `published` is announced. `published` is written in the next batch's transaction,
or on its own when no batch comes. The next worker, and this one after a failed delivery, announces
the audit's rows from there before anything else: the same events with the same ids and sequence,
because both are made by `announcements` from the same row. Replies are not kept and never repeated:
a request whose reply is lost is answered `pending` by ingress.

A refusal whose sender was waiting is *heard* if the broker appended its reply before `answerby`:
ingress answers with success only after it has read everything that is dated before that, or has
noted that it did not (rollcall_ingress.write.hearing). Both dates are the broker's; no clock of
this machine is asked. A refusal that is not heard is *unheard*: its sender was answered with
success, or that cannot be ruled out.
Its id is written in the transaction that moves `published` beyond it, so a crash in between loses
none: the successor announces the row, did not see the reply, and takes it for unheard. A request
with a precondition, or whose sender was promised the decision, is never answered with success
undecided, so it is never unheard.

One batch's outcomes are acknowledged before the next one's are sent, so that a delivery that fails
cannot let later outcomes overtake it; readers drop what is older than what they saw.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rollcall.applying import dead_letters
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import Waiting
from rollcall.applying.understand import Entry
from rollcall.events import dead_letter, outcome, reply
from rollcall.events.envelope import Event
from rollcall.events.outcome import Announcement
from rollcall.events.outcome import Sequence as Order
from rollcall.events.reply import Working
from rollcall.events.request import has_precondition
from rollcall.events.topics import Topics
from rollcall.kafka.producer import Acknowledged, Producer, RecordTooLarge, UnknownPartition
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres import audit
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.pool import Database
from rollcall.runtime import clock
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id
from rollcall_provisioner.broker_time import BrokerTime

LATE_REPLY_MS = 5_000
"""How long after `answerby`, by the broker's clock, a reply is still sent: nothing waits later."""
ACKNOWLEDGE_TIMEOUT_S = 60.0
HEARD_MS = 250
"""Margin before `answerby` for clock skew between brokers: after a change of leader, a reply that
stands behind the mark that ingress read could be dated up to this much before it."""
PAGE_ROWS = 500
Unsent = Literal["late", "too large", "unknown partition", "Kafka"]

log = get_logger()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal whose sender was waiting, and the delivery of its reply if that was sent."""

    request_id: str
    answer_by_ms: int
    delivery: "asyncio.Future[Acknowledged] | None" = None

    def is_heard(self) -> bool:
        """Whether its reply was acknowledged, and appended in time."""
        sent = self.delivery
        if sent is None or not sent.done() or sent.cancelled() or sent.exception() is not None:
            return False
        return sent.result().append_time_ms + HEARD_MS <= self.answer_by_ms


class Announcer:
    """Announces one partition, in order. `published` says how far."""

    def __init__(
        self, producer: Producer, topics: Topics, source: SourceLog, published: int
    ) -> None:
        self._producer = producer
        self._topics = topics
        self._source = source
        self._published = published
        self._target = published
        self._sent: list[asyncio.Future[Acknowledged]] = []
        self._failed = False
        self._is_settling = False
        self._replied: dict[str, _Refusal] = {}  # of the batch whose outcomes are not sent yet
        self._refusals: dict[str, _Refusal] = {}  # of batches whose outcomes are on their way
        self._unheard: set[str] = set()
        self._sent_at = 0.0
        self.broker_time = BrokerTime()

    @property
    def published(self) -> int:
        """Everything below this offset is announced and acknowledged."""
        if self._sent and all(future.done() for future in self._sent):
            self._collect()
        return self._published

    @property
    def unheard(self) -> frozenset[str]:
        """Ids of refusals below `published` that are not known to be heard."""
        return frozenset(self._unheard)

    def noted(self, unheard: frozenset[str]) -> None:
        """These are stored: forget them here."""
        self._unheard -= unheard

    @property
    def is_behind(self) -> bool:
        """Whether a delivery failed: `catch_up` has to run before the next batch."""
        return self._failed

    @property
    def is_sending(self) -> bool:
        """Whether outcomes are on their way and not acknowledged yet."""
        return bool(self._sent)

    @property
    def is_settling(self) -> bool:
        """Whether it waits for acknowledgements: Kafka may be away."""
        return self._is_settling

    async def say_size(self, entries: Sequence[Entry]) -> None:
        """Announce to the waiting replicas of ingress that this batch is large.

        Otherwise a slow batch would look to them like a provisioner that does not work. It does no
        harm if this is lost.
        """
        waiting = {
            entry.request.reply_to
            for entry in entries
            if entry.request is not None and entry.request.reply_to is not None
        }
        named = next((each.event_id for each in entries if each.event_id is not None), None)
        if not waiting or named is None:
            return
        size = sum(len(entry.record.value or b"") for entry in entries)
        working = Working(self._source.partition, len(entries), size, named)
        for partition in sorted(waiting):
            event = reply.working_to_event(working, event_id=new_id(), time=clock.now())
            try:
                await self._producer.enqueue(
                    self._topics.replies, partition=partition, key=None, event=event
                )
            except UnknownPartition as unknown:
                log.warning("reply.dropped", reason=unknown.what)
            except Unavailable as error:
                log.warning("reply.dropped", reason=error.what)
                return

    async def send_replies(self, replies: Sequence[Waiting], backlog: int) -> None:
        """Send the replies that may still be waited for; it does no harm if one is lost.

        `backlog`: records that are known to stand behind the batch. After an outage there would be
        thousands of replies that no request waits for any more. A replies partition that does not
        exist or takes no record costs only the requests that wait on it. When a second partition
        takes no record, Kafka is taken to be away.
        """
        now, late, unknown, away = clock.now(), 0, 0, 0
        stuck: set[int] = set()
        latest_ms = (self.broker_time.least_ms or 0) - LATE_REPLY_MS
        for waiting in replies:
            if waiting.must_be_heard and waiting.answer_by_ms is not None:
                request_id = waiting.reply.request_id
                self._replied[request_id] = _Refusal(request_id, waiting.answer_by_ms)
        for sent, waiting in enumerate(replies):
            if waiting.answer_by_ms is not None and waiting.answer_by_ms < latest_ms:
                late += 1
                continue
            if waiting.partition in stuck:
                away += 1
                continue
            answer = replace(waiting.reply, backlog=backlog)
            event = reply.to_event(answer, event_id=new_id(), time=now)
            try:
                delivery = await self._producer.enqueue(
                    self._topics.replies, partition=waiting.partition, key=None, event=event
                )
                if (refusal := self._replied.get(answer.request_id)) is not None:
                    self._replied[answer.request_id] = replace(refusal, delivery=delivery)
            except RecordTooLarge:
                _unsent("too large", 1)
            except UnknownPartition:
                unknown += 1
            except Unavailable:
                if stuck:
                    away += len(replies) - sent
                    break  # each of the others would take as long
                stuck.add(waiting.partition)
                away += 1
        _unsent("late", late)
        _unsent("unknown partition", unknown)
        _unsent("Kafka", away)

    async def send_outcomes(self, rows: Sequence[AuditRow], upto: int) -> None:
        """Send what the rows say; once it is acknowledged, everything below `upto` is announced.

        Waits for the batch before. Does not raise: a failure shows as `is_behind`.
        """
        await self.settle()
        self._refusals |= self._replied
        self._replied = {}
        if self._failed:
            return
        self._target = upto
        self._sent_at = self.broker_time.stopwatch
        try:
            for row in rows:
                await self._send_row(row)
        except Unavailable:
            self._failed = True
        if not self._sent and not self._failed:
            self._publish(upto)

    async def settle(self, timeout_s: float = ACKNOWLEDGE_TIMEOUT_S) -> None:
        """Wait until what was sent is acknowledged or has failed."""
        if not self._sent:
            return
        self._is_settling = True
        try:
            _, late = await asyncio.wait(self._sent, timeout=timeout_s)
        finally:
            self._is_settling = False
        self._failed = self._failed or bool(late)
        self._collect()

    async def catch_up(self, database: Database, upto: int) -> None:
        """Announce the audit's rows from `published` to below `upto`. Raises Unavailable."""
        await self.settle()
        self._failed = False
        while self._published < upto:
            async with database.connection() as connection:
                rows = await audit.unannounced(
                    connection,
                    self._source.topic,
                    self._source.partition,
                    self._published,
                    PAGE_ROWS,
                    epoch=self._source.epoch,
                )
            for row in rows:  # this process sent no reply for them, so none was heard
                if _is_refusal(row) and not row.optimistic:
                    self._refusals.setdefault(row.id, _Refusal(row.id, 0))
            is_last = len(rows) < PAGE_ROWS
            await self.send_outcomes(rows, upto if is_last else rows[-1].offset + 1)
            await self.settle()
            if self._failed:
                raise Unavailable("Kafka")

    async def _send_row(self, row: AuditRow) -> None:
        key = row.organisation_id
        for announcement in announcements(row):
            # Readers take ids for granted; what is about nothing is on the dead topic alone.
            if announcement.outcome.organisation_id and announcement.outcome.resource_id:
                await self._send(self._topics.outcomes, key, outcome.to_event(announcement))
        for dead in dead_letters.to_announcements(row):
            await self._send(self._topics.dead, key, dead_letter.to_event(dead))

    async def _send(self, topic: str, key: str | None, event: Event) -> None:
        self._sent.append(
            await self._producer.enqueue(
                topic, partition=self._source.partition, key=key, event=event
            )
        )

    def _collect(self) -> None:
        """Take note of the acknowledgements of the batch that was sent last."""
        done, self._sent = self._sent, []
        if self._failed or any(
            not future.done() or future.cancelled() or future.exception() for future in done
        ):
            self._failed = True
        else:
            if done:
                self.broker_time.acknowledged(self._sent_at, done[-1].result().append_time_ms)
            self._publish(self._target)

    def _publish(self, upto: int) -> None:
        """Everything below is announced; judge which refusals were heard."""
        self._published = upto
        refusals, self._refusals = self._refusals, {}
        unheard = {each.request_id for each in refusals.values() if not each.is_heard()}
        if unheard:
            self._unheard |= unheard
            metrics.PROVISIONER_REFUSED_AFTER_SUCCESS.inc(len(unheard))
            log.warning("pending.refused", requests=len(unheard), partition=self._source.partition)


def _is_refusal(row: AuditRow) -> bool:
    """Not a dead letter, which is `failed`, and nothing whose sender was promised the decision."""
    is_rejected = any(
        stored["fact"] == "request.rejected" and not stored.get("promised")
        for stored in row.outcomes
    )
    return row.status >= 400 and is_rejected and not has_precondition(row.type)


def _unsent(reason: Unsent, replies: int) -> None:
    if replies:
        metrics.PROVISIONER_REPLIES_UNSENT.labels(reason).inc(replies)
        log.warning("reply.dropped", reason=reason, replies=replies)


def announcements(row: AuditRow) -> list[Announcement]:
    """The outcomes of an audit row as they stand on the topic: the same whenever they are made.

    Their time is the append time of the request, not that of the announcement. A redrive's row
    holds outcomes of other requests too: their ids and causes are those of these requests, their
    place in the sequence and their time are the redrive's.
    """
    return [
        Announcement(
            id=outcome.outcome_id(of["id"], of["index"]),
            request_id=of["id"],
            sequence=Order(row.epoch, row.offset, index),
            time=row.append_time,
            outcome=outcome.from_data(stored["fact"], stored["data"]),
        )
        for index, stored in enumerate(row.outcomes)
        for of in [stored.get("of") or {"id": row.id, "index": index}]
    ]
