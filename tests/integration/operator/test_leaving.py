"""Leaving: export, deletion and erasure, broken off at any step, over real Kafka and Postgres."""

import asyncio
import csv
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rollcall.control.errors import ControlError
from rollcall.control.export import COLUMNS
from rollcall.control.offboarding.erase import erase
from rollcall.control.offboarding.what_stays import judge
from rollcall.control.tenancy_log import open_log
from rollcall.events.request import Request, from_event, to_event
from rollcall.observability import metrics
from rollcall.postgres.pool import Service
from rollcall.runtime.clock import now
from rollcall.tenancy.organisation import ApiKey, Organisation
from rollcall_operator.hints import line_of
from rollcall_operator.owner import open_deployment
from tests.integration.operator.pages import blocks, run_block
from tests.integration.operator.rebuilding import (
    FIX,
    POISON,
    REFUSE_TITLE,
    apply_all,
    do_rebuild,
    do_snapshot,
    do_verify,
    environment_of,
    execute,
    fresh,
    history,
    poisoned,
    settings_of,
    without_room,
)
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
from tests.support.databases import TestDatabase
from tests.support.deployment import Deployment
from tests.support.servers import KafkaServer
from tests.support.stack import Stack, running, until

LEAVER = Organisation(ORGANISATION, "Zeeburg", 0, MOMENT)
STAYER = Organisation(OTHER_ORGANISATION, "Amstel", 1, MOMENT)
KEY = "Ab3dEf6hIj9k"
LONGEST = str(2**63 - 1)
"""The most that Kafka takes for a time, in milliseconds: beyond every calendar."""
DELETE = ("org", "delete", "Zeeburg", "--yes", "--settle", "0")
TABLES = """
SELECT namespace.nspname AS schema, relation.relname AS name
FROM pg_class AS relation
JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE relation.relkind = 'r' AND namespace.nspname NOT LIKE 'pg\\_%'
  AND namespace.nspname <> 'information_schema'
"""


async def write_records(deployment: Deployment) -> None:
    """Two organisations with a key each, one of which was used."""
    async with open_log(settings_of(deployment)) as log:
        for record in (
            LEAVER,
            STAYER,
            ApiKey(KEY, ORGANISATION, "first key", "1" * 64, MOMENT),
            ApiKey("Zz3dEf6hIj9k", OTHER_ORGANISATION, "first key", "2" * 64, MOMENT),
        ):
            await log.write(record)


async def inhabited(deployment: Deployment, seed: int = 51) -> None:
    """Both organisations with members, groups, letters, parked events, notices, key use; what a
    rebuild replaced; the provisioner runs."""
    await write_records(deployment)
    await deployment.start()
    await poisoned(deployment)
    behind = replace(patch(a_member(1), replacing("nickName", "Parked")), id=an_id(900_001))
    await apply_all(deployment, [behind, *history(seed, 150)])
    for organisation, key in ((ORGANISATION, KEY), (OTHER_ORGANISATION, "Zz3dEf6hIj9k")):
        await execute(
            deployment,
            f"INSERT INTO tenancy.key_use VALUES ('{key}', now());"
            "INSERT INTO audit.unheard (id) SELECT id FROM audit.event "
            f"WHERE organisation_id = '{organisation}' LIMIT 3;"
            "INSERT INTO notice.notification (event_id, kind, organisation_id, member_id, "
            'partition, epoch, "offset", "index", event_time, due_at, next_attempt_at) '
            f"SELECT id, 'invitation', '{organisation}', id, 0, 0, 1, 0, now(), now(), now() "
            f"FROM directory.member WHERE organisation_id = '{organisation}';"
            "INSERT INTO notice.mail_taken (event_id, kind, recipient, organisation_id, member_id) "
            "SELECT event_id, kind, '\\x00ff', organisation_id, member_id "
            f"FROM notice.notification WHERE organisation_id = '{organisation}'",
        )
    await do_rebuild(deployment)


