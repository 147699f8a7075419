"""Where something is computed: on the event loop if it is short, otherwise in a thread.

What counts is the amount of work (`rollcall.scim.work`), not the number of things. A thread takes
turns with the loop every few milliseconds, and starting one costs a tenth of a millisecond.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREAD_FROM_WORK: Final = 50_000
"""Units: some five milliseconds."""
THREAD_FROM_BYTES: Final = 8 * 1024
"""Of a body. Reading one takes up to two microseconds a byte."""


def enough_of(units: Iterable[int]) -> int:
    """The sum of the units, counted until they are enough for a thread."""
    total = 0
    for each in units:
        total += each
        if total > THREAD_FROM_WORK:
            break
    return total


async def aside(units: int, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `make`, which comes to at most `units` of work; in a thread if that is much."""
    if units > THREAD_FROM_WORK:
        return await asyncio.to_thread(make, *args, **kwargs)
    return make(*args, **kwargs)
