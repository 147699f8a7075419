"""What stands between the pump and one partition's worker: a queue, bounded in records and bytes.

Backpressure: the pump pauses the partition when the feed is full and resumes it when half of it is
taken. One fetch may overshoot the bound, because records that were fetched and are then paused
would have to be fetched again. Close: what is queued is forgotten, `take` raises FeedClosed; the
worker finishes the batch that it has in hand. Join: the pump awaits the worker's task.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from rollcall.observability.metrics import QUEUED_BYTES, QUEUED_RECORDS

RECORD_OVERHEAD_BYTES: Final = 256
"""Counted for each record beside its key and value: headers and the object itself."""


class Record(Protocol):
    """A consumed record, as far as workers look at it (aiokafka's ConsumerRecord)."""

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
    """What a log holds: its first offset, its end, and the first record from a position - 1 on.

    `before` is None where no record stands between there and the end.
    """

    first_offset: int
    end_offset: int
    before: Record | None


class FeedClosed(Exception):
    """The partition belongs to somebody else, or the process stops: no more records come."""


class Feed:
    """The records of one partition that were fetched and not yet taken."""

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
        """Whether the worker is to end."""
        return self._closed.is_set()

    @property
    def is_full(self) -> bool:
        """Whether the pump should pause the partition."""
        return len(self._records) >= self._max_records or self._bytes >= self._max_bytes

    @property
    def has_room(self) -> bool:
        """Whether the pump should resume a paused partition: half of the feed was taken."""
        return len(self._records) * 2 <= self._max_records and self._bytes * 2 <= self._max_bytes

    @property
    def backlog(self) -> int:
        """Records known to be in the partition behind those that were taken."""
        return 0 if self._next_take is None else max(0, self.highwater - self._next_take)

    async def look(self, offset: int) -> Look | None:
        """What the partition holds around `offset`; None for a feed that no pump fills.

        Raises Unavailable.
        """
        return None if self._on_look is None else await self._on_look(self.partition, offset)

    def open(self, offset: int) -> None:
        """Start anew from `offset`: what is queued from before is forgotten.

        So is how far the log went: it may be another one now, and shorter.
        """
        self._forget()
        self._next_put = self._next_take = self.highwater = offset
        self._error = None

    def put(self, records: Sequence[Record]) -> None:
        """Queue what was fetched; records before the position, or after a close, are dropped."""
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
        """Let `take` raise `error` once the queue is empty."""
        self._error = error
        self._changed.set()

    def close(self) -> None:
        """Let the worker end: `take` raises FeedClosed from now on."""
        self._forget()
        self._closed.set()
        self._changed.set()

    async def closes_within(self, seconds: float) -> bool:
        """Wait that long, but return True at once when the feed is closed."""
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return False
        return True

    async def take(self, max_records: int, max_bytes: int, timeout_s: float) -> list[Record]:
        """What is queued, at least one record, within the bounds; nothing after `timeout_s`.

        A single record may be larger than `max_bytes`. Raises FeedClosed, or what `fail` was given.
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
    """Memory that a record is counted with, in bytes."""
    return len(record.value or b"") + len(record.key or b"") + RECORD_OVERHEAD_BYTES