async def naming(deployment: Deployment, text: str) -> dict[str, list[str]]:
    """Table → its rows in which a text stands anywhere, bytes and all; of every schema there is."""
    found: dict[str, list[str]] = {}
    for table in await deployment.rows(TABLES):
        name = f'{table["schema"]}."{table["name"]}"'
        columns = await deployment.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass "
            "AND atttypid = 'bytea'::regtype",
            name,
        )
        bytes_of = "".join(f" || coalesce(encode({c['attname']}, 'escape'), '')" for c in columns)
        rows = await deployment.rows(
            f"SELECT row FROM (SELECT t::text{bytes_of} AS row FROM {name} AS t) AS rows "
            "WHERE strpos(row, $1) > 0",
            text,
        )
        if rows:
            found[f"{table['schema']}.{table['name']}"] = sorted(row["row"] for row in rows)
    return found


async def assert_gone(deployment: Deployment) -> None:
    """Nothing names the organisation but the two rows that say that it has left."""
    left = await naming(deployment, ORGANISATION)
    [departed] = left.pop("directory.departed")
    left.pop("directory_previous.departed", None)
    event_id = departed.strip("()").split(",")[1]
    for table, rows in left.items():
        assert table.startswith("audit.event"), f"{table}: {rows}"
        [row] = rows
        assert row.startswith(f"({event_id},")
        assert "organisation.delete.v1" in row
    assert KEY not in str(await naming(deployment, KEY))


async def rest(deployment: Deployment) -> dict[str, list[str]]:
    """Every row that names the other organisation, in tables that no rebuild replaces."""
    return await naming(deployment, OTHER_ORGANISATION)


async def rollcall(
    deployment: Deployment, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own: beside a provisioner whose log is on our stdout."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "rollcall_operator", *arguments],
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("ROLLCALL_")},
            "ROLLCALL_ENVIRONMENT": "test",
            **environment_of(deployment),
            **variables,
        },
        capture_output=True,
        text=True,
    )


