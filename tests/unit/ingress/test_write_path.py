"""Stamp, register, publish, await: the order, the budgets, and what is left behind."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from services.ingress.await_reply import Breakers, Waiting
from services.ingress.publish import Publisher
from services.ingress.write_path import Budgets, WritePath
from shared.events.envelope import Event
from shared.events.reply import Reply
from shared.events.request import Request
from shared.kafka.producer import Acknowledged, Producer, RecordTooLarge
from shared.kafka.topic_reader import TopicReader
from shared.runtime.clock import now_ms
from shared.runtime.errors import Unavailable
from shared.scim.errors import PayloadTooLarge
from tests.support.builders import MOMENT, ORGANISATION, an_id
from tests.unit.ingress.tenants import a_directory, an_organisation


def a_request(number: int = 1) -> Request:
    return Request(an_id(number), "member.delete", ORGANISATION, an_id(2), MOMENT)


@dataclass(slots=True)
class Replies:
    """A reply reader that reads partition 5, positioned."""

    partition: int | None = 5
    positioned: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class FakePublisher:
    """Accepts all, after `act` has been told."""

    act: Callable[[Request], None] = lambda request: None
    published: list[tuple[Request, int]] = field(default_factory=list)

    async def publish(self, request: Request, partition: int) -> None:
        self.act(request)
        self.published.append((request, partition))


def a_path(
    publisher: FakePublisher, waiting: Waiting, *, reply_s: float = 0.05
) -> tuple[WritePath, Breakers]:
    replies = Replies()
    replies.positioned.set()
    breakers = Breakers(long_queue=100, clock=lambda: 0.0)
    path = WritePath(
        a_directory(an_organisation()),
        cast(Publisher, publisher),
        waiting,
        breakers,
        cast(TopicReader, replies),
        Budgets(accept_s=10, reply_s=reply_s),
    )
    return path, breakers


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


async def test_behind_an_open_breaker_nobody_waits_and_no_reply_is_asked_for() -> None:
    publisher = FakePublisher()
    path, breakers = a_path(publisher, Waiting(), reply_s=10)
    for _ in range(3):
        breakers.missed(3)

    async with asyncio.timeout(1):
        submitted = await path.submit(a_request())

    assert submitted.reply is None
    assert publisher.published[0][0].reply_to is None
    assert publisher.published[0][0].answer_by_ms is None


async def test_what_must_be_decided_is_not_published_behind_an_open_breaker() -> None:
    publisher = FakePublisher()
    path, breakers = a_path(publisher, Waiting())
    for _ in range(3):
        breakers.missed(3)

    with pytest.raises(Unavailable):
        await path.submit(a_request(), must_be_decided=True)

    assert publisher.published == []


async def test_a_failed_send_leaves_nobody_waiting() -> None:
    waiting = Waiting()

    def fail(_: Request) -> None:
        raise Unavailable("Kafka")

    path, breakers = a_path(FakePublisher(fail), waiting)

    for _ in range(5):
        with pytest.raises(Unavailable):
            await path.submit(a_request())

    assert waiting._waiters == {}
    assert not breakers.is_open(3)
    await path.settled(ORGANISATION, 1.0)


async def test_three_missed_budgets_open_the_breaker() -> None:
    path, breakers = a_path(FakePublisher(), Waiting(), reply_s=0.01)

    for _ in range(3):
        await path.submit(a_request())

    assert breakers.is_open(3)


async def test_a_read_waits_for_writes_under_way_but_not_longer_than_told() -> None:
    waiting = Waiting()
    path, _ = a_path(FakePublisher(), waiting, reply_s=10)
    write = asyncio.create_task(path.submit(a_request()))
    while an_id(1) not in waiting._waiters:  # noqa: ASYNC110
        await asyncio.sleep(0)

    await path.settled(ORGANISATION, 0.01)
    was_done = write.done()
    settled = asyncio.create_task(path.settled(ORGANISATION, 10))
    await asyncio.sleep(0)
    waiting._waiters[an_id(1)].set_result(Reply(an_id(1), 204))
    async with asyncio.timeout(1):
        await settled

    assert not was_done
    assert (await write).reply is not None


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
