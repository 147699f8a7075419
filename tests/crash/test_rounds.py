"""Round after round one of our processes is killed under load: the promises hold all the same.

The short form is part of `make test`; `make test-long` plays more rounds, with a seed that is
printed and can be given (`ROLLCALL_TEST_SEED`).
"""

import asyncio
import os
import random
from functools import partial

import pytest

from rollcall.postgres.pool import Service
from tests.support.load import Answered, applied, assert_once, creates, everything_is_announced
from tests.support.stack import SERVICES, Stack, until


def is_under_way(answered: Answered, at_least: int, load: "asyncio.Task[Answered]") -> bool:
    return len(answered.created) >= at_least or load.done()


async def play(stack: Stack, rounds: int, dice: random.Random) -> None:
    """Kill a random service in each round, at a random moment of a load, and start it again."""
    await stack.start_all()
    organisation = await stack.organisation()
    answered = Answered()
    for number in range(rounds):
        victim: Service = dice.choice(SERVICES)
        wait_for = len(answered.created) + dice.randrange(20, 120)
        async with stack.client(organisation) as client:
            load = asyncio.create_task(
                creates(client, 200, prefix=f"r{number}-", answered=answered)
            )
            under_way = partial(is_under_way, answered, wait_for, load)
            await until(under_way, "the load is under way")
            [process] = stack.running(victim)
            process.kill()
            await stack.start(victim)
            await load

    await until(lambda: applied(stack, organisation), "the log is applied", 60)
    await assert_once(stack, organisation, answered)
    await until(lambda: everything_is_announced(stack), "every outcome is announced", 30)
    stored = await stack.rows("SELECT document ->> 'userName' AS name FROM directory.member")

    async def is_settled() -> bool:
        [row] = await stack.rows(
            "SELECT count(*) FILTER (WHERE state = 'due') AS due, count(*) AS planned "
            "FROM notice.notification"
        )
        return bool(row["due"] == 0 and row["planned"] == len(stored))

    await until(is_settled, "every mail has left", 60)
    by_address: dict[str, set[str]] = {}
    for mail in stack.mails():
        by_address.setdefault(mail["X-RcptTo"], set()).add(mail["Message-ID"])
    assert set(by_address) == {row["name"] for row in stored}
    assert all(len(ids) == 1 for ids in by_address.values()), "copies carry one Message-ID"


@pytest.mark.timeout(180)
async def test_three_rounds_of_kills_lose_nothing(stack: Stack) -> None:
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"

    await play(stack, 3, random.Random(3))


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_twenty_rounds_of_kills_lose_nothing(stack: Stack) -> None:
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"
    seed = int(os.environ.get("ROLLCALL_TEST_SEED", random.SystemRandom().randrange(10**9)))
    print(f"ROLLCALL_TEST_SEED={seed}")

    await play(stack, 20, random.Random(seed))
