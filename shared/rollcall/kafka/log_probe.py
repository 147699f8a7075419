"""Looks at what a topic's partitions hold around given offsets, beside the consumer they feed.

Who is given many partitions at once (a rebalance) asks for all of them at once. Each question has a
result and a time-out of its own, so a partition without a leader keeps no other one waiting: its
bounds are asked for alone, and records are read in short rounds of those whose bounds are known,
which have a leader. One consumer without a group is kept for that, and made again after a failure
during which nothing else was answered.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from rollcall.kafka.client import client_options, stop_consumer
from rollcall.kafka.feed import Look, Record
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

LOOK_TIMEOUT_S: Final = 10.0
ROUND_TIMEOUT_S: Final = 2.0
"""For the records of one round: their partitions answered just before."""
STOP_TIMEOUT_S: Final = 5.0
REQUEST_TIMEOUT_MS: Final = 5_000
POLL_MS: Final = 200
EMPTY_FETCH_MS: Final = 5
"""What is asked for is there. A fetch that asks for nothing yet, between assignment and position,
must not keep the next one, and the batch that waits for the look, for longer."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The first record of a partition from `offset` on."""

    partition: int
    offset: int
    answer: "asyncio.Future[Record]"


class LogProbe:
    """Looks at the partitions of one topic. Connects when it is asked, also after a `close`."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._looks: set[asyncio.Task[Look]] = set()
        self._wanted: list[_Wanted] = []
        self._round: asyncio.Task[None] | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._connecting = asyncio.Lock()
        self._answers = 0

    async def look(self, partition: int, offset: int) -> Look:
        """The partition's bounds, and its first record from `offset` - 1 on.

        Raises Unavailable.
        """
        # A task of its own: `close` ends it, and who asked is answered all the same.
        look = asyncio.create_task(
            self._look(partition, offset), name=f"probe of {self._topic}/{partition}"
        )
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        try:
            await asyncio.wait((look,))
        finally:
            look.cancel()
        if look.cancelled():
            raise Unavailable("Kafka")
        return look.result()

    async def close(self) -> None:
        """Leave Kafka; who still waits is told Unavailable."""
        under_way = [*self._looks, *([self._round] if self._round is not None else [])]
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
        await self._disconnect(self._consumer)

    async def _look(self, partition: int, offset: int) -> Look:
        answers, consumer = self._answers, None
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                consumer = await self._connected()
                at = TopicPartition(self._topic, partition)
                first, end = await asyncio.gather(
                    consumer.beginning_offsets([at]), consumer.end_offsets([at])
                )
                before = None
                if first[at] < offset <= end[at]:
                    before = await self._read(partition, offset - 1)
        except (KafkaError, IllegalStateError, TimeoutError, OSError) as error:
            if self._answers == answers:  # it may be the connection, not this partition
                await self._disconnect(consumer)
            raise Unavailable(f"Kafka ({type(error).__name__})") from error
        self._answers += 1
        return Look(first[at], end[at], before)

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._connecting:
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
                try:
                    await consumer.start()
                except BaseException:
                    await stop_consumer(consumer, STOP_TIMEOUT_S)
                    raise
                self._consumer = consumer
            return self._consumer

    async def _disconnect(self, consumer: AIOKafkaConsumer | None) -> None:
        """Leave this consumer, unless that was done already."""
        if consumer is not None and consumer is self._consumer:
            self._consumer = None
            await stop_consumer(consumer, STOP_TIMEOUT_S)

    async def _read(self, partition: int, offset: int) -> Record:
        answer: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._wanted.append(_Wanted(partition, offset, answer))
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._answer(), name=f"records of {self._topic}")
        return await answer

    async def _answer(self) -> None:
        """Read records in rounds for as long as any are wanted."""
        while wanted := self._next_round():
            try:
                consumer = await self._connected()
                async with asyncio.timeout(ROUND_TIMEOUT_S):
                    await _read_into(consumer, self._topic, wanted)
            except asyncio.CancelledError:
                _refuse([*wanted, *self._wanted], Unavailable("Kafka"))
                raise
            except Exception as error:  # said to who asked, and looked at there
                _refuse(wanted, error)

    def _next_round(self) -> list[_Wanted]:
        """Every record that is waited for, but only one of each partition."""
        chosen: dict[int, _Wanted] = {}
        left = []
        for each in self._wanted:
            if each.answer.done():
                continue  # who asked is gone
            if each.partition in chosen:
                left.append(each)
            else:
                chosen[each.partition] = each
        self._wanted = left
        return list(chosen.values())


async def _read_into(consumer: AIOKafkaConsumer, topic: str, wanted: list[_Wanted]) -> None:
    """Answer each with its record as it comes. Offsets that vanish meanwhile raise KafkaError."""
    open_ = {TopicPartition(topic, each.partition): each for each in wanted}
    # Assigned and positioned without a pause between: nothing is read from elsewhere.
    consumer.assign(list(open_))
    for partition, each in open_.items():
        consumer.seek(partition, each.offset)
    while open_:
        fetched: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=POLL_MS)
        for partition, records in fetched.items():
            if records and partition in open_:
                each = open_.pop(partition)
                consumer.pause(partition)
                if not each.answer.done():
                    each.answer.set_result(records[0])


def _refuse(wanted: list[_Wanted], error: BaseException) -> None:
    for each in wanted:
        if not each.answer.done():
            each.answer.set_exception(error)
