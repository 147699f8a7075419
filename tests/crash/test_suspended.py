"""An ingress that slept through the budget of an answer finds the reply, and tells it."""

import asyncio
import time

from tests.support.stack import Stack, until

BUDGET_S = 4.0


async def members(stack: Stack) -> int:
    [row] = await stack.rows("SELECT count(*) FROM directory.member")
    return int(row["count"])


async def test_a_suspended_ingress_tells_the_reply_that_came_while_it_slept(stack: Stack) -> None:
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = str(BUDGET_S)
    ingress = await stack.start("ingress")
    provisioner = await stack.start("provisioner")
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        assert not (await client.create_user("warm@zeeburg.example")).is_pending
        end = await stack.end_offset(stack.topics.requests, organisation.partition)
        replied = await replies(stack)
        provisioner.pause()
        began_s = time.monotonic()
        write = asyncio.create_task(client.create_user("ana@zeeburg.example"))

        async def is_published() -> bool:
            now = await stack.end_offset(stack.topics.requests, organisation.partition)
            return now > end

        async def is_replied() -> bool:
            return await replies(stack) > replied

        await until(is_published, "the request is on the log")
        ingress.pause()
        provisioner.resume()
        await until(is_replied, "the reply is on its topic")
        await until(lambda: time.monotonic() - began_s > BUDGET_S + 1.0, "the budget is over")
        ingress.resume()
        answer = await write

    assert (answer.status, answer.is_pending) == (201, False)
    assert await members(stack) == 2


async def replies(stack: Stack) -> int:
    """How many replies there are."""
    ends = [await stack.end_offset(stack.topics.replies, number) for number in range(4)]
    return sum(ends)
