"""The provisioner dies or freezes in the middle of its work: applied once, announced, fenced."""

import asyncio

import aiohttp
import pytest

from tests.support.load import (
    Answered,
    applied,
    assert_once,
    creates,
    everything_is_announced,
)
from tests.support.stack import Process, Stack, until


@pytest.mark.parametrize(
    "fault",
    [
        "provisioner.before_commit",
        "provisioner.after_commit",
        pytest.param("provisioner.after_replies", marks=pytest.mark.long),
    ],
)
async def test_a_killed_provisioner_is_followed_by_one_that_applies_the_rest_once(
    fault: str, stack: Stack
) -> None:
    """Architecture §8, row 2; the fault strikes in the tenth batch of the load."""
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"
    await stack.start("ingress")
    victim = await stack.start("provisioner", ROLLCALL_FAULT=f"{fault}:10")
    organisation = await stack.organisation()
    answered = Answered()

    async with stack.client(organisation) as client:
        load = asyncio.create_task(creates(client, 1500, answered=answered))
        await victim.ended()
        await stack.start("provisioner")
        await load

    assert victim.popen.returncode == -9
    assert not answered.refused
    assert not answered.unanswered
    assert answered.pending, "nobody noticed: the fault struck outside the load"
    await until(lambda: applied(stack, organisation), "the log is applied", 30)
    await assert_once(stack, organisation, answered)
    await until(lambda: everything_is_announced(stack), "every outcome is announced", 15)


async def test_repeats_of_an_outcome_carry_the_same_id_and_place(stack: Stack) -> None:
    """Killed after the outcomes left and before that was recorded, some are told again."""
    await stack.start("ingress")
    organisation = await stack.organisation()
    answered = Answered()
    async with stack.client(organisation) as client:
        for round_ in range(3):
            process = await stack.start("provisioner")
            await creates(client, 60, prefix=f"r{round_}-", answered=answered)
            process.kill()
    await stack.start("provisioner")

    await until(lambda: everything_is_announced(stack), "every outcome is announced", 20)

    headers = await stack.headers(stack.topics.outcomes)
    by_place = {(each["ce_causationid"], each["ce_sequence"]): each["ce_id"] for each in headers}
    assert all(
        by_place[each["ce_causationid"], each["ce_sequence"]] == each["ce_id"] for each in headers
    )
    assert len({each["ce_id"] for each in headers}) == len(by_place) == len(answered.created)


async def fenced(process: Process) -> float:
    """How many batches of this process were refused because somebody else owns the partition."""
    url = f"http://127.0.0.1:{process.admin_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    [value] = [
        line.split()[1]
        for line in lines
        if line.startswith("rollcall_provisioner_fenced") and "created" not in line
    ]
    return float(value)


@pytest.mark.parametrize(
    "place",
    [pytest.param("provisioner.before_batch", marks=pytest.mark.long), "provisioner.before_commit"],
)
async def test_a_zombie_cannot_write_after_takeover(place: str, stack: Stack) -> None:
    """Architecture §8, last row: frozen with a batch in hand, its partition moves, it wakes up."""
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"
    await stack.start("ingress")
    zombie = await stack.start("provisioner", ROLLCALL_FAULT=f"{place}:10:stop")
    organisation = await stack.organisation()
    answered = Answered()

    async with stack.client(organisation) as client:
        await creates(client, 600, answered=answered)
        heir = await stack.start("provisioner")
        await until(lambda: applied(stack, organisation), "the heir applies the log", 60)
        await creates(client, 50, prefix="after", answered=answered)
        await until(lambda: applied(stack, organisation), "the heir applies the rest", 30)
        before = await stack.rows("SELECT id, version FROM directory.member ORDER BY id")
        zombie.resume()

        async def is_fenced() -> bool:
            return await fenced(zombie) >= 1

        await until(is_fenced, "the zombie's batch is refused", 30, zombie.explain)
        after = await stack.rows("SELECT id, version FROM directory.member ORDER BY id")
        await creates(client, 50, prefix="later", answered=answered)

    assert before == after
    assert heir.is_running()
    assert zombie.is_running()
    await until(lambda: applied(stack, organisation), "the log is applied", 30)
    await assert_once(stack, organisation, answered)