async def rollcall_json(deployment: Deployment, *arguments: str) -> Any:
    """What it prints for scripts."""
    done = await rollcall(deployment, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def killed(deployment: Deployment, fault: str, *arguments: str) -> bool:
    """Whether the command died at the fault point."""
    done = await rollcall(deployment, *arguments, ROLLCALL_FAULT=fault)
    return done.returncode == -signal.SIGKILL


async def test_a_deleted_organisation_is_in_no_row_of_any_table_and_the_others_keep_theirs(
    deployment: Deployment,
) -> None:
    await inhabited(deployment)
    before = await rest(deployment)
    named = await naming(deployment, ORGANISATION)
    for table in (
        *("directory.parked", "directory_previous.member", "tenancy.api_key"),
        "notice.mail_taken",
    ):
        assert table in named, "the test has nothing to delete there"

    done = await rollcall_json(deployment, *DELETE)

    await assert_gone(deployment)
    assert await rest(deployment) == before
    assert (await do_verify(deployment)).drifts == []
    assert done["organisation_id"] == ORGANISATION
    assert done["keys"] == 1
    assert ORGANISATION not in str(await rollcall_json(deployment, "org", "list"))
    topics = {each["topic"].removeprefix(deployment.topics.prefix): each for each in done["log"]}
    assert topics[".requests"]["gone_by"] is not None
    assert topics[".tenancy"]["gone_by"] is None
    assert "tombstones" in topics[".tenancy"]["removed_by"]


async def test_neither_a_rebuild_nor_a_snapshot_from_before_brings_it_back(
    deployment: Deployment, tmp_path: Path
) -> None:
    await inhabited(deployment)
    taken = await do_snapshot(deployment, tmp_path)
    await rollcall_json(deployment, *DELETE)

    for snapshot in (None, taken.folder):
        await do_rebuild(deployment, snapshot=snapshot)
        await execute(deployment, "DROP SCHEMA directory_previous CASCADE")

        await assert_gone(deployment)
        assert (await do_verify(deployment, snapshot)).drifts == []


async def test_what_comes_behind_the_end_of_an_organisation_leaves_no_trace(
    deployment: Deployment,
) -> None:
    """A late record, a copy of an old one, a request that nobody can read."""
    await inhabited(deployment)
    await rollcall_json(deployment, *DELETE)
    before = metrics.PROVISIONER_DEPARTED._value.get()
    old = from_event((await deployment.events(deployment.topics.requests))[0])
    assert old.organisation_id == ORGANISATION
    late = fresh(create(4000, "late@example.org"))
    end = (await deployment.send(late)).offset
    await deployment.send(old)
    await deployment.producer.send(
        deployment.topics.requests,
        partition=0,
        key=ORGANISATION,
        event=replace(a_malformed_event(), id=an_id(910_000)),
    )

    await deployment.applied(end + 3)

    await assert_gone(deployment)
    assert metrics.PROVISIONER_DEPARTED._value.get() == before + 3
    assert (await do_verify(deployment)).drifts == []


def a_malformed_event() -> Any:
    """An event about a member whose data is no request."""
    event = to_event(create(4001, "malformed@example.org"))
    return replace(event, data={"organisation_id": ORGANISATION})


async def test_a_second_run_finds_it_done_and_says_so(deployment: Deployment) -> None:
    await inhabited(deployment)
    first = await rollcall_json(deployment, *DELETE)
    by_name = await rollcall(deployment, *DELETE)

    second = await rollcall_json(deployment, "org", "delete", ORGANISATION, "--yes")

    assert first["already_deleted"] is False
    assert second["already_deleted"] is True
    assert second["event_id"] == first["event_id"]
    assert second["rows"] == {}
    assert by_name.returncode == 2
    assert "rollcall org list" in by_name.stderr
    ended = [
        each
        for each in await deployment.events(deployment.topics.requests)
        if each.type == "io.rollcall.request.organisation.delete.v1"
    ]
    assert len(ended) == 1


async def test_a_second_run_is_not_held_up_by_a_log_that_was_made_anew_since(
    deployment: Deployment,
) -> None:
    """Offsets of the new log say nothing about what was announced from the old one."""
    await write_records(deployment)
    running = await deployment.start()
    await rollcall_json(deployment, *DELETE)
    await running.end()
    await execute(
        deployment,
        "UPDATE directory.progress SET epoch = epoch + 1, next_offset = 0, published_offset = 0 "
        f"WHERE topic = '{deployment.topics.requests}'",
    )

    second = await rollcall_json(deployment, "org", "delete", ORGANISATION, "--yes", "--wait", "1")

    assert second["already_deleted"] is True


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("leaving.after_record", marks=pytest.mark.long),
        "leaving.after_key",
        pytest.param("leaving.after_wait", marks=pytest.mark.long),
        pytest.param("leaving.after_event", marks=pytest.mark.long),
        "leaving.after_applied",
        "leaving.in_rows",
        pytest.param("leaving.in_rows:4", marks=pytest.mark.long),
        pytest.param("leaving.after_rows", marks=pytest.mark.long),
        pytest.param("leaving.before_tombstone:2", marks=pytest.mark.long),
        pytest.param("leaving.after_tombstones", marks=pytest.mark.long),
    ],
)
async def test_a_deletion_that_is_killed_at_any_step_is_ended_by_the_next_run(
    deployment: Deployment, fault: str
) -> None:
    await inhabited(deployment)
    before = await rest(deployment)

    assert await killed(deployment, fault, *DELETE)
    async with open_log(settings_of(deployment)) as log:
        keys = (await log.read()).keys_of(ORGANISATION)
    again = ("org", "delete", ORGANISATION, "--yes", "--settle", "0")
    await rollcall_json(deployment, *again)

    assert all(key.revoked for key in keys)
    await assert_gone(deployment)
    assert await rest(deployment) == before
    assert (await do_verify(deployment)).drifts == []


