"""A partition in memory: read from its start, followed, and asked whether it is complete."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import ConsumerRecord

from rollcall.events.envelope import Event, decode
from rollcall.events.topics import Topics
from rollcall.kafka import topic_reader
from rollcall.kafka.admin import apply_topics
from rollcall.kafka.producer import Producer
from rollcall.kafka.reply_reader import reply_reader
from rollcall.kafka.topic_reader import TopicReader
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings, load
from rollcall.runtime.ids import new_id
from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.deploy.cluster import start_again
from tests.support.servers import KafkaServer
from tests.support.stack import until

TOPICS = 4


@pytest.fixture
def settings(kafka_server: KafkaServer) -> Settings:
    return load(
        Settings,
        environment="test",
        kafka_bootstrap=kafka_server.bootstrap,
        topic_prefix=f"t{new_id()}",
    )


@pytest.fixture
async def topics(settings: Settings) -> Topics:
    made = Topics(settings.topic_prefix, TOPICS, TOPICS)
    await apply_topics(settings, made, replication=1)
    return made


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[Producer]:
    made = Producer(settings, client_id="test")
    await made.start()
    yield made
    await made.stop()


async def send(producer: Producer, topic: str, partition: int, *data: int) -> None:
    for number in data:
        event = Event(new_id(), "io.rollcall.test.v1", "/test", str(number), now(), number)
        await producer.send(topic, partition=partition, key=str(number), event=event)


class Seen(list[int]):
    """The data of the records, in order."""

    def take(self, record: ConsumerRecord) -> None:
        self.append(decode(record.headers, record.value).data)


async def test_all_records_are_read_before_it_counts_as_caught_up(
    settings: Settings, topics: Topics, producer: Producer
) -> None:
    await send(producer, topics.tenancy, 0, *range(30))
    reader, seen = TopicReader(settings, topics.tenancy, client_id="test"), Seen()

    reader.start(seen.take)
    was_caught_up, was_age_s = reader.caught_up.is_set(), reader.age_s
    async with asyncio.timeout(15):
        await reader.caught_up.wait()

    assert (was_caught_up, was_age_s) == (False, float("inf"))
    assert seen == list(range(30))
    await reader.stop()


async def test_a_reader_does_not_die_in_silence(
    settings: Settings, topics: Topics, producer: Producer
) -> None:
    """A key that was revoked would go on opening everything."""
    await send(producer, topics.tenancy, 0, 1, 2, 3)
    reader, seen, failures = (
        TopicReader(settings, topics.tenancy, client_id="test"),
        Seen(),
        [RuntimeError("once")],
    )

    def take_with_a_bug(record: ConsumerRecord) -> None:
        if failures:
            raise failures.pop()
        seen.take(record)

    reader.start(take_with_a_bug)
    async with asyncio.timeout(15):
        await reader.caught_up.wait()

    assert failures == []
    assert seen == [1, 2, 3]
    await reader.stop()


async def test_a_consumer_that_is_stuck_is_replaced(
    settings: Settings, topics: Topics, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fetching has ended, and it would say "nothing new" for ever."""
    monkeypatch.setattr(topic_reader, "_SILENT_AFTER_S", 1.0)
    reader, seen = TopicReader(settings, topics.tenancy, client_id="test"), Seen()
    reader.start(seen.take)
    async with asyncio.timeout(15):
        await reader.caught_up.wait()
    stuck = reader._consumer
    assert stuck is not None
    stuck._fetcher._fetch_task.cancel()

    for number in (7, 8):
        await send(producer, topics.tenancy, 0, number)
        async with asyncio.timeout(15):
            while number not in seen:  # noqa: ASYNC110 - the list is filled by the reader
                await asyncio.sleep(0.02)

    assert seen == [7, 8]
    assert reader._consumer is not stuck
    await reader.stop()


async def test_the_end_is_reached_at_once_and_by_many_together(
    settings: Settings, topics: Topics, producer: Producer
) -> None:
    reader = TopicReader(settings, topics.tenancy, client_id="test", fetch_wait_ms=50)
    seen = Seen()
    reader.start(seen.take)
    async with asyncio.timeout(15):
        await reader.caught_up.wait()

    for number in range(5):
        await send(producer, topics.tenancy, 0, number)
        reached = await asyncio.gather(*(reader.reach_end(5.0) for _ in range(20)))
        assert all(reached)
        assert seen == list(range(number + 1))

    assert reader.age_s < 2
    await reader.stop()


async def test_the_end_is_not_reached_while_no_broker_answers(settings: Settings) -> None:
    away = load(Settings, environment="test", kafka_bootstrap="127.0.0.1:1")
    reader = TopicReader(away, "t", client_id="test")
    reader.start(Seen().take)

    assert not await reader.reach_end(0.2)

    await reader.stop()


async def test_replies_are_read_from_the_end_of_one_partition(
    settings: Settings, topics: Topics, producer: Producer
) -> None:
    for partition in range(TOPICS):
        await send(producer, topics.replies, partition, 1, 2)
    reader, seen = reply_reader(settings, topics.replies, client_id="test"), Seen()

    reader.start(seen.take)
    async with asyncio.timeout(15):
        await reader.positioned.wait()
    assert reader.partition is not None
    await send(producer, topics.replies, reader.partition, 3)
    reached = await reader.reach_end(5.0)

    assert reached
    assert seen == [3]
    await reader.stop()


async def test_a_reader_that_gave_its_consumer_up_lives_when_the_broker_is_back(
    native_kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka's `stop` raises CancelledError where a request was under way; that ended the task,
    and after half a minute without Kafka every write was 503 until a restart."""
    monkeypatch.setattr(topic_reader, "_SILENT_AFTER_S", 1.0)
    settings = load(Settings, kafka_bootstrap=native_kafka.bootstrap, topic_prefix=f"t{new_id()}")
    await apply_topics(settings, Topics(settings.topic_prefix, TOPICS, TOPICS), replication=1)
    reader = TopicReader(settings, Topics(settings.topic_prefix).tenancy, client_id="test")
    reader.start(lambda _: None)
    await until(reader.caught_up.is_set, "the reader has caught up")
    first = reader._consumer

    await asyncio.to_thread(native_kafka.kill)
    await until(lambda: reader._consumer is not first, "it gives the silent consumer up")
    await start_again(native_kafka)

    await until(lambda: reader.age_s < 1.5, "it knows the end again")
    await reader.stop()
