"""`rollcall trace`: what became of a change, found without a scan where the database knows it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from rollcall.control.tenancy_log import open_log
from rollcall.events.envelope import format_time
from rollcall.runtime import clock
from rollcall.runtime.clock import now_ms
from rollcall.runtime.ids import new_id
from rollcall.tenancy.organisation import Organisation
from tests.integration.operator.rebuilding import (
    FIX,
    POISON,
    REFUSE_TITLE,
    apply_all,
    execute,
    rollcall,
    rollcall_json,
    send_all,
    settings_of,
)
from tests.support import logs, poison
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_member,
    an_id,
    create,
    patch,
    redrive,
    replacing,
)
from tests.support.deployment import Deployment
from tests.support.load import settled
from tests.support.stack import Stack, until

ANA = a_member(1, "ana@example.org")


@pytest.fixture
async def organisations(deployment: Deployment) -> None:
    """The two of the builders, as the tenancy topic has them."""
    async with open_log(settings_of(deployment)) as log:
        await log.write(Organisation(ORGANISATION, "Zeeburg", 0, MOMENT))
        await log.write(Organisation(OTHER_ORGANISATION, "Diemen", 1, MOMENT))


async def traced(deployment: Deployment, *arguments: str) -> dict[str, Any]:
    """The one trace that the command finds."""
    found = await rollcall_json(deployment, "trace", *arguments)
    [only] = found["traces"]
    return {**only, "scan": found["scan"]}


@pytest.mark.parametrize("of", ["event", "member"])
async def test_without_the_requests_topic_nothing_is_known(
    deployment: Deployment, organisations: None, of: str
) -> None:
    await logs.delete(deployment, deployment.topics.requests)
    what = [new_id()] if of == "event" else ["Zeeburg", an_id(1)]

    done = await rollcall(deployment, "trace", *what, "--since", "2026-01-01")

    assert (done.exit_code, done.stdout) == (2, "")
    assert f"there is no topic {deployment.topics.requests}" in done.stderr


async def test_an_applied_change_is_found_without_a_scan(deployment: Deployment) -> None:
    running = await deployment.start()
    request = create(1, "ana@example.org")
    await apply_all(deployment, [request])
    await running.end()

    found = await traced(deployment, request.id)

    requests, outcomes = deployment.topics.requests, deployment.topics.outcomes
    assert found["scan"] is None
    assert (found["fate"], found["kind"]) == ("applied", "member.create")
    assert found["resource"] == f"Users/{an_id(1)}"
    assert [(each["record"], each["fate"], each["in_log"]) for each in found["records"]] == [
        (f"{requests}/0/0", "applied", True)
    ]
    assert found["decision"]["status"] == 201
    assert [(each["fact"], each["record"]) for each in found["outcomes"]] == [
        ("member.invited", f"{outcomes}/0/0")
    ]
    assert found["outcomes"][0]["announced"]
    assert [(each["kind"], each["state"]) for each in found["mails"]] == [
        ("invitation", "unplanned")
    ]


async def test_a_refused_change_says_why_and_no_value(deployment: Deployment) -> None:
    running = await deployment.start()
    second = create(2, "ana@example.org")
    await apply_all(deployment, [create(1, "ana@example.org"), second])
    await running.end()

    found = await traced(deployment, second.id)
    printed = (await rollcall(deployment, "trace", second.id)).stdout

    assert found["fate"] == "refused"
    assert (found["decision"]["status"], found["decision"]["scim_type"]) == (409, "uniqueness")
    assert found["outcomes"][0]["attribute"] == "userName"
    assert "refused (409 uniqueness)" in printed
    assert "ana" not in printed + str(found)


async def test_dead_and_parked_changes_are_followed_through_their_redrive(
    deployment: Deployment,
) -> None:
    await execute(deployment, REFUSE_TITLE)
    running = await deployment.start()
    dead = replace(patch(ANA, replacing("title", POISON)), id=an_id(3000))
    parked = replace(patch(ANA, replacing("title", "Cook")), id=an_id(3001))
    for each in (create(1, "ana@example.org"), dead, parked):
        await apply_all(deployment, [each])  # in one batch only the last title would be written

    before = [await traced(deployment, each.id) for each in (dead, parked)]
    await execute(deployment, FIX)
    again = redrive(dead, 3002)
    await apply_all(deployment, [again])
    await running.end()
    after = [await traced(deployment, each.id) for each in (dead, parked)]

    assert [each["fate"] for each in before] == ["dead", "parked"]
    assert before[0]["dead_letter"]["state"] == "dead"
    assert before[0]["dead_letter"]["parked"] == 1
    assert [each["fate"] for each in after] == ["applied", "applied"]
    assert [each["decision"]["fate"] for each in after] == ["dead", "parked"]
    assert [each["later"][0]["event_id"] for each in after] == [again.id] * 2
    assert after[0]["dead_letter"]["state"] == "redriven"
    assert [each["fact"] for each in after[1]["outcomes"]] == ["request.parked", "member.changed"]
    assert all(each["record"] for each in after[1]["outcomes"])


async def test_late_copies_and_those_that_wait_are_found_in_the_log(
    deployment: Deployment,
) -> None:
    running = await deployment.start()
    late = replace(create(1, "ana@example.org"), id=new_id(), accept_by_ms=1)
    good = replace(create(2, "ben@example.org"), id=new_id(), accept_by_ms=now_ms() + 60_000)
    await apply_all(deployment, [late, good, good])
    await running.end()
    waiting = replace(create(3, "eve@example.org"), id=new_id())
    await send_all(deployment, [waiting])

    expired = await traced(deployment, late.id)
    copied = await traced(deployment, good.id, "--copies")
    waits = await traced(deployment, waiting.id)

    assert expired["fate"] == "expired"
    assert expired["decision"] is None
    assert copied["fate"] == "applied"
    assert [each["fate"] for each in copied["records"]] == ["applied", "duplicate"]
    assert waits["fate"] == "waiting"
    assert waits["records"][0]["record"].endswith("/0/3")
    assert waits["scan"]["records"] <= 4
    assert waits["scan"]["complete"]


async def test_a_late_copy_and_one_in_time_are_one_change(deployment: Deployment) -> None:
    running = await deployment.start()
    late = replace(create(1, "ana@example.org"), id=new_id(), accept_by_ms=1)
    await apply_all(deployment, [late, replace(late, accept_by_ms=now_ms() + 60_000)])
    await running.end()

    found = await traced(deployment, late.id, "--copies")

    assert found["fate"] == "applied"
    assert [each["fate"] for each in found["records"]] == ["expired", "applied"]


@pytest.mark.usefixtures("organisations")
async def test_an_event_in_a_place_that_is_not_its_own_is_a_dead_letter(
    deployment: Deployment,
) -> None:
    running = await deployment.start()

    async def is_copied() -> bool:
        return len(await deployment.rows("SELECT id FROM tenancy.organisation")) == 2

    await until(is_copied, "the provisioner knows where the organisations live")
    stray = replace(create(1, "ana@example.org"), id=new_id())
    sent = await deployment.send(stray, partition=1)
    await deployment.applied(sent.offset + 1, 1)
    await running.end()

    found = await traced(deployment, stray.id)

    assert found["fate"] == "dead"
    assert found["records"][0]["record"] == f"{deployment.topics.requests}/1/0"


@pytest.mark.usefixtures("organisations")
async def test_the_changes_of_a_member_are_listed_in_order_with_those_that_wait(
    deployment: Deployment,
) -> None:
    running = await deployment.start()
    changed = replace(patch(ANA, replacing("title", "Cook")), id=an_id(3001))
    await apply_all(
        deployment, [create(1, "ana@example.org"), create(2, "ben@example.org"), changed]
    )
    await running.end()
    waiting = replace(patch(ANA, replacing("title", "Bosun")), id=an_id(3002))
    await send_all(deployment, [waiting, create(3, "eve@example.org")])
    member = ("Zeeburg", ANA.id)

    found = await rollcall_json(deployment, "trace", *member)
    fewer = await rollcall_json(deployment, "trace", *member, "--last", "1")
    since = format_time(clock.now())
    nothing = await rollcall(deployment, "trace", *member, "--since", since)
    printed = (await rollcall(deployment, "trace", *member)).stdout

    assert [(each["kind"], each["fate"]) for each in found["traces"]] == [
        ("member.create", "applied"),
        ("member.patch", "applied"),
        ("member.patch", "waiting"),
    ]
    assert [each["event_id"] for each in fewer["traces"]] == [changed.id, waiting.id]
    assert nothing.exit_code == 1
    assert "Read 2 records of the log" in printed
    assert "Cook" not in printed
    assert "ana@" not in printed


async def test_a_record_that_retention_took_is_still_decided(deployment: Deployment) -> None:
    running = await deployment.start()
    request = create(1, "ana@example.org")
    await apply_all(deployment, [request, create(2, "ben@example.org")])
    await running.end()
    await logs.cut(deployment, deployment.topics.requests, 1)

    found = await traced(deployment, request.id)

    assert found["fate"] == "applied"
    assert found["resource"] == f"Users/{an_id(1)}"
    assert not found["records"][0]["in_log"]


async def test_what_is_nowhere_is_1_and_what_cannot_be_known_is_2(
    deployment: Deployment,
) -> None:
    await send_all(deployment, [create(number, f"m{number}@example.org") for number in range(5)])

    nowhere = await rollcall(deployment, "trace", new_id())
    bounded = await rollcall(deployment, "trace", an_id(9_999), "--scan", "3")
    no_time = await rollcall(deployment, "trace", "7c9e6679-7425-40de-944b-e07fc1f90ae7")
    no_id = await rollcall(deployment, "trace", "ana@example.org")
    nothing = await rollcall(deployment, "trace")
    await logs.cut(deployment, deployment.topics.requests, 2)
    gone = await rollcall(deployment, "trace", an_id(9_999))

    assert nowhere.exit_code == 1
    assert bounded.exit_code == 2
    assert "--scan" in bounded.stderr
    assert no_time.exit_code == 2
    assert "--since" in no_time.stderr
    assert no_id.exit_code == 2
    assert "no organisation has a member" in no_id.stderr
    assert nothing.exit_code == 2
    assert gone.exit_code == 2


@pytest.mark.timeout(200)
async def test_from_the_door_to_the_mail(whole_stack: Stack) -> None:
    """A real request, its outcome, its notice, its mail, and the fact that it left."""
    stack = whole_stack
    zeeburg = await stack.organisation()
    async with stack.client(zeeburg) as client:
        made = await client.create_user("ana@example.org")
        await settled(stack, zeeburg)
        stack.stop_mailbox()
        revoked = await client.patch(
            f"/Users/{made.body['id']}", {"op": "replace", "path": "active", "value": False}
        )
        assert revoked.status == 200

    async def is_tried() -> bool:
        rows = await stack.rows("SELECT FROM notice.notification WHERE state = 'due'")
        return bool(rows)

    await until(is_tried, "the second mail is due")

    found = await poison.rollcall(stack, "trace", zeeburg.id, made.body["id"])

    first, second = found["traces"]
    assert first["actor"].startswith("key:")
    [mail] = first["mails"]
    [sent] = stack.mails("ana@example.org")
    assert (mail["kind"], mail["state"], mail["told"]) == ("invitation", "sent", True)
    assert mail["message_id"] == str(sent["Message-ID"])
    assert mail["record"].startswith(f"{stack.topics.outcomes}/{zeeburg.partition}/")
    assert [(each["kind"], each["state"]) for each in second["mails"]] == [("revocation", "due")]
    assert "ana@" not in str(found)
    await asyncio.to_thread(stack.start_mailbox)
