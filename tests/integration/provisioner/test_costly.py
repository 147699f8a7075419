"""What is too much at once stops nobody: cut, tried twice, halved, then a dead letter or a halt.

The costly requests are of rules 1, as an old log holds them: no budget of work refuses them.
"""

import asyncio
import time
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
import structlog

from rollcall.directory import members
from rollcall.directory.changes import Decision
from rollcall.directory.state import State
from rollcall.events.bodies import EndOrganisation, Patch
from rollcall.events.request import Request
from rollcall.kafka.producer import Producer
from rollcall.postgres import busy, pool
from rollcall.runtime.ids import new_id
from rollcall.runtime.lifecycle import FaultPoint
from rollcall_provisioner import attempts
from rollcall_provisioner.worker_context import WorkerContext
from tests.support.builders import (
    ORGANISATION,
    OTHER_ORGANISATION,
    a_group,
    a_member,
    a_request,
    an_id,
    create,
    patch,
    redrive,
    replacing,
)
from tests.support.deployment import Deployment
from tests.support.stack import until

pytestmark = pytest.mark.timeout(600)  # time-outs are waited for, some of them twice
MEBIBYTE = 1024 * 1024
SLOW = """
CREATE FUNCTION directory.sleep_for_title() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.document ->> 'title' = 'Slow' THEN PERFORM pg_sleep(30); END IF;
    RETURN new;
END $$;
CREATE TRIGGER sleep_for_title BEFORE INSERT OR UPDATE ON directory.member
    FOR EACH ROW EXECUTE FUNCTION directory.sleep_for_title();
"""
"""Whoever is to get the title `Slow` costs Postgres more than a statement may take."""
SLOW_ONCE = """
CREATE SEQUENCE directory.slow_times;
CREATE FUNCTION directory.sleep_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF new.document ->> 'title' = 'Slow' THEN
        IF nextval('directory.slow_times') = 1 THEN PERFORM pg_sleep(30); END IF;
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER sleep_once BEFORE INSERT OR UPDATE ON directory.member
    FOR EACH ROW EXECUTE FUNCTION directory.sleep_once();
"""
"""The same, but only the first time that Postgres gets as far: no rollback takes that back."""
SLOW_FOR_ALL = """
CREATE FUNCTION directory.sleep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(3); RETURN new; END $$;
CREATE TRIGGER sleep BEFORE UPDATE ON directory.progress
    FOR EACH ROW EXECUTE FUNCTION directory.sleep();
"""
FAST_AGAIN = "DROP TRIGGER sleep ON directory.progress"
SLOW_FOR_ALL_TWICE = """
CREATE SEQUENCE directory.slow_progress;
CREATE FUNCTION directory.sleep_twice() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('directory.slow_progress') <= 2 THEN PERFORM pg_sleep(10); END IF;
    RETURN new;
END $$;
CREATE TRIGGER sleep_twice BEFORE UPDATE ON directory.progress
    FOR EACH ROW EXECUTE FUNCTION directory.sleep_twice();
"""
"""For one attempt, and for the question after it whether Postgres is well."""
SLOW_TO_LEAVE = """
CREATE FUNCTION directory.sleep_on_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(30); RETURN old; END $$;
CREATE TRIGGER sleep_on_delete BEFORE DELETE ON directory.member
    FOR EACH ROW EXECUTE FUNCTION directory.sleep_on_delete();
"""


async def execute(deployment: Deployment, statement: str) -> None:
    async with deployment.database.connect() as connection:
        await connection.execute(statement)


async def hasty(
    deployment: Deployment, statement_timeout_s: float = 1.0, **fields: Any
) -> WorkerContext:
    """A provisioner's context with short time-outs."""
    database = await pool.open_pool(
        deployment.settings.database_url.get_secret_value(),
        role_hint="provisioner",
        max_size=4,
        statement_timeout_s=statement_timeout_s,
        application_name="test",
    )
    deployment.exits.push_async_callback(database.close)
    producer = Producer(deployment.settings, client_id="test-provisioner")
    await producer.start()
    deployment.exits.push_async_callback(producer.stop)
    return WorkerContext(database, producer, deployment.topics, FaultPoint(""), **fields)


async def applied(deployment: Deployment, offset: int, partition: int = 0) -> None:
    """Wait until everything below `offset` is applied; cut-offs take seconds each."""

    async def is_applied() -> bool:
        return bool((await deployment.progress(partition))["next_offset"] >= offset)

    await until(is_applied, f"offset {offset} is applied", 120)


