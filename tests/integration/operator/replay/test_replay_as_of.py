"""`rollcall replay --topic requests`: an organisation as it was, and nothing left behind."""

import asyncio
import csv
import io
import json
import os
import signal
import stat
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rollcall.control.export import COLUMNS, inert
from rollcall.control.tenancy_log import open_log
from rollcall.events.envelope import format_time
from rollcall.runtime import clock
from rollcall.runtime.ids import new_id
from rollcall.tenancy.organisation import Organisation
from tests.integration.operator.rebuilding import (
    apply_all,
    contents,
    do_snapshot,
    execute,
    heed_ctrl_c,
    history,
    poisoned,
    rollcall,
    rollcall_json,
    send_all,
    settings_of,
    start,
    without_room,
)
from tests.support import logs
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_group,
    a_member,
    a_request,
    an_id,
    create,
    patch,
    regroup,
    replacing,
)
from tests.support.deployment import Deployment
from tests.support.stack import until

AS_OF = ("replay", ORGANISATION, "--topic", "requests", "--as-of")


@pytest.fixture(autouse=True)
async def organisations(deployment: Deployment) -> None:
    """The two of the history, as the tenancy topic has them."""
    async with open_log(settings_of(deployment)) as log:
        await log.write(Organisation(ORGANISATION, "Zeeburg", 0, MOMENT))
        await log.write(Organisation(OTHER_ORGANISATION, "Diemen", 1, MOMENT))


async def a_moment(deployment: Deployment) -> str:
    """A moment after everything that is in the log, and before everything that comes."""
    last = max(
        (each.timestamp for each in await deployment.records(deployment.topics.requests)),
        default=0,
    )
    await until(lambda: clock.now_ms() > last + 1, "the clock is beyond the last record")
    moment = format_time(clock.now())
    at_ms = round(datetime.fromisoformat(moment).timestamp() * 1000)
    await until(lambda: clock.now_ms() > at_ms + 1, "the clock is beyond the moment")
    return moment


async def living(deployment: Deployment) -> dict[str, Any]:
    """Users with groups, and groups with members, of the organisation in the live directory."""
    members = await deployment.rows(
        "SELECT id::text, status, document::text FROM directory.member WHERE organisation_id = $1",
        ORGANISATION,
    )
    groups = await deployment.rows(
        'SELECT id::text, document::text FROM directory."group" WHERE organisation_id = $1',
        ORGANISATION,
    )
    pairs = await deployment.rows(
        "SELECT group_id::text, member_id::text FROM directory.group_member "
        "WHERE organisation_id = $1",
        ORGANISATION,
    )
    return {
        "users": {row["id"]: (row["status"], json.loads(row["document"])) for row in members},
        "groups": {row["id"]: json.loads(row["document"]) for row in groups},
        "pairs": {(row["group_id"], row["member_id"]) for row in pairs},
    }


