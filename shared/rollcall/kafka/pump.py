"""The pump: the only caller of a consumer's `getmany`, with one worker per assigned partition.

The rule. The pump keeps polling whatever Postgres or a worker does, so the process stays in the
group during any outage except Kafka's own. Rebalance callbacks do no I/O and never raise, because
while one runs aiokafka sends no heartbeat, swallows exceptions, and may deliver records. They pause
the partition, seek to a placeholder position so that nothing is read from a committed offset, and
start the partition's task. That task waits for the worker that had the partition before, asks the
new worker for the position (which is in Postgres), seeks and resumes.

A worker whose partition was revoked may finish its batch while the next owner runs already. That is
safe because each batch compares and sets the position: the second one writes nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from rollcall.events.topics import MEBIBYTE
from rollcall.kafka.client import REQUEST_TIMEOUT_MS, client_options, stop_consumer
from rollcall.kafka.feed import Feed
from rollcall.kafka.fetch_wait import BUSY_FETCH_MS, set_longest_fetch
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.offsets import commit_for_monitors, end_offsets, first_offsets
from rollcall.kafka.slot import Slot
from rollcall.kafka.worker import OutOfRange, Worker
from rollcall.observability.logging import get_logger
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.lifecycle import is_set_within
from rollcall.runtime.retry import backoff_s

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 5.0
POLL_TIMEOUT_S: Final = 3.0
REPORT_EVERY_S: Final = 3.0
WITHOUT_PARTITION_S: Final = 120.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class PumpOptions:
    """What one pump reads, and its bounds. Queue bounds are per partition."""

    topic: str
    group_id: str
    max_queued_records: int = 4000
    max_queued_bytes: int = 8 * MEBIBYTE
    drain_timeout_s: float = 10.0
    session_timeout_ms: int = 6000
    heartbeat_interval_ms: int = 500
    expects_partition: bool = True
    """Whether to warn if the group gives this process no partition."""


class Pump:
    """Consumes one topic as a member of a group; calls `make_worker` with each partition."""

    def __init__(
        self, settings: Settings, options: PumpOptions, make_worker: Callable[[int], Worker]
    ) -> None:
        self._settings = settings
        self._options = options
        self._make_worker = make_worker
        self._probe = LogProbe(settings, options.topic)
        self._slots: dict[TopicPartition, Slot] = {}
        self._ending: dict[TopicPartition, asyncio.Task[None]] = {}
        self._has_joined = False
        self._is_leaving = False
        self._without_partition_since_s = time.monotonic()

    @property
    def has_joined(self) -> bool:
        """Whether the group has given this process an assignment, which may be empty."""
        return self._has_joined

    @property
    def partitions(self) -> list[int]:
        """The numbers of the partitions that this process owns now."""
        return list(self._by_number())

    def lags(self) -> dict[int, int]:
        """Partition → number of its records that are known and not applied yet."""
        found = {number: slot.lag for number, slot in self._by_number().items()}
        return {number: lag for number, lag in found.items() if lag is not None}

    def behind(self) -> dict[int, float]:
        """Partition → the fraction of the retained log that is not applied, from 0 to 1."""
        found = {number: slot.behind for number, slot in self._by_number().items()}
        return {number: part for number, part in found.items() if part is not None}

    def waiting(self) -> list[int]:
        """Partitions whose worker waits for the end of an outage."""
        return [number for number, slot in self._by_number().items() if slot.waits_for_outage]

    def stalled(self, limit_s: float) -> list[int]:
        """Partitions with lag whose worker made no progress for `limit_s` without known reason."""
        return [number for number, slot in self._by_number().items() if slot.is_stalled(limit_s)]

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, then drain and leave the group.

        A consumer that fails is replaced after a pause, which grows with each failure.
        """
        failures = 0
        while not stop.is_set():
            self._has_joined = False
            try:
                await self._consume(stop)
                failures = 0
            except (KafkaError, IllegalStateError, Unavailable, TimeoutError, OSError) as error:
                failures = 1 if self._has_joined else failures + 1
                log.warning(
                    "consumer.rebuilt",
                    topic=self._options.topic,
                    error=f"{type(error).__name__}: {error}",
                )
                pause_s = backoff_s(failures, initial_s=0.5, maximum_s=10)
                await is_set_within(stop, pause_s)

    async def _consume(self, stop: asyncio.Event) -> None:
        """The life of one consumer. Raises the error that ends it."""
        self._is_leaving = False
        consumer = AIOKafkaConsumer(**self._consumer_options())
        consumer.subscribe([self._options.topic], listener=_Rebalance(self, consumer))
        reports = asyncio.create_task(self._report(consumer))
        try:
            await _start(consumer, stop)
            while not stop.is_set():
                await self._poll(consumer)
                if reports.done():
                    reports.result()
        finally:
            reports.cancel()
            await asyncio.wait([reports])
            await self._leave(consumer)

    def _consumer_options(self) -> dict[str, Any]:
        return {
            **client_options(self._settings),
            "group_id": self._options.group_id,
            "partition_assignment_strategy": (RangePartitionAssignor,),
            "auto_offset_reset": "none",
            "enable_auto_commit": False,
            "session_timeout_ms": self._options.session_timeout_ms,
            "heartbeat_interval_ms": self._options.heartbeat_interval_ms,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "fetch_max_bytes": 32 * MEBIBYTE,
            # The first record of a fetch comes whole at any size; this bounds the rest.
            "max_partition_fetch_bytes": MEBIBYTE,
            "fetch_max_wait_ms": BUSY_FETCH_MS,
        }

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        set_longest_fetch(consumer)
        try:
            # During a rebalance `getmany` waits for the assignment without a time-out.
            async with asyncio.timeout(POLL_TIMEOUT_S):
                fetched = await consumer.getmany(timeout_ms=200)
        except TimeoutError:
            return
        except NoOffsetForPartitionError:
            return  # between assignment and callback; the partition's task will seek anyway
        except OffsetOutOfRangeError as error:
            self._out_of_range(consumer, error.args[0])
            return
        for partition, records in fetched.items():
            slot = self._slots.get(partition)
            if slot is None or slot.consumer is not consumer or not slot.is_reading:
                continue
            slot.feed.put(records)
            if slot.feed.is_full:
                consumer.pause(partition)
                set_longest_fetch(consumer)
            with contextlib.suppress(AssertionError):  # revoked in the meantime
                slot.feed.highwater = max(slot.feed.highwater, consumer.highwater(partition) or 0)

    def _out_of_range(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
            slot = self._slots.get(partition)
            if slot is not None and slot.is_reading:
                slot.is_reading = False
                with contextlib.suppress(IllegalStateError):
                    consumer.pause(partition)
                slot.feed.fail(OutOfRange(f"offset {offset} is not in the log"))

    def assigned(self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        """Callback of the group: pause, seek to a placeholder, start the task. No I/O."""
        self._has_joined = True
        for partition in partitions:
            consumer.pause(partition)
            consumer.seek(partition, 0)
            if self._is_leaving:
                continue  # this process leaves, and another one will get it
            feed = Feed(
                partition.partition,
                max_records=self._options.max_queued_records,
                max_bytes=self._options.max_queued_bytes,
                on_look=self._probe.look,
            )
            slot = Slot(partition, consumer, self._make_worker, feed)
            self._slots[partition] = slot
            slot.start(self._ending.get(partition))
        log.info("consumer.assigned", topic=self._options.topic, partitions=self.partitions)

    def revoked(self) -> None:
        """Callback of the group before it is joined again: give up all partitions. No I/O."""
        if self._slots:
            log.info("consumer.revoked", topic=self._options.topic, partitions=self.partitions)
        for partition, slot in self._slots.items():
            slot.is_reading = False
            slot.feed.close()
            ending = asyncio.create_task(slot.end(self._options.drain_timeout_s))
            self._ending[partition] = ending
        self._slots.clear()
        self._without_partition_since_s = time.monotonic()

    async def _leave(self, consumer: AIOKafkaConsumer) -> None:
        """Drain every worker, commit their offsets, leave the group, close."""
        self._is_leaving = True
        partitions = set(self._slots)
        ending = [slot.end(self._options.drain_timeout_s) for slot in self._slots.values()]
        await asyncio.gather(*ending, *self._ending.values())
        await commit_for_monitors(consumer, self._applied(partitions))
        await self._probe.close()
        self._slots.clear()
        self._ending.clear()
        await stop_consumer(consumer, STOP_TIMEOUT_S)

    def _applied(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        found = {
            partition: self._slots[partition].applied
            for partition in partitions
            if partition in self._slots
        }
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def _by_number(self) -> dict[int, Slot]:
        return {partition.partition: self._slots[partition] for partition in sorted(self._slots)}

    async def _report(self, consumer: AIOKafkaConsumer) -> None:
        """Every few seconds: commit for lag monitors, ask for the end offsets, look for stalls."""
        reported: dict[TopicPartition, int] = {}
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            applied = self._applied(list(self._slots))
            if applied != reported and await commit_for_monitors(consumer, applied):
                reported = applied
            for partition, end in (await end_offsets(consumer, set(self._slots))).items():
                if partition in self._slots:
                    feed = self._slots[partition].feed
                    feed.highwater = max(feed.highwater, end)
            for partition, first in (await first_offsets(consumer, set(self._slots))).items():
                if partition in self._slots:
                    self._slots[partition].first_offset = first
            self._observe()

    def _observe(self) -> None:
        now_s = time.monotonic()
        for slot in self._slots.values():
            slot.observe()
        if self._slots or not self._has_joined or not self._options.expects_partition:
            self._without_partition_since_s = now_s
        elif now_s - self._without_partition_since_s > WITHOUT_PARTITION_S:
            self._without_partition_since_s = now_s
            log.warning("consumer.idle", topic=self._options.topic, seconds=WITHOUT_PARTITION_S)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Plain functions, which aiokafka calls without awaiting, so they cannot wait for anything."""

    def __init__(self, pump: Pump, consumer: AIOKafkaConsumer) -> None:
        self._pump = pump
        self._consumer = consumer

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._pump.revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._pump.assigned(self._consumer, assigned)


async def _start(consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
    """Start the consumer, but give up as soon as the process is to stop."""
    starting = asyncio.create_task(consumer.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait(
            [starting, stopping], timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        if starting.done():
            starting.result()
        elif not stop.is_set():
            raise TimeoutError("the group gave no assignment")
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait([starting, stopping])
