"""Dead letters on real Kafka and Postgres: quarantine, bisect, limits, redrive as one event."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from rollcall.directory import members
from rollcall.directory.changes import Decision
from rollcall.directory.state import State
from rollcall.events import dead_letter
from rollcall.events.bodies import Create, Patch
from rollcall.events.envelope import encode
from rollcall.events.request import Request, to_event
from rollcall.postgres import progress
from rollcall.runtime.clock import now_ms
from tests.integration.provisioner.poison import execute, letters
from tests.support.builders import (
    ORGANISATION,
    a_group,
    a_member,
    a_request,
    an_id,
    create,
    patch,
    redrive,
    regroup,
    replacing,
    resourced,
)
from tests.support.deployment import Deployment
from tests.support.poison import POISON_TITLE, REFUSE_TITLE
from tests.support.stack import until

ANA = a_member(1, "ana@example.org")
BEN = a_member(2, "ben@example.org")
Decide = Callable[[State, Request, datetime], Decision]


def titled(title: str, number: int, member: Any = ANA) -> Request:
    return patch(member, replacing("title", title), number=number)


@pytest.fixture
def poisonous(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A release that cannot decide a PATCH to the poison title; call it to deploy the fix."""
    right = members.patch

    def wrong(state: State, request: Request, body: Patch) -> Decision:
        if any(each.get("value") == POISON_TITLE for each in body.operations):
            raise KeyError(POISON_TITLE)
        return right(state, request, body)

    monkeypatch.setattr(members, "patch", wrong)
    return lambda: monkeypatch.setattr(members, "patch", right)


async def cut_connections(deployment: Deployment) -> None:
    """As a failover does; the owner of a database may not."""
    admin = await asyncpg.connect(deployment.database.server.admin_url, timeout=10)
    try:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'test' AND datname = $1",
            deployment.database.name,
        )
    finally:
        await admin.close(timeout=10)


async def resume(deployment: Deployment) -> None:
    """What `rollcall partition resume` does."""
    async with deployment.database.connect() as connection:
        halted = await progress.read(connection, deployment.topics.requests, 0)
        assert halted is not None
        assert await progress.resume(connection, halted)


async def send_all(deployment: Deployment, *requests: Request) -> int:
    """Send them, and return the offset behind the last one."""
    for request in requests:
        last = await deployment.send(request)
    return last.offset + 1


async def titles(deployment: Deployment) -> dict[str, str | None]:
    rows = await deployment.rows("SELECT id::text, document ->> 'title' AS t FROM directory.member")
    return {row["id"]: row["t"] for row in rows}


async def parked(deployment: Deployment) -> list[str]:
    rows = await deployment.rows('SELECT id::text FROM directory.parked ORDER BY "offset"')
    return [row["id"] for row in rows]


@pytest.mark.usefixtures("poisonous")
async def test_what_follows_a_dead_event_is_parked_bytes_and_all_and_the_others_flow(
    deployment: Deployment,
) -> None:
    await deployment.start()
    waits = replace(titled("Cook", 902), reply_to=0, answer_by_ms=now_ms() + 20_000)
    await send_all(deployment, create(1, "ana@example.org"), create(2, "ben@example.org"))
    await send_all(deployment, titled(POISON_TITLE, 901))

    end = await send_all(deployment, waits, titled("Mate", 903), titled("Captain", 904, BEN))

    await deployment.applied(end)
    assert await letters(deployment) == [(an_id(901), "KeyError", "dead", 1)]
    assert await parked(deployment) == [an_id(902), an_id(903)]
    assert await titles(deployment) == {ANA.id: None, BEN.id: "Captain"}
    [row] = await deployment.rows("SELECT value FROM directory.parked WHERE id = $1", an_id(902))
    assert row["value"] == encode(to_event(waits))[1]
    [reply] = await deployment.replies()
    assert (reply.request_id, reply.status, reply.is_parked) == (waits.id, 202, True)
    facts = [each.outcome.fact for each in await deployment.outcomes(6)]
    assert facts == [
        "member.invited",
        "member.invited",
        "request.failed",
        "request.parked",
        "request.parked",
        "member.changed",
    ]


