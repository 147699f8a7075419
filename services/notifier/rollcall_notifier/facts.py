"""Announces on the outcomes topic that a mail left, and reads that back before any mail is sent.

A database that was restored, or that failed over without its last commits, has forgotten mails that
left: their rows are due again, or will be planned again when the outcomes are read again. The
topic remembers. So each mail that the server took is announced there, at once where Kafka answers,
and later from its row otherwise. And nothing is sent for a partition before its outcomes are read
up to where they ended when this process started, or up to where it has read them since
(`ReadUpTo`). Offsets belong to one log: each has an epoch, and an offset of a later epoch is beyond
it. How far a new log must be read is in its position (`published_offset`), written when an operator
accepted the log.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from rollcall.events import mail
from rollcall.events.mail import MailSent
from rollcall.events.topics import Topics
from rollcall.kafka.offsets import topic_ends
from rollcall.kafka.producer import Acknowledged, Producer
from rollcall.observability.logging import get_logger
from rollcall.postgres import notification, progress
from rollcall.postgres.notification import Key, SentNotice
from rollcall.postgres.pool import Database
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.retry import backoff_s
from rollcall_notifier.settle import insist

ANNOUNCE_TIMEOUT_S: Final = 2.0
SILENT_S: Final = 10.0
"""How long after a failure no mail waits for Kafka: those mails are announced from their rows."""
SWEEP_EVERY_S: Final = 5.0
SWEEP_ROWS: Final = 500
ACKNOWLEDGE_TIMEOUT_S: Final = 30.0
log = get_logger()


class ReadUpTo:
    """How far each partition of the outcomes must be read before its mails may leave."""

    def __init__(self) -> None:
        self._positions: dict[int, tuple[int, int]] | None = None

    @property
    def is_known(self) -> bool:
        """Whether Kafka has said where the outcomes end."""
        return self._positions is not None

    def know(self, ends: Mapping[int, int], epochs: Mapping[int, int]) -> None:
        """Set where the outcomes ended at the start; `epochs` were read before that was asked."""
        self._positions = {number: (epochs.get(number, 0), end) for number, end in ends.items()}

    def raise_to(self, partition: int, epoch: int, offset: int) -> None:
        """The partition is read up to `offset`: a database that says less has lost something."""
        if self._positions is not None and self._positions.get(partition, (0, 0)) < (epoch, offset):
            self._positions[partition] = epoch, offset

    def columns(self) -> tuple[list[int], list[int], list[int]]:
        """Three lists of one length: partitions, their epochs, their offsets."""
        positions = self._positions or {}
        epochs = [epoch for epoch, _ in positions.values()]
        return list(positions), epochs, [offset for _, offset in positions.values()]


class Facts:
    """Announces mails that left. Its producer is started and stopped in `run`."""

    def __init__(self, settings: Settings, database: Database, read_up_to: ReadUpTo) -> None:
        self._settings = settings
        self._database = database
        self._read_up_to = read_up_to
        self._topic = Topics(settings.topic_prefix).outcomes
        self._producer = Producer(settings, client_id="rollcall-notifier")
        self._is_started = False
        self._silent_until_s = 0.0

    async def run(self) -> None:
        """Learn where the outcomes end; then announce every 5 s what was not announced at once."""
        try:
            await self._know_the_ends()
            await self._producer.start()
            self._is_started = True
            while True:
                try:
                    while await self._sweep() == SWEEP_ROWS:
                        pass
                except (Unavailable, TimeoutError) as error:
                    log.debug("kafka.unavailable", doing="announce mails", reason=str(error))
                await asyncio.sleep(SWEEP_EVERY_S)
        finally:
            await self._producer.stop(ANNOUNCE_TIMEOUT_S)

    async def announce(self, sent: Sequence[SentNotice]) -> set[Key]:
        """Announce that mails left; of which it is acknowledged. Takes at most 2 s."""
        if not self._is_started or time.monotonic() < self._silent_until_s:
            return set()
        acknowledged: dict[Key, asyncio.Future[Acknowledged]] = {}
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                for each in sent:
                    acknowledged[each.notice.key] = await self._send(each)
                await asyncio.gather(*acknowledged.values())
        except (Unavailable, TimeoutError) as error:
            log.debug("kafka.unavailable", doing="announce mails", reason=str(error))
            self._silent_until_s = time.monotonic() + SILENT_S
        return {key for key, future in acknowledged.items() if _has_come(future)}

    async def _know_the_ends(self) -> None:
        attempt = 0
        while not self._read_up_to.is_known:
            try:
                epochs = await insist(self._epochs)
                self._read_up_to.know(await topic_ends(self._settings, self._topic), epochs)
            except Unavailable as error:
                attempt += 1
                log.warning("kafka.unavailable", reason=error.what, attempt=attempt)
                pause_s = backoff_s(attempt, initial_s=0.2, maximum_s=5.0)
                await asyncio.sleep(pause_s)

    async def _epochs(self) -> dict[int, int]:
        async with self._database.connection() as connection:
            rows = await progress.read_all(connection, self._topic, schema="notice")
        return {each.partition: each.epoch for each in rows}

    async def _sweep(self) -> int:
        """Announce up to 500 mails whose rows are not marked as announced; how many there were."""
        async with self._database.connection() as connection:
            rows = await notification.unannounced(connection, SWEEP_ROWS)
        waiting = [await self._send(row) for row in rows]
        async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT_S):
            await asyncio.gather(*waiting)
        if rows:
            async with self._database.connection() as connection:
                await notification.mark_announced(connection, [row.notice.key for row in rows])
        return len(rows)

    async def _send(self, sent: SentNotice) -> "asyncio.Future[Acknowledged]":
        fact, partition = _fact(sent), sent.notice.partition
        return await self._producer.enqueue(
            self._topic, partition=partition, key=fact.organisation_id, event=mail.to_event(fact)
        )


def _has_come(acknowledged: "asyncio.Future[Acknowledged]") -> bool:
    """Whether it was acknowledged; a time-out has cancelled those that had not come."""
    is_done = acknowledged.done() and not acknowledged.cancelled()
    return is_done and acknowledged.exception() is None


def _fact(sent: SentNotice) -> MailSent:
    notice = sent.notice
    return MailSent(
        request_id=notice.event_id,
        kind=notice.kind,
        organisation_id=notice.organisation_id,
        member_id=notice.member_id,
        message_id=sent.message_id,
        time=sent.sent_at,
    )
