"""Read one partition of the log between two offsets, in batches."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from rollcall.events.topics import MAX_RECORD_BYTES, MEBIBYTE
from rollcall.kafka.client import client_options, stop_consumer, unavailable_if_away
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

BATCH_RECORDS: Final = 1000
BATCH_BYTES: Final = 4 * MEBIBYTE
SILENT_AFTER_S: Final = 30.0
_POLL_MS: Final = 500
_STOP_TIMEOUT_S: Final = 5.0


class PartitionReader:
    """A consumer of one partition; made by `open_reader`. Its methods raise Unavailable."""

    def __init__(self, consumer: AIOKafkaConsumer, place: TopicPartition) -> None:
        self._consumer = consumer
        self._place = place

    async def is_there(self) -> bool:
        """Whether Kafka has the topic."""
        with unavailable_if_away():
            return self._place.topic in await self._consumer.topics()

    async def held(self) -> tuple[int, int]:
        """The first offset that the log holds, and the one behind its last record."""
        with unavailable_if_away():
            first = (await self._consumer.beginning_offsets([self._place]))[self._place]
            return first, (await self._consumer.end_offsets([self._place]))[self._place]

    async def read(self, begin: int, end: int) -> AsyncIterator[Sequence[ConsumerRecord]]:
        """The records from offset `begin` to below `end`, as the function `read` gives them."""
        with unavailable_if_away():
            self._consumer.assign([self._place])
            self._consumer.seek(self._place, begin)
            heard_s, position = time.monotonic(), begin
            while position < end:
                fetched = await self._consumer.getmany(
                    self._place, timeout_ms=_POLL_MS, max_records=BATCH_RECORDS
                )
                records = [each for each in fetched.get(self._place, ()) if each.offset < end]
                if records:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > SILENT_AFTER_S:
                    raise Unavailable("Kafka (it gives no records)")
                for batch in _bounded(records):
                    yield batch
                if records:
                    heard_s = time.monotonic()  # however long the caller took over them
                position = await self._consumer.position(self._place)


async def read(
    settings: Settings, topic: str, partition: int, begin: int, end: int
) -> AsyncIterator[Sequence[ConsumerRecord]]:
    """The records from offset `begin` to below `end`, at most 1,000 and about 4 MiB at a time.

    Raises Unavailable if Kafka does not answer, or returns no record for 30 seconds.
    """
    if begin >= end:
        return
    async with open_reader(settings, topic, partition) as reader:
        async for records in reader.read(begin, end):
            yield records


@asynccontextmanager
async def open_reader(
    settings: Settings, topic: str, partition: int, *, fetch_wait_ms: int = 500
) -> AsyncIterator[PartitionReader]:
    """A reader of one partition. Raises Unavailable.

    `fetch_wait_ms`: how long the broker holds a fetch for which it has no records. A question for
    the end of the log waits behind it.
    """
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=fetch_wait_ms,
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
    )
    try:
        with unavailable_if_away():
            await consumer.start()
        yield PartitionReader(consumer, TopicPartition(topic, partition))
    finally:
        await stop_consumer(consumer, _STOP_TIMEOUT_S)


def _bounded(records: Sequence[ConsumerRecord]) -> list[list[ConsumerRecord]]:
    """The records in batches of at most BATCH_BYTES or of one record."""
    batches: list[list[ConsumerRecord]] = []
    size = 0
    for record in records:
        weight = len(record.value or b"")
        if not batches or size + weight > BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(record)
        size += weight
    return batches