async def test_a_redrive_leaves_the_state_as_if_nothing_had_happened(
    deployment: Deployment, poisonous: Callable[[], None]
) -> None:
    group = a_group()
    await deployment.start()
    await send_all(
        deployment,
        create(1, "ana@example.org"),
        a_request("group.create", group.id, 905, resource=group.resource),
    )
    bad, after = titled(POISON_TITLE, 901), titled("Mate", 903)
    end = await send_all(deployment, bad, after, regroup(group, add=(ANA.id,), number=904))
    await deployment.applied(end)
    poisonous()

    end = await send_all(deployment, redrive(bad), titled("Captain", 906), bad, after)

    await deployment.applied(end)
    assert await titles(deployment) == {ANA.id: "Captain"}
    assert await letters(deployment) == [(bad.id, "KeyError", "redriven", 1)]
    assert await parked(deployment) == []
    assert len(await deployment.rows("SELECT 1 FROM directory.group_member")) == 1
    found = await deployment.outcomes(9)
    of_redrive = [each for each in found if each.sequence.offset == end - 4]
    assert [(each.outcome.fact, each.request_id, each.sequence.index) for each in of_redrive] == [
        ("dead.redriven", an_id(800), 0),
        ("member.changed", bad.id, 1),
        ("member.changed", after.id, 2),
    ]
    assert len({each.id for each in found}) == len(found)
    rows = await deployment.rows("SELECT id::text, status FROM audit.event")
    assert {row["id"]: row["status"] for row in rows}[an_id(800)] == 204
    assert len(rows) == len({row["id"] for row in rows}), "a copy was applied again"


async def test_a_redrive_is_safe_to_send_twice_and_to_fail(
    deployment: Deployment, poisonous: Callable[[], None]
) -> None:
    await deployment.start()
    bad = titled(POISON_TITLE, 901)
    await send_all(deployment, create(1, "ana@example.org"), bad, titled("Mate", 902))
    end = await send_all(deployment, redrive(bad, 801))
    await deployment.applied(end)
    assert await letters(deployment) == [(bad.id, "KeyError", "dead", 2)]
    assert await parked(deployment) == [an_id(902)]
    poisonous()

    end = await send_all(deployment, redrive(bad, 802), redrive(bad, 803))

    await deployment.applied(end)
    assert await letters(deployment) == [(bad.id, "KeyError", "redriven", 2)]
    assert await titles(deployment) == {ANA.id: "Mate"}

    async def all_announced() -> bool:
        return len(await deployment.events(deployment.topics.dead)) == 2

    await until(all_announced, "both failures are announced")
    announced = [
        dead_letter.from_event(each) for each in await deployment.events(deployment.topics.dead)
    ]
    assert [(each.event_id, each.attempts) for each in announced] == [(bad.id, 1), (bad.id, 2)]


@pytest.mark.usefixtures("poisonous")
async def test_a_parked_event_that_fails_when_it_is_applied_is_dead_and_the_rest_waits(
    deployment: Deployment,
) -> None:
    await deployment.start()
    first, second = titled(POISON_TITLE, 901), titled(POISON_TITLE, 902)
    await send_all(deployment, create(1, "ana@example.org"), first, second, titled("Mate", 903))

    end = await send_all(deployment, redrive(first, kind="dead.discard"))

    await deployment.applied(end)
    assert await letters(deployment) == [
        (first.id, "KeyError", "discarded", 1),
        (second.id, "KeyError", "dead", 1),
    ]
    assert await parked(deployment) == [an_id(903)]
    [row] = await deployment.rows("SELECT told FROM directory.dead_letter WHERE state = 'dead'")
    assert row["told"] == 2


async def test_a_member_that_is_given_up_before_it_was_made_leaves_its_groups(
    deployment: Deployment,
) -> None:
    group = a_group()
    await deployment.start()
    bad = resourced(create(1, "ana@example.org"), None)
    end = await send_all(
        deployment,
        a_request("group.create", group.id, 905, resource=group.resource),
        bad,
        regroup(group, add=(ANA.id,), number=904),
        titled("Mate", 903),
    )
    await deployment.applied(end)
    assert len(await deployment.rows("SELECT 1 FROM directory.group_member")) == 1

    end = await send_all(deployment, redrive(bad, kind="dead.discard"))

    await deployment.applied(end)
    assert await deployment.rows("SELECT 1 FROM directory.group_member") == []
    [row] = await deployment.rows('SELECT version::text FROM directory."group"')
    assert row["version"] == an_id(800)
    # The parked PATCH finds nobody: that is a refusal like any other, and no dead letter.
    assert await letters(deployment) == [(bad.id, "ValueError", "discarded", 1)]
    [row] = await deployment.rows("SELECT status FROM audit.event WHERE id = $1", an_id(800))
    assert row["status"] == 404


async def test_what_only_postgres_refuses_is_found_and_the_rest_of_the_batch_is_applied(
    deployment: Deployment,
) -> None:
    """All of it is in one batch: the provisioner starts when everything is there."""
    await execute(deployment, REFUSE_TITLE)
    bad, parked_ = titled(POISON_TITLE, 901), patch(ANA, replacing("nickName", "A"), number=902)
    end = await send_all(
        deployment,
        create(1, "ana@example.org"),
        bad,
        create(2, "ben@example.org"),
        parked_,
        titled("Captain", 903, BEN),
    )
    await deployment.start()

    await deployment.applied(end)

    assert await letters(deployment) == [(bad.id, "23514", "dead", 1)]
    assert await parked(deployment) == [parked_.id]
    assert await titles(deployment) == {ANA.id: None, BEN.id: "Captain"}
    [row] = await deployment.rows("SELECT error FROM directory.dead_letter")
    assert "ana" not in row["error"]
    await execute(deployment, "DROP TRIGGER refuse_title ON directory.member")
    end = await send_all(deployment, redrive(bad))
    await deployment.applied(end)
    assert await titles(deployment) == {ANA.id: POISON_TITLE, BEN.id: "Captain"}


