"""From an understood request to its verdict: the one way in, for SCIM and the invitation page.

Stamp, register, publish, await. What is accepted is on the log before this returns; whether it
was decided within the budget is what `Submitted.reply` says.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace

from services.ingress.await_reply import Breakers, Waiting
from services.ingress.key_directory import KeyDirectory
from services.ingress.publish import Publisher
from shared.events.reply import Reply
from shared.events.request import Request
from shared.kafka.topic_reader import TopicReader
from shared.observability.logging import get_logger
from shared.runtime.clock import now_ms
from shared.runtime.errors import Unavailable

BEHIND_RETRY_AFTER_S = 5.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class Submitted:
    """An accepted request; `reply` is None while it is pending."""

    request: Request
    reply: Reply | None


@dataclass(frozen=True, slots=True)
class Budgets:
    """Seconds: for the broker to append, and for the reply."""

    accept_s: float
    reply_s: float


class WritePath:
    """Submits requests of all organisations. One per process."""

    def __init__(
        self,
        directory: KeyDirectory,
        publisher: Publisher,
        waiting: Waiting,
        breakers: Breakers,
        replies: TopicReader,
        budgets: Budgets,
    ) -> None:
        self._directory = directory
        self._publisher = publisher
        self._waiting = waiting
        self._breakers = breakers
        self._replies = replies
        self._budgets = budgets
        self._under_way: dict[str, set[asyncio.Future[None]]] = defaultdict(set)

    async def submit(self, request: Request, *, must_be_decided: bool = False) -> Submitted:
        """Publish `request` into its organisation's partition and await the reply.

        With `must_be_decided` nothing is published where nobody may wait at present; the reply
        may be missing all the same. Raises Unavailable (not accepted), PayloadTooLarge.
        """
        organisation = self._directory.organisation(request.organisation_id)
        if organisation is None:
            raise Unavailable("the organisation")
        partition = organisation.partition
        may_wait = self._may_wait(partition)
        if must_be_decided and not may_wait:
            raise Unavailable("the directory (it is behind)", BEHIND_RETRY_AFTER_S)
        stamped = self._stamp(request, may_wait=may_wait)
        done = self._begin(organisation.id)
        try:
            if may_wait:
                return Submitted(stamped, await self._publish_and_wait(stamped, partition))
            await self._publisher.publish(stamped, partition)
            return Submitted(stamped, None)
        finally:
            self._end(organisation.id, done)

    async def settled(self, organisation_id: str, timeout_s: float) -> None:
        """Wait until the writes of the organisation that are under way here are answered.

        Not while its partition is behind: they would not be applied anyhow.
        """
        under_way = self._under_way.get(organisation_id)
        if not under_way:
            return
        organisation = self._directory.organisation(organisation_id)
        if organisation is None or self._breakers.is_open(organisation.partition):
            return
        await asyncio.wait(tuple(under_way), timeout=timeout_s)

    def _may_wait(self, partition: int) -> bool:
        return (
            self._budgets.reply_s > 0
            and self._replies.partition is not None
            and self._replies.positioned.is_set()
            and self._breakers.may_wait(partition)
        )

    def _stamp(self, request: Request, *, may_wait: bool) -> Request:
        """The request with its expiry and, where somebody waits, the way back."""
        began_ms = now_ms()
        return replace(
            request,
            accept_by_ms=began_ms + int(self._budgets.accept_s * 1000),
            reply_to=self._replies.partition if may_wait else None,
            answer_by_ms=began_ms + int(self._budgets.reply_s * 1000) if may_wait else None,
        )

    async def _publish_and_wait(self, request: Request, partition: int) -> Reply | None:
        loop = asyncio.get_running_loop()
        answer_by_s = loop.time() + self._budgets.reply_s
        waiter = self._waiting.register(request.id)
        try:
            await self._publisher.publish(request, partition)
            left_s = answer_by_s - loop.time()
            if not waiter.done() and left_s > 0:
                await asyncio.wait((waiter,), timeout=left_s)
            if waiter.done():
                reply = waiter.result()
                self._breakers.answered(partition, reply.backlog)
                return reply
            # A budget that Kafka has used up says nothing about the provisioner.
            if left_s > self._budgets.reply_s / 2:
                self._breakers.missed(partition)
            return None
        finally:
            self._waiting.forget(request.id)

    def _begin(self, organisation_id: str) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way[organisation_id].add(done)
        return done

    def _end(self, organisation_id: str, done: "asyncio.Future[None]") -> None:
        done.set_result(None)
        under_way = self._under_way[organisation_id]
        under_way.discard(done)
        if not under_way:
            del self._under_way[organisation_id]
