"""Offsets in Kafka, for lag monitors only: the position of what was applied is in Postgres."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from rollcall.kafka.admin import partition_count
from rollcall.kafka.client import client_options, stop_consumer, unavailable_if_away
from rollcall.observability.logging import get_logger
from rollcall.runtime.config import Settings

TIMEOUT_S: Final = 5.0
log = get_logger()


async def commit_for_monitors(
    consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]
) -> bool:
    """Commit the group's offsets; returns whether Kafka accepted them. A failure is harmless."""
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
    """The offset after the last record of each partition; empty if Kafka does not answer."""
    return await _ask(consumer.end_offsets, partitions, "end offsets")


async def first_offsets(
    consumer: AIOKafkaConsumer, partitions: set[TopicPartition]
) -> dict[TopicPartition, int]:
    """The first offset that each partition still has; empty if Kafka does not answer."""
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
    """Partition → the offset after its last record; empty if the topic does not exist.

    Raises Unavailable.
    """
    count = await partition_count(settings, topic)
    async with _asking(settings) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
    return {partition.partition: offset for partition, offset in ends.items()}


@dataclass(frozen=True, slots=True)
class Extent:
    """The records that a partition holds: from offset `first` to below `end`."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


async def extents(settings: Settings, topic: str) -> dict[int, Extent]:
    """Partition → its records; empty if the topic does not exist. Raises Unavailable."""
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
    """Partition → the first offset in `held` that was appended at `at_ms` or later, or the end.

    `at_ms` is in epoch milliseconds. Raises Unavailable.
    """
    async with _asking(settings) as consumer:
        found = await consumer.offsets_for_times(
            {TopicPartition(topic, number): max(0, at_ms) for number in held}
        )
    offsets = {at.partition: each.offset for at, each in found.items() if each is not None}
    return {number: offsets.get(number, extent.end) for number, extent in held.items()}


@asynccontextmanager
async def _asking(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer for questions only. Kafka errors inside the block become Unavailable."""
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    try:
        with unavailable_if_away():
            async with asyncio.timeout(TIMEOUT_S * 2):
                await consumer.start()
                yield consumer
    finally:
        await stop_consumer(consumer, TIMEOUT_S)
