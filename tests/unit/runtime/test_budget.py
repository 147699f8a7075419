"""A budget of bytes: within its bound, first come first served, one is always let in."""

import asyncio
import contextlib
import random

import pytest

from rollcall.runtime.budget import Budget


async def turn() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_more_than_there_is_waits_for_all_others_and_is_let_in_alone() -> None:
    budget = Budget(100)
    order: list[str] = []
    leave = asyncio.Event()

    async def small() -> None:
        async with budget.seat(10):
            order.append("small in")
            await leave.wait()
        order.append("small out")

    async def large() -> None:
        async with budget.seat(1000):
            order.append("large in")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(small())
        await turn()
        tasks.create_task(large())
        await turn()
        tasks.create_task(small())
        await turn()
        assert order == ["small in"], "who comes later waits behind who waits"
        leave.set()

    assert order.index("small out") < order.index("large in") < order.index("small in", 1)
    assert budget.held_bytes == 0


async def test_a_task_gives_back_before_it_asks_for_more_so_two_cannot_block_each_other() -> None:
    budget = Budget(100)

    async def grow() -> None:
        async with budget.seat(50) as seat:
            await turn()
            await seat.resize(80)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(grow())
        tasks.create_task(grow())

    assert budget.held_bytes == 0


async def test_a_share_that_shrinks_lets_others_in() -> None:
    budget = Budget(100)
    is_in = asyncio.Event()

    async def other() -> None:
        async with budget.seat(60):
            is_in.set()

    async with budget.seat(100) as seat:
        task = asyncio.create_task(other())
        await turn()
        assert not is_in.is_set()
        await seat.resize(40)
        await turn()
        assert is_in.is_set()
        await task


@pytest.mark.parametrize("seed", range(20))
async def test_random_use_stays_within_the_bound_and_ends(seed: int) -> None:
    """Cancelled waiters included."""
    chance = random.Random(seed)
    budget = Budget(100)

    async def use(sizes: list[int]) -> None:
        async with budget.seat(sizes[0]) as seat:
            for size in sizes[1:]:
                assert 0 <= budget.held_bytes <= 100
                await asyncio.sleep(0)
                await seat.resize(size)

    tasks = [
        asyncio.create_task(use([chance.randint(0, 150) for _ in range(4)])) for _ in range(30)
    ]
    await asyncio.sleep(0)
    for task in chance.sample(tasks, 8):
        task.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    assert budget.held_bytes == 0
