"""Three machines, three clocks, any delays: a refusal answered with success is always listed.

The write path, the mark, the announcer and the judgement are the real ones; time is the loop's own,
and jumps. Kafka is a log whose two leaders date records by their own clocks, and a reader that may
stand still. Every request is refused.
"""

import asyncio
import contextlib
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import Waiting as ToAnswer
from rollcall.applying.decided import _was_answered
from rollcall.applying.understand import understand
from rollcall.events import reply
from rollcall.events.envelope import Event, encode
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.events.topics import Topics
from rollcall.kafka.producer import Acknowledged, Producer
from rollcall.kafka.topic_reader import TopicReader
from rollcall.postgres.audit import AuditRow
from rollcall.runtime import clock
from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import ServiceUnavailable
from rollcall.tail.replica import Replica
from rollcall_ingress.behind.is_behind import IsBehind
from rollcall_ingress.behind.own_writes import OwnWrites
from rollcall_ingress.write.await_reply import Breakers, Waiting
from rollcall_ingress.write.broker_clock import BrokerClock
from rollcall_ingress.write.decide import Decisions
from rollcall_ingress.write.hearing import Hearing
from rollcall_ingress.write.publish import Publisher
from rollcall_ingress.write.submitted import Budgets
from rollcall_ingress.write.under_way import UnderWay
from rollcall_ingress.write.write_path import WritePath
from rollcall_provisioner.announce import Announcer
from rollcall_provisioner.broker_time import BrokerTime
from tests.support.builders import MOMENT, ORGANISATION, a_request, an_id
from tests.support.samples.records import FakeRecord
from tests.unit.ingress.tenants import a_directory, an_organisation
from tests.unit.ingress.write.foretelling import FakeReplica

T = TypeVar("T")
TOPICS = Topics("t")
NOW_MS = 1_790_000_000_000
REPLY_S, ACCEPT_S = 2.0, 10.0


class Jumping(selectors.SelectSelector):
    """Nobody waits: the time that would have been waited for is added to the loop's."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout > 0:
            self.passed_s += timeout
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next thing that is due."""

    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.passed_s


