"""A topic made anew under a running deployment, and accepted by an operator."""

import asyncio
import subprocess
import sys

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from rollcall.kafka.admin import apply_topics
from tests.support.scim_client import Answer, Client
from tests.support.stack import ROOT, Organisation, Stack, until

SURE = {200, 503}
"""What a read of somebody who is there may be answered at any time: found, or ask again."""


async def test_a_recreated_log_is_accepted_and_no_read_denies_what_was_answered(
    stack: Stack,
) -> None:
    for service in ("ingress", "provisioner"):
        await stack.start(service, ROLLCALL_INGRESS_REPLY_BUDGET_S="1")
    organisation = await stack.organisation()
    async with stack.client(organisation) as client:
        before = [await client.create_user(f"before{n}@example.org") for n in range(3)]
        assert [answer.status for answer in before] == [201] * 3
        assert not any(answer.is_pending for answer in before)

        await recreate(stack, stack.topics.requests)
        late = await accepted(client)
        seen = [await statuses(client, *before, late)]
        await until(lambda: is_halted(stack, organisation), "the partition is halted")
        seen.append(await statuses(client, *before, late))
        done = await asyncio.to_thread(rollcall, stack, "partition", "resume", organisation)
        assert done.returncode == 0, done.stderr
        seen.append(await statuses(client, *before, late))

        async def is_settled() -> bool:
            seen.append(await statuses(client, *before, late))
            after = await client.call("GET", f"/Users/{late.body['id']}")
            return after.status == 200 and not after.is_pending and set(seen[-1]) == {200}

        await until(is_settled, "the late one is applied")
        again = await client.create_user("late@example.org")
        other = await client.create_user("after@example.org")

    assert all(SURE.issuperset(each) for each in seen), seen
    assert again.status == 409
    assert other.status == 201
    names = {f"{name}@example.org" for name in ("before0", "before1", "before2", "late", "after")}

    async def is_all_there() -> bool:
        rows = await stack.rows("SELECT user_name_key FROM directory.member")
        return {row["user_name_key"] for row in rows} == names

    await until(is_all_there, "everybody is in the directory once")


@pytest.mark.long
async def test_a_running_notifier_goes_on_in_a_new_log_of_outcomes(stack: Stack) -> None:
    """Nothing that left is sent again, nothing new is kept back, and nobody restarts it."""
    stack.environment["ROLLCALL_NOTIFIER_INVITATION_GRACE_S"] = "0"
    for service in ("ingress", "provisioner", "notifier"):
        await stack.start(service)
    organisation = await stack.organisation()
    partition = organisation.partition
    async with stack.client(organisation) as client:
        for number in range(3):
            assert (await client.create_user(f"before{number}@example.org")).status == 201
        await until(lambda: len(stack.mails()) == 3, "the first mails have arrived", 60)

        await recreate(stack, stack.topics.outcomes)
        assert (await client.create_user("between@example.org")).status == 201
        await until(lambda: is_halted(stack, organisation, "notice"), "it is halted", 60)
        done = await asyncio.to_thread(
            rollcall, stack, "partition", "resume", organisation, "--topic", "outcomes"
        )
        assert done.returncode == 0, done.stderr
        assert (await client.create_user("after@example.org")).status == 201
        await until(lambda: len(stack.mails("after@example.org")) == 1, "the new mail", 60)

    [row] = await stack.rows(
        "SELECT epoch, state FROM notice.progress WHERE topic = $1 AND partition = $2",
        stack.topics.outcomes,
        partition,
    )
    assert (row["epoch"], row["state"]) == (1, "running")
    names = ("before0", "before1", "before2", "between", "after")
    await until(lambda: len(stack.mails()) >= len(names), "all mails have arrived", 60)
    assert sorted(str(mail["X-RcptTo"]) for mail in stack.mails()) == sorted(
        f"{name}@example.org" for name in names
    )


async def recreate(stack: Stack, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])

        async def is_gone() -> bool:
            return topic not in await admin.list_topics()

        await until(is_gone, "the topic is gone")
    finally:
        await admin.close()
    await apply_topics(stack.settings, stack.topics, replication=1)


async def accepted(client: Client) -> Answer:
    """A create that is accepted, sent again as an IdP does while it is refused."""
    answers: list[Answer] = []

    async def is_accepted() -> bool:
        answers.append(await client.create_user("late@example.org"))
        return answers[-1].status != 503

    await until(is_accepted, "a create is accepted", 60.0)
    assert answers[-1].status == 201, answers[-1]
    return answers[-1]


async def statuses(client: Client, *answers: Answer) -> tuple[int, ...]:
    return tuple(
        [(await client.call("GET", f"/Users/{each.body['id']}")).status for each in answers]
    )


async def is_halted(stack: Stack, organisation: Organisation, schema: str = "directory") -> bool:
    topic = stack.topics.requests if schema == "directory" else stack.topics.outcomes
    rows = await stack.rows(
        f"SELECT state FROM {schema}.progress WHERE topic = $1 AND partition = $2",
        topic,
        organisation.partition,
    )
    return [row["state"] for row in rows] == ["halted"]


def rollcall(
    stack: Stack, group: str, verb: str, organisation: Organisation, *more: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *(sys.executable, "-m", "rollcall_operator", group, verb),
            *(str(organisation.partition), "--new-log", "--yes", *more),
        ],
        cwd=ROOT,
        env={**stack.environment, "ROLLCALL_DATABASE_URL": stack.database_url("owner")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
