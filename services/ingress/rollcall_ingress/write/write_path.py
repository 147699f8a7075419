"""From an understood request to its verdict: the one way in, for SCIM and the invitation page.

Promise, stamp, register, publish, await (under_way.py has the states of a write as a table). Where
a decision can be promised, the write is answered with it (decide.py). Otherwise it is answered as
pending if its reply does not come within the budget, and only once it is certain that no refusal
was sent, or noted that it may have been refused (certainty.py). Reads see what was answered from
then on (behind/reads.py).

A request with a precondition is never answered undecided. Where nothing can be promised, it is not
published while its partition is known to be behind, and its reply is awaited for as long as Kafka
may take to accept it. While the breaker is open one such request a second goes as its probe:
otherwise a client that sends no others would never get through again. Any other probe is answered
at once, and its reply awaited in the background.
"""

import asyncio
from dataclasses import replace
from typing import Final

from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.kafka.topic_reader import TopicReader
from rollcall.observability.logging import get_logger
from rollcall.runtime.clock import now_ms
from rollcall.runtime.errors import Unavailable
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.door.answer import undecided
from rollcall_ingress.door.key_directory import KeyDirectory
from rollcall_ingress.write.await_reply import Breakers, Waiting
from rollcall_ingress.write.broker_clock import BrokerClock
from rollcall_ingress.write.certainty import Certainty, replied
from rollcall_ingress.write.decide import DECIDED_WITHIN_S, HEAD_START_S, Decision, Decisions
from rollcall_ingress.write.hearing import Hearing
from rollcall_ingress.write.publish import Publisher
from rollcall_ingress.write.submitted import Budgets, Submitted
from rollcall_ingress.write.under_way import UnderWay, Write

BEHIND: Final = "the directory (it is behind)"
BEHIND_RETRY_AFTER_S: Final = 5.0
CLOCKS_DIFFER_S: Final = 5.0

log = get_logger()


