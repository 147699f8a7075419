"""The provisioner dies in the middle of a redrive: all of it is done once, and told once."""

import asyncio

import pytest

from tests.support.builders import replacing
from tests.support.poison import FIX, REFUSE_TITLE, execute, rollcall
from tests.support.stack import Stack, until


@pytest.mark.parametrize(
    "fault",
    [
        "provisioner.before_commit",
        pytest.param("provisioner.after_commit", marks=pytest.mark.long),
    ],
)
async def test_a_redrive_that_is_cut_short_is_done_by_the_successor(
    fault: str, stack: Stack
) -> None:
    """Acknowledged: the redrive and two parked PATCHes. Killed: before or after its commit."""
    await stack.start("ingress")
    first = await stack.start("provisioner")
    organisation = await stack.organisation()
    await execute(stack, REFUSE_TITLE)
    async with stack.client(organisation) as client:
        ana = (await client.create_user("ana@example.org")).body["id"]
        answers = [
            await client.patch(f"/Users/{ana}", replacing("title", "Poison")),
            await client.patch(f"/Users/{ana}", replacing("nickName", "Annie")),
            await client.patch(f"/Users/{ana}", replacing("title", "Cook")),
        ]
    assert [answer.status for answer in answers] == [500, 204, 204]
    first.terminate()
    await execute(stack, FIX)
    victim = await stack.start("provisioner", ROLLCALL_FAULT=fault)

    redriving = asyncio.create_task(rollcall(stack, "dead", "redrive", "--all", "--yes"))
    await victim.ended()
    await stack.start("provisioner")
    [done] = await redriving

    assert done["note"] == "3 applied"
    [row] = await stack.rows("SELECT document FROM directory.member")
    assert '"Cook"' in row["document"]
    assert '"Annie"' in row["document"]
    assert await stack.rows("SELECT 1 FROM directory.parked") == []
    expected = [
        "member.invited",
        "request.failed",
        "request.parked",
        "request.parked",
        "dead.redriven",
        "member.changed",
        "member.changed",
        "member.changed",
    ]

    async def is_announced() -> bool:
        announced = {each["ce_id"]: each for each in await stack.headers(stack.topics.outcomes)}
        facts = [
            each["ce_type"].split(".", 3)[3].rpartition(".v")[0] for each in announced.values()
        ]
        return facts == expected

    await until(is_announced, "every outcome is announced, in order")
