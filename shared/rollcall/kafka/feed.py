"""The queue between the pump and the worker of one partition, bounded in records and bytes.

Backpressure: the pump pauses the partition when the feed is full and resumes it when half of the
feed was taken. One fetch may exceed the bound, because records left in a paused consumer would have
to be fetched again. Close: queued records are dropped and `take` raises FeedClosed; the worker
finishes its current batch. Join: the pump awaits the worker's task.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from rollcall.observability.metrics import QUEUED_BYTES, QUEUED_RECORDS

RECORD_OVERHEAD_BYTES: Final = 256
"""Bytes counted for each record besides key and value: headers and the object itself."""


class Record(Protocol):
    """The fields of a consumed record that workers use (aiokafka's ConsumerRecord)."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def timestamp_type(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Look:
    """The bounds of a log, and the first record at or after the offset before a position.

    `before` is None if there is no record from that offset to the end.
    """

    first_offset: int
    end_offset: int
    before: Record | None


class FeedClosed(Exception):
    """Another process owns the partition now, or this process stops: no more records come."""


class Feed:
    """The records of one partition that were fetched but not taken yet."""

    def __init__(
        self,
        partition: int,
        *,
        max_records: int,
        max_bytes: int,
        on_room: Callable[[], None] = lambda: None,
        on_look: Callable[[int, int], Awaitable[Look]] | None = None,
    ) -> None:
        self.partition = partition
        self.highwater = 0
        self._max_records = max_records
        self._max_bytes = max_bytes
        self.on_room = on_room
        self._on_look = on_look
        self._records: deque[Record] = deque()
        self._bytes = 0
        self._next_put = 0
        self._next_take: int | None = None
        self._error: Exception | None = None
        self._closed = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        """Whether the worker should end."""
        return self._closed.is_set()

    @property
    def is_full(self) -> bool:
        """Whether the pump should pause the partition."""
        return len(self._records) >= self._max_records or self._bytes >= self._max_bytes

    @property
    def has_room(self) -> bool:
        """Whether the pump should resume a paused partition: half of the feed is free."""
        return len(self._records) * 2 <= self._max_records and self._bytes * 2 <= self._max_bytes

    @property
    def backlog(self) -> int:
        """The number of records known to be in the partition after those that were taken."""
        return 0 if self._next_take is None else max(0, self.highwater - self._next_take)

    async def look(self, offset: int) -> Look | None:
        """Look at the partition around `offset`; None for a feed without a pump.

        Raises Unavailable.
        """
        return None if self._on_look is None else await self._on_look(self.partition, offset)

    def open(self, offset: int) -> None:
        """Start again from `offset`, and drop what is queued.

        The known end of the log is dropped too: it may be another, shorter log now.
        """
        self._forget()
        self._next_put = self._next_take = self.highwater = offset
        self._error = None

    def put(self, records: Sequence[Record]) -> None:
        """Queue fetched records; records below the position, or after `close`, are dropped."""
        if self.is_closed:
            return
        for record in records:
            if record.offset < self._next_put:
                continue
            self._records.append(record)
            self._weigh(1, size_bytes(record))
            self._next_put = record.offset + 1
        self.highwater = max(self.highwater, self._next_put)
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """Make `take` raise `error` once the queue is empty."""
        self._error = error
        self._changed.set()

    def close(self) -> None:
        """End the worker: `take` raises FeedClosed from now on."""
        self._forget()
        self._closed.set()
        self._changed.set()

    async def closes_within(self, seconds: float) -> bool:
        """Wait for `seconds`, or return True as soon as the feed is closed."""
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return False
        return True

    async def take(self, max_records: int, max_bytes: int, timeout_s: float) -> list[Record]:
        """Take queued records within the bounds: at least one, or none after `timeout_s`.

        A single record may be larger than `max_bytes`. Raises FeedClosed, or the error of `fail`.
        """
        if not self._records:
            await self._wait(timeout_s)
        taken: list[Record] = []
        taken_bytes = 0
        while self._records and len(taken) < max_records:
            size = size_bytes(self._records[0])
            if taken and taken_bytes + size > max_bytes:
                break
            taken.append(self._records.popleft())
            taken_bytes += size
        if taken:
            self._weigh(-len(taken), -taken_bytes)
            self._next_take = taken[-1].offset + 1
            if self.has_room:
                self.on_room()
        return taken

    async def _wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not (self._records or self.is_closed or self._error):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return
        if self.is_closed:
            raise FeedClosed
        if self._error is not None and not self._records:
            raise self._error

    def _forget(self) -> None:
        self._weigh(-len(self._records), -self._bytes)
        self._records.clear()

    def _weigh(self, records: int, size: int) -> None:
        self._bytes += size
        QUEUED_RECORDS.inc(records)
        QUEUED_BYTES.inc(size)


def size_bytes(record: Record) -> int:
    """The bytes of memory that a record counts for."""
    return len(record.value or b"") + len(record.key or b"") + RECORD_OVERHEAD_BYTES
