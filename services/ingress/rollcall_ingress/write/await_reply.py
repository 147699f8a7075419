"""Requests that wait for their reply, and a circuit breaker per partition.

The breaker opens after missed budgets, or when a reply reports a long queue. While it is open only
one request a second waits, as a probe, so a burst never piles up connections. When the provisioner
announces a large batch, the budgets missed because of that batch do not count.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol

from rollcall.events.envelope import MalformedEvent, decode
from rollcall.events.reply import (
    MARK_TYPE,
    WORKING_TYPE,
    Reply,
    Working,
    from_event,
    working_from_event,
)
from rollcall.events.topics import MEBIBYTE
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import (
    INGRESS_BREAKERS_OPEN,
    INGRESS_BREAKERS_OPENED,
    INGRESS_WAITING,
)
from rollcall.runtime.breaker import Breaker

EXCUSE_S: Final = 2.0
EXCUSE_PER_MEBIBYTE_S: Final = 2.0
LONGEST_EXCUSE_S: Final = 10.0
"""Seconds for which missed budgets do not count, by the size of an announced batch."""

LONG_QUEUE: Final = 2000
"""Length of a partition's queue, by its last reply, from which on no request waits for a reply.

They take the provisioner about as long as an answer may take (`ROLLCALL_INGRESS_REPLY_BUDGET_S`).
"""

OpenedBy = Literal["missed budgets", "long queue"]

log = get_logger()


class ReplyRecord(Protocol):
    """What is read of a Kafka record."""

    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Iterable[tuple[str, bytes]]: ...
    @property
    def offset(self) -> int: ...


class Waiting:
    """The requests of this replica that wait for their reply, by id.

    Called for what stands on the partition that this replica reads: `on_reply` for every reply,
    also for late ones and for those of other replicas; `on_working` for every announced batch;
    `on_mark` with the id of every mark.
    """

    def __init__(
        self,
        *,
        on_reply: Callable[[Reply], None] = lambda _: None,
        on_working: Callable[[Working], None] = lambda _: None,
        on_mark: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._waiters: dict[str, asyncio.Future[Reply]] = {}
        self._on_reply = on_reply
        self._on_working = on_working
        self._on_mark = on_mark

    def register(self, request_id: str) -> "asyncio.Future[Reply]":
        """The future of the reply; register it before the request is sent."""
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiters[request_id] = waiter
        INGRESS_WAITING.inc()
        return waiter

    def forget(self, request_id: str) -> None:
        """Stop waiting for this request's reply."""
        if self._waiters.pop(request_id, None) is not None:
            INGRESS_WAITING.dec()

    def apply(self, record: ReplyRecord) -> None:
        """Complete the waiter of a record of the replies topic. Raises nothing.

        Other replicas may read the same partition, so a reply to none of our requests is normal.
        """
        try:
            event = decode(record.headers, record.value)
            if event.type == WORKING_TYPE:
                self._on_working(working_from_event(event))
                return
            if event.type == MARK_TYPE:
                self._on_mark(event.id)
                return
            reply = from_event(event)
        except MalformedEvent:
            log.warning("reply.malformed", offset=record.offset)
            return
        self._on_reply(reply)
        waiter = self._waiters.get(reply.request_id)
        if waiter is None:
            log.debug("reply.unexpected", request_id=reply.request_id)
        elif not waiter.done():
            waiter.set_result(reply)


class Breakers:
    """One breaker per partition of the requests topic; `clock` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float], long_queue: int = LONG_QUEUE) -> None:
        self._long_queue = long_queue
        self._clock = clock
        self._breakers: dict[int, Breaker] = {}

    def may_wait(self, partition: int) -> bool:
        """Whether the next request of this partition may wait for its reply."""
        return self._breaker(partition).may_wait(self._clock())

    def is_open(self, partition: int) -> bool:
        """Whether the partition is behind, as far as this replica knows."""
        return self._breaker(partition).is_open

    def answered(self, partition: int, backlog: int) -> None:
        """A reply came in time; `backlog` requests were waiting behind it."""
        breaker = self._breaker(partition)
        was_open = breaker.is_open
        if backlog < self._long_queue:
            breaker.succeeded()
            if was_open:
                INGRESS_BREAKERS_OPEN.dec()
                log.info("breaker.closed", partition=partition)
            return
        breaker.trip(self._clock())
        if not was_open:
            self._log_open(partition, "long queue", backlog)

    def missed(self, partition: int) -> None:
        """A budget passed without a reply."""
        breaker = self._breaker(partition)
        was_open = breaker.is_open
        breaker.failed(self._clock())
        if breaker.is_open and not was_open:
            self._log_open(partition, "missed budgets", None)

    def working(self, working: Working) -> None:
        """A large batch has begun: for as long as it may take, missed budgets do not count."""
        mebibytes = working.size_bytes / MEBIBYTE
        for_s = min(LONGEST_EXCUSE_S, EXCUSE_S + EXCUSE_PER_MEBIBYTE_S * mebibytes)
        self._breaker(working.partition).excuse(self._clock(), for_s)

    def _log_open(self, partition: int, reason: OpenedBy, backlog: int | None) -> None:
        INGRESS_BREAKERS_OPEN.inc()
        INGRESS_BREAKERS_OPENED.labels(reason).inc()
        log.warning("breaker.opened", partition=partition, reason=reason, backlog=backlog)

    def _breaker(self, partition: int) -> Breaker:
        found = self._breakers.get(partition)
        if found is None:
            found = self._breakers[partition] = Breaker()
        return found
