"""Sends the records of a downstream replay: in order, at an even rate, few of them in flight."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.control.meter import Meter
from rollcall.control.replay.copies import Copy, Report, Wanted, marked
from rollcall.events.topics import MAX_RECORD_BYTES
from rollcall.kafka.client import client_options, ended
from rollcall.kafka.feed import Record
from rollcall.kafka.producer import REQUEST_TIMEOUT_MS
from rollcall.kafka.reading import read
from rollcall.runtime.errors import Unavailable

WAITING: Final = 500
"""Records in flight: sent and not acknowledged yet."""
BATCH_BYTES: Final = 256 * 1024
OVERHEAD_BYTES: Final = 1024
STOP_S: Final = 10.0
START_S: Final = 20.0
ACKNOWLEDGE_S: Final = 60.0
SLEEP_S: Final = 0.005


class Sender:
    """Sends copies, one partition after another. `limit_bytes`: the largest record of the target.

    Acknowledged records stay even if the replay fails later; `report` counts them.
    """

    def __init__(
        self, deployment: Deployment, wanted: Wanted, report: Report, limit_bytes: int
    ) -> None:
        self._deployment = deployment
        self._wanted = wanted
        self._report = report
        self._limit_bytes = limit_bytes
        self._pace = _Pace(wanted.rate)
        self._waiting: deque[Awaitable[Any]] = deque()
        self._producer = AIOKafkaProducer(
            **client_options(deployment.settings),
            client_id="rollcall-replay",
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=100,
            max_request_size=MAX_RECORD_BYTES + BATCH_BYTES,
            max_batch_size=BATCH_BYTES,
        )

    async def run(self, meter: Meter) -> None:
        """Send everything that is left. Raises NotPossible, Unavailable."""
        meter.note("replay", sum(map(len, self._report.copies)))
        try:
            async with asyncio.timeout(START_S):
                await self._producer.start()
            for copy in self._report.copies:
                await self._send(copy, meter)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(
                f"Kafka ({type(error).__name__}); run the same command again: it goes on there"
            ) from error
        finally:
            await ended(self._producer.stop(), STOP_S)

    async def _send(self, copy: Copy, meter: Meter) -> None:
        source, number = self._deployment.topics.outcomes, copy.part.partition
        who = self._wanted.organisation_id
        settings = self._deployment.settings
        async for records in read(settings, source, number, copy.begin, copy.part.end):
            for record in records:
                meter.add(1)
                if who is None or record.key == who.encode():
                    headers = marked(record, source, copy, self._wanted.who)
                    self._check_size(record, headers, f"{source}/{number}/{record.offset}")
                    await self._pace.wait()
                    await self._acknowledged(WAITING - 1)
                    await self._hand_over(record, number, headers)
        await self._acknowledged(0)

    async def _hand_over(
        self, record: Record, partition: int, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        async with asyncio.timeout(ACKNOWLEDGE_S):
            delivery = await self._producer.send(
                self._wanted.into,
                record.value,
                key=record.key,
                partition=partition,
                headers=headers,
            )
        self._waiting.append(delivery)

    async def _acknowledged(self, but: int) -> None:
        """Wait until at most `but` records are in flight."""
        while len(self._waiting) > but:
            async with asyncio.timeout(ACKNOWLEDGE_S):
                await self._waiting.popleft()
            self._report.sent += 1

    def _check_size(self, record: Record, headers: Sequence[tuple[str, bytes]], name: str) -> None:
        """Raise NotPossible for a record that is too large for the target."""
        size = len(record.value or b"") + len(record.key or b"") + OVERHEAD_BYTES
        size += sum(len(header) + len(value) + 10 for header, value in headers)
        if size > self._limit_bytes:
            raise NotPossible(
                f"{name} has about {size} bytes, and {self._wanted.into} takes "
                f"{self._limit_bytes}: raise its max.message.bytes"
            )


class _Pace:
    """An even rate; without one there is no limit."""

    def __init__(self, rate: float | None) -> None:
        self._gap_s = 0.0 if rate is None else 1 / rate
        self._next_s = time.monotonic()

    async def wait(self) -> None:
        """Wait until the next record may be sent."""
        if not self._gap_s:
            return
        now_s = time.monotonic()
        self._next_s = max(self._next_s + self._gap_s, now_s - SLEEP_S)
        if self._next_s - now_s > SLEEP_S:
            await asyncio.sleep(self._next_s - now_s)
