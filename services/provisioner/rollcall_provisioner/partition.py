"""The worker of one partition of the requests: from its start to its end, batch after batch.

How a batch is applied is in batch.py, and what is announced after its commit in announce.py. Where
the partition stands, and what fences or halts a worker, is `rollcall.consuming.position`.
"""

from collections.abc import Sequence
from typing import Final, NoReturn

from rollcall.applying.dead_letters import SourceLog
from rollcall.consuming.position import Position
from rollcall.consuming.positioned import Positioned
from rollcall.kafka.feed import Feed, FeedClosed, Record
from rollcall.kafka.worker import OUT_OF_RANGE, Fenced, OutOfRange, PartitionHalted, log_differs
from rollcall.observability import metrics
from rollcall.runtime.errors import Unavailable
from rollcall_provisioner.announce import Announcer
from rollcall_provisioner.batch import Batches
from rollcall_provisioner.worker_context import BATCH_BYTES, WorkerContext

IDLE_S: Final = 1.0
"""After a second without a record, how far the announcements are is written on its own."""


class PartitionWorker(Positioned):
    """Applies one partition of the requests topic (a `rollcall.kafka.worker.Worker`)."""

    def __init__(self, context: WorkerContext, partition: int) -> None:
        self._context = context
        self._partition = partition
        super().__init__(
            Position(
                context.database,
                context.topics.requests,
                partition,
                fenced=metrics.PROVISIONER_FENCED,
                on_away=self._note_tried,
            )
        )
        self._log = self._position.log
        self._begin()

    def _begin(self) -> None:
        """What applies and announces from the position on, in the epoch that it is in."""
        context, position = self._context, self._position
        source = SourceLog(context.topics.requests, self._partition, position.epoch)
        self._announcer = Announcer(
            context.producer, context.topics, source, position.published_offset
        )
        self._batches = Batches(context, position, source, self._announcer)

    @property
    def waits_for_outage(self) -> bool:
        """Whether it stands still for a known reason.

        Postgres or Kafka is away, an operator has paused it, announcements wait for Kafka, or its
        batch waits for memory or has reported lately that it goes on.
        """
        return (
            self._position.waits_for_outage or self._announcer.is_settling or self._batches.is_busy
        )

    async def start(self, feed: Feed) -> int:
        """The position that Postgres holds, once the log is known to be the one it belongs to."""
        found = await self._position.read(feed)
        self._begin()
        self._position.require_running(found)
        if (differs := await self._position.compare(feed, found)) is not None:
            await self._halt(feed, differs)
        self._log.info(
            "partition.started",
            next_offset=found.next_offset,
            published_offset=found.published_offset,
            epoch=found.epoch,
        )
        return found.next_offset

    async def run(self, feed: Feed) -> None:
        """Announce what the worker before left unannounced, then apply batch after batch."""
        try:
            await self._catch_up(feed)
            while True:
                records = await feed.take(self._context.batch_records, BATCH_BYTES, IDLE_S)
                if records:
                    await self._apply(feed, records)
                else:
                    await self._store_published(feed)
                    self._context.stuck.passed(self._partition)
        except FeedClosed:
            await self._announcer.settle()
            await self._store_published_once()
        except OutOfRange as error:
            await self._halt(feed, log_differs(OUT_OF_RANGE, str(error)))
        except (Fenced, PartitionHalted):
            raise
        except Exception:  # a bug of ours; the next worker begins at the same position
            self._note_tried()
            raise
        finally:
            self._log.info("partition.stopped", next_offset=self.next_offset)

    async def until_resumed(self, feed: Feed) -> None:
        """Announce what is applied, then wait for `rollcall partition resume`."""
        await self._store_published(feed)
        await self._announcer.settle()
        await self._store_published(feed)
        await self._position.until_resumed(feed)
        self._log.info("partition.resumed")

    async def _apply(self, feed: Feed, records: Sequence[Record]) -> None:
        """Apply what was taken, up to what halts the partition, and announce what is left over."""
        if (differs := await self._position.compare_again(feed)) is not None:
            await self._halt(feed, differs)
        try:
            await self._batches.apply(feed, records)
        except PartitionHalted as halted:
            await self._halt(feed, halted)
        await self._catch_up(feed)

    async def _catch_up(self, feed: Feed) -> None:
        """Announce from the audit what another worker, or a failed delivery, left."""
        announcer, upto = self._announcer, self.next_offset
        if announcer.is_behind or (announcer.published < upto and not announcer.is_sending):
            await self._position.insist(
                feed, lambda: announcer.catch_up(self._context.database, upto)
            )

    async def _store_published(self, feed: Feed) -> None:
        """Write how far the announcements are, when no batch comes that would carry it."""
        await self._catch_up(feed)
        if self._announcer.published > self._position.published_offset:
            await self._position.insist(feed, self._write_published)

    async def _store_published_once(self) -> None:
        """As `_store_published`, tried once at the end: a failure costs only repeated outcomes."""
        if self._announcer.published > self._position.published_offset:
            try:
                await self._write_published()
            except (Fenced, Unavailable):
                return

    async def _write_published(self) -> None:
        published, unheard = self._announcer.published, self._announcer.unheard
        await self._position.publish(published, unheard)
        self._announcer.noted(unheard)

    async def _halt(self, feed: Feed, halted: PartitionHalted) -> NoReturn:
        """Note in Postgres that the partition stands, and raise `halted`; Fenced if not ours."""
        await self._announcer.settle()
        await self._position.note_halt(feed, halted)
        self._context.stuck.passed(self._partition)  # a halted partition has its own alert
        raise halted

    def _note_tried(self) -> None:
        """What stands at the position could not be applied this time."""
        self._context.stuck.tried(self._partition, self.next_offset)