async def test_a_dry_run_counts_and_changes_nothing(deployment: Deployment) -> None:
    await inhabited(deployment)
    before = await naming(deployment, "")
    del before["directory.progress"]  # how far is announced moves by itself

    done = await rollcall_json(deployment, "org", "delete", "Zeeburg", "--dry-run")
    erased = await rollcall_json(deployment, "erase", "Zeeburg", an_id(1), "--dry-run")

    assert done["rows"]["directory.member"] > 10
    assert erased["was_there"] is True
    assert erased["dead_letters"] == 1
    assert {**await naming(deployment, ""), **before} == await naming(deployment, "")
    async with open_log(settings_of(deployment)) as log:
        assert not [key for key in (await log.read()).keys_of(ORGANISATION) if key.revoked]


async def test_without_a_provisioner_the_keys_are_dead_and_the_next_run_ends_it(
    deployment: Deployment,
) -> None:
    await write_records(deployment)
    one = await deployment.start()
    await apply_all(deployment, history(52, 60))
    await one.end()

    waited = await rollcall(deployment, *DELETE, "--wait", "1")

    assert waited.returncode == 3
    assert "run this again" in waited.stderr
    async with open_log(settings_of(deployment)) as log:
        assert all(key.revoked for key in (await log.read()).keys_of(ORGANISATION))
    refused = await rollcall(deployment, "key", "create", ORGANISATION)
    assert refused.returncode == 2
    assert "being deleted" in refused.stderr
    await deployment.start()
    await rollcall_json(deployment, *DELETE)
    await assert_gone(deployment)


# A running deployment


@pytest.fixture
async def stack(
    tmp_path: Path, kafka_server: KafkaServer, database: TestDatabase
) -> AsyncIterator[Stack]:
    """All three services; invitations wait for long enough to be caught by a deletion."""

    def url(service: Service) -> str:
        return database.url(service)

    prefix = f"leaving{uuid.uuid4().hex[:10]}"
    async with running(
        tmp_path,
        kafka_server.bootstrap,
        prefix,
        url,
        ROLLCALL_NOTIFIER_INVITATION_GRACE_S="15",
    ) as made:
        await made.start_all()
        yield made


async def stack_json(stack: Stack, *arguments: str) -> Any:
    """What a command beside the stack prints."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "rollcall_operator", *arguments, "--json"],
        env={**stack.environment, "ROLLCALL_DATABASE_URL": stack.database_url("owner")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
async def test_under_load_every_answer_is_settled_before_the_end_then_the_keys_are_dead(
    stack: Stack,
) -> None:
    """What was answered 201 stands before the organisation's last event, and no mail leaves."""
    organisation, other = await stack.organisation("Zeeburg"), await stack.organisation("Amstel")
    statuses: list[tuple[float, int]] = []
    async with stack.client(organisation) as client, stack.client(other) as neighbour:
        assert (await neighbour.create_user("ben@example.org")).status == 201
        await client.create_user("first@example.org")

        async def write() -> None:
            number = 0
            while not statuses or statuses[-1][1] == 201:
                number += 1
                answer = await client.create_user(f"u{number}@example.org")
                statuses.append((time.monotonic(), answer.status))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            began_s = time.monotonic()
            tasks.create_task(
                stack_json(stack, "org", "delete", organisation.id, "--yes", "--settle", "3")
            )
        refused = await client.call("GET", "/Users")
        kept = await neighbour.call("GET", "/Users")

    assert statuses[-1][1] == 401
    assert refused.status == 401
    assert statuses[-1][0] - began_s < 8  # a process starts, writes two records, and is read
    assert kept.body["totalResults"] == 1
    headers = [
        each
        for each in await stack.headers(stack.topics.requests)
        if each["ce_subject"].startswith(organisation.id)
    ]
    kinds = [each["ce_type"].removeprefix("io.rollcall.request.") for each in headers]
    answered = sum(status == 201 for _, status in statuses)
    assert kinds == ["member.create.v1"] * (answered + 1) + ["organisation.delete.v1"]
    rows = await stack.rows(
        "SELECT count(*) AS number FROM notice.notification WHERE organisation_id = $1",
        organisation.id,
    )
    assert rows[0]["number"] == 0
    await until(lambda: len(stack.mails("ben@example.org")) == 1, "the neighbour's mail")
    assert len(stack.mails()) == 1


# Export