async def titles(deployment: Deployment) -> dict[str, Any]:
    rows = await deployment.rows("SELECT id::text, document FROM directory.member")
    return {row["id"]: row["document"].get("title") for row in rows}


async def letters(deployment: Deployment) -> dict[str, str]:
    rows = await deployment.rows("SELECT id::text, error_class FROM directory.dead_letter")
    return {row["id"]: row["error_class"] for row in rows}


def numbered(count: int) -> list[Request]:
    return [create(number, f"m{number}@example.org") for number in range(1, count + 1)]


async def test_a_statement_over_its_time_buries_one_event_and_no_other(
    deployment: Deployment,
) -> None:
    await execute(deployment, SLOW)
    made = numbered(12)
    members = [a_member(number, f"m{number}@example.org") for number in range(1, 13)]
    asked = replace(
        patch(members[4], replacing("title", "Slow"), number=904),
        reply_to=0,
        answer_by_ms=int(time.time() * 1000) + 600_000,
    )
    changes = [
        patch(member, replacing("title", f"T{number}"), number=900 + number)
        for number, member in enumerate(members)
    ]
    changes[4] = asked
    behind = patch(members[4], replacing("nickName", "Behind"), number=950)
    for request in (*made, *changes, behind):
        await deployment.send(request)

    await deployment.start(await hasty(deployment))
    await applied(deployment, len(made) + len(changes) + 1)

    found = await titles(deployment)
    assert await letters(deployment) == {asked.id: "StatementTimeout"}
    assert {member.id: found[member.id] for member in members} == {
        member.id: None if number == 4 else f"T{number}" for number, member in enumerate(members)
    }
    [parked] = await deployment.rows("SELECT id::text FROM directory.parked")
    assert parked["id"] == behind.id
    assert [
        reply.status for reply in await deployment.replies() if reply.request_id == asked.id
    ] == [500]
    progress = await deployment.progress()
    assert (progress["tries"], progress["tried_since"]) == (0, None)


async def test_a_redrive_that_is_cut_off_fails_again_and_delays_no_other_event(
    deployment: Deployment,
) -> None:
    await execute(deployment, SLOW)
    ana, ben = a_member(1, "m1@example.org"), a_member(2, "m2@example.org")
    dead = patch(ana, replacing("title", "Slow"), number=900)
    again = redrive(dead, dead_letter=f"{deployment.topics.requests}/0/2")
    behind = patch(ben, replacing("title", "Behind"), number=901)
    for request in (*numbered(2), dead, again, behind):
        await deployment.send(request)

    await deployment.start(await hasty(deployment))
    await applied(deployment, 5)

    assert (await titles(deployment))[ben.id] == "Behind"
    [letter] = await deployment.rows(
        "SELECT state, attempts, error_class FROM directory.dead_letter"
    )
    assert dict(letter) == {"state": "dead", "attempts": 2, "error_class": "StatementTimeout"}

    await execute(deployment, "DROP TRIGGER sleep_for_title ON directory.member")
    await deployment.send(replace(again, id=new_id()))
    await applied(deployment, 6)
    assert (await titles(deployment))[ana.id] == "Slow"


async def test_a_postgres_that_is_slow_for_every_session_makes_no_dead_letter(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "ANSWERS_WITHIN_S", 1.9)  # a busy machine is no outage
    for request in numbered(5):
        await deployment.send(request)
    context = await hasty(deployment)
    await execute(deployment, SLOW_FOR_ALL)

    await deployment.start(context)
    await until(lambda: context.stuck.seconds(0) > 8, "the batch was tried for a while", 60)
    assert await letters(deployment) == {}
    assert (await deployment.progress())["state"] == "running"
    await execute(deployment, FAST_AGAIN)
    await applied(deployment, 5)

    assert await letters(deployment) == {}
    assert len(await titles(deployment)) == 5
    await until(lambda: context.stuck.seconds(0) == 0, "the position is passed")


async def test_what_cannot_be_a_dead_letter_halts_where_an_operator_sees_it(
    deployment: Deployment,
) -> None:
    ending = Request(
        id=new_id(),
        endpoint="Users",
        organisation_id=ORGANISATION,
        resource_id=ORGANISATION,
        time=a_member().created,
        body=EndOrganisation(),
        actor="operator",
    )
    for request in (*numbered(2), ending):
        await deployment.send(request)
    await execute(deployment, SLOW_TO_LEAVE)

    await deployment.start(await hasty(deployment))

    async def is_halted() -> bool:
        return bool((await deployment.progress())["state"] == "halted")

    await until(is_halted, "the partition is halted", 60)
    progress = await deployment.progress()
    assert (progress["reason"], progress["next_offset"]) == ("cut-off", 2)
    assert "offset 2: organisation.delete was cut off" in progress["detail"]
    assert progress["tries"] >= 2
    assert progress["tried_because"] == "statement-timeout"

    await execute(deployment, "DROP TRIGGER sleep_on_delete ON directory.member")
    await execute(
        deployment, "UPDATE directory.progress SET state = 'running', reason = NULL, detail = NULL"
    )
    await applied(deployment, 3)
    assert await titles(deployment) == {}


