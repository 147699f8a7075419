"""The one producer of a process: idempotent, bounded, and replaced when it cannot continue.

It relies on these facts (measured, and read in aiokafka 0.14):

- An idempotent producer never expires a batch. A record that was handed over is delivered once, or
  its delivery fails with an error. The acknowledgement's append time says how late it arrived.
- A batch that fails for good (refused by the broker, or no leader for longer than the request
  time-out) leaves a gap in the partition's sequence numbers, and nothing after it is accepted. So
  every failed delivery ends the producer, and a new one takes its place.
- A record that is too large would fail in this way, so sizes are checked first.
- While a broker is away, records wait in one open batch per partition. With the default of 16 KiB
  senders would block after a dozen records, so batches may grow to 1 MiB.

Compression is off. A single record of 0.9 kB shrinks by 8 % with lz4 (11 µs) and by 36 % with zstd
(20 µs), a tenth of what a whole request may cost here. If disks are expensive, set the topic's
`compression.type`: then the broker compresses.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, ProducerClosed
from aiokafka.structs import RecordMetadata

from rollcall.events.envelope import Event, encode
from rollcall.events.topics import MAX_RECORD_BYTES, MEBIBYTE
from rollcall.kafka.client import client_options, ended
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import PRODUCER_WAITING_BYTES, PRODUCER_WAITING_RECORDS
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.retry import backoff_s

KAFKA: Final = "Kafka"
RETRY_AFTER_S: Final = 30.0
REQUEST_TIMEOUT_MS: Final = 3000
ENQUEUE_TIMEOUT_S: Final = 12.0
STALLED_AFTER_S: Final = 30.0
_WATCH_EVERY_S: Final = 5.0
_KEEPER_PAUSE_S: Final = 1.0
_CONNECT_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 5.0
_RECORD_OVERHEAD: Final = 512
"""Bytes that a record costs besides key, headers and value: batch header, lengths, memory."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The place of an appended record and its append time (epoch milliseconds)."""

    partition: int
    offset: int
    append_time_ms: int


_HandedOver = tuple[AIOKafkaProducer, "asyncio.Future[RecordMetadata]"]


class RecordTooLarge(ValueError):
    """The record is larger than the topics accept; it was not sent."""


class UnknownPartition(Unavailable):
    """The topic has no such partition in the known metadata, which is being requested again.

    It says nothing about the topic's other partitions.
    """

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(f"{KAFKA} (partition {partition} of {topic})", RETRY_AFTER_S)


@dataclass(slots=True)
class _Waiting:
    """A record that was not acknowledged yet."""

    since_s: float
    size: int