def play(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


@dataclass(frozen=True)
class Timing:
    """Seconds. Offsets are of clocks from the true time, the rest are durations."""

    ingress_s: float = 0.0
    requests_leader_s: float = 0.0
    replies_leader_s: float = 0.0
    append_s: float = 0.002
    acknowledge_s: float = 0.002
    read_s: float = 0.002
    decide_s: float = 0.01
    reply_delay_s: float = 0.002
    stalled_from_s: float = 1e9
    stalled_for_s: float = 0.0
    note_s: float | None = 0.01
    """None: Postgres is away."""
    starts_s: tuple[float, ...] = (0.0,)
    is_probe: bool = False


@dataclass
class Kafka:
    """A producer, two logs, and the reader of one of them."""

    timing: Timing
    reading: Callable[[FakeRecord], None] = lambda _: None
    requests: list[FakeRecord] = field(default_factory=list)
    has_more: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    unread: "asyncio.Queue[FakeRecord]" = field(default_factory=asyncio.Queue)

    def now_ms(self, offset_s: float) -> int:
        return NOW_MS + int((asyncio.get_running_loop().time() + offset_s) * 1000)

    async def enqueue(
        self, topic: str, *, partition: int, key: str | None, event: Event
    ) -> "asyncio.Future[Acknowledged]":
        future: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        self.tasks.append(asyncio.create_task(self._append(topic, partition, key, event, future)))
        return future

    async def send(
        self, topic: str, *, partition: int, key: str | None, event: Event
    ) -> Acknowledged:
        return await (await self.enqueue(topic, partition=partition, key=key, event=event))

    async def _append(
        self,
        topic: str,
        partition: int,
        key: str | None,
        event: Event,
        future: "asyncio.Future[Acknowledged]",
    ) -> None:
        timing = self.timing
        is_reply = topic == TOPICS.replies and event.source == "/rollcall/provisioner"
        await asyncio.sleep(timing.reply_delay_s if is_reply else timing.append_s)
        is_of_replies = topic == TOPICS.replies
        at_ms = self.now_ms(timing.replies_leader_s if is_of_replies else timing.requests_leader_s)
        headers, value = encode(event)
        raw_key = None if key is None else key.encode()
        record = FakeRecord(
            len(self.requests), key=raw_key, value=value, headers=tuple(headers), timestamp=at_ms
        )
        if topic == TOPICS.requests:
            self.requests.append(record)
            self.has_more.set()
        elif is_of_replies:
            self.unread.put_nowait(record)
        await asyncio.sleep(timing.acknowledge_s)
        if not future.done():
            future.set_result(Acknowledged(partition, record.offset, at_ms))

    async def read(self) -> None:
        """Give the records of the replies to who reads them, in order, unless it stands still."""
        loop, timing = asyncio.get_running_loop(), self.timing
        while True:
            record = await self.unread.get()
            await asyncio.sleep(timing.read_s)
            end_s = timing.stalled_from_s + timing.stalled_for_s
            if timing.stalled_from_s <= loop.time() < end_s:
                await asyncio.sleep(end_s - loop.time())
            self.reading(record)


@dataclass
class Provisioner:
    """Refuses every request: the judgements are those of the service."""

    kafka: Kafka
    answered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        producer = cast(Producer, self.kafka)
        self.announcer = Announcer(producer, TOPICS, SourceLog(TOPICS.requests, 3), 0)
        loop = asyncio.get_running_loop()
        self.announcer.broker_time = BrokerTime(lambda: loop.time() * 1000 + 77)

    async def run(self) -> None:
        done = 0
        while True:
            await self.kafka.has_more.wait()
            self.kafka.has_more.clear()
            await asyncio.sleep(self.kafka.timing.decide_s)
            taken = self.kafka.requests[done:]
            done += len(taken)
            if taken:
                await self.apply(taken, done)

    async def apply(self, records: Sequence[FakeRecord], upto: int) -> None:
        entries = [each for each in understand(records).entries if not each.is_expired]
        broker_time = self.announcer.broker_time
        broker_time.read(records[-1].timestamp)
        rows, replies = [], []
        for entry in entries:
            request = cast(Request, entry.request)
            was_answered = _was_answered(request, entry, broker_time.least_ms)
            if was_answered:
                self.answered.add(request.id)
            if request.reply_to is not None:
                refusal = Reply(request.id, 409)
                replies.append(
                    ToAnswer(request.reply_to, request.answer_by_ms, refusal, not was_answered)
                )
            rows.append(a_row(request, entry.record.offset, was_answered=was_answered))
        await self.announcer.send_replies(replies, 0)
        await self.announcer.send_outcomes(rows, upto)
        await self.announcer.settle()


def a_row(request: Request, offset: int, *, was_answered: bool) -> AuditRow:
    data = {"organisation_id": ORGANISATION, "resource_id": an_id(2), "detail": {"status": 409}}
    return AuditRow(
        id=request.id,
        organisation_id=ORGANISATION,
        topic=TOPICS.requests,
        partition=3,
        offset=offset,
        type=request.type,
        resource_id=an_id(2),
        actor="key:abc",
        append_time=MOMENT,
        event_time=MOMENT,
        status=409,
        scim_type=None,
        outcomes=[{"fact": "request.rejected", "data": data}],
        optimistic=was_answered,
    )


@dataclass
class Seen:
    """What each request was answered, and which are listed."""

    pending: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unavailable: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    noted: set[str] = field(default_factory=set)
    decided: set[str] = field(default_factory=set)
    took_s: dict[str, float] = field(default_factory=dict)


@dataclass
class Reader:
    partition: int | None = 5
    positioned: asyncio.Event = field(default_factory=asyncio.Event)


async def refused_in(timing: Timing) -> Seen:
    loop, seen, kafka = asyncio.get_running_loop(), Seen(), Kafka(timing)
    replies, broker_clock, reader = cast(Producer, kafka), BrokerClock(), Reader()
    reader.positioned.set()

    async def note(ids: Mapping[str, int | None]) -> None:
        if timing.note_s is None:
            raise Unavailable("Postgres")
        await asyncio.sleep(timing.note_s)
        seen.noted.update(ids)

    hearing = Hearing(replies, TOPICS.replies, reader, broker_clock, note)
    waiting = Waiting(on_mark=hearing.on_mark, on_reply=hearing.on_reply)
    kafka.reading = waiting.apply
    breakers = Breakers(long_queue=100, clock=loop.time)
    replica = cast(Replica, FakeReplica())
    directory, own = a_directory(an_organisation()), OwnWrites(replica.applied)
    topic_reader = cast(TopicReader, reader)
    is_behind = IsBehind(directory, own, breakers, topic_reader, REPLY_S)
    path = WritePath(
        directory,
        Publisher(
            cast(Producer, kafka), TOPICS.requests, acknowledge_s=12, broker_clock=broker_clock
        ),
        waiting,
        breakers,
        topic_reader,
        UnderWay(own, is_behind, replica),
        Budgets(accept_s=ACCEPT_S, reply_s=REPLY_S),
        broker_clock,
        hearing,
        Decisions(cast(Replica, FakeReplica()), loop.time),
    )
    provisioner = Provisioner(kafka)
    background = [asyncio.create_task(kafka.read()), asyncio.create_task(provisioner.run())]
    await hearing.learn()
    if timing.is_probe:
        for _ in range(3):
            breakers.missed(3)
        await asyncio.sleep(5)

    async def one(number: int, start_s: float) -> None:
        await asyncio.sleep(start_s)
        sent_s = loop.time()
        request = a_request("member.delete", an_id(2), number)
        try:
            submitted = await path.submit(request)
        except (Unavailable, ServiceUnavailable):
            seen.unavailable.add(request.id)
        else:
            (seen.pending if submitted.reply is None else seen.refused).add(request.id)
        seen.took_s[request.id] = loop.time() - sent_s

    await asyncio.gather(*(one(number, at) for number, at in enumerate(timing.starts_s)))
    await asyncio.sleep(60)
    for task in (*background, *kafka.tasks):
        task.cancel()
    await asyncio.gather(*background, *kafka.tasks, return_exceptions=True)
    await hearing.close()
    seen.listed = provisioner.answered | provisioner.announcer.unheard | seen.noted
    seen.decided = {
        cast(Request, each.request).id
        for each in understand(kafka.requests).entries
        if not each.is_expired
    }
    return seen


@contextlib.contextmanager
def by_the_loop_s_time(timing: Timing) -> Iterator[None]:
    """Ingress's clock: the loop's, set off. Whoever asks outside a loop gets the machine's."""

    def machine_ms() -> int:
        return NOW_MS + int((asyncio.get_running_loop().time() + timing.ingress_s) * 1000)

    with mock.patch.object(clock, "machine_ms", machine_ms):
        yield


def played(timing: Timing) -> Seen:
    with by_the_loop_s_time(timing):
        return play(refused_in(timing))


OFFSETS = st.one_of(
    st.sampled_from([0.0, 0.3, 1.5, -0.3, -1.5, 60.0, -5.0, 86_400.0]), st.floats(-8, 90)
)
SHORT = st.floats(0.0, 0.4)
WORLDS = st.builds(
    Timing,
    ingress_s=OFFSETS,
    requests_leader_s=st.floats(-2, 2),
    replies_leader_s=st.floats(-2, 2),
    append_s=SHORT,
    acknowledge_s=SHORT,
    read_s=st.floats(0.0, 0.1),
    decide_s=st.one_of(st.floats(0.001, 0.1), st.floats(1.0, 6.0)),
    reply_delay_s=st.one_of(st.floats(0.0, 0.1), st.floats(0.0, 4.0)),
    stalled_from_s=st.floats(0, 6),
    stalled_for_s=st.one_of(st.just(0.0), st.floats(0.0, 8.0)),
    note_s=st.one_of(st.none(), st.floats(0.0, 2.0)),
    starts_s=st.lists(st.floats(0, 6), min_size=1, max_size=4).map(tuple),
    is_probe=st.booleans(),
)


@given(WORLDS)
@example(Timing(ingress_s=1.5, decide_s=2.6))
@example(Timing(ingress_s=0.3, is_probe=True))
@example(Timing(stalled_from_s=0.5, stalled_for_s=4.0, starts_s=(1.0, 1.0, 1.0, 1.0)))
@example(Timing(stalled_from_s=0.5, stalled_for_s=9.0, note_s=None))
@settings(max_examples=40, deadline=None)
def test_whatever_the_clocks_say_a_refusal_answered_with_success_is_listed(timing: Timing) -> None:
    assert_all_are_listed(timing)


@pytest.mark.long
@given(WORLDS)
@settings(max_examples=600, deadline=None)
def test_with_many_timings_a_refusal_answered_with_success_is_listed(timing: Timing) -> None:
    assert_all_are_listed(timing)


def assert_all_are_listed(timing: Timing) -> None:
    seen = played(timing)

    assert seen.pending & seen.decided <= seen.listed
    assert all(took_s < ACCEPT_S + 5 for took_s in seen.took_s.values())


@given(st.floats(-5, 86_400), st.floats(0.001, 1.2), st.lists(st.floats(0, 5), min_size=1))
@settings(max_examples=20, deadline=None)
def test_a_refusal_that_is_answered_in_time_is_not_listed(
    ingress_s: float, decide_s: float, starts_s: list[float]
) -> None:
    """However far ahead or, within what is accepted, behind its clock is."""
    seen = played(Timing(ingress_s=ingress_s, decide_s=decide_s, starts_s=tuple(starts_s)))

    assert len(seen.refused) == len(starts_s)
    assert not seen.listed
    assert max(seen.took_s.values()) < REPLY_S


@given(st.floats(-60, 86_400))
@settings(max_examples=50, deadline=None)
def test_a_missed_budget_takes_a_little_longer_than_its_budget(ingress_s: float) -> None:
    seen = played(Timing(ingress_s=ingress_s, decide_s=8.0))

    assert seen.pending or seen.unavailable  # behind by more than `acceptby` it is refused
    assert not seen.noted, "one mark shows that there was nothing to read"
    if seen.pending:
        assert max(seen.took_s.values()) < REPLY_S + 0.1


def test_many_that_miss_their_budget_at_once_share_the_marks() -> None:
    timing = Timing(decide_s=8.0, starts_s=(0.0,) * 1000)
    sent = []
    marked = reply.mark_to_event

    def count(*, event_id: str, partition: int, time: datetime) -> Event:
        sent.append(event_id)
        return marked(event_id=event_id, partition=partition, time=time)

    with mock.patch("rollcall.events.reply.mark_to_event", count):
        seen = played(timing)

    assert len(seen.pending) == 1000
    assert len(sent) < 10
