"""A drain goes on whatever becomes of its steps; the event loop gets the interpreter back soon."""

import asyncio
import sys
import time

from rollcall.runtime import lifecycle
from rollcall.runtime.lifecycle import SWITCH_S, drain_step


async def test_a_step_that_ends_in_time_is_well() -> None:
    ended = asyncio.Event()

    async def step() -> None:
        ended.set()

    assert await drain_step("quick", step(), 5.0)
    assert ended.is_set()


async def test_a_step_that_never_ends_is_cancelled_and_left_behind() -> None:
    was_cancelled = asyncio.Event()

    async def step() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    began_s = time.monotonic()

    assert not await drain_step("endless", step(), 0.05)
    assert was_cancelled.is_set()
    assert time.monotonic() - began_s < 10.0


async def test_a_step_that_swallows_its_cancellation_delays_no_other_step() -> None:
    may_end = asyncio.Event()

    async def step() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    async with asyncio.timeout(10):
        assert not await drain_step("stubborn", step(), 0.05)
    may_end.set()


async def test_what_a_step_raises_does_not_keep_the_next_from_its_turn() -> None:
    async def step() -> None:
        raise OSError("the connection is gone")

    assert not await drain_step("broken", step(), 5.0)


def test_a_thread_that_calculates_gives_the_interpreter_back_soon() -> None:
    before = sys.getswitchinterval()
    found: list[float] = []

    async def main() -> None:
        found.append(sys.getswitchinterval())

    try:
        lifecycle.run(main())
    finally:
        sys.setswitchinterval(before)

    assert found == [SWITCH_S]
    assert before > SWITCH_S
