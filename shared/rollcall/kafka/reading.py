"""Read one partition of the log between two offsets, in batches."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from rollcall.events.topics import MAX_RECORD_BYTES, MEBIBYTE
from rollcall.kafka.client import client_options, stop_consumer
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

BATCH_RECORDS: Final = 1000
BATCH_BYTES: Final = 4 * MEBIBYTE
SILENT_AFTER_S: Final = 30.0
_POLL_MS: Final = 500
_STOP_TIMEOUT_S: Final = 5.0


async def read(
    settings: Settings, topic: str, partition: int, begin: int, end: int
) -> AsyncIterator[Sequence[ConsumerRecord]]:
    """The records from offset `begin` to below `end`, at most 1,000 and about 4 MiB at a time.

    Raises Unavailable if Kafka does not answer, or returns no record for 30 seconds.
    """
    if begin >= end:
        return
    place = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
    )
    try:
        await consumer.start()
        consumer.assign([place])
        consumer.seek(place, begin)
        heard_s, position = time.monotonic(), begin
        while position < end:
            fetched = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=BATCH_RECORDS)
            records = [each for each in fetched.get(place, ()) if each.offset < end]
            if records:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > SILENT_AFTER_S:
                raise Unavailable("Kafka (it gives no records)")
            for batch in _bounded(records):
                yield batch
            if records:
                heard_s = time.monotonic()  # the time that the caller took does not count
            position = await consumer.position(place)
    except (KafkaError, IllegalStateError, OSError, TimeoutError) as error:
        raise Unavailable(f"Kafka ({type(error).__name__})") from error
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
