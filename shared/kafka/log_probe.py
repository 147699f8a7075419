"""Looks at what a topic's partitions hold around given offsets, beside the consumer they feed.

Who is given many partitions at once (a rebalance) asks for all of them at once: questions that come
while one round is under way are answered together in the next. One consumer without a group is
kept for that, and made anew after a failure.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from shared.kafka.client import client_options, stop_consumer
from shared.kafka.feed import Look, Record
from shared.runtime.config import Settings
from shared.runtime.errors import Unavailable

ROUND_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
REQUEST_TIMEOUT_MS: Final = 5_000
POLL_MS: Final = 200
EMPTY_FETCH_MS: Final = 5
"""What is asked for is there. A fetch that asks for nothing yet, between assignment and position,
must not keep the next one, and the batch that waits for the look, for longer."""


@dataclass(frozen=True, slots=True)
class _Ask:
    partition: int
    offset: int
    answer: "asyncio.Future[Look]"


class LogProbe:
    """Looks at the partitions of one topic. Connects when it is asked, also after a `close`."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._asks: list[_Ask] = []
        self._round: asyncio.Task[None] | None = None
        self._consumer: AIOKafkaConsumer | None = None

    async def look(self, partition: int, offset: int) -> Look:
        """The partition's bounds, and its first record from `offset` - 1 on.

        Raises Unavailable.
        """
        answer: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
        self._asks.append(_Ask(partition, offset, answer))
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._answer(), name=f"probe of {self._topic}")
        return await answer

    async def close(self) -> None:
        """Leave Kafka; who still waits is told Unavailable."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round])
        _refuse(self._asks, Unavailable("Kafka"))
        await self._disconnect()

    async def _answer(self) -> None:
        while self._asks:
            asks = self._next_round()
            if not asks:
                continue
            try:
                async with asyncio.timeout(ROUND_TIMEOUT_S):
                    found = await self._look_at({ask.partition: ask.offset for ask in asks})
            except (KafkaError, IllegalStateError, TimeoutError, OSError) as error:
                _refuse(asks, Unavailable(f"Kafka ({type(error).__name__})"))
                await self._disconnect()
            except asyncio.CancelledError:
                _refuse(asks, Unavailable("Kafka"))
                raise
            except Exception as error:  # told to whoever asked, who is the owner of this round
                _refuse(asks, error)
                await self._disconnect()
            else:
                for ask in asks:
                    if not ask.answer.done():
                        ask.answer.set_result(found[ask.partition])

    def _next_round(self) -> list[_Ask]:
        """Everybody who waits, but only one question for each partition."""
        chosen: dict[int, _Ask] = {}
        left = []
        for ask in self._asks:
            if ask.answer.done():
                continue  # who asked was cancelled
            if ask.partition in chosen:
                left.append(ask)
            else:
                chosen[ask.partition] = ask
        self._asks = left
        return list(chosen.values())

    async def _look_at(self, offsets: dict[int, int]) -> dict[int, Look]:
        """Partition → what it holds around its offset."""
        consumer = await self._connected()
        asked = {TopicPartition(self._topic, number): at for number, at in offsets.items()}
        consumer.assign(list(asked))
        first, end = await asyncio.gather(
            consumer.beginning_offsets(list(asked)), consumer.end_offsets(list(asked))
        )
        consumer.pause(*asked)
        wanted = {at: offset - 1 for at, offset in asked.items() if first[at] < offset <= end[at]}
        records = await _read(consumer, wanted) if wanted else {}
        return {at.partition: Look(first[at], end[at], records.get(at)) for at in asked}

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **client_options(self._settings),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="latest",
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                fetch_max_wait_ms=EMPTY_FETCH_MS,
                # The first batch of a fetch comes whole, however large; no more is wanted.
                max_partition_fetch_bytes=1,
            )
            self._consumer = consumer
            await consumer.start()
        return self._consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_consumer(consumer, STOP_TIMEOUT_S)


async def _read(
    consumer: AIOKafkaConsumer, wanted: dict[TopicPartition, int]
) -> dict[TopicPartition, Record]:
    """The first record from each offset on. Offsets that vanish meanwhile raise KafkaError."""
    # Assigned anew and positioned without a pause between: nothing is read from elsewhere.
    consumer.assign(list(wanted))
    for partition, offset in wanted.items():
        consumer.seek(partition, offset)
    found: dict[TopicPartition, Record] = {}
    while len(found) < len(wanted):
        fetched: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=POLL_MS)
        for partition, records in fetched.items():
            if records:
                found.setdefault(partition, records[0])
                consumer.pause(partition)
    return found


def _refuse(asks: list[_Ask], error: Exception) -> None:
    for ask in asks:
        if not ask.answer.done():
            ask.answer.set_exception(error)