def parsed(text: str) -> dict[str, Any]:
    """The same of JSON lines; users and groups must agree about who is in what."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[0]["type"] == "organisation"
    users = [line for line in lines if line["type"] == "user"]
    groups = [line for line in lines if line["type"] == "group"]
    pairs = {(group["id"], each["value"]) for group in groups for each in group["members"]}
    assert pairs == {(each["value"], user["id"]) for user in users for each in user["groups"]}
    return {
        "users": {user["id"]: (user["status"], user["resource"]) for user in users},
        "groups": {group["id"]: group["resource"] for group in groups},
        "pairs": pairs,
    }


async def no_scratch(deployment: Deployment) -> bool:
    rows = await deployment.rows("SELECT FROM pg_namespace WHERE nspname LIKE '%as_of'")
    return not rows


async def test_an_organisation_as_it_was_is_what_the_directory_held_then(
    deployment: Deployment,
) -> None:
    """Dead letters, redrives, copies and late ones among them."""
    running = await deployment.start()
    await poisoned(deployment)
    await apply_all(deployment, history(31, 150))
    then, moment = await living(deployment), await a_moment(deployment)
    await apply_all(deployment, history(32, 150, first=5000))
    await running.end()
    now, before = await living(deployment), await contents(deployment)

    past = await rollcall(deployment, *AS_OF, moment)
    present = await rollcall(deployment, *AS_OF, await a_moment(deployment))

    assert parsed(past.stdout) == then != now
    assert parsed(present.stdout) == now
    assert then["pairs"]
    assert await contents(deployment) == before
    assert await no_scratch(deployment)


async def test_a_file_is_its_owners_alone_and_never_overwritten(
    deployment: Deployment, tmp_path: Path
) -> None:
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org")])
    await running.end()
    file, moment = tmp_path / "zeeburg.jsonl", await a_moment(deployment)
    (tmp_path / "zeeburg.jsonl.partial").write_text("of one that was killed")

    report = await rollcall_json(deployment, *AS_OF, moment, "--to", str(file))
    again = await rollcall(deployment, *AS_OF, moment, "--to", str(file))

    assert (report["users"], report["groups"], report["events"]) == (1, 0, 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["zeeburg.jsonl"]  # noqa: PTH208
    assert parsed(file.read_text()) == await living(deployment)
    assert again.exit_code == 2
    assert "exists already" in again.stderr


async def test_a_disk_that_is_full_is_said_in_one_line_and_leaves_no_half_of_a_file(
    deployment: Deployment, tmp_path: Path
) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(36, 200))  # more than a buffer
    await running.end()
    moment, file = await a_moment(deployment), tmp_path / "zeeburg.jsonl"

    done = await without_room(
        deployment,
        *AS_OF,
        moment,
        "--to",
        str(file),
    )

    assert done == (3, "rollcall: it cannot be written: File too large\n")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    assert await no_scratch(deployment)


async def test_a_csv_has_users_groups_and_memberships_and_no_formula(
    deployment: Deployment,
) -> None:
    group = a_group(50)
    evil = '=HYPERLINK("https://evil.example")'
    running = await deployment.start()
    await apply_all(
        deployment,
        [
            create(1, "ana@example.org", displayName=evil),
            replace(
                a_request("group.create", group.id, resource={"displayName": "@Sailors"}),
                id=an_id(3000),
            ),
            replace(regroup(group, add=(an_id(1),)), id=an_id(3001)),
        ],
    )
    await running.end()

    done = await rollcall(deployment, *AS_OF, await a_moment(deployment), "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert tuple(rows[0]) == COLUMNS
    assert [row["type"] for row in rows] == ["user", "group", "membership"]
    assert rows[0]["displayName"] == f"'{evil}"
    assert rows[0]["emails"] == "ana@example.org"
    assert rows[0]["groups"] == "'@Sailors"
    assert (rows[1]["displayName"], rows[1]["members"]) == ("'@Sailors", "1")
    assert (rows[2]["group_id"], rows[2]["member_id"]) == (group.id, an_id(1))


@pytest.mark.parametrize(
    "text", ["=1+1", "+31 20 1234567", "-2", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1"]
)
def test_what_a_spreadsheet_takes_for_a_formula_is_made_inert(text: str) -> None:
    assert inert(text) == "'" + text


@pytest.mark.parametrize("text", ["", "ana@example.org", "Ana-Maria", "1+1", "'=1"])
def test_any_other_cell_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


async def test_a_log_that_begins_later_needs_a_snapshot_that_is_older_than_the_moment(
    deployment: Deployment, tmp_path: Path
) -> None:
    running = await deployment.start()
    requests = history(33, 200)
    await apply_all(deployment, requests[:80])
    early = await a_moment(deployment)
    await apply_all(deployment, requests[80:120])
    taken = await do_snapshot(deployment, tmp_path)
    await apply_all(deployment, requests[120:160])
    then, moment = await living(deployment), await a_moment(deployment)
    await apply_all(deployment, requests[160:])
    # A younger one, which cannot be used for the moment.
    younger = await do_snapshot(deployment, tmp_path / "younger")
    younger.folder.rename(tmp_path / "snapshot-29991231T000000Z")
    await running.end()
    await logs.cut(deployment, deployment.topics.requests, taken.begin()[0].next_offset - 1, 0)

    alone = await rollcall(deployment, *AS_OF, moment)
    done = await rollcall(deployment, *AS_OF, moment, "--from-snapshot", str(tmp_path))
    too_early = await rollcall(deployment, *AS_OF, early, "--from-snapshot", str(tmp_path))

    assert alone.exit_code == 2
    assert "--from-snapshot" in alone.stderr
    assert parsed(done.stdout) == then
    assert too_early.exit_code == 2
    assert "is younger than the moment" in too_early.stderr
    assert await no_scratch(deployment)


async def test_what_is_not_applied_yet_is_no_past(deployment: Deployment) -> None:
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org")])
    await running.end()
    moment = await a_moment(deployment)
    await send_all(deployment, [create(2, "ben@example.org")])

    behind = await rollcall(deployment, *AS_OF, await a_moment(deployment))
    tomorrow = format_time(clock.now() + timedelta(days=1))
    future = await rollcall(deployment, *AS_OF, tomorrow)
    planned = await rollcall_json(deployment, *AS_OF, moment, "--dry-run")

    assert behind.exit_code == 2
    assert "1 record of partition 0 from before that moment not applied yet" in behind.stderr
    assert future.exit_code == 2
    assert (planned["begin"], planned["end"], planned["dry_run"]) == (0, 1, True)


async def test_a_directory_that_cannot_be_copied_is_refused_in_one_line(
    deployment: Deployment,
) -> None:
    await execute(deployment, "CREATE VIEW directory.of_somebody AS SELECT 1 AS one")

    done = await rollcall(deployment, *AS_OF, await a_moment(deployment))

    assert done.exit_code == 2
    assert "the schema directory holds what is no table: of_somebody" in done.stderr
    assert await no_scratch(deployment)


async def test_a_log_that_was_recreated_is_refused(deployment: Deployment) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(34, 40))
    moment = await a_moment(deployment)
    await running.end()
    await logs.recreate(deployment, deployment.topics.requests)

    done = await rollcall(deployment, *AS_OF, moment)

    assert done.exit_code == 2
    assert "not the one that was applied" in done.stderr


async def test_what_this_release_cannot_apply_any_more_is_not_left_out(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await deployment.start()
    request = replace(patch(a_member(1), replacing("title", "Cook")), id=an_id(3000))
    await apply_all(deployment, [create(1, "ana@example.org"), request])
    await running.end()
    moment = await a_moment(deployment)

    def fails(*_: object, **__: object) -> None:
        raise ArithmeticError("a bug of this release")

    monkeypatch.setattr("rollcall.directory.members.apply_patch", fails)
    done = await rollcall(deployment, *AS_OF, moment)

    assert done.exit_code == 2
    assert "this release cannot apply" in done.stderr
    assert await no_scratch(deployment)


async def test_who_was_erased_since_is_not_shown_again(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Its events may be in the log for as long as retention keeps them."""
    group = a_group(50)
    running = await deployment.start()
    await apply_all(
        deployment,
        [
            create(1, "ana@example.org"),
            create(2, "ben@example.org"),
            replace(
                a_request("group.create", group.id, resource={"displayName": "Sailors"}),
                id=an_id(3000),
            ),
            replace(regroup(group, add=(an_id(1), an_id(2))), id=an_id(3001)),
        ],
    )
    await running.end()
    moment = await a_moment(deployment)
    file = tmp_path / "past"
    await decided(deployment, "member.erase", an_id(1))

    report = await rollcall_json(deployment, *AS_OF, moment, "--to", str(file))
    await decided(deployment, "organisation.delete", ORGANISATION)
    deleted = await rollcall(deployment, *AS_OF, moment)

    past = parsed(file.read_text())
    assert (report["users"], report["erased_since"]) == (1, 1)
    assert list(past["users"]) == [an_id(2)]
    assert past["pairs"] == {(group.id, an_id(2))}
    assert "ana@" not in file.read_text()
    assert deleted.exit_code == 2
    assert "was deleted" in deleted.stderr


