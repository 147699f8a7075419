"""An ingress replica dies under load: one connection error for its clients, nothing lost."""

import asyncio

from tests.support.load import Answered, applied, assert_once, creates
from tests.support.stack import Stack, until


async def test_what_a_killed_ingress_had_answered_is_there_once(stack: Stack) -> None:
    """Architecture §8, row 1."""
    await stack.start_all()
    organisation = await stack.organisation()
    [victim] = stack.running("ingress")
    answered = Answered()

    async with stack.client(organisation) as client:
        load = asyncio.create_task(creates(client, 3000, answered=answered))
        await until(lambda: len(answered.created) > 300, "the load is under way")
        victim.kill()
        await load

    assert len(answered.created) < 3000
    assert answered.unanswered, "the kill came too late to hurt anybody"
    await until(lambda: applied(stack, organisation), "the log is applied", 30)
    await assert_once(stack, organisation, answered)


async def test_a_retry_at_the_next_replica_finds_or_makes_the_member(stack: Stack) -> None:
    await stack.start_all()
    organisation = await stack.organisation()
    [victim] = stack.running("ingress")
    answered = Answered()
    async with stack.client(organisation) as client:
        load = asyncio.create_task(creates(client, 1000, answered=answered))
        await until(lambda: len(answered.created) > 100, "the load is under way")
        victim.kill()
        await load
    await stack.start("ingress")

    async with stack.client(organisation) as client:
        for name in sorted(answered.unanswered)[:50]:
            answer = await client.create_user(name)
            assert answer.status in (201, 409), answer
            found = await client.call("GET", f'/Users?filter=userName eq "{name}"')
            assert found.body["totalResults"] == 1
            answered.created[name] = found.body["Resources"][0]["id"]

    await until(lambda: applied(stack, organisation), "the log is applied", 30)
    await assert_once(stack, organisation, answered)
