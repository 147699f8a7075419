"""Read the tails of all partitions of the requests, in every replica, without a group.

One statement a second asks Postgres how far each partition is applied. Before a partition is read
from there, its log is compared with the one that is applied, as the provisioner does. A partition
that cannot be read, or whose log is another one, says nothing about its own organisations; the
others go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError

from rollcall.events.topics import MEBIBYTE
from rollcall.kafka.client import REQUEST_TIMEOUT_MS, client_options, stop_consumer
from rollcall.kafka.log_probe import LogProbe
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import (
    INGRESS_TAIL_BYTES,
    INGRESS_TAIL_DROPPED,
    INGRESS_TAIL_RECORDS,
)
from rollcall.postgres.progress import Progress
from rollcall.runtime.clock import machine_ms
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.retry import backoff_s
from rollcall.tail.partition import PartitionTail

ASK_EVERY_S: Final = 1.0
"""Seconds between two questions to Postgres how far all partitions are applied."""
START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
POLL_MS: Final = 200
FETCH_WAIT_MS: Final = 250
"""How long the broker holds a fetch without records: so old is what is known of the end."""
TURN_MS: Final = POLL_MS + 200
"""Between two turns of the reader's loop, unless this process stood still."""
SILENT_AFTER_S: Final = 30.0
MAX_BYTES: Final = 128 * MEBIBYTE
"""Most bytes of all records that are held; a partition beyond that knows nothing for a minute."""
REST_MS: Final = 60_000

ReadApplied = Callable[[], Awaitable[Sequence[Progress]]]
"""How far all partitions are applied; raises Unavailable."""

log = get_logger()


