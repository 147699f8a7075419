"""Read one whole partition into memory and follow it, without a group and without stored offsets.

It is meant for small compacted topics, and for partitions of which only new records matter. The
reader's task survives an outage of Kafka: what was read stays, and reading continues where it
stopped. `age_s` is the time since the reader last knew that it was at the end.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Literal

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from rollcall.events.topics import MAX_RECORD_BYTES
from rollcall.kafka.client import client_options, stop_consumer
from rollcall.observability.logging import get_logger
from rollcall.runtime.clock import machine_ms
from rollcall.runtime.config import Settings
from rollcall.runtime.retry import backoff_s

_POLL_MS: Final = 500
_ASK_TIMEOUT_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 5.0
_REQUEST_TIMEOUT_MS: Final = 5000
_SILENT_AFTER_S: Final = 30.0
"""A healthy consumer hears from the broker several times per second, even without new records."""

log = get_logger()

OnRecord = Callable[[ConsumerRecord], None]
ChoosePartition = Callable[[set[int]], int]


class TopicReader:
    """Calls `on_record` for each record of one partition, in order, from one task.

    `begin_at` is where the first reading begins: at the `beginning`, or at the `end` of that
    moment. `choose` picks the partition, once, among those that exist. `fetch_wait_ms` is how long
    the broker holds an empty fetch: new records end it, but a question about the end (`reach_end`)
    waits behind it on the same connection.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        *,
        client_id: str,
        choose: ChoosePartition = min,
        begin_at: Literal["beginning", "end"] = "beginning",
        fetch_wait_ms: int = 500,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._client_id = client_id
        self._choose = choose
        self._begin_at = begin_at
        self._fetch_wait_ms = fetch_wait_ms
        self._partition: int | None = None
        self._position: int | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._at_end_ms: int | None = None
        self._positioned = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._targets: dict[asyncio.Future[None], int] = {}
        self._round: asyncio.Task[bool] | None = None

    @property
    def partition(self) -> int | None:
        """The partition that is read; None until Kafka was reachable once."""
        return self._partition

    @property
    def positioned(self) -> asyncio.Event:
        """Set once the offset is known at which the first reading begins."""
        return self._positioned

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once everything that was in the partition at the start has been read."""
        return self._caught_up

    @property
    def age_s(self) -> float:
        """Seconds since it last knew that nothing was left to read; infinite before that."""
        if self._at_end_ms is None:
            return float("inf")
        return max(0.0, (machine_ms() - self._at_end_ms) / 1000)

    def start(self, on_record: OnRecord) -> None:
        """Begin to read, in its own task. `on_record` must not raise."""
        self._task = asyncio.create_task(self._run(on_record), name=f"reader of {self._topic}")

    async def stop(self) -> None:
        """Stop reading and close the connection."""
        for task in (self._round, self._task):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._round = self._task = None

    async def reach_end(self, timeout_s: float) -> bool:
        """Wait until everything that is in the partition now has been read; False after a time-out.

        One question to Kafka serves all callers. A caller that comes while a question is under way
        waits for the next one, because that answer may be older than the caller's "now".
        """
        try:
            async with asyncio.timeout(timeout_s):
                running = self._round
                if running is not None and not running.done():
                    await asyncio.wait([running])
                if self._round is running or self._round is None:
                    self._round = asyncio.create_task(self._ask_and_wait(), name="end of topic")
                return await asyncio.shield(self._round)
        except TimeoutError:
            return False

    async def _ask_and_wait(self) -> bool:
        consumer, partition = self._consumer, self._topic_partition()
        if consumer is None or partition is None:
            return False
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                end = (await consumer.end_offsets([partition]))[partition]
                await self._reach(end)
        except (TimeoutError, KafkaError, IllegalStateError):
            return False
        return True

    async def _reach(self, target: int) -> None:
        if self._position is not None and self._position >= target:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._targets[reached] = target
        try:
            await reached
        finally:
            del self._targets[reached]

    def _topic_partition(self) -> TopicPartition | None:
        return None if self._partition is None else TopicPartition(self._topic, self._partition)

    async def _run(self, on_record: OnRecord) -> None:
        """Read without end; after a failure with a new consumer, from where it stopped."""
        attempt = 0
        while True:
            consumer = self._new()
            read_before = self._position
            try:
                await self._connect(consumer)
                self._consumer = consumer
                await self._follow(consumer, on_record)
            except (KafkaError, OSError, TimeoutError, IllegalStateError) as error:
                attempt = 1 if self._position != read_before else attempt + 1
                log.warning(
                    "consumer.rebuilt",
                    topic=self._topic,
                    error=type(error).__name__,
                    attempt=attempt,
                )
            except Exception as error:  # outermost edge: keys must not become stale silently
                attempt = 1 if self._position != read_before else attempt + 1
                log.error(
                    "task.failed",
                    task=f"reader of {self._topic}",
                    error=type(error).__name__,
                    exc_info=True,
                    runbook="worker-failed",
                )
            finally:
                self._consumer = None
                await stop_consumer(consumer, _STOP_TIMEOUT_S)
            await asyncio.sleep(backoff_s(attempt, initial_s=0.2, maximum_s=5.0))

    async def _connect(self, consumer: AIOKafkaConsumer) -> None:
        async with asyncio.timeout(_ASK_TIMEOUT_S):
            await consumer.start()
            if self._partition is None:
                # There is no public method to ask for the partitions of an unsubscribed topic.
                partitions = await consumer._client._wait_on_metadata(self._topic)  # noqa: SLF001
                self._partition = self._choose(set(partitions))
            partition = TopicPartition(self._topic, self._partition)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            if self._position is None:
                first = (await consumer.beginning_offsets([partition]))[partition]
                self._position = first if self._begin_at == "beginning" else end
            elif self._position > end:
                # The topic was created again and is shorter than before: read all of it.
                self._position = (await consumer.beginning_offsets([partition]))[partition]
            consumer.seek(partition, self._position)
            self._targets[self._caught_up_future()] = end
            self._positioned.set()
            self._arrived(self._position)

    def _caught_up_future(self) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def set_caught_up(_: "asyncio.Future[None]") -> None:
            self._targets.pop(future, None)
            self._caught_up.set()

        future.add_done_callback(set_caught_up)
        return future

    async def _follow(self, consumer: AIOKafkaConsumer, on_record: OnRecord) -> None:
        partition = TopicPartition(self._topic, self._partition)
        heard_ms = machine_ms()
        while True:
            batches = await consumer.getmany(partition, timeout_ms=_POLL_MS)
            for record in batches.get(partition, ()):
                on_record(record)
            position = await consumer.position(partition)
            self._position = position
            asked_ms = consumer.last_poll_timestamp(partition)
            heard_ms = max(heard_ms, asked_ms or 0)
            if machine_ms() - heard_ms > _SILENT_AFTER_S * 1000:
                raise TimeoutError("the consumer hears nothing: Kafka is away, or it is stuck")
            highwater = consumer.highwater(partition)
            if asked_ms is not None and highwater is not None and position >= highwater:
                self._at_end_ms = asked_ms
            self._arrived(position)

    def _arrived(self, position: int) -> None:
        for reached, target in list(self._targets.items()):
            if position >= target and not reached.done():
                reached.set_result(None)

    def _new(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **client_options(self._settings),
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest" if self._begin_at == "beginning" else "latest",
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            fetch_max_wait_ms=self._fetch_wait_ms,
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
        )
