"""Look at a topic's partitions around given offsets, with a consumer of its own.

A rebalance may assign many partitions at once, and all looks run together. Each look has its own
result and time-out, so that a partition without a leader does not delay the others: its bounds are
requested separately, and records are read in short rounds from partitions whose bounds are known,
which therefore have a leader. One consumer without a group is kept for this. It is replaced after a
failure during which no other look was answered.
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
"""Time-out of one round of reading; its partitions have just answered with their bounds."""
STOP_TIMEOUT_S: Final = 5.0
REQUEST_TIMEOUT_MS: Final = 5_000
POLL_MS: Final = 200
EMPTY_FETCH_MS: Final = 5
"""The wanted record exists, so no fetch has to wait for one. A fetch sent between assignment and
position asks for nothing, and must not delay the next one and the batch that waits for the look."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A look that waits for the first record of a partition at or after `offset`."""

    partition: int
    offset: int
    answer: "asyncio.Future[Record]"


class LogProbe:
    """Looks at the partitions of one topic. Connects when first asked, also after a `close`."""

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
        """The partition's bounds, and its first record at or after `offset` - 1.

        Raises Unavailable.
        """
        # In its own task: `close` may cancel it, and the caller still gets an answer.
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
        """Disconnect from Kafka; callers that still wait get Unavailable."""
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
            if self._answers == answers:  # no other answer came: the connection may be broken
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
                    # The first batch of a fetch comes whole at any size, and no more is needed.
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
        """Disconnect this consumer, unless that was done already."""
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
        """Read records in rounds while any are wanted."""
        while wanted := self._next_round():
            try:
                consumer = await self._connected()
                async with asyncio.timeout(ROUND_TIMEOUT_S):
                    await _read_into(consumer, self._topic, wanted)
            except asyncio.CancelledError:
                _refuse([*wanted, *self._wanted], Unavailable("Kafka"))
                raise
            except Exception as error:  # passed to the callers, who handle it
                _refuse(wanted, error)

    def _next_round(self) -> list[_Wanted]:
        """The records that are waited for, at most one per partition."""
        chosen: dict[int, _Wanted] = {}
        left = []
        for each in self._wanted:
            if each.answer.done():
                continue  # its caller is gone
            if each.partition in chosen:
                left.append(each)
            else:
                chosen[each.partition] = each
        self._wanted = left
        return list(chosen.values())


async def _read_into(consumer: AIOKafkaConsumer, topic: str, wanted: list[_Wanted]) -> None:
    """Answer each look when its record comes. Raises KafkaError for offsets that vanished."""
    open_ = {TopicPartition(topic, each.partition): each for each in wanted}
    # Assign and seek without an await between them, so that no other offset is read.
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