class Tails:
    """The tails of all partitions. One per process; `run` it, and everything else only looks."""

    def __init__(
        self, settings: Settings, topic: str, read_applied: ReadApplied, *, client_id: str
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._read_applied = read_applied
        self._client_id = client_id
        self._probe = LogProbe(settings, topic)
        self._tails: dict[int, PartitionTail] = {}
        self._numbers: set[int] = set()
        self._consumer: AIOKafkaConsumer | None = None
        self._changed = asyncio.Condition()
        self._asked_at_ms: int | None = None
        self._asking: asyncio.Task[None] | None = None
        self._heard_before_ms: dict[int, int] = {}
        self._turned_at_ms = self._paused_at_ms = 0
        self._comparing: dict[int, asyncio.Task[None]] = {}

    def tail(self, partition: int) -> PartitionTail | None:
        """The partition's tail, if it is read and its log is the one that is applied."""
        found = self._tails.get(partition)
        return found if found is not None and found.is_usable else None

    def cannot_read(self, partition: int) -> bool:
        """Whether the partition will not be read soon: another log is there, or it is too large."""
        found = self._tails.get(partition)
        return found is not None and (
            found.differs is not None or found.rests_until_ms > machine_ms()
        )

    @property
    def are_caught_up(self) -> bool:
        """Whether all is read that was in any partition when its reading began."""
        tails = [self.tail(number) for number in self._numbers]
        return bool(tails) and all(each is not None and each.is_caught_up for each in tails)

    @property
    def asked_age_s(self) -> float:
        """Seconds since Postgres last said how far all is applied; infinite before that."""
        at_ms = self._asked_at_ms
        return float("inf") if at_ms is None else max(0.0, (machine_ms() - at_ms) / 1000)

    @property
    def size_bytes(self) -> int:
        """Bytes that all records take."""
        return sum(each.size_bytes for each in self._tails.values())

    def is_heard(self, partition: int, within_ms: int) -> bool:
        """Whether the broker has said so lately what there is to read in the partition."""
        consumer, place = self._consumer, TopicPartition(self._topic, partition)
        if consumer is None or place not in consumer.assignment():
            return False
        now_ms, heard_ms = machine_ms(), consumer.last_poll_timestamp(place)
        # Behind a pause of this process an old answer looks like one of now.
        goes = now_ms - self._turned_at_ms <= TURN_MS and now_ms - self._paused_at_ms > within_ms
        return goes and heard_ms is not None and now_ms - heard_ms <= within_ms

    def settled(self, partition: int, offset: int) -> None:
        """A reply to the record at this offset was read: all up to it is applied."""
        if (found := self._tails.get(partition)) is not None:
            found.trim(offset + 1)

    async def refresh(self) -> None:
        """Ask Postgres how far all is applied, once for all who ask meanwhile.

        Raises Unavailable.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_once(), name="how far is applied now")
            self._asking.add_done_callback(_note_failure)
        await asyncio.shield(self._asking)

    async def reach(self, partition: int, position: int, timeout_s: float) -> PartitionTail | None:
        """The partition's tail once everything below `position` was read; None if not in time."""

        def is_read() -> bool:
            found = self.tail(partition)
            return found is not None and (found.position or 0) >= position

        return self.tail(partition) if await self.until(is_read, timeout_s) else None

    async def until(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until it is so, by what is read and applied; False if it is not in time."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(is_so)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Ask and read without end; a consumer that fails is replaced."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(), name="how far is applied")
                group.create_task(self._read(), name="tails")
        finally:
            ending = [*self._comparing.values(), *((self._asking,) if self._asking else ())]
            for task in ending:
                task.cancel()
            if ending:
                await asyncio.wait(ending)
            await self._probe.close()

    async def _ask(self) -> None:
        while True:
            try:
                await self.refresh()
            except Unavailable as away:
                log.debug("postgres.unavailable", doing="how far is applied", reason=away.what)
            await asyncio.sleep(ASK_EVERY_S)

    async def _ask_once(self) -> None:
        applied = {each.partition: each for each in await self._read_applied()}
        for number in self._numbers | applied.keys():
            self._note(applied.get(number) or _nothing(self._topic, number))
        self._asked_at_ms = machine_ms()
        await self._announce()

    def _note(self, progress: Progress) -> None:
        found = self._tails.setdefault(progress.partition, PartitionTail(progress.partition))
        was_read = found.is_usable
        if not found.note_applied(progress) and was_read:
            self._assign()  # each time all partitions are fetched again: not for one that waits
        rests = found.rests_until_ms > machine_ms()
        if not found.is_usable and not rests and found.number not in self._comparing:
            task = asyncio.create_task(self._compare(found, found.generation), name="compare log")
            self._comparing[found.number] = task
            task.add_done_callback(lambda _: self._comparing.pop(found.number))

    async def _compare(self, found: PartitionTail, generation: int) -> None:
        """Compare the log with the one that is applied, and read it if it is the same."""
        applied = found.applied
        if applied is None:
            return
        try:
            look = await self._probe.look(found.number, applied.next_offset)
        except Unavailable:
            return  # asked again a second later
        if found.generation == generation and found.applied is not None:
            if found.applied.next_offset == applied.next_offset:
                found.begin(look)
            self._assign()

    async def _read(self) -> None:
        attempt = 0
        while True:
            consumer = AIOKafkaConsumer(
                **client_options(self._settings),
                client_id=self._client_id,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                max_partition_fetch_bytes=MEBIBYTE,
            )
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    await consumer.start()
                    # There is no public method to ask for the partitions without a subscription.
                    found = await consumer._client._wait_on_metadata(self._topic)  # noqa: SLF001
                    self._numbers = set(found)
                attempt = 0
                await self._follow(consumer)
            except (KafkaError, IllegalStateError, TimeoutError, OSError) as error:
                attempt += 1
                log.warning(
                    "consumer.rebuilt",
                    topic=self._topic,
                    error=type(error).__name__,
                    attempt=attempt,
                )
            finally:
                self._consumer = None
                await stop_consumer(consumer, STOP_TIMEOUT_S)
            await asyncio.sleep(backoff_s(attempt, initial_s=0.2, maximum_s=5.0))

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        heard_ms = machine_ms()
        self._consumer = consumer
        self._assign()
        while True:
            if not consumer.assignment():
                async with self._changed:  # Postgres has not said yet where to begin
                    await self._changed.wait()
                heard_ms = machine_ms()
                continue
            try:
                fetched = await consumer.getmany(timeout_ms=POLL_MS)
            except OffsetOutOfRangeError as error:
                self._out_of_range(error.args[0])
                continue
            self._turn()
            for place, records in fetched.items():
                found = self._tails[place.partition]
                since_ms = self._heard_before_ms.get(place.partition, 0)
                for record in records:
                    # Fetched before a restart, or twice around one.
                    if found.position is not None and record.offset >= found.position:
                        found.add(record, since_ms)
            for place in consumer.assignment():
                self._heard_before_ms[place.partition] = consumer.last_poll_timestamp(place) or 0
            self._drop_the_largest()
            INGRESS_TAIL_RECORDS.set(sum(each.count for each in self._tails.values()))
            INGRESS_TAIL_BYTES.set(self.size_bytes)
            heard_ms = max(heard_ms, self._heard_ms(consumer))
            if machine_ms() - heard_ms > SILENT_AFTER_S * 1000:
                raise TimeoutError("the consumer hears nothing: Kafka is away, or it is stuck")
            await self._announce()

    def _turn(self) -> None:
        now_ms = machine_ms()
        if now_ms - self._turned_at_ms > TURN_MS:
            self._paused_at_ms = now_ms
        self._turned_at_ms = now_ms

    def _drop_the_largest(self) -> None:
        """Stay within the bound: what a partition leaves out is tried again a minute later."""
        while self.size_bytes > MAX_BYTES:
            largest = max(self._tails.values(), key=lambda each: each.size_bytes)
            log.warning("tail.dropped", partition=largest.number, bytes=largest.size_bytes)
            INGRESS_TAIL_DROPPED.inc()
            largest.restart(machine_ms() + REST_MS)
            self._assign()

    def _heard_ms(self, consumer: AIOKafkaConsumer) -> int:
        """When the broker last answered for any partition (machine's time); 0 before that."""
        heard = (consumer.last_poll_timestamp(place) for place in consumer.assignment())
        return max((each for each in heard if each is not None), default=0)

    def _assign(self) -> None:
        """Read the usable partitions, each from where it was read to."""
        if (consumer := self._consumer) is None:
            return
        usable = {
            TopicPartition(self._topic, each.number): each.position
            for each in self._tails.values()
            if each.position is not None
        }
        # Assign and seek without an await between them, so that no other offset is read.
        consumer.assign(list(usable))
        for place, position in usable.items():
            consumer.seek(place, position)

    def _out_of_range(self, offsets: Iterable[TopicPartition]) -> None:
        """What is to be read is not in the log: it is shorter, or retention has passed it."""
        for place in offsets:
            self._tails[place.partition].restart()
        self._assign()

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _note_failure(task: "asyncio.Task[None]") -> None:
    """Read the error: asyncio reports one that is never read, and who asked may have gone."""
    if not task.cancelled():
        task.exception()


def _nothing(topic: str, partition: int) -> Progress:
    """The progress of a partition that no provisioner has owned yet."""
    return Progress(topic, partition, 0, 0, None, None, 0, "running")