async def test_a_long_calculation_keeps_its_session_and_its_neighbours_waiting_for_nothing(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than Postgres leaves a session idle in its transaction; the event loop turns."""
    monkeypatch.setitem(pool.IDLE_IN_TRANSACTION_S, "provisioner", 1)
    monkeypatch.setattr(busy, "SIGN_OF_LIFE_S", 0.2)
    right = members.patch
    calls: list[float] = []

    def long(state: State, request: Request, body: Patch) -> Decision:
        if request.resource_id == an_id(1):
            calls.append(time.monotonic())
            while time.monotonic() < calls[-1] + 8:
                sum(range(1000))
        return right(state, request, body)

    monkeypatch.setattr(members, "patch", long)
    large = patch(a_member(1, "m1@example.org"), replacing("title", "x" * 300_000))
    other = create(9, "other@example.org")
    for request in (*numbered(1), large):
        await deployment.send(request)
    await deployment.start(await hasty(deployment, 5))
    await until(lambda: bool(calls), "it calculates")
    await deployment.send(replace(other, organisation_id=OTHER_ORGANISATION), partition=1)
    await applied(deployment, 1, partition=1)
    still = await deployment.progress()

    await applied(deployment, 2)

    assert len(calls) == 1, "it was cut off and tried again"
    assert still["next_offset"] < 2, "the neighbour waited for it"
    assert await letters(deployment) == {}


async def test_a_calculation_beyond_its_estimate_is_set_aside(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the event loop, so Postgres ends the session; that shows as a lost connection."""
    monkeypatch.setitem(pool.IDLE_IN_TRANSACTION_S, "provisioner", 1)
    right = members.patch

    def long(state: State, request: Request, body: Patch) -> Decision:
        if request.resource_id == an_id(1):
            began_s = time.monotonic()
            while time.monotonic() < began_s + 2.5:
                sum(range(1000))
        return right(state, request, body)

    monkeypatch.setattr(members, "patch", long)
    ana, ben = a_member(1, "m1@example.org"), a_member(2, "m2@example.org")
    costly = patch(ana, replacing("title", "x"), number=900)
    behind = patch(ben, replacing("title", "Behind"), number=901)
    for request in (*numbered(2), costly, behind):
        await deployment.send(request)

    await deployment.start(await hasty(deployment, 5))
    await applied(deployment, 4)

    assert await letters(deployment) == {costly.id: "IdleTimeout"}
    assert (await titles(deployment))[ben.id] == "Behind"


async def test_costly_requests_of_an_old_log_are_got_past(deployment: Deployment) -> None:
    """31 addresses of 4,096 characters whose fold is slow, and PATCHes of 26 x 190 conditions."""
    streets = [{"streetAddress": "İ" * 4096, "locality": f"L{n}"} for n in range(31)]
    made = create(1, "m1@example.org", addresses=streets)
    costly_member = a_member(1, "m1@example.org")
    terms = " or ".join(f'streetAddress co "{n}"' for n in range(190))
    operations = [{"op": "remove", "path": f"addresses[{terms}].locality"}] * 26
    costly = [patch(costly_member, *operations, number=900 + n, rules=1) for n in range(3)]
    others = [
        replace(create(10 + n, f"o{n}@example.org"), organisation_id=OTHER_ORGANISATION)
        for n in range(20)
    ]
    for request in (replace(made, rules=1), *costly, *others):
        await deployment.send(request)

    await deployment.start()

    async def others_are_there() -> bool:
        rows = await deployment.rows(
            "SELECT count(*) FROM directory.member WHERE organisation_id = $1", OTHER_ORGANISATION
        )
        return bool(rows[0][0] == 20)

    await until(others_are_there, "the others are applied", 500)
    applied = await deployment.rows(
        "SELECT count(*) FROM audit.event WHERE id = ANY ($1::uuid[])", [each.id for each in costly]
    )
    dead = await letters(deployment)
    assert applied[0][0] == 3
    assert set(dead) <= {each.id for each in costly}


async def test_many_changes_of_large_members_stay_within_the_memory_of_a_batch(
    deployment: Deployment,
) -> None:
    """One emoji makes Python keep four bytes a character: 90 versions of 250 kB were 180 MiB."""
    streets = [{"streetAddress": "a" * 4095 + "\U0001f600"} for _ in range(60)]
    made = [create(n, f"m{n}@example.org", addresses=streets) for n in range(1, 16)]
    changes = [
        replace(
            patch(a_member(n % 15 + 1, f"m{n % 15 + 1}@example.org"), replacing("title", f"T{n}")),
            id=an_id(5000 + n),
            reply_to=0,
            answer_by_ms=int(time.time() * 1000) + 600_000,
        )
        for n in range(90)
    ]
    await deployment.start()
    for request in made:
        await deployment.send(request)
    await applied(deployment, 15)
    await deployment.started[0].end()
    await asyncio.gather(*(deployment.send(request) for request in changes))

    context = await deployment.context()
    tracemalloc.start()
    try:
        await deployment.start(context)
        await applied(deployment, 15 + 90)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 128 * MEBIBYTE
    await until(lambda: context.budget.held_bytes == 0, "the memory is given back")
    assert set((await titles(deployment)).values()) == {f"T{n}" for n in range(75, 90)}


async def test_a_large_group_that_is_removed_goes_in_statements_within_their_time(
    deployment: Deployment,
) -> None:
    group = a_group(50, "Everybody")
    await deployment.start(await hasty(deployment, 5))
    await deployment.send(a_request("group.create", group.id, resource=dict(group.resource)))
    await applied(deployment, 1)
    await execute(
        deployment,
        f"INSERT INTO directory.group_member SELECT '{ORGANISATION}', '{group.id}', "
        "gen_random_uuid() FROM generate_series(1, 100000)",
    )

    await deployment.send(a_request("group.delete", group.id, 901))
    await deployment.send(create(1, "m1@example.org"))
    await applied(deployment, 3)

    rows = await deployment.rows("SELECT count(*) FROM directory.group_member")
    assert rows[0][0] == 0
    assert await letters(deployment) == {}


@pytest.fixture
def cut_offs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is said of cut-offs, as it comes."""
    capture = structlog.testing.LogCapture()
    heard = structlog.wrap_logger(structlog.PrintLogger(), processors=[capture])
    monkeypatch.setattr(attempts, "log", heard)
    monkeypatch.setattr(attempts, "ANSWERS_WITHIN_S", 1.9)  # a busy machine is no outage
    return capture.entries


async def cut_off_by_an_outage(
    deployment: Deployment, cut_offs: list[Any], costly_for: str
) -> Request:
    """A PATCH that takes too long, cut off while Postgres is slow for everybody; then it is not."""
    await execute(deployment, costly_for)
    await deployment.send(create(1, "m1@example.org"))
    running = await deployment.start(await hasty(deployment, 2.0))
    await applied(deployment, 1)
    await running.end()
    await execute(deployment, SLOW_FOR_ALL_TWICE)
    costly = patch(a_member(1, "m1@example.org"), replacing("title", "Slow"), number=900)
    await deployment.send(costly)
    await deployment.start(await hasty(deployment, 2.0))
    await until(lambda: bool(cut_offs), "it is cut off while Postgres is slow", 60)
    return costly


async def test_what_an_outage_cut_off_does_not_count(
    deployment: Deployment, cut_offs: list[Any]
) -> None:
    """Cut off while Postgres is slow for everybody, then once while it is well: applied."""
    await cut_off_by_an_outage(deployment, cut_offs, SLOW_ONCE)
    await applied(deployment, 2)

    assert [each["postgres"] for each in cut_offs] == ["slow"] * (len(cut_offs) - 1) + ["well"]
    assert [each["times"] for each in cut_offs] == [0] * (len(cut_offs) - 1) + [1]
    assert not any("runbook" in each for each in cut_offs), "once is nothing to look at"
    assert await letters(deployment) == {}
    assert (await titles(deployment))[an_id(1)] == "Slow"


async def test_what_is_cut_off_twice_while_postgres_is_well_is_a_dead_letter(
    deployment: Deployment, cut_offs: list[Any]
) -> None:
    """However often an outage cut it off before."""
    costly = await cut_off_by_an_outage(deployment, cut_offs, SLOW)
    await applied(deployment, 2)

    well = [each for each in cut_offs if each["postgres"] == "well"]
    assert [each["times"] for each in well] == [1, 2]
    assert ["runbook" in each for each in well] == [False, True]
    assert all(each["times"] == 0 for each in cut_offs if each["postgres"] == "slow")
    assert await letters(deployment) == {costly.id: "StatementTimeout"}