async def test_a_redrive_that_postgres_refuses_stops_at_the_culprit(
    deployment: Deployment, poisonous: Callable[[], None]
) -> None:
    await deployment.start()
    first = titled(POISON_TITLE, 901)
    culprit, waits = titled("Refused", 902), patch(ANA, replacing("nickName", "A"), number=903)
    end = await send_all(deployment, create(1, "ana@example.org"), first, culprit, waits)
    await deployment.applied(end)
    poisonous()
    await execute(deployment, REFUSE_TITLE.replace(POISON_TITLE, "Refused"))

    end = await send_all(deployment, redrive(first))

    await deployment.applied(end)
    assert await letters(deployment) == [
        (first.id, "KeyError", "redriven", 1),
        (culprit.id, "23514", "dead", 1),
    ]
    assert await parked(deployment) == [waits.id]
    assert await titles(deployment) == {ANA.id: POISON_TITLE}


async def test_a_broken_release_halts_before_the_tenth_and_goes_on_when_it_is_mended(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is dead-lettered in bulk: whatever the batches, nine at most of three tenants."""
    right = members.create

    def broken(state: State, request: Request, body: Create) -> Decision:
        raise RuntimeError

    monkeypatch.setattr(members, "create", broken)
    running = await deployment.start()
    for number in range(1, 31):
        made = create(number, f"u{number}@example.org")
        of = an_id(1_000_000 + number % 3)  # one organisation alone would be parked
        last = await deployment.send(replace(made, organisation_id=of))

    async def is_halted() -> bool:
        return bool((await deployment.progress())["state"] == "halted")

    await until(is_halted, "the partition is halted")
    dead = await letters(deployment)
    stands = await deployment.progress()
    assert len(dead) == stands["next_offset"] < 10
    assert stands["reason"] == "too-many-dead-letters"
    assert "RuntimeError" in stands["detail"]
    assert running.requests.stalled(0) == []

    await running.end()
    monkeypatch.setattr(members, "create", right)
    await resume(deployment)
    await deployment.start()

    await deployment.applied(last.offset + 1)
    assert await letters(deployment) == dead
    assert len(await deployment.rows("SELECT 1 FROM directory.member")) == 30 - len(dead)


async def test_ten_that_postgres_refuses_in_one_batch_halt_the_partition(
    deployment: Deployment,
) -> None:
    """Of three organisations; those of one alone park it (test_one_tenant.py)."""
    await execute(deployment, REFUSE_TITLE)
    members = [
        replace(
            create(number, f"u{number}@example.org", title=POISON_TITLE),
            organisation_id=an_id(1_000_000 + number % 3),
        )
        for number in range(12)
    ]
    await send_all(deployment, create(50, "ana@example.org"), *members)
    await deployment.start()

    async def is_halted() -> bool:
        return bool((await deployment.progress())["state"] == "halted")

    await until(is_halted, "the partition is halted")

    assert await letters(deployment) == []
    assert (await deployment.progress())["next_offset"] == 0
    assert await titles(deployment) == {}


async def test_a_malformed_event_quarantines_only_a_resource_that_it_names_for_certain(
    deployment: Deployment,
) -> None:
    await deployment.start()
    await send_all(deployment, create(1, "ana@example.org"), create(2, "ben@example.org"))
    good = to_event(titled("Cook", 901))
    other_key = to_event(titled("Cook", 902, BEN))
    await deployment.send_event(replace(good, data=[]), ORGANISATION)
    await deployment.send_event(replace(other_key, data=[]), an_id(77))

    end = await send_all(deployment, titled("Mate", 903), titled("Mate", 904, BEN))

    await deployment.applied(end)
    assert await parked(deployment) == [an_id(903)]
    assert await titles(deployment) == {ANA.id: None, BEN.id: "Mate"}


async def test_a_database_that_is_down_makes_no_dead_letter(deployment: Deployment) -> None:
    """Every connection of the provisioner is cut again and again while it works."""
    await deployment.start()
    for number in range(1, 21):
        last = await deployment.send(create(number, f"u{number}@example.org"))
        await cut_connections(deployment)

    await deployment.applied(last.offset + 1)

    assert await letters(deployment) == []
    assert len(await deployment.rows("SELECT 1 FROM directory.member")) == 20
