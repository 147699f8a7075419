"""A burst and its result: a live line of answered, pending and lag, until all is applied.

On a terminal the line moves in place; elsewhere, or where the terminal can move nothing (`TERM` is
`dumb`), a line is printed twice a second, so that a file shows the same.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from rollcall.runtime.errors import Unavailable
from rollcall_local.demo.client import Tally
from rollcall_local.demo.observe import Observer

EVERY_S: Final = 0.5
DRAINING_EVERY_S: Final = 0.2
"""A thousand requests are applied within a second."""
BAR_CELLS: Final = 20


@dataclass(frozen=True, slots=True)
class Moment:
    """The counts `at_s` seconds after the start of the burst. `lag` is None where not known."""

    at_s: float
    answered: int
    pending: int
    failed: int
    lag: int | None

    def line(self, full: int) -> str:
        """One line; the bar shows the lag, and is full where it is `full`."""
        if self.lag is None:
            shown, bar = "?", ""
        else:
            cells = min(BAR_CELLS, round(BAR_CELLS * self.lag / full))
            shown, bar = f"{self.lag:,}", "#" * (max(1, cells) if self.lag else 0)
        failed = f"  failed {self.failed:,}" if self.failed else ""
        return (
            f"  {self.at_s:5.1f} s  answered {self.answered:>6,}  pending {self.pending:>6,}"
            f"{failed}  lag {shown:>6} {bar}"
        ).rstrip()


class LiveLine:
    """Prints moments of a burst of `size`: in place on a terminal, else a line each."""

    def __init__(self, size: int) -> None:
        self._moves = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._size = max(1, size)

    def tell(self, moment: Moment, *, is_last: bool = False) -> None:
        """Show the moment; the last one stays."""
        line = moment.line(self._size)
        if self._moves:
            end = "\n" if is_last else ""
            print(f"\r\x1b[2K{line}", end=end, flush=True)
        else:
            print(line, flush=True)


@dataclass(slots=True)
class Watched:
    """What the watching saw: the deepest lag and whether it was back at 0 in the end."""

    deepest: int = 0
    is_drained: bool = False


@asynccontextmanager
async def watch(
    observer: Observer,
    partitions: Collection[int],
    tally: Tally,
    *,
    size: int,
    patience_s: float,
) -> AsyncIterator[Watched]:
    """Print the burst of the block twice a second, then how it drains.

    The block ends when the last answer is there; what is pending is waited for after that, for at
    most `patience_s` seconds. Raises what the block raises.
    """
    watched, line, began_s = Watched(), LiveLine(size), time.monotonic()

    async def look() -> Moment:
        try:
            lag = await observer.requests_lag(partitions)
            watched.deepest = max(watched.deepest, lag)
        except Unavailable:
            lag = None
        at_s = time.monotonic() - began_s
        return Moment(at_s, tally.answered, tally.pending, tally.failed, lag)

    telling = asyncio.create_task(_tell_until_cancelled(look, line))
    try:
        yield watched
    finally:
        telling.cancel()
        await asyncio.wait([telling])
    if not telling.cancelled():
        telling.result()  # it ends by its own error only
    end_s = time.monotonic() + patience_s
    while True:
        moment = await look()
        watched.is_drained = moment.lag == 0
        is_last = watched.is_drained or time.monotonic() > end_s
        line.tell(moment, is_last=is_last)
        if is_last:
            return
        await asyncio.sleep(DRAINING_EVERY_S)  # between questions; the condition is above


async def _tell_until_cancelled(look: Callable[[], Awaitable[Moment]], line: LiveLine) -> None:
    while True:
        line.tell(await look())
        await asyncio.sleep(EVERY_S)
