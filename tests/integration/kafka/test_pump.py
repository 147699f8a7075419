"""The pump with workers that misbehave: order, backpressure, failures, a broker that dies."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from rollcall.events.topics import Topics
from rollcall.kafka import offsets
from rollcall.kafka.admin import admin_client, apply_topics
from rollcall.kafka.feed import Feed
from rollcall.kafka.pump import Pump, PumpOptions
from rollcall.kafka.worker import OutOfRange, PartitionHalted
from rollcall.runtime.config import Settings, load
from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.servers import KafkaServer


@dataclass(slots=True)
class Memory:
    """What is applied for good, as Postgres would keep it: position and values."""

    position: int = 0
    values: list[bytes | None] = field(default_factory=list)
    starts: int = 0


class MemoryWorker:
    """Applies one record after another; `act` may raise before a record is applied."""

    waits_for_outage = False

    def __init__(self, memory: Memory, act: Callable[[int], None], batch: int = 10) -> None:
        self._memory = memory
        self._act = act
        self._batch = batch

    @property
    def next_offset(self) -> int:
        return self._memory.position

    async def start(self, feed: Feed) -> int:
        self._memory.starts += 1
        return self._memory.position

    async def until_resumed(self, feed: Feed) -> None:
        while not await feed.closes_within(60):
            pass

    async def run(self, feed: Feed) -> None:
        while True:
            for record in await feed.take(self._batch, 1 << 20, 1):
                assert record.offset == self._memory.position
                self._act(record.offset)
                self._memory.values.append(record.value)
                self._memory.position = record.offset + 1
            await asyncio.sleep(0)


@dataclass(slots=True)
class Bench:
    """One topic with one partition, a producer, and pumps."""

    settings: Settings
    topic: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def fill(self, count: int, size: int = 10) -> None:
        """Append `count` records, the n-th of which starts with n."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap)
        await producer.start()
        try:
            sent = [
                await producer.send(self.topic, f"{n}|".encode() + b"x" * size, partition=0)
                for n in range(count)
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    def pump(self, worker: Callable[[int], Any], **options: Any) -> Pump:
        """A running pump of the topic."""
        made = Pump(self.settings, PumpOptions(self.topic, f"{self.topic}.g", **options), worker)
        self.tasks.append(asyncio.create_task(made.run(self.stop)))
        return made

    async def end(self) -> None:
        """Let all pumps drain."""
        self.stop.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), 30)


async def a_bench(bootstrap: str) -> Bench:
    prefix = f"k{uuid.uuid4().hex[:12]}"
    settings = load(Settings, kafka_bootstrap=bootstrap, topic_prefix=prefix)
    topics = Topics(prefix, requests_partitions=1, replies_partitions=1)
    await apply_topics(settings, topics, replication=1)
    return Bench(settings, topics.requests)


@pytest.fixture
async def bench(kafka_server: KafkaServer) -> AsyncIterator[Bench]:
    made = await a_bench(kafka_server.bootstrap)
    try:
        yield made
    finally:
        await made.end()


async def until(holds: Callable[[], bool], what: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.02)


def nothing(_: int) -> None:
    """Let the record be applied."""


async def test_every_record_arrives_once_and_in_order_through_a_small_queue(bench: Bench) -> None:
    """The queue is much smaller than a fetch, so the partition is paused and resumed a lot."""
    await bench.fill(3000, size=500)
    memory = Memory()

    bench.pump(lambda _: MemoryWorker(memory, nothing), max_queued_records=50)

    await until(lambda: memory.position == 3000, "all is applied")
    assert [int((value or b"").split(b"|")[0]) for value in memory.values] == list(range(3000))


async def test_a_worker_that_fails_starts_again_at_its_position(bench: Bench) -> None:
    await bench.fill(30)
    memory = Memory()
    left = [ValueError("a bug"), ValueError("again")]

    def act(offset: int) -> None:
        if offset == 17 and left:
            raise left.pop()

    bench.pump(lambda _: MemoryWorker(memory, act))

    await until(lambda: memory.position == 30, "all is applied")
    assert memory.starts == 3
    assert len(memory.values) == 30


