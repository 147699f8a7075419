"""One assigned partition: its feed, its worker, and the task that runs workers for it."""

import asyncio
import contextlib
import time
import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from rollcall.kafka.feed import Feed, FeedClosed
from rollcall.kafka.worker import Fenced, PartitionHalted, Worker
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.runtime.retry import backoff_s

CANCEL_TIMEOUT_S: Final = 5.0
SETTLED_AFTER_S: Final = 30.0
"""A worker that ran this long before it failed is started again without a long pause."""
LONGEST_GAP_S: Final = 15.0
"""If two looks at a worker are further apart, the process slept, and that time does not count."""

log = get_logger()


class Slot:
    """Runs workers for one partition, one after another, until the partition is given up.

    `is_reading`: the worker's position is set, and what the consumer delivers goes to its feed.
    `first_offset`: the first offset that the log still has, when last asked.
    """

    def __init__(
        self,
        partition: TopicPartition,
        consumer: AIOKafkaConsumer,
        make_worker: Callable[[int], Worker],
        feed: Feed,
    ) -> None:
        self.partition = partition
        self.consumer = consumer
        self.feed = feed
        self.is_reading = False
        self.first_offset: int | None = None
        self._make_worker = make_worker
        self._worker: Worker | None = None
        self._has_position = False
        self._is_halted = False
        self._task: asyncio.Task[None] | None = None
        self._seen_offset = -1
        self._seen_at_s = time.monotonic()
        self._stands_still_s = 0.0
        feed.on_room = self._resume

    @property
    def applied(self) -> int | None:
        """The offset after the last record that is applied for good; None while unknown."""
        if self._worker is None or not self._has_position:
            return None
        return self._worker.next_offset

    @property
    def lag(self) -> int | None:
        """The number of known records that are not applied; None while unknown."""
        applied = self.applied
        return None if applied is None else max(0, self.feed.highwater - applied)

    @property
    def behind(self) -> float | None:
        """The fraction of the retained log that is not applied, from 0 to 1; None while unknown.

        At 1 retention deletes records that were not applied.
        """
        if self.applied is None or self.first_offset is None:
            return None
        return part_behind(self.applied, self.first_offset, self.feed.highwater)

    @property
    def waits_for_outage(self) -> bool:
        """Whether the worker waits for Postgres or Kafka to come back."""
        return self._worker is not None and self._worker.waits_for_outage

    def start(self, before: "asyncio.Task[None] | None") -> None:
        """Begin; `before` is the task that ends this process's earlier worker of the partition."""
        self._task = asyncio.create_task(self._tend(before))

    async def end(self, drain_timeout_s: float) -> None:
        """Let the worker finish its batch; cancel it if that takes longer than the time-out."""
        self.is_reading = False
        self.feed.close()
        task = self._task
        if task is None:
            return
        _, late = await asyncio.wait([task], timeout=drain_timeout_s)
        if late:
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_TIMEOUT_S)

    def observe(self) -> None:
        """Note whether the worker has progressed; called every few seconds."""
        now_s = time.monotonic()
        gap_s, self._seen_at_s = min(now_s - self._seen_at_s, LONGEST_GAP_S), now_s
        offset = self.applied
        seen = -1 if offset is None else offset
        if seen != self._seen_offset or not self._has_reason_to_move():
            self._seen_offset, self._stands_still_s = seen, 0.0
        else:
            self._stands_still_s += gap_s

    def is_stalled(self, limit_s: float) -> bool:
        """Whether it made no progress for `limit_s` despite lag and without a known reason."""
        return self._has_reason_to_move() and self._stands_still_s > limit_s

    def _has_reason_to_move(self) -> bool:
        if self._worker is None or self._is_halted or self._worker.waits_for_outage:
            return False
        return not self._has_position or self.feed.highwater > self._worker.next_offset

    async def _tend(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        failures = 0
        while not self.feed.is_closed:
            started_s = time.monotonic()
            try:
                await self._work()
            except FeedClosed:
                return
            except Fenced:
                # Enough time for a heartbeat to tell who owns the partition.
                failures = 3 + (0 if _has_settled(started_s) else failures)
            except Exception as error:  # outermost edge of a worker: our bug, so start another one
                failures = 1 + (0 if _has_settled(started_s) else failures)
                self._log_failed(error)
            finally:
                self.is_reading = False
            pause_s = backoff_s(max(failures, 1), initial_s=0.1, maximum_s=10)
            if await self.feed.closes_within(pause_s):
                return

    async def _work(self) -> None:
        """The life of one worker. A halted one stays until an operator resumes the partition."""
        worker = self._make_worker(self.partition.partition)
        self._worker, self._has_position = worker, False
        try:
            await self._run(worker)
        except PartitionHalted as halted:
            await self._stand(worker, halted)

    async def _stand(self, worker: Worker, halted: PartitionHalted) -> None:
        self._is_halted = self._has_position = True
        self.is_reading = False
        with contextlib.suppress(IllegalStateError):  # revoked in the meantime
            self.consumer.pause(self.partition)
        self._log_halted(halted)
        gauge = metrics.HALTED_PARTITIONS.labels(self.partition.topic, halted.cause)
        gauge.inc()
        try:
            await worker.until_resumed(self.feed)
        finally:
            gauge.dec()
            self._is_halted = False

    async def _run(self, worker: Worker) -> None:
        offset = await worker.start(self.feed)
        self._has_position = True
        if self.feed.is_closed:
            return
        self.feed.open(offset)
        try:
            self.consumer.pause(self.partition)
            self.consumer.seek(self.partition, offset)
            self.consumer.resume(self.partition)
        except IllegalStateError:
            return  # revoked in the meantime; its callback closes the feed
        self.is_reading = True
        await worker.run(self.feed)

    def _resume(self) -> None:
        if self.is_reading:
            with contextlib.suppress(IllegalStateError):
                self.consumer.resume(self.partition)

    def _log_halted(self, halted: PartitionHalted) -> None:
        log.error(
            "partition.halted",
            topic=self.partition.topic,
            partition=self.partition.partition,
            cause=halted.cause,
            reason=str(halted),
            runbook=halted.runbook,
        )

    def _log_failed(self, error: Exception) -> None:
        log.error(
            "task.failed",
            topic=self.partition.topic,
            partition=self.partition.partition,
            error=type(error).__name__,
            where=_frames(error),
            runbook="worker-failed",
        )


def _has_settled(started_s: float) -> bool:
    """Whether a worker ran long enough that its failure does not count with earlier ones."""
    return time.monotonic() - started_s > SETTLED_AFTER_S


def _frames(error: Exception) -> list[str]:
    """Where it was raised. Its message is left out, because Postgres's quote values of a row."""
    return [
        f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-12:]
    ]


def part_behind(applied: int, first_offset: int, end_offset: int) -> float:
    """The fraction of a log from `first_offset` to `end_offset` that is not applied, 0 to 1."""
    if applied >= end_offset:
        return 0.0
    if applied <= first_offset:
        return 1.0
    return (end_offset - applied) / (end_offset - first_offset)
