"""A batch of a tail's records before it is folded: understood, and judged by what it costs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, ParamSpec, TypeVar

from rollcall.applying.understand import Entry, understand
from rollcall.applying.weight import THREAD_BYTES
from rollcall.events.bodies import Patch
from rollcall.kafka.feed import Record
from rollcall.scim.limits import MAX_RESOURCE_BYTES
from rollcall.scim.work import UNITS_PER_SECOND, most_work
from rollcall.tail.fold import barrier

THREAD_RECORDS: Final = 20
"""Records, from which on a batch is folded in a thread: some milliseconds."""
THREAD_WORK: Final = UNITS_PER_SECOND // 200

P = ParamSpec("P")
T = TypeVar("T")


class Uncertain(Exception):
    """What the organisation's pending records will come to is not known here. Says why."""


async def calculated(in_thread: bool, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `make`, made in a thread where that takes long."""
    if in_thread:
        return await asyncio.to_thread(make, *args, **kwargs)
    return make(*args, **kwargs)


async def understood(records: Sequence[Record]) -> list[Entry]:
    """The entries up to the first barrier. Raises Uncertain at one, or where one is unreadable."""
    if sum(len(each.value or b"") for each in records) > THREAD_BYTES:
        found = await asyncio.to_thread(understand, records)
    else:
        found = understand(records)
    entries = [*found.entries]
    stop = next((each for each in entries if barrier(each) is not None), None)
    if stop is not None:
        entries = entries[: entries.index(stop)]
    if not entries:
        raise Uncertain("a pending record is not understood here, or only once it is applied")
    return entries


def is_heavy(entries: Sequence[Entry]) -> bool:
    """Whether the fold of these entries would hold the event loop for more than milliseconds."""
    if len(entries) >= THREAD_RECORDS:
        return True
    if sum(len(each.record.value or b"") for each in entries) > THREAD_BYTES:
        return True
    units = 0
    for each in entries:
        if each.request is not None and isinstance(each.request.body, Patch):
            units += most_work(each.request.body.operations, MAX_RESOURCE_BYTES, THREAD_WORK)
    return units >= THREAD_WORK