async def test_a_halted_partition_stays_and_the_pump_lives(bench: Bench) -> None:
    await bench.fill(5)
    memory = Memory()

    def act(offset: int) -> None:
        if offset == 3:
            raise PartitionHalted("for the test", "none")

    pump = bench.pump(lambda _: MemoryWorker(memory, act))

    await until(lambda: memory.position == 3, "the first three are applied")
    await until(lambda: pump.lags() == {0: 2}, "the rest is known as lag")
    assert pump.stalled(0) == []
    assert not bench.tasks[0].done()


async def test_a_position_that_the_log_does_not_hold_is_reported_to_the_worker(
    bench: Bench,
) -> None:
    """The topic is shorter than Postgres says: truncated or made anew."""
    await bench.fill(5)
    memory = Memory(position=100)
    errors: list[Exception] = []

    class Listening(MemoryWorker):
        async def run(self, feed: Feed) -> None:
            try:
                await super().run(feed)
            except OutOfRange as error:
                errors.append(error)
                raise PartitionHalted(str(error), "none") from error

    bench.pump(lambda _: Listening(memory, nothing))

    await until(lambda: bool(errors), "the worker hears of it")
    assert memory.values == []


async def test_a_consumer_that_fails_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    real = AIOKafkaConsumer.getmany
    left = [KafkaError("a fetcher that died")]

    async def getmany(self: AIOKafkaConsumer, *args: Any, **kwargs: Any) -> Any:
        if memory.position >= 10 and left:
            raise left.pop()
        return await real(self, *args, **kwargs)

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", getmany)
    await bench.fill(10)
    bench.pump(lambda _: MemoryWorker(memory, nothing))
    await until(lambda: memory.position == 10, "the first ten are applied")
    await until(lambda: not left, "the consumer has failed")

    await bench.fill(10)

    await until(lambda: memory.position == 20, "all is applied")
    assert memory.starts == 2


async def test_a_worker_that_hangs_is_cut_off_when_the_process_stops(bench: Bench) -> None:
    await bench.fill(1)
    entered = asyncio.Event()

    class Hanging(MemoryWorker):
        async def run(self, feed: Feed) -> None:
            await feed.take(1, 1 << 20, 5)
            entered.set()
            await asyncio.Event().wait()

    bench.pump(lambda _: Hanging(Memory(), nothing), drain_timeout_s=1)
    await asyncio.wait_for(entered.wait(), 20)

    started = time.monotonic()
    await bench.end()

    assert time.monotonic() - started < 10


async def test_lag_monitors_see_what_was_applied(bench: Bench) -> None:
    await bench.fill(7)
    memory = Memory()
    bench.pump(lambda _: MemoryWorker(memory, nothing))
    await until(lambda: memory.position == 7, "all is applied")

    await bench.end()

    async with admin_client(bench.settings) as admin:
        committed = await admin.list_consumer_group_offsets(f"{bench.topic}.g")
    assert {at.partition: each.offset for at, each in committed.items()} == {0: 7}
    assert await offsets.topic_ends(bench.settings, bench.topic) == {0: 7}


async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    native_kafka: KafkaBroker,
) -> None:
    bench = await a_bench(native_kafka.bootstrap)
    await bench.fill(100)
    memory = Memory()
    pump = bench.pump(lambda _: MemoryWorker(memory, nothing))
    await until(lambda: memory.position == 100, "the first hundred are applied")

    await asyncio.to_thread(native_kafka.kill)
    await asyncio.to_thread(native_kafka.restart)
    await bench.fill(100)

    await until(lambda: memory.position == 200, "all is applied", timeout_s=40)
    assert pump.partitions == [0]
    await bench.end()
