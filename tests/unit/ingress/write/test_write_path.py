"""Stamp, register, publish, await: the order, the budgets, and what is left behind."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from rollcall.events.envelope import Event
from rollcall.events.precondition import Precondition
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.kafka.producer import Acknowledged, Producer, RecordTooLarge
from rollcall.runtime.clock import now_ms
from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import PayloadTooLarge, ServiceUnavailable, Uniqueness
from rollcall_ingress.door.answer import unavailable
from rollcall_ingress.write.await_reply import Waiting
from rollcall_ingress.write.publish import Publisher
from rollcall_ingress.write.submitted import Submitted
from rollcall_ingress.write.write_path import WritePath
from tests.support import builders
from tests.support.builders import ORGANISATION, an_id
from tests.unit.ingress.write.foretelling import FakeReplica
from tests.unit.ingress.write.paths import FakeHearing, FakePublisher, a_path, a_request


async def test_a_reply_that_comes_before_the_acknowledgement_counts() -> None:
    waiting = Waiting()

    def reply_at_once(request: Request) -> None:
        waiting._waiters[request.id].set_result(Reply(request.id, 204))

    path, _ = a_path(FakePublisher(reply_at_once), waiting)

    submitted = await path.submit(a_request())

    assert submitted.reply == Reply(an_id(1), 204)
    assert waiting._waiters == {}


async def test_a_request_is_stamped_and_goes_to_its_own_partition() -> None:
    publisher = FakePublisher()
    path, _ = a_path(publisher, Waiting())
    before_ms = now_ms()

    submitted = await path.submit(a_request())

    ((request, partition),) = publisher.published
    assert submitted.reply is None
    assert partition == 3
    assert request.reply_to == 5
    assert request.accept_by_ms is not None
    assert request.answer_by_ms is not None
    assert 10_000 <= request.accept_by_ms - before_ms < 11_000
    assert 50 <= request.answer_by_ms - before_ms < 1_000


async def test_behind_an_open_breaker_no_request_waits_and_no_reply_is_asked_for() -> None:
    publisher = FakePublisher()
    path, breakers = a_path(publisher, Waiting(), reply_s=10)
    for _ in range(3):
        breakers.missed(3)

    async with asyncio.timeout(1):
        submitted = await path.submit(a_request())

    assert submitted.reply is None
    assert publisher.published[0][0].reply_to is None
    assert publisher.published[0][0].answer_by_ms is None


@pytest.mark.parametrize("is_in_time", [True, False])
async def test_a_probe_is_answered_at_once_and_its_reply_closes_the_breaker(
    is_in_time: bool,
) -> None:
    publisher, waiting, clock_s = FakePublisher(), Waiting(), [0.0]
    path, breakers = a_path(publisher, waiting, reply_s=0.05, clock=lambda: clock_s[0])
    for _ in range(3):
        breakers.missed(3)
    clock_s[0] = 5.0

    submitted = await path.submit(a_request())

    answered_ms = now_ms()
    ((request, _),) = publisher.published
    assert submitted.reply is None
    assert (request.reply_to, breakers.is_open(3)) == (5, True)
    # Its sender is answered already, so a refusal is one told afterwards, whatever clocks say.
    assert request.is_answered
    assert request.answer_by_ms is not None
    assert request.answer_by_ms <= answered_ms
    ((_, waiter),) = waiting._waiters.items()
    if is_in_time:
        waiter.set_result(Reply(an_id(1), 201))
    while waiting._waiters:  # noqa: ASYNC110 - until nobody watches the probe
        await asyncio.sleep(0.001)
    assert breakers.is_open(3) is not is_in_time


def a_conditional(number: int = 1) -> Request:
    return replace(a_request(number), precondition=Precondition(if_match=(an_id(9),)))


async def test_a_precondition_is_not_published_behind_an_open_breaker_but_as_its_probe() -> None:
    publisher, clock_s = FakePublisher(), [0.0]
    path, breakers = a_path(publisher, Waiting(), accept_s=0.02, clock=lambda: clock_s[0])
    for _ in range(3):
        breakers.missed(3)

    for _ in range(5):
        with pytest.raises(Unavailable):
            await path.submit(a_conditional())
    published_behind = list(publisher.published)
    clock_s[0] = 5.0
    submitted = await path.submit(a_conditional())
    with pytest.raises(Unavailable):
        await path.submit(a_conditional(2))

    assert published_behind == []
    assert submitted.reply is None
    assert [request.id for request, _ in publisher.published] == [an_id(1)]


async def test_a_precondition_is_waited_for_beyond_the_budget_of_an_answer() -> None:
    waiting = Waiting()
    path, breakers = a_path(FakePublisher(), waiting, reply_s=0.2, accept_s=30)
    writes = [asyncio.create_task(path.submit(a_conditional(number))) for number in range(3)]
    while not breakers.is_open(3):  # noqa: ASYNC110 - each of them has missed the budget
        await asyncio.sleep(0.001)
    still_wait = [not write.done() for write in writes]
    for waiter in waiting._waiters.values():
        waiter.set_result(Reply("late", 412))

    replies = [(await write).reply for write in writes]

    assert still_wait == [True] * 3
    assert replies == [Reply("late", 412)] * 3
    assert breakers.is_open(3)  # a reply that is late closes nothing
    assert waiting._waiters == {}


async def test_a_precondition_asks_for_its_reply_until_kafka_must_have_accepted_it() -> None:
    publisher = FakePublisher()
    path, _ = a_path(publisher, Waiting(), reply_s=0, accept_s=0.05)
    before_ms = now_ms()

    submitted = await path.submit(a_conditional())

    ((request, _),) = publisher.published
    assert submitted.reply is None
    assert request.reply_to == 5
    assert request.answer_by_ms == request.accept_by_ms
    assert (request.answer_by_ms or 0) - before_ms < 1_000


async def test_a_failed_send_leaves_no_request_waiting() -> None:
    waiting = Waiting()

    def fail(_: Request) -> None:
        raise Unavailable("Kafka")

    path, breakers = a_path(FakePublisher(fail), waiting)

    for _ in range(5):
        with pytest.raises(Unavailable):
            await path.submit(a_request())

    assert waiting._waiters == {}
    assert not breakers.is_open(3)
    await path._under_way.settled(ORGANISATION, 1.0)


async def test_three_missed_budgets_open_the_breaker() -> None:
    path, breakers = a_path(FakePublisher(), Waiting(), reply_s=0.2)

    for _ in range(3):
        await path.submit(a_request())

    assert breakers.is_open(3)


async def test_a_read_waits_for_writes_under_way_but_not_longer_than_its_limit() -> None:
    waiting = Waiting()
    path, _ = a_path(FakePublisher(), waiting, reply_s=10)
    write = asyncio.create_task(path.submit(a_request()))
    while an_id(1) not in waiting._waiters:  # noqa: ASYNC110
        await asyncio.sleep(0)

    await path._under_way.settled(ORGANISATION, 0.01)
    was_done = write.done()
    settled = asyncio.create_task(path._under_way.settled(ORGANISATION, 10))
    await asyncio.sleep(0)
    waiting._waiters[an_id(1)].set_result(Reply(an_id(1), 204))
    async with asyncio.timeout(1):
        await settled

    assert not was_done
    assert (await write).reply is not None


@dataclass(slots=True)
class HeldPublisher:
    """Kafka: a publish is acknowledged when the test says so."""

    acknowledged: dict[str, asyncio.Event] = field(default_factory=dict)

    async def publish(self, request: Request, partition: int) -> Acknowledged:
        await self.acknowledged.setdefault(request.id, asyncio.Event()).wait()
        return Acknowledged(partition, len(self.acknowledged), now_ms())


def held_path(
    *, reply_s: float
) -> tuple[WritePath, HeldPublisher, Callable[[int], "asyncio.Task[Submitted]"]]:
    publisher = HeldPublisher()
    path, _ = a_path(cast(FakePublisher, publisher), Waiting(), reply_s=reply_s)

    def begin(number: int) -> "asyncio.Task[Submitted]":
        return asyncio.create_task(path.submit(a_request(number)))

    return path, publisher, begin


async def held(publisher: HeldPublisher, number: int) -> None:
    while an_id(number) not in publisher.acknowledged:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def how_long_a_read_waits(path: WritePath) -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.timeout(60):
        await path._under_way.settled(ORGANISATION, 30.0)
    return loop.time() - began_s


async def end(publisher: HeldPublisher, *writes: "asyncio.Task[Submitted]") -> None:
    for event in publisher.acknowledged.values():
        event.set()
    for write in writes:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)


async def test_a_read_waits_a_share_of_the_budget_for_what_kafka_has_not_taken() -> None:
    path, publisher, begin = held_path(reply_s=2.0)
    write = begin(1)
    await held(publisher, 1)

    waited_s = await how_long_a_read_waits(path)

    assert 0.4 < waited_s < 1.9
    assert not write.done()
    await end(publisher, write)


async def test_while_a_write_hangs_in_kafka_a_read_waits_for_no_younger_one() -> None:
    path, publisher, begin = held_path(reply_s=0.2)
    old = begin(1)
    await held(publisher, 1)
    await path._under_way.settled(ORGANISATION, 30.0)
    young = [begin(number) for number in range(2, 5)]
    await held(publisher, 4)

    read = path._under_way.settled(ORGANISATION, 30.0)

    with pytest.raises(StopIteration):  # it ends without a pause
        read.send(None)
    await end(publisher, old, *young)


async def test_a_read_waits_on_for_a_write_that_kafka_takes_meanwhile() -> None:
    waiting = Waiting()
    publisher = HeldPublisher()
    path, _ = a_path(cast(FakePublisher, publisher), waiting, reply_s=20.0)
    write = asyncio.create_task(path.submit(a_request()))
    await held(publisher, 1)
    read = asyncio.create_task(path._under_way.settled(ORGANISATION, 30.0))
    await asyncio.sleep(0)
    publisher.acknowledged[an_id(1)].set()
    await asyncio.sleep(0.01)
    was_waiting = not read.done()

    waiting._waiters[an_id(1)].set_result(Reply(an_id(1), 204))
    async with asyncio.timeout(5):
        await read

    assert was_waiting
    assert (await write).reply is not None


async def test_a_read_does_not_wait_for_a_precondition_longer_than_for_others() -> None:
    path, _ = a_path(FakePublisher(), Waiting(), reply_s=0.1, accept_s=60)
    write = asyncio.create_task(path.submit(a_conditional()))
    await asyncio.sleep(0)

    waited_s = await how_long_a_read_waits(path)

    assert waited_s < 5
    assert not write.done()
    write.cancel()
    await asyncio.gather(write, return_exceptions=True)


@dataclass(slots=True)
class FakeProducer:
    """Hands out the futures that the test completes."""

    futures: list["asyncio.Future[Acknowledged]"] = field(default_factory=list)
    error: Exception | None = None

    async def enqueue(
        self, topic: str, *, partition: int, key: str, event: Event
    ) -> "asyncio.Future[Acknowledged]":
        if self.error is not None:
            raise self.error
        future: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return future


def a_publisher(producer: FakeProducer) -> Publisher:
    return Publisher(cast(Producer, producer), "requests", acknowledge_s=0.05)


def stamped(number: int, accept_in_ms: int = 10_000) -> Request:
    return replace(a_request(number), accept_by_ms=now_ms() + accept_in_ms)


@pytest.mark.parametrize(("late_by_ms", "is_accepted"), [(0, True), (1, False)])
async def test_the_append_time_decides(late_by_ms: int, is_accepted: bool) -> None:
    producer = FakeProducer()
    request = stamped(1)
    task = asyncio.create_task(a_publisher(producer).publish(request, 3))
    await asyncio.sleep(0)
    assert request.accept_by_ms is not None
    appended = Acknowledged(3, 7, request.accept_by_ms + late_by_ms)

    producer.futures[0].set_result(appended)

    if is_accepted:
        assert await task == appended
    else:
        with pytest.raises(Unavailable):
            await task


async def test_behind_a_late_send_new_ones_are_refused_until_it_has_arrived() -> None:
    producer = FakeProducer()
    publisher = a_publisher(producer)
    with pytest.raises(Unavailable):
        await publisher.publish(stamped(1, accept_in_ms=-1), 3)
    with pytest.raises(Unavailable):
        await publisher.publish(stamped(2), 3)
    sent_while_late = len(producer.futures)
    other = asyncio.create_task(publisher.publish(stamped(3), 4))
    await asyncio.sleep(0)

    producer.futures[0].set_result(Acknowledged(3, 1, now_ms()))
    await asyncio.sleep(0)
    again = asyncio.create_task(publisher.publish(stamped(4), 3))
    await asyncio.sleep(0)
    for future in producer.futures[1:]:
        future.set_result(Acknowledged(3, 2, now_ms()))

    assert sent_while_late == 1
    assert (await other).offset == 2
    assert (await again).offset == 2


async def test_a_record_that_is_too_large_is_the_callers_fault() -> None:
    with pytest.raises(PayloadTooLarge):
        await a_publisher(FakeProducer(error=RecordTooLarge("x"))).publish(stamped(1), 3)


async def test_an_unstamped_request_is_a_bug() -> None:
    with pytest.raises(ValueError, match="acceptby"):
        await a_publisher(FakeProducer()).publish(a_request(), 3)


def a_create(number: int = 1, name: str = "ana@example.org") -> Request:
    return builders.create(number, name)


async def test_what_is_answered_before_it_is_decided_makes_reads_look_into_the_log() -> None:
    replica = FakeReplica()
    path, _ = a_path(FakePublisher(), Waiting(), reply_s=0.01, replica=replica)

    assert (await path.submit(a_create())).reply is None
    assert path._under_way.is_behind(ORGANISATION)

    replica.next_offset = 1  # it is applied
    assert not path._under_way.is_behind(ORGANISATION)


async def test_what_is_decided_in_time_does_not() -> None:
    waiting = Waiting()

    def reply_at_once(request: Request) -> None:
        waiting._waiters[request.id].set_result(Reply(request.id, 201))

    path, _ = a_path(FakePublisher(reply_at_once), waiting)

    await path.submit(a_create())

    assert not path._under_way.is_behind(ORGANISATION)


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_of_two_creates_of_one_name_the_second_waits_for_what_becomes_of_the_first(
    is_accepted: bool,
) -> None:
    """Where nothing is promised. A first one that is not accepted refuses nobody."""
    replica, may_go = FakeReplica(), asyncio.Event()

    class Slow(FakePublisher):
        async def publish(self, request: Request, partition: int) -> Acknowledged:
            if request.id == a_create().id:
                await may_go.wait()
                if not is_accepted:
                    raise Unavailable("Kafka")
                replica.pending_names.add("ana@example.org")
            return await FakePublisher.publish(self, request, partition)

    path, breakers = a_path(Slow(), Waiting(), reply_s=0.01, replica=replica)
    for _ in range(3):
        breakers.missed(3)
    first = asyncio.create_task(path.submit(a_create()))
    await asyncio.sleep(0)
    second = asyncio.create_task(path.submit(a_create(2)))
    await asyncio.sleep(0)
    assert not second.done()
    may_go.set()

    answers = await asyncio.gather(first, second, return_exceptions=True)
    if is_accepted:
        assert isinstance(answers[1], Uniqueness)
    else:
        assert isinstance(answers[0], Unavailable)
        assert not isinstance(answers[1], BaseException)


async def test_a_send_with_an_unknown_end_makes_misses_uncertain() -> None:
    def fail(_: Request) -> None:
        raise Unavailable("Kafka")

    path, _ = a_path(FakePublisher(fail), Waiting())

    with pytest.raises(Unavailable):
        await path.submit(a_create())

    assert path._under_way._own.may_come(ORGANISATION)


async def test_a_second_create_of_a_pending_name_is_refused_and_not_published() -> None:
    publisher, replica = FakePublisher(), FakeReplica()
    path, _ = a_path(publisher, Waiting(), reply_s=0.01, replica=replica)
    await path.submit(a_create(1))
    replica.pending_names.add("ana@example.org")  # as the log says by then

    with pytest.raises(Uniqueness) as refused:
        await path.submit(a_create(2))

    assert refused.value.attribute == "userName"
    assert len(publisher.published) == 1


async def test_before_it_answers_pending_the_replies_are_read_to_the_end_of_its_time() -> None:
    waiting = Waiting()

    def find_it() -> None:
        for waiter in waiting._waiters.values():
            waiter.set_result(Reply("late", 409))

    hearing = FakeHearing(at_end=find_it)
    path, breakers = a_path(FakePublisher(), waiting, hearing=hearing)

    for _ in range(3):
        submitted = await path.submit(a_request())

    assert submitted.reply == Reply("late", 409)
    assert len(hearing.asked) == 3
    assert hearing.notes == []
    assert not breakers.is_open(3)


async def test_a_reply_in_time_asks_for_no_end() -> None:
    waiting, hearing = Waiting(), FakeHearing()

    def reply_at_once(request: Request) -> None:
        waiting._waiters[request.id].set_result(Reply(request.id, 409))

    path, _ = a_path(FakePublisher(reply_at_once), waiting, hearing=hearing)

    await path.submit(a_request())

    assert hearing.asked == []


async def test_what_may_be_unheard_is_noted_before_it_is_answered_with_success() -> None:
    hearing = FakeHearing(is_read=False)
    path, _ = a_path(FakePublisher(), Waiting(), hearing=hearing)

    submitted = await path.submit(a_request())

    assert submitted.reply is None
    assert hearing.notes == [submitted.request.id]


async def test_what_cannot_even_be_noted_is_not_answered_with_success() -> None:
    hearing = FakeHearing(is_read=False, can_note=False)
    path, _ = a_path(FakePublisher(), Waiting(), hearing=hearing)

    with pytest.raises(ServiceUnavailable, match="may have been applied"):
        await path.submit(a_request())

    assert path._under_way.is_behind(ORGANISATION), "it is accepted, and reads see it"


async def test_where_postgres_is_away_the_replies_are_read_for_longer_and_no_write_fails() -> None:
    hearing = FakeHearing(is_read=False, can_note=False, is_read_later=True)
    path, _ = a_path(FakePublisher(), Waiting(), hearing=hearing)

    submitted = await path.submit(a_request())

    assert submitted.reply is None
    assert hearing.asked == [submitted.request.answer_by_ms] * 2


async def test_a_precondition_is_never_noted() -> None:
    """Undecided, it is answered that its outcome is not known: that is no success."""
    hearing = FakeHearing(is_read=False)
    path, _ = a_path(FakePublisher(), Waiting(), accept_s=0.1, hearing=hearing)

    submitted = await path.submit(a_conditional())

    assert (submitted.reply, hearing.notes) == (None, [])
    assert len(hearing.asked) == 2
    assert hearing.asked[1] == submitted.request.answer_by_ms


async def refused_by(publisher: Publisher, producer: FakeProducer, act: str) -> Unavailable:
    """Why the publisher does not accept, where Kafka behaves so."""
    if act == "enqueue":
        producer.error = Unavailable("Kafka")
    task = asyncio.create_task(publisher.publish(stamped(1), 3))
    await asyncio.sleep(0)
    if act == "late":
        producer.futures[0].set_result(Acknowledged(3, 1, now_ms() + 3_600_000))
    elif act == "failed":
        producer.futures[0].set_exception(Unavailable("Kafka"))
    with pytest.raises(Unavailable) as caught:
        await task
    return caught.value


@pytest.mark.parametrize(
    ("act", "is_certain"),
    [("enqueue", True), ("late", True), ("failed", False), ("never", False)],
)
async def test_a_503_says_that_nothing_was_done_only_where_that_is_certain(
    act: str, is_certain: bool
) -> None:
    """A delivery that failed, or never ended, may stand in the log."""
    producer = FakeProducer()

    error = await refused_by(a_publisher(producer), producer, act)

    detail = unavailable(error).detail
    assert ("nothing was done" in detail) is is_certain
    assert ("may have been applied" in detail) is not is_certain
    assert ("read the resource" in detail) is not is_certain