class Producer:
    """Sends events to Kafka. `start` it once, then `send` or `enqueue` from any task."""

    def __init__(
        self,
        settings: Settings,
        *,
        client_id: str,
        max_waiting_records: int = 20_000,
        max_waiting_bytes: int = 64 * MEBIBYTE,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._max_records = max_waiting_records
        self._max_bytes = max_waiting_bytes
        self._producer: AIOKafkaProducer | None = None
        self._usable = asyncio.Event()
        self._broken = asyncio.Event()
        self._waiting: dict[asyncio.Future[Acknowledged], _Waiting] = {}
        self._waiting_bytes = 0
        self._last_success_s = 0.0
        self._unusable_since_s = float("inf")
        self._keeper: asyncio.Task[None] | None = None
        PRODUCER_WAITING_RECORDS.set_function(lambda: len(self._waiting))
        PRODUCER_WAITING_BYTES.set_function(lambda: self._waiting_bytes)

    @property
    def waiting_records(self) -> int:
        """The number of records handed over and not acknowledged yet."""
        return len(self._waiting)

    async def start(self) -> None:
        """Connect; retries until Kafka answers. Cancel it to give up."""
        self._unusable_since_s = asyncio.get_running_loop().time()
        self._producer = await self._connect()
        self._usable.set()
        log.info("producer.started", client_id=self._client_id)
        self._keeper = asyncio.create_task(self._keep(), name="producer keeper")

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Deliver waiting records for at most `timeout_s` seconds, then close; the rest fails."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        producer, self._producer = self._producer, None
        self._usable.set()  # tasks that wait for a new producer learn that there is none
        if producer is not None:
            await _close(producer, timeout_s)

    async def partitions_of(self, topic: str) -> set[int]:
        """The partitions of the topic. Raises Unavailable."""
        await self._usable.wait()
        if self._producer is None:
            raise Unavailable(KAFKA, RETRY_AFTER_S)
        try:
            return set(await self._producer.partitions_for(topic))
        except KafkaError as error:
            raise Unavailable(KAFKA, RETRY_AFTER_S) from error

    async def send(
        self, topic: str, *, partition: int | None, key: str | None, event: Event
    ) -> Acknowledged:
        """Send, and await the acknowledgement without a time-out. Raises like `enqueue`."""
        return await (await self.enqueue(topic, partition=partition, key=key, event=event))

    async def enqueue(
        self, topic: str, *, partition: int | None, key: str | None, event: Event
    ) -> asyncio.Future[Acknowledged]:
        """Hand the record over and return the future of its acknowledgement.

        If each call is awaited before the next, their order is the order in the partition. The
        future may be dropped; its record is delivered all the same. The future raises Unavailable
        if the delivery failed, which does not say whether the record was appended.

        Raises RecordTooLarge, or Unavailable if too many records wait or Kafka cannot be used
        (UnknownPartition is one case of it).
        """
        headers, value = encode(event)
        key_bytes = None if key is None else key.encode()
        size = _size(key_bytes, headers, value)
        if size > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"{size} bytes are more than the {MAX_RECORD_BYTES} of a record")
        if len(self._waiting) >= self._max_records or self._waiting_bytes + size > self._max_bytes:
            raise Unavailable(KAFKA, RETRY_AFTER_S)
        loop = asyncio.get_running_loop()
        if not self._usable.is_set() and loop.time() - self._unusable_since_s > ENQUEUE_TIMEOUT_S:
            raise Unavailable(KAFKA, RETRY_AFTER_S)  # known to be away: fail without waiting
        acknowledged: asyncio.Future[Acknowledged] = loop.create_future()
        self._waiting[acknowledged] = _Waiting(loop.time(), size)
        self._waiting_bytes += size
        record = (topic, partition, key_bytes, headers, value)
        until_s = loop.time() + ENQUEUE_TIMEOUT_S
        try:
            # There is nearly always room, so the common case needs no timer.
            handed_over = await self._try_to_hand_over(*record) if self._usable.is_set() else None
            if handed_over is None:
                async with asyncio.timeout_at(until_s):
                    handed_over = await self._hand_over(*record)
            producer, delivery = handed_over
        except BaseException as error:
            self._forget(acknowledged)
            if isinstance(error, TimeoutError):
                raise Unavailable(KAFKA, RETRY_AFTER_S) from error
            raise
        delivery.add_done_callback(lambda done: self._settle(producer, done, acknowledged))
        return acknowledged

    async def _hand_over(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        value: bytes,
    ) -> "_HandedOver":
        """Put the record into aiokafka's open batch; waits for room or for a new producer."""
        while True:
            await self._usable.wait()
            done = await self._try_to_hand_over(topic, partition, key, headers, value)
            if done is not None:
                return done

    async def _try_to_hand_over(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        value: bytes,
    ) -> "_HandedOver | None":
        """One attempt of `_hand_over`, at most aiokafka's request time-out; None: try again."""
        producer = self._producer
        if producer is None:
            raise Unavailable(KAFKA, RETRY_AFTER_S)
        try:
            partitions = await producer.partitions_for(topic)
            if partition is not None and partition not in partitions:
                producer.client.force_metadata_update()  # the partition may be new
                raise UnknownPartition(topic, partition)
            delivery = await producer.send(
                topic, value, key=key, partition=partition, headers=headers
            )
        except KafkaTimeoutError:
            return None  # the open batch is full and waits; the caller's time-out ends the loop
        except KafkaError as error:
            if error.retriable:
                raise Unavailable(KAFKA, RETRY_AFTER_S) from error
            self._give_up(producer, error)
            return None
        return producer, delivery

    def _settle(
        self,
        producer: AIOKafkaProducer,
        delivery: "asyncio.Future[RecordMetadata]",
        acknowledged: "asyncio.Future[Acknowledged]",
    ) -> None:
        """Pass on the result of a delivery. A failed delivery ends its producer."""
        self._forget(acknowledged)
        failure = asyncio.CancelledError() if delivery.cancelled() else delivery.exception()
        if failure is not None:
            self._give_up(producer, failure)
            _refuse(acknowledged, KAFKA, failure)
            return
        self._last_success_s = asyncio.get_running_loop().time()
        metadata = delivery.result()
        if metadata.offset < 0 or metadata.timestamp_type != 1:
            # A duplicate that the broker no longer remembers, or a topic without append times:
            # it is impossible to say whether this record was in time.
            _refuse(acknowledged, f"{KAFKA} (no append time)", None)
        elif not acknowledged.done():
            acknowledged.set_result(
                Acknowledged(metadata.partition, metadata.offset, metadata.timestamp)
            )

    def _forget(self, acknowledged: "asyncio.Future[Acknowledged]") -> None:
        waiting = self._waiting.pop(acknowledged, None)
        if waiting is not None:
            self._waiting_bytes -= waiting.size

    def _give_up(self, producer: AIOKafkaProducer, reason: BaseException) -> None:
        """Ask the keeper to replace `producer`, unless that was done already."""
        if producer is not self._producer or self._broken.is_set():
            return
        log.warning("kafka.unavailable", error=type(reason).__name__, client_id=self._client_id)
        self._usable.clear()
        self._unusable_since_s = asyncio.get_running_loop().time()
        self._broken.set()

    async def _keep(self) -> None:
        """Replace the producer when it is broken, or stuck while the broker answers."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_EVERY_S):
                    await self._broken.wait()
            if self._broken.is_set() or self._is_stalled():
                try:
                    await self._replace()
                except Exception as error:  # outermost edge: the keeper must survive to send again
                    log.error(
                        "task.failed",
                        task="producer keeper",
                        error=type(error).__name__,
                        exc_info=True,
                        runbook="worker-failed",
                    )
                    self._usable.clear()
                    self._broken.set()
                    await asyncio.sleep(_KEEPER_PAUSE_S)

    def _is_stalled(self) -> bool:
        if not self._waiting:
            return False
        oldest_s = next(iter(self._waiting.values())).since_s
        now_s = asyncio.get_running_loop().time()
        return now_s - max(oldest_s, self._last_success_s) > STALLED_AFTER_S

    async def _replace(self) -> None:
        """Put a new producer in the place of the old one.

        The new one connects first, which shows that the broker answers others. Then the old one is
        closed, and only then is the new one used, so that records handed over earlier cannot arrive
        later.
        """
        fresh = await self._connect()
        self._usable.clear()
        old, self._producer = self._producer, fresh
        if old is not None:
            await _close(old, REQUEST_TIMEOUT_MS / 1000)
        self._broken.clear()
        self._last_success_s = asyncio.get_running_loop().time()
        self._usable.set()
        log.warning("producer.rebuilt", client_id=self._client_id)

    async def _connect(self) -> AIOKafkaProducer:
        attempt = 0
        while True:
            attempt += 1
            producer = self._new()
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await producer.start()
            except (KafkaError, OSError, TimeoutError) as error:
                await _close(producer, 0.0)
                log.warning("kafka.unavailable", error=type(error).__name__, attempt=attempt)
                await asyncio.sleep(backoff_s(attempt, initial_s=0.2, maximum_s=5.0))
            except BaseException:
                await _close(producer, 0.0)
                raise
            else:
                return producer

    def _new(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **client_options(self._settings),
            client_id=self._client_id,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=100,
            max_request_size=MAX_RECORD_BYTES,
            max_batch_size=MEBIBYTE,
        )


def _size(key: bytes | None, headers: list[tuple[str, bytes]], value: bytes) -> int:
    total = len(value) + len(key or b"") + _RECORD_OVERHEAD
    for name, text in headers:
        total += len(name) + len(text) + 10
    return total


def _refuse(
    acknowledged: "asyncio.Future[Acknowledged]", what: str, cause: BaseException | None
) -> None:
    if acknowledged.done():
        return
    error = Unavailable(what, RETRY_AFTER_S)
    error.__cause__ = cause
    acknowledged.set_exception(error)
    acknowledged.exception()  # mark it as seen: the sender may have stopped waiting


async def _close(producer: AIOKafkaProducer, timeout_s: float) -> None:
    """Close, delivering what waits for at most `timeout_s` seconds; the rest fails.

    aiokafka's `stop` waits until the last batch is delivered, however long that takes. Cancelling
    it leaves its sender task running and its futures pending. Hence the private attributes.
    """
    if await ended(producer.stop(), timeout_s):
        return
    await ended(producer._sender.close(), _CLOSE_TIMEOUT_S)  # noqa: SLF001
    _fail_batches(producer)
    await ended(producer.client.close(), _CLOSE_TIMEOUT_S)


def _fail_batches(producer: AIOKafkaProducer) -> None:
    """Complete all futures of a closed producer with an error.

    The exceptions of futures that aiokafka itself awaited are retrieved, or asyncio would log them.
    """
    accumulator = producer._message_accumulator  # noqa: SLF001
    accumulator.fail_all(ProducerClosed())
    for batches in accumulator._batches.values():  # noqa: SLF001
        for batch in batches:
            if batch._drain_waiter.done():  # noqa: SLF001
                batch._drain_waiter.exception()  # noqa: SLF001