async def decided(deployment: Deployment, kind: str, resource_id: str) -> None:
    """A row of the audit, as the provisioner adds it."""
    await execute(
        deployment,
        f"""
        INSERT INTO audit.event (id, organisation_id, topic, partition, "offset", type,
            resource_id, actor, append_time, event_time, status, outcomes)
        VALUES ('{new_id()}', '{ORGANISATION}', 'elsewhere', 0, 999,
            'io.rollcall.request.{kind}.v1', '{resource_id}', 'operator', now(), now(), 204, '[]')
        """,
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
async def test_a_process_that_is_ended_in_the_fold_leaves_nothing_for_long(
    deployment: Deployment, how: signal.Signals
) -> None:
    """Held where it asks for the organisation's home: somebody has that table locked."""
    running = await deployment.start()
    await apply_all(deployment, history(35, 60))
    await running.end()
    then, moment = await living(deployment), await a_moment(deployment)

    async def waits() -> bool:
        rows = await deployment.rows(
            "SELECT FROM pg_stat_activity WHERE application_name = 'rollcall replay' "
            "AND datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(rows)

    async with deployment.database.connect() as connection, connection.transaction():
        await connection.execute("LOCK TABLE tenancy.organisation IN ACCESS EXCLUSIVE MODE")
        process = await start(
            deployment,
            *AS_OF,
            moment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=heed_ctrl_c,
        )
        await until(waits, "the fold waits", 60)
        assert not await no_scratch(deployment)
        process.send_signal(how)
        await asyncio.wait_for(process.wait(), 30)

    async def is_gone() -> bool:
        rows = await deployment.rows(
            "SELECT FROM pg_stat_activity WHERE application_name = 'rollcall replay' "
            "AND datname = current_database()"
        )
        return not rows

    await until(is_gone, "Postgres has noticed")
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    assert await no_scratch(deployment) == (how is signal.SIGINT)

    done = await rollcall(deployment, *AS_OF, moment, "--json")

    report = json.loads(done.stderr)
    assert report["dropped_stale"] == (how is signal.SIGKILL)
    assert parsed(done.stdout) == then
    assert await no_scratch(deployment)
