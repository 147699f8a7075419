"""The one producer of a process, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from rollcall.events.envelope import Event
from rollcall.events.topics import MAX_RECORD_BYTES
from rollcall.kafka import producer as producer_module
from rollcall.kafka.client import client_options
from rollcall.kafka.producer import Acknowledged, Producer, RecordTooLarge
from rollcall.runtime.clock import now, now_ms
from rollcall.runtime.config import Settings, load
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id
from tests.support.servers import KafkaServer


def an_event(data: Any = None) -> Event:
    return Event(new_id(), "io.rollcall.test.v1", "/test", "subject", now(), data)


@pytest.fixture
def settings(kafka_server: KafkaServer) -> Settings:
    return load(Settings, environment="test", kafka_bootstrap=kafka_server.bootstrap)


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[Producer]:
    made = Producer(settings, client_id="test", max_waiting_records=50)
    await made.start()
    yield made
    await made.stop()


async def make_topic(settings: Settings, **config: str) -> str:
    name = f"p{new_id()}"
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        config = {"message.timestamp.type": "LogAppendTime", **config}
        await admin.create_topics([NewTopic(name, 2, 1, topic_configs=config)])
    finally:
        await admin.close()
    return name


async def test_an_acknowledgement_has_partition_offset_and_append_time(
    settings: Settings, producer: Producer
) -> None:
    topic = await make_topic(settings)
    before_ms = now_ms()

    first = await producer.send(topic, partition=1, key="k", event=an_event())
    second = await producer.send(topic, partition=1, key="k", event=an_event())

    assert (first.partition, first.offset, second.offset) == (1, 0, 1)
    assert before_ms - 50 <= first.append_time_ms <= second.append_time_ms <= now_ms() + 50
    assert producer.waiting_records == 0


async def test_records_of_one_caller_keep_their_order(
    settings: Settings, producer: Producer
) -> None:
    topic = await make_topic(settings)

    futures = [
        await producer.enqueue(topic, partition=0, key=None, event=an_event(number))
        for number in range(40)
    ]
    acknowledged = await asyncio.gather(*futures)

    assert [item.offset for item in acknowledged] == list(range(40))


async def test_a_record_over_the_limit_is_refused_and_harms_no_other_record(
    settings: Settings, producer: Producer
) -> None:
    topic = await make_topic(settings)

    with pytest.raises(RecordTooLarge):
        await producer.send(topic, partition=0, key=None, event=an_event("x" * MAX_RECORD_BYTES))

    assert (await producer.send(topic, partition=0, key=None, event=an_event())).offset == 0


async def test_a_large_record_below_the_limit_passes(
    settings: Settings, producer: Producer
) -> None:
    topic = await make_topic(settings, **{"max.message.bytes": str(MAX_RECORD_BYTES)})

    sent = await producer.send(topic, partition=0, key=None, event=an_event("x" * 8_500_000))

    assert sent.offset == 0


async def test_what_waits_is_bounded(settings: Settings, producer: Producer) -> None:
    topic = await make_topic(settings)
    await producer.send(topic, partition=0, key=None, event=an_event())

    sent: list[asyncio.Future[Acknowledged]] = []

    async def send_too_many() -> None:
        for _ in range(60):
            future = await producer.enqueue(topic, partition=0, key=None, event=an_event())
            sent.append(future)

    with pytest.raises(Unavailable):
        await send_too_many()

    assert len(sent) == 50
    await asyncio.gather(*sent)
    await producer.send(topic, partition=0, key=None, event=an_event())


async def test_a_spoilt_producer_is_replaced(settings: Settings, producer: Producer) -> None:
    """A refusal for size by the broker leaves a gap in the partition's sequence numbers."""
    topic = await make_topic(settings, **{"max.message.bytes": "2000"})
    await producer.send(topic, partition=0, key=None, event=an_event())

    with pytest.raises(Unavailable):
        await producer.send(topic, partition=0, key=None, event=an_event("x" * 5000))
    sent = [
        await producer.send(topic, partition=0, key=None, event=an_event(number))
        for number in range(3)
    ]

    assert [item.offset for item in sent] == [1, 2, 3]


async def test_a_topic_without_append_times_is_not_judged(
    settings: Settings, producer: Producer
) -> None:
    topic = await make_topic(settings, **{"message.timestamp.type": "CreateTime"})

    with pytest.raises(Unavailable):
        await producer.send(topic, partition=0, key=None, event=an_event())


async def test_unknown_topics_and_partitions_are_unavailable(
    settings: Settings, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic(settings)
    monkeypatch.setattr(producer_module, "ENQUEUE_TIMEOUT_S", 1.0)

    for name, partition in ((topic, 7), ("no-such-topic", 0)):
        with pytest.raises(Unavailable):
            await producer.send(name, partition=partition, key=None, event=an_event())

    assert producer.waiting_records == 0


async def test_while_kafka_is_away_senders_wait_at_first_and_then_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producer_module, "ENQUEUE_TIMEOUT_S", 0.3)
    away = load(Settings, environment="test", kafka_bootstrap="127.0.0.1:1")
    producer = Producer(away, client_id="test")
    start = asyncio.create_task(producer.start())
    took_s = []

    for _ in range(2):
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            await producer.send("t", partition=0, key=None, event=an_event())
        took_s.append(asyncio.get_running_loop().time() - began_s)
    start.cancel()

    assert took_s[0] >= 0.25
    assert took_s[1] < 0.2
    with pytest.raises(asyncio.CancelledError):
        await start
    await producer.stop()


async def test_a_producer_that_stands_still_is_replaced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic(settings)
    monkeypatch.setattr(producer_module, "STALLED_AFTER_S", 0.5)
    monkeypatch.setattr(producer_module, "_WATCH_EVERY_S", 0.1)
    monkeypatch.setattr(producer_module, "REQUEST_TIMEOUT_MS", 500)
    producer = Producer(settings, client_id="test")
    await producer.start()
    await producer.send(topic, partition=0, key=None, event=an_event())
    broken = producer._producer
    assert broken is not None
    # The sender passes the partition over, as it would if it had lost sight of it.
    broken._sender._muted_partitions.add(TopicPartition(topic, 0))

    with pytest.raises(Unavailable):
        await producer.send(topic, partition=0, key=None, event=an_event())

    assert producer._producer is not broken
    sent = await producer.send(topic, partition=0, key=None, event=an_event())
    assert sent.offset == 1
    await producer.stop()


async def test_the_keeper_outlives_an_unexpected_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a broken producer would stay broken until the process is begun anew."""
    topic = await make_topic(settings, **{"max.message.bytes": "2000"})
    monkeypatch.setattr(producer_module, "_KEEPER_PAUSE_S", 0.05)
    close, failures = producer_module._close, [RuntimeError("once")]

    async def close_with_a_bug(old: Any, timeout_s: float) -> None:
        await close(old, timeout_s)
        if failures:
            raise failures.pop()

    producer = Producer(settings, client_id="test")
    await producer.start()
    monkeypatch.setattr(producer_module, "_close", close_with_a_bug)

    with pytest.raises(Unavailable):
        await producer.send(topic, partition=0, key=None, event=an_event("x" * 5000))
    async with asyncio.timeout(10):
        sent = await producer.send(topic, partition=0, key=None, event=an_event())

    assert failures == []
    assert sent.offset == 0
    await producer.stop()
