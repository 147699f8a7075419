"""Bytes of memory that several tasks share: a weighted semaphore, first come, first served.

A task that wants more than there is waits until no other task holds any, and then runs alone. A
task gives back what it holds before it waits for more, so two tasks cannot wait for each other.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """`total_bytes` shared by the tasks of one event loop."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._held = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held_bytes(self) -> int:
        """How many bytes are given out now."""
        return self._held

    @asynccontextmanager
    async def seat(self, size_bytes: int) -> "AsyncIterator[Seat]":
        """A share for as long as the block runs; waits for its turn."""
        seat = Seat(self)
        try:
            await seat.resize(size_bytes)
            yield seat
        finally:
            seat.give_back()

    async def take(self, size_bytes: int) -> int:
        """Wait for a share; how much it is: never more than there is at all."""
        share = min(size_bytes, self.total_bytes)
        if not self._queue and self._held + share <= self.total_bytes:
            self._held += share
            return share
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((share, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(share)  # its turn had come in the same moment
            else:
                self._let_in()  # skips it: the next in the queue may fit
            raise
        return share

    def give(self, share: int) -> None:
        """Give back `share` bytes of what was taken."""
        self._held -= share
        self._let_in()

    def _let_in(self) -> None:
        while self._queue:
            share, turn = self._queue[0]
            if not turn.cancelled():
                if self._held + share > self.total_bytes:
                    return
                self._held += share
                turn.set_result(None)
            self._queue.popleft()


class Seat:
    """One task's share; made by `Budget.seat`."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._share = 0

    async def resize(self, size_bytes: int) -> None:
        """Hold `size_bytes` from now on. To get more, what is held is given back first."""
        if size_bytes > self._share:
            self.give_back()
            self._share = await self._budget.take(size_bytes)
        elif size_bytes < self._share:
            surplus, self._share = self._share - size_bytes, size_bytes
            self._budget.give(surplus)

    def give_back(self) -> None:
        """Hold nothing."""
        share, self._share = self._share, 0
        if share:
            self._budget.give(share)