class WritePath:
    """Submits requests of all organisations. One per process."""

    def __init__(
        self,
        directory: KeyDirectory,
        publisher: Publisher,
        waiting: Waiting,
        breakers: Breakers,
        replies: TopicReader,
        under_way: UnderWay,
        budgets: Budgets,
        broker_clock: BrokerClock,
        hearing: Hearing,
        decisions: Decisions,
    ) -> None:
        self._directory = directory
        self._publisher = publisher
        self._waiting = waiting
        self._breakers = breakers
        self._replies = replies
        self._under_way = under_way
        self._budgets = budgets
        self._broker_clock = broker_clock
        self._certainty = Certainty(hearing, budgets)
        self._decisions = decisions
        self._probes: set[asyncio.Task[None]] = set()

    async def submit(self, request: Request, *, is_promised: bool | None = None) -> Submitted:
        """Publish `request` into its organisation's partition and await its decision.

        `is_promised`: what `can_promise` said just now; None asks it. Where it is not, nothing is
        published whose precondition could not be awaited, or whose `userName` a pending create has.
        Raises Unavailable (not accepted), PayloadTooLarge, Uniqueness; ServiceUnavailable where it
        is accepted, and what it comes to is neither known nor noted.
        """
        organisation = self._directory.organisation(request.organisation_id)
        if organisation is None:
            raise Unavailable("the organisation")
        partition = organisation.partition
        if is_promised is None:
            is_promised = await self.can_promise(organisation)
        if is_promised:
            return await self._submit_promised(request, partition)
        await self._under_way.refuse_pending_name(request, partition)
        is_conditional = request.precondition is not None
        wait_s = self._budgets.accept_s if is_conditional else self._budgets.reply_s
        is_open = self._breakers.is_open(partition)
        may_wait = (
            wait_s > 0
            and self._under_way.is_behind.reads_replies
            and self._breakers.may_wait(partition)
        )
        if is_conditional and not may_wait:
            raise Unavailable(BEHIND, BEHIND_RETRY_AFTER_S)
        is_probe = is_open and may_wait and not is_conditional
        stamped = self._stamp(
            request, partition, None if not may_wait else 0.0 if is_probe else wait_s
        )
        write = self._under_way.begin(stamped, partition)
        try:
            reply = None
            if is_probe:
                await self._publish_probe(write)
            elif may_wait:
                reply = await self._publish_and_wait(write)
            else:
                await self._publish(write)
            return Submitted(stamped, reply)
        finally:
            self._under_way.end(write)

    async def can_promise(self, organisation: Organisation) -> bool:
        """Whether a write of the organisation will be answered with its decision, or not at all."""
        return (
            self._budgets.reply_s > 0
            and self._under_way.is_behind.reads_replies
            and await self._decisions.can_promise(organisation.id, organisation.partition)
        )

    async def _submit_promised(self, request: Request, partition: int) -> Submitted:
        """Publish, and answer with the decision: the provisioner's reply, or this replica's own.

        Where neither is known in time, the promise is taken back, and it is pending. Raises as
        `submit`; ServiceUnavailable where it is accepted and the promise could not be taken back.
        """
        is_watched = self._breakers.may_wait(partition)
        head_start_s = 0.0 if self._decisions.is_late(partition) else HEAD_START_S
        stamped = self._stamp(request, partition, self._budgets.accept_s)
        write = self._under_way.begin(replace(stamped, promise="decision"), partition)
        waiter = self._waiting.register(request.id)
        try:
            with self._decisions.expecting(request.id):
                await self._publish(write)
                # A budget that Kafka has used up says nothing about the provisioner.
                half_s = write.began_s + self._budgets.reply_s / 2
                is_watched = is_watched and asyncio.get_running_loop().time() < half_s
                decision = await self._decide(write, waiter, head_start_s)
            if decision is None and request.precondition is None:
                await self._take_promise_back(write)
        finally:
            if is_watched and write.place is not None and not waiter.done():
                self._watch(write, waiter)
            else:
                self._waiting.forget(request.id)
            self._under_way.end(write)
        if decision is None:
            return Submitted(write.request, None)
        return Submitted(write.request, decision.reply, is_applied=decision.is_applied)

    async def _take_promise_back(self, write: Write) -> None:
        """Put on the log that its sender is answered before it is decided.

        It is a copy of the event, so it is applied by nobody; a provisioner that reads it notes the
        id, and lists the request if it is refused (decision 0063). Raises ServiceUnavailable where
        Kafka does not take it.
        """
        accept_by_ms = now_ms() + int(self._budgets.accept_s * 1000)
        copy = replace(write.request, promise=None, is_answered=True, accept_by_ms=accept_by_ms)
        try:
            await self._publisher.publish(copy, write.partition)
        except Unavailable as away:
            raise undecided() from away

    async def _decide(
        self, write: Write, waiter: "asyncio.Future[Reply]", head_start_s: float
    ) -> Decision | None:
        accepted_s = asyncio.get_running_loop().time()
        within_s = accepted_s + max(DECIDED_WITHIN_S, self._budgets.reply_s)
        await replied(waiter, accepted_s + head_start_s)
        if waiter.done() or write.place is None:
            decision: Decision | None = Decision(waiter.result(), is_applied=True)
        else:
            request = write.request
            decision = await self._decisions.decision(
                request.organisation_id,
                write.partition,
                request.id,
                write.place.offset,
                waiter,
                within_s=within_s,
                until_s=within_s
                if request.precondition is None
                else max(within_s, write.began_s + self._budgets.accept_s),
            )
        if waiter.done():
            self._breakers.answered(write.partition, waiter.result().backlog)
            self._under_way.decide(write)
            if write.place is not None:
                self._decisions.settled(write.partition, write.place.offset)
        return decision

    def _stamp(self, request: Request, partition: int, wait_s: float | None) -> Request:
        """The request with its expiry and, unless `wait_s` is None, where its reply goes.

        `wait_s` are the seconds for which its sender waits; 0 asks for a reply although the sender
        is answered without it. `acceptby` is by our own clock; publish.py makes it the broker's.
        """
        began_ms = now_ms()
        return replace(
            request,
            accept_by_ms=began_ms + int(self._budgets.accept_s * 1000),
            reply_to=None if wait_s is None else self._replies.partition,
            answer_by_ms=None
            if wait_s is None
            else self._broker_clock.broker_ms(partition, began_ms) + int(wait_s * 1000),
            is_answered=wait_s == 0.0,
        )

    async def _publish(self, write: Write) -> None:
        """Raises Unavailable, PayloadTooLarge."""
        try:
            place = await self._publisher.publish(write.request, write.partition)
        except (Unavailable, asyncio.CancelledError):
            # It may be on the log all the same, until its `acceptby`.
            now_s = asyncio.get_running_loop().time()
            self._under_way.doubt(write, now_s + self._budgets.accept_s + CLOCKS_DIFFER_S)
            raise
        self._under_way.acknowledge(write, place)

    async def _publish_and_wait(self, write: Write) -> Reply | None:
        request, partition, budget_s = write.request, write.partition, self._budgets.reply_s
        waiter = self._waiting.register(request.id)
        try:
            await self._publish(write)
            left_s = await replied(waiter, write.began_s + budget_s)
            is_certain = await self._certainty.is_read(waiter, request, budget_s)
            if waiter.done():
                self._breakers.answered(partition, waiter.result().backlog)
            elif left_s > budget_s / 2:
                # A budget that Kafka has used up says nothing about the provisioner.
                self._breakers.missed(partition)
            if request.precondition is not None:
                accept_s = self._budgets.accept_s
                await replied(waiter, write.began_s + accept_s)
                await self._certainty.is_read(waiter, request, accept_s)
            elif not is_certain:
                await self._certainty.note(waiter, request)
            if not waiter.done():
                return None
            self._under_way.decide(write)
            return waiter.result()
        finally:
            self._waiting.forget(request.id)

    async def _publish_probe(self, write: Write) -> None:
        """Publish it, and learn in the background whether the partition is in time again.

        The sender is answered at once, as all are while the breaker is open: with one probe a
        second, the last of a burst would otherwise wait out the whole budget for nothing.
        """
        waiter = self._waiting.register(write.request.id)
        try:
            await self._publish(write)
        except BaseException:
            self._waiting.forget(write.request.id)
            raise
        self._watch(write, waiter)

    def _watch(self, write: Write, waiter: "asyncio.Future[Reply]") -> None:
        """Learn in the background whether its reply comes in time."""
        task = asyncio.create_task(self._watch_reply(write, waiter), name="probe")
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _watch_reply(self, write: Write, waiter: "asyncio.Future[Reply]") -> None:
        try:
            await replied(waiter, write.began_s + self._budgets.reply_s)
            if waiter.done():
                self._breakers.answered(write.partition, waiter.result().backlog)
            else:
                self._breakers.missed(write.partition)
        finally:
            self._waiting.forget(write.request.id)