async def exported(deployment: Deployment) -> None:
    await write_records(deployment)
    await deployment.start()
    await apply_all(
        deployment,
        [
            replace(
                create(
                    1,
                    "ana@example.org",
                    displayName="=HYPERLINK(1)",
                    title="+1",
                    **{
                        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                            "department": "Deck",
                            "employeeNumber": "-7",
                        }
                    },
                ),
                accept_by_ms=None,
            ),
            create(2, "ben@example.org"),
            a_request("group.create", an_id(50), number=950, resource={"displayName": "Sailors"}),
            replace(regroup(a_group(50), add=(an_id(1), an_id(2))), id=an_id(951)),
            replace(
                create(3, "eve@example.org"), organisation_id=OTHER_ORGANISATION, id=an_id(952)
            ),
        ],
    )


async def test_an_export_has_every_user_and_group_its_manifest_and_no_key(
    deployment: Deployment, tmp_path: Path
) -> None:
    await exported(deployment)
    file = tmp_path / "zeeburg.jsonl"

    done = await rollcall_json(deployment, "org", "export", "Zeeburg", "--to", str(file))

    raw = file.read_bytes()
    *lines, manifest = [json.loads(line) for line in raw.splitlines()]
    before = raw[: raw.rindex(b"\n", 0, -1) + 1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [line["type"] for line in lines] == ["organisation", "user", "user", "group"]
    assert lines[0]["settings"]["name"] == "Zeeburg"
    assert lines[1]["groups"] == [{"value": an_id(50), "display": "Sailors"}]
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    assert lines[1]["resource"][enterprise]["department"] == "Deck"
    assert [each["value"] for each in lines[3]["members"]] == [an_id(1), an_id(2)]
    assert manifest == {
        "type": "manifest",
        "users": 2,
        "groups": 1,
        "memberships": 2,
        "sha256": hashlib.sha256(before).hexdigest(),
    }
    assert done["sha256"] == manifest["sha256"]
    assert "1" * 64 not in raw.decode()
    assert KEY not in raw.decode()
    assert "eve@example.org" not in raw.decode()
    again = await rollcall(deployment, "org", "export", "Zeeburg", "--to", str(file))
    assert again.returncode == 2
    assert "exists already" in again.stderr


async def test_a_disk_that_is_full_is_not_called_an_outage_of_postgres(
    deployment: Deployment, tmp_path: Path
) -> None:
    await write_records(deployment)
    await deployment.start()
    await apply_all(deployment, history(53, 200))  # more than a buffer
    file = tmp_path / "zeeburg.jsonl"

    done = await without_room(deployment, "org", "export", "Zeeburg", "--to", str(file))

    assert done == (3, "rollcall: it cannot be written: File too large\n")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_no_cell_of_an_exported_table_is_a_formula(
    deployment: Deployment, tmp_path: Path
) -> None:
    await exported(deployment)
    file = tmp_path / "zeeburg.csv"

    await rollcall_json(
        deployment, "org", "export", "Zeeburg", "--to", str(file), "--format", "csv"
    )

    text = file.read_bytes().decode()
    rows = list(csv.DictReader(text.splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [row["type"] for row in rows] == [
        *("organisation", "user", "user", "group", "membership", "membership", "manifest")
    ]
    assert rows[1]["displayName"] == "'=HYPERLINK(1)"
    assert rows[1]["title"] == "'+1"
    assert rows[1]["employeeNumber"] == "'-7"
    assert not [cell for row in rows for cell in row.values() if re.match(r"[=+\-@\t\r]", cell)]
    before = text[: text.rindex("\r\n", 0, -2) + 2]
    assert rows[-1]["id"] == hashlib.sha256(before.encode()).hexdigest()


# Erasure


async def with_a_past(deployment: Deployment) -> Sequence[Request]:
    """Ana: in a group, in quarantine with an event behind it, in a directory that was replaced, in
    a notice, in a budget of mails. Ben: beside her in the group, with a dead letter of his own."""
    await write_records(deployment)
    await deployment.start()
    await execute(deployment, REFUSE_TITLE)
    requests = [
        create(1, "ana@example.org", displayName="Ana Tromp"),
        create(2, "ben@example.org", displayName="Ben Kok"),
        a_request("group.create", an_id(50), number=950, resource={"displayName": "Sailors"}),
        replace(regroup(a_group(50), add=(an_id(1), an_id(2))), id=an_id(951)),
        replace(patch(a_member(1), replacing("title", POISON)), id=an_id(952)),
        replace(patch(a_member(1), replacing("nickName", "ana-of-the-sea")), id=an_id(953)),
        replace(patch(a_member(2), replacing("title", POISON)), id=an_id(954)),
    ]
    await apply_all(deployment, requests)
    await execute(
        deployment,
        FIX + ";INSERT INTO notice.notification (event_id, kind, organisation_id, member_id, "
        'partition, epoch, "offset", "index", event_time, due_at, next_attempt_at) '
        f"SELECT id, 'invitation', '{ORGANISATION}', id, 0, 0, 1, 0, now(), now(), now() "
        "FROM directory.member;"
        "INSERT INTO notice.mail_taken (event_id, kind, recipient, organisation_id, member_id) "
        "SELECT event_id, kind, '\\x00ff', organisation_id, member_id FROM notice.notification",
    )
    await do_rebuild(deployment)
    return requests


async def assert_erased(deployment: Deployment) -> None:
    for text in ("ana@example.org", "Ana Tromp", "ana-of-the-sea"):
        assert await naming(deployment, text) == {}
    left = await naming(deployment, an_id(1))
    assert all(table.startswith("audit.") for table in left), left


async def test_an_erased_member_is_in_no_row_of_any_table_but_the_audit_s_ids(
    deployment: Deployment,
) -> None:
    await with_a_past(deployment)
    before = await naming(deployment, "ana")
    counted = await deployment.rows("SELECT sum(number) FROM directory.resource_count")
    assert {"directory.parked", "directory_previous.member", "directory.member"} <= set(before)
    assert "notice.mail_taken" in await naming(deployment, an_id(1))
    ben = await naming(deployment, "Ben Kok")

    done = await rollcall_json(deployment, "erase", "Zeeburg", "Ana@Example.org", "--yes")

    await assert_erased(deployment)
    assert done["member_id"] == an_id(1)
    assert done["was_there"] is True
    assert done["dead_letters"] == 1
    assert done["parked"] == 1
    assert await naming(deployment, "Ben Kok") == ben
    assert (await deployment.rows("SELECT sum(number) FROM directory.resource_count"))[0][
        "sum"
    ] == counted[0]["sum"] - 1
    [group] = await deployment.rows('SELECT version::text FROM directory."group"')
    assert group["version"] == done["event_id"]
    [letter] = await deployment.rows("SELECT resource_id::text FROM directory.dead_letter")
    assert letter["resource_id"] == an_id(2)
    facts = [each.outcome.fact for each in await deployment.outcomes(9)]
    assert facts[-2:] == ["member.removed", "member.erased"]
    assert {each["topic"].rpartition(".")[2] for each in done["log"]} == {
        *("requests", "replies", "outcomes", "dead")
    }


async def test_an_erased_member_stays_erased_after_verify_and_rebuild(
    deployment: Deployment, tmp_path: Path
) -> None:
    await with_a_past(deployment)
    taken = await do_snapshot(deployment, tmp_path)
    await rollcall_json(deployment, "erase", "Zeeburg", an_id(1), "--yes")
    assert (await do_verify(deployment)).drifts == []

    for snapshot in (None, taken.folder):
        await do_rebuild(deployment, snapshot=snapshot)
        await execute(deployment, "DROP SCHEMA directory_previous CASCADE")

        await assert_erased(deployment)
        assert (await do_verify(deployment, snapshot)).drifts == []


@pytest.mark.parametrize("fault", ["erase.after_event", "erase.after_applied"])
async def test_an_erasure_that_is_killed_is_ended_by_the_next_run(
    deployment: Deployment, fault: str
) -> None:
    await with_a_past(deployment)
    command = ("erase", ORGANISATION, an_id(1), "--yes")

    assert await killed(deployment, fault, *command)
    await rollcall_json(deployment, *command)

    await assert_erased(deployment)
    assert (await do_verify(deployment)).drifts == []


async def test_an_erasure_by_name_that_is_not_applied_yet_says_how_to_end_it(
    deployment: Deployment,
) -> None:
    """By then the name is gone, and the id is in nobody's hands."""
    await write_records(deployment)
    running = await deployment.start()
    await apply_all(deployment, [create(1, "ana@example.org")])
    await running.end()
    said: list[str] = []

    async with open_deployment(settings_of(deployment), "test") as office:
        with pytest.raises(ControlError) as error:
            await erase(
                office, "Zeeburg", "ana@example.org", dry_run=False, say=said.append, wait_s=0
            )

    assert f"`rollcall erase {ORGANISATION} {an_id(1)}`" in line_of(error.value)
    assert an_id(1) in said[0]


async def test_an_erasure_reaches_what_a_killed_verify_left(deployment: Deployment) -> None:
    await with_a_past(deployment)
    await execute(
        deployment,
        "CREATE SCHEMA directory_verify; CREATE SCHEMA audit_verify;"
        "CREATE TABLE directory_verify.member AS SELECT * FROM directory.member;",
    )

    await rollcall_json(deployment, "erase", "Zeeburg", an_id(1), "--yes")

    await assert_erased(deployment)


async def test_an_erased_member_is_not_made_again_by_what_comes_later(
    deployment: Deployment,
) -> None:
    """A PATCH that was under way is refused, a copy of the create is dropped."""
    requests = await with_a_past(deployment)
    await rollcall_json(deployment, "erase", "Zeeburg", an_id(1), "--yes")
    late = fresh(patch(a_member(1), replacing("title", "ana-of-the-sea")))

    await apply_all(deployment, [late, requests[0]])

    await assert_erased(deployment)
    [row] = await deployment.rows("SELECT status FROM audit.event WHERE id = $1", late.id)
    assert row["status"] == 404
    unknown = await rollcall(deployment, "erase", "Zeeburg", "ana@example.org", "--yes")
    assert unknown.returncode == 2
    assert "ana@example.org" not in unknown.stderr


async def test_the_page_about_leaving(deployment: Deployment, tmp_path: Path) -> None:
    await inhabited(deployment)
    names = f"ORG=Zeeburg MEMBER={an_id(1)}\n"
    found = blocks("offboarding.md")
    assert len(found) == 3

    printed = [await run_block(deployment, names + block, tmp_path) for block in found]

    for name in ("organisation.jsonl", "organisation.csv"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert "would be erased" in printed[1]
    assert "is erased" in printed[1]
    assert "would be deleted" in printed[2]
    assert "is deleted" in printed[2]
    assert f"{deployment.topics.requests} keeps" in printed[2]
    await assert_gone(deployment)


# What the log keeps


def test_a_record_is_gone_when_the_segment_that_may_hold_it_is() -> None:
    at = now()
    config = {"retention.ms": "7776000000", "segment.ms": "604800000", "cleanup.policy": "delete"}

    kept = judge("rollcall.requests", "requests", config, at)

    assert kept.gone_by == at + timedelta(days=97)


@pytest.mark.parametrize(
    ("config", "by"),
    [
        ({"retention.ms": "-1", "segment.ms": "1", "cleanup.policy": "delete"}, "delete-records"),
        ({"retention.ms": "-1", "segment.ms": "1", "cleanup.policy": "compact"}, "tombstones"),
        ({}, "delete-records"),
        (
            {"retention.ms": LONGEST, "segment.ms": "1", "cleanup.policy": "delete"},
            "delete-records",
        ),
        (
            {"retention.ms": "1", "segment.ms": LONGEST, "cleanup.policy": "delete"},
            "delete-records",
        ),
    ],
)
def test_what_is_kept_for_ever_says_what_removes_it(config: dict[str, str], by: str) -> None:
    kept = judge("a topic", "something", config, now())

    assert kept.gone_by is None
    assert by in kept.removed_by
    assert "without a time limit" in str(kept)
