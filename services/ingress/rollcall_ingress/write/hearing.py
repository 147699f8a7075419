"""What it means that a reply has not come: none was sent yet, or it was not read yet.

Before a request that waited is answered with success, its refusal must not stand in the log as one
that was heard. The provisioner counts a refusal as heard if the broker appended its reply before
`answerby`. So this side makes sure that it has read everything that was appended before `answerby`:
it puts a mark into the partition of its replies and reads it back. The mark's append time is by the
clock that dates the replies, and what the log has before it has been read. If the mark is dated at
or after `answerby`, a reply that comes behind it is dated later, and counts as not heard. No clock
of this machine is in it, and one mark serves all requests that wait.

Where that cannot be had in a moment (the reader's connection stands still, the broker is frozen),
the request's id is noted in `audit.unheard` first: if it is or will be refused, it is listed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from typing import Final, Protocol

from aiokafka.errors import TopicAuthorizationFailedError

from rollcall.events import reply
from rollcall.events.reply import Reply
from rollcall.kafka.producer import Producer
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import INGRESS_REFUSED_AFTER_SUCCESS, INGRESS_UNHEARD
from rollcall.runtime.clock import now, now_ms
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id
from rollcall_ingress.write.broker_clock import REPLIES, BrokerClock

READ_WITHIN_S: Final = 0.5
"""Seconds for which an answer waits for the mark, after its budget."""
LAST_RESORT_S: Final = 10.0
"""Seconds for which it waits where nothing could be noted: Kafka has acknowledged the request."""
NOTE_WITHIN_S: Final = 1.0
MARK_TIMEOUT_S: Final = 3.0
"""Seconds in which a mark must be read; otherwise the next one is sent."""
PAUSE_S: Final = 1.0
"""Seconds without marks, after one that failed."""
REFUSED_PAUSE_S: Final = 60.0
"""Seconds without marks, after one that was not allowed: each such error ends the producer."""
REMEMBERED: Final = 10_000

Note = Callable[[Mapping[str, int | None]], Awaitable[None]]
"""Writes ids down, each with the status that it was answered with where a verdict differed from
the decision; or raises Unavailable."""

log = get_logger()


class RepliesRead(Protocol):
    """What is asked of the reader of the replies."""

    @property
    def partition(self) -> int | None: ...


class Hearing:
    """Certainty about missing replies. One per process; `on_mark` and `on_reply` feed it."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        replies: RepliesRead,
        broker_clock: BrokerClock,
        note: Note,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._replies = replies
        self._broker_clock = broker_clock
        self._note = note
        self._marks: dict[str, asyncio.Future[None]] = {}
        self._round: asyncio.Task[int | None] | None = None
        self._not_before_s = 0.0
        self.may_not_mark = False
        self._due: dict[str, asyncio.Future[bool]] = {}
        self._given: dict[str, int] = {}
        self._noting: asyncio.Task[None] | None = None
        self._noted: OrderedDict[str, None] = OrderedDict()

    def on_mark(self, event_id: str) -> None:
        """A mark was read: ours, or that of another replica that reads the same partition."""
        mark = self._marks.get(event_id)
        if mark is not None and not mark.done():
            mark.set_result(None)

    def on_reply(self, answer: Reply) -> None:
        """A reply was read; count it where it refuses what was answered without being certain."""
        if answer.request_id in self._noted:
            del self._noted[answer.request_id]
            if 400 <= answer.status < 500:
                INGRESS_REFUSED_AFTER_SUCCESS.inc()
                log.warning("pending.refused", requests=1)

    async def learn(self) -> bool:
        """Send one mark, so that the broker's clock is known; False: it could not be."""
        return await self._mark_read() is not None

    async def read_until(self, until_ms: int, timeout_s: float = READ_WITHIN_S) -> bool:
        """Read all replies that the broker appended before `until_ms`; False if time ran out."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(end_s):
                # Always a mark of now: an older one proves nothing if the broker's clock was set.
                while (dated_ms := await self._mark_read()) is not None:
                    early_s = (until_ms - dated_ms) / 1000
                    if early_s <= 0:
                        return True
                    if early_s > end_s - loop.time():
                        return False  # our clock was further ahead than we knew
                    await asyncio.sleep(early_s)
        except TimeoutError:
            return False
        return False

    async def noted(self, request_id: str, given: int | None = None) -> bool:
        """Write down that the request is answered unheard; False where that is not possible.

        Or that it was answered with the status `given`, and is decided otherwise.
        """
        if given is not None:
            self._given[request_id] = given
        due = self._due.get(request_id)
        if due is None:
            due = self._due[request_id] = asyncio.get_running_loop().create_future()
        if self._noting is None or self._noting.done():
            # Its lines are about many requests, so none of them is named in it.
            self._noting = asyncio.create_task(
                self._write_notes(), name="unheard", context=Context()
            )
        return await asyncio.shield(due)

    async def close(self) -> None:
        """End what is under way."""
        tasks = [task for task in (self._round, self._noting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _mark_read(self) -> int | None:
        """A mark's append time, once it has been read; concurrent callers share one mark."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._send_and_read(), name="mark", context=Context())
        return await asyncio.shield(self._round)

    async def _send_and_read(self) -> int | None:
        partition, loop = self._replies.partition, asyncio.get_running_loop()
        if partition is None or loop.time() < self._not_before_s:
            return None
        event = reply.mark_to_event(event_id=new_id(), partition=partition, time=now())
        read = self._marks[event.id] = loop.create_future()
        try:
            async with asyncio.timeout(MARK_TIMEOUT_S):
                sent_ms = now_ms()
                sent = await self._producer.send(
                    self._topic, partition=partition, key=None, event=event
                )
                self._broker_clock.note(
                    REPLIES,
                    sent_ms=sent_ms,
                    append_ms=sent.append_time_ms,
                    acknowledged_ms=now_ms(),
                )
                await read
        except TimeoutError:
            return None
        except Unavailable as error:
            self.may_not_mark = isinstance(error.__cause__, TopicAuthorizationFailedError)
            pause_s = REFUSED_PAUSE_S if self.may_not_mark else PAUSE_S
            self._not_before_s = loop.time() + pause_s
            log.warning("mark.failed", reason=error.what, error=type(error.__cause__).__name__)
            return None
        finally:
            del self._marks[event.id]
        return sent.append_time_ms

    async def _write_notes(self) -> None:
        """Write what is due, all that came meanwhile at once, until nothing is."""
        while self._due:
            due, self._due = self._due, {}
            given = {request_id: self._given.pop(request_id, None) for request_id in due}
            is_written = False
            try:
                async with asyncio.timeout(NOTE_WITHIN_S):
                    await self._note(given)
                is_written = True
            except (Unavailable, TimeoutError):
                log.warning("unheard.lost", requests=len(due))
            finally:
                for request_id, waits in due.items():
                    if not waits.done():
                        waits.set_result(is_written)
                    if is_written and given[request_id] is None:
                        self._noted[request_id] = None
            unheard = sum(status is None for status in given.values())
            if is_written and unheard:
                INGRESS_UNHEARD.inc(unheard)
                log.warning("pending.unheard", requests=unheard)
            while len(self._noted) > REMEMBERED:
                self._noted.popitem(last=False)
