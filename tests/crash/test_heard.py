"""Clocks differ, or the replies stand still: a refusal that was answered with success is listed.

Of several creates of one `userName` at the same moment one is applied, and the others are refused.
Each of these was answered with its refusal, or it is in `rollcall refused list`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from rollcall.control import refused
from rollcall.postgres import audit
from rollcall.postgres.pool import prepare_connection
from rollcall.runtime.ids import new_id
from rollcall_local.stack import ports
from tests.support.databases import TestDatabase
from tests.support.load import applied
from tests.support.postgres_faults import metric
from tests.support.scim_client import Answer
from tests.support.servers import own_kafka
from tests.support.stack import Organisation, Stack, running, until
from tests.support.stalling import Stalling, stalling

pytestmark = pytest.mark.timeout(300)
LONG = pytest.mark.long
MINUTE = 60
DAY = 86_400


@pytest.fixture
def waits(stack: Stack) -> Stack:
    """The budget of an answer is the one of a deployment."""
    stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"
    return stack


async def listed(stack: Stack) -> list[str]:
    connection = await asyncpg.connect(stack.database_url("owner"))
    try:
        await prepare_connection(connection)
        found = await audit.find_refused(connection, limit=1000)
    finally:
        await connection.close()
    return [each.resource for one in found for each in refused.refusals_of(one)]


async def without_promises(stack: Stack, organisation: Organisation) -> None:
    """Take from ingress the right to read how far all is applied: then it decides nothing."""
    connection = await asyncpg.connect(stack.database_url("owner"))
    try:
        await connection.execute("REVOKE SELECT ON directory.progress FROM rollcall_ingress")
    finally:
        await connection.close()

    async def is_so() -> bool:
        async with stack.client(organisation) as client:
            await client.call("DELETE", f"/Users/{new_id()}")
        return "ce_promise" not in (await stack.headers(stack.topics.requests))[-1]

    await until(is_so, "nothing is promised")


async def same_name(stack: Stack, organisation: Organisation, copies: int) -> list[Answer]:
    async with stack.client(organisation) as client:
        return list(
            await asyncio.gather(*(client.create_user("same@crash.example") for _ in range(copies)))
        )


async def assert_all_are_heard_or_listed(
    stack: Stack, organisation: Organisation, answers: list[Answer]
) -> list[str]:
    """The refused ones, of which none was answered with success and is not listed."""
    await until(lambda: applied(stack, organisation), "the log is applied", 60)
    rows = await stack.rows("SELECT resource_id FROM audit.event WHERE status = 409")
    refused_ids = {str(row["resource_id"]) for row in rows}
    successes = {answer.body["id"] for answer in answers if answer.status == 201}

    async def is_listed() -> bool:
        names = await listed(stack)
        assert len(names) == len(set(names)), "none is listed twice"
        return {f"Users/{each}" for each in successes & refused_ids} <= set(names)

    await until(is_listed, "what was answered with success and refused is listed", 20)
    assert len(refused_ids) == len(answers) - 1
    return sorted(successes & refused_ids)


@pytest.mark.parametrize(
    "ahead_s", [1.5, *(pytest.param(s, marks=LONG) for s in (-1.5, 0.3, MINUTE))]
)
async def test_a_refusal_behind_a_pause_is_answered_whatever_ingress_s_clock_says(
    ahead_s: float, waits: Stack
) -> None:
    """The log decides, and what is promised is not listed."""
    organisation = await waits.organisation()
    await waits.start("ingress", ROLLCALL_CLOCK_OFFSET_S=str(ahead_s))
    provisioner = await waits.start("provisioner")

    provisioner.pause()
    waiting = asyncio.create_task(same_name(waits, organisation, 2))
    await asyncio.sleep(2.6)  # the fault itself: longer than the budget
    provisioner.resume()
    answers = await waiting

    assert await assert_all_are_heard_or_listed(waits, organisation, answers) == []
    assert sorted(answer.status for answer in answers) == [201, 409]
    assert await listed(waits) == []


@pytest.mark.parametrize(
    "ahead_s", [1.5, *(pytest.param(s, marks=LONG) for s in (-1.5, 0.3, MINUTE))]
)
async def test_where_nothing_can_be_promised_a_refusal_behind_a_pause_is_listed(
    ahead_s: float, waits: Stack
) -> None:
    organisation = await waits.organisation()
    await waits.start("ingress", ROLLCALL_CLOCK_OFFSET_S=str(ahead_s))
    provisioner = await waits.start("provisioner")
    await without_promises(waits, organisation)

    provisioner.pause()
    waiting = asyncio.create_task(same_name(waits, organisation, 2))
    await asyncio.sleep(2.6)  # the fault itself: longer than the budget
    provisioner.resume()
    answers = await waiting

    taken_back = await assert_all_are_heard_or_listed(waits, organisation, answers)
    assert [answer.status for answer in answers] == [201, 201]
    assert len(taken_back) == 1


@pytest.mark.parametrize(
    "ahead_s", [MINUTE, *(pytest.param(s, marks=LONG) for s in (-MINUTE, DAY, -DAY))]
)
async def test_a_provisioner_answers_whatever_its_clock_says(ahead_s: int, waits: Stack) -> None:
    organisation = await waits.organisation()
    await waits.start("ingress")
    provisioner = await waits.start("provisioner", ROLLCALL_CLOCK_OFFSET_S=str(ahead_s))

    async with waits.client(organisation) as client:
        made = await client.create_user("ana@crash.example")
        path = f"/Users/{made.body['id']}"
        patched = await client.call(
            "PATCH",
            path,
            {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "title", "value": "Cook"}],
            },
            If_Match=made.body["meta"]["version"],
        )
        answers = [await client.create_user(f"user{number}@crash.example") for number in range(3)]
    again = await same_name(waits, organisation, 2)

    assert (made.status, made.is_pending) == (201, False)
    assert (patched.status, patched.is_pending) == (200, False)
    assert not any(answer.is_pending for answer in answers)
    assert sorted(answer.status for answer in again) == [201, 409]
    assert await metric(provisioner, "rollcall_provisioner_replies_unsent_total") == 0
    assert await listed(waits) == []


@pytest.fixture
async def behind_a_proxy(
    tmp_path: Path, database: TestDatabase
) -> AsyncIterator[tuple[Stack, Stalling]]:
    """A deployment whose way to the broker leads through a proxy."""
    prefix, port = f"t{uuid.uuid4().hex[:12]}", ports.choose()
    advertised = f"PLAINTEXT://127.0.0.1:{port}"
    with own_kafka(advertised_listeners=advertised) as broker:
        target = int(broker.bootstrap.rpartition(":")[2])
        async with (
            stalling(port, f"{prefix}.replies", target) as proxy,
            running(tmp_path, f"127.0.0.1:{port}", prefix, database.url) as made,
        ):
            made.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"
            yield made, proxy


@pytest.mark.long
async def test_what_a_reader_could_not_read_is_listed(
    behind_a_proxy: tuple[Stack, Stalling],
) -> None:
    """Its connection stands still for 4 s: it cannot know that the refusals are there."""
    stack, proxy = behind_a_proxy
    organisation = await stack.organisation()
    ingress = await stack.start("ingress")
    await stack.start("provisioner")
    await without_promises(stack, organisation)
    async with stack.client(organisation) as client:
        before = await client.create_user("before@crash.example")

    proxy.hold()
    waiting = asyncio.create_task(same_name(stack, organisation, 20))
    await asyncio.sleep(4)  # the fault itself
    proxy.release()
    answers = await waiting

    listed = await assert_all_are_heard_or_listed(stack, organisation, answers)
    assert (before.status, before.is_pending) == (201, False)
    assert {answer.status for answer in answers} == {201}
    assert len(listed) == 19
    assert await metric(ingress, "rollcall_ingress_unheard_total") == 20

    async def is_counted() -> bool:
        return await metric(ingress, "rollcall_ingress_told_refused_total") == 19

    await until(is_counted, "the refusals that came afterwards are counted")


async def test_where_the_replies_cannot_be_read_the_log_decides(
    behind_a_proxy: tuple[Stack, Stalling],
) -> None:
    """Its connection to the replies stands still; what it promised is kept all the same."""
    stack, proxy = behind_a_proxy
    organisation = await stack.organisation()
    ingress = await stack.start("ingress")
    async with stack.client(organisation) as client:
        await client.create_user("before@crash.example")

    proxy.hold()
    answers = await same_name(stack, organisation, 20)
    proxy.release()
    await stack.start("provisioner")

    assert await assert_all_are_heard_or_listed(stack, organisation, answers) == []
    assert sorted(answer.status for answer in answers) == [201, *[409] * 19]
    assert await metric(ingress, "rollcall_ingress_verdicts_differed_total") == 0
    assert await listed(stack) == []


@pytest.mark.long
async def test_after_a_kill_of_ingress_what_it_answered_unheard_is_listed(
    behind_a_proxy: tuple[Stack, Stalling],
) -> None:
    stack, proxy = behind_a_proxy
    organisation = await stack.organisation()
    ingress = await stack.start("ingress")
    await stack.start("provisioner")
    await without_promises(stack, organisation)

    proxy.hold()
    answers = await same_name(stack, organisation, 5)
    ingress.kill()
    proxy.release()

    listed = await assert_all_are_heard_or_listed(stack, organisation, answers)
    assert len(listed) == 4
