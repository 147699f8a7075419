"""Offsets in Kafka. The truth about what was applied is in Postgres; these are for lag monitors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError

from rollcall.kafka.admin import partition_count
from rollcall.kafka.client import client_options, stop_consumer
from rollcall.observability.logging import get_logger
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

TIMEOUT_S: Final = 5.0
log = get_logger()


async def commit_for_monitors(
    consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]
) -> bool:
    """Write the group's committed offsets; whether Kafka took them. A failure does no harm."""
    if not offsets:
        return True
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await consumer.commit(dict(offsets))
    except (KafkaError, IllegalStateError, TimeoutError) as error:
        log.debug("kafka.unavailable", doing="commit", error=type(error).__name__)
        return False
    return True


async def end_offsets(
    consumer: AIOKafkaConsumer, partitions: set[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offset behind the last record of each partition; empty if Kafka does not answer."""
    return await _ask(consumer.end_offsets, partitions, "end offsets")


async def first_offsets(
    consumer: AIOKafkaConsumer, partitions: set[TopicPartition]
) -> dict[TopicPartition, int]:
    """Where the log of each partition begins by now; empty if Kafka does not answer."""
    return await _ask(consumer.beginning_offsets, partitions, "first offsets")


async def _ask(
    question: Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]],
    partitions: set[TopicPartition],
    doing: str,
) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await question(list(partitions))
    except (KafkaError, IllegalStateError, TimeoutError) as error:
        log.debug("kafka.unavailable", doing=doing, error=type(error).__name__)
        return {}


async def topic_ends(settings: Settings, topic: str) -> dict[int, int]:
    """Partition → the offset behind its last record, asked once; empty where there is no topic.

    Raises Unavailable.
    """
    count = await partition_count(settings, topic)
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    try:
        async with asyncio.timeout(TIMEOUT_S * 2):
            await consumer.start()
            partitions = [TopicPartition(topic, number) for number in range(count)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unavailable(f"Kafka ({type(error).__name__})") from error
    finally:
        await stop_consumer(consumer, TIMEOUT_S)
    return {partition.partition: offset for partition, offset in ends.items()}


@dataclass(frozen=True, slots=True)
class Extent:
    """What a partition holds: the records from offset `first` to below `end`."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


async def extents(settings: Settings, topic: str) -> dict[int, Extent]:
    """Partition → what it holds, asked once; empty where there is no topic. Raises Unavailable."""
    count = await partition_count(settings, topic)
    if not count:
        return {}
    async with _asking(settings) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(count)]
        first = await consumer.beginning_offsets(partitions)
        end = await consumer.end_offsets(partitions)
    return {at.partition: Extent(first[at], end[at]) for at in partitions}


async def offsets_at(
    settings: Settings, topic: str, held: Mapping[int, Extent], at_ms: int
) -> dict[int, int]:
    """Partition → the first offset of those `held` that was appended at `at_ms` or later.

    Where nothing was, the end. `at_ms` is in epoch milliseconds. Raises Unavailable.
    """
    async with _asking(settings) as consumer:
        found = await consumer.offsets_for_times(
            {TopicPartition(topic, number): max(0, at_ms) for number in held}
        )
    offsets = {at.partition: each.offset for at, each in found.items() if each is not None}
    return {number: offsets.get(number, extent.end) for number, extent in held.items()}


@asynccontextmanager
async def _asking(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that only asks; what fails of Kafka within becomes Unavailable."""
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    try:
        async with asyncio.timeout(TIMEOUT_S * 2):
            await consumer.start()
            yield consumer
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unavailable(f"Kafka ({type(error).__name__})") from error
    finally:
        await stop_consumer(consumer, TIMEOUT_S)


async def committed(settings: Settings, group_id: str, topic: str) -> dict[int, int]:
    """Partition → the offset that the group last reported, where it did. Raises Unavailable."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        async with asyncio.timeout(TIMEOUT_S * 2):
            await admin.start()
            found = await admin.list_consumer_group_offsets(group_id)
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unavailable(f"Kafka ({type(error).__name__})") from error
    finally:
        await admin.close()
    return {
        partition.partition: entry.offset
        for partition, entry in found.items()
        if partition.topic == topic and entry.offset >= 0
    }
