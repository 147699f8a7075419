"""`org delete`, broken off at any step, over real Kafka and Postgres."""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollcall.control.tenancy_log import open_log
from rollcall.events.request import from_event, to_event
from rollcall.observability import metrics
from rollcall.postgres.pool import Service
from tests.integration.operator.offboarding.organisations import (
    DELETE,
    assert_gone,
    inhabited,
    killed,
    naming,
    rest,
    rollcall,
    rollcall_json,
    write_records,
)
from tests.integration.operator.rebuilding import (
    apply_all,
    do_rebuild,
    do_snapshot,
    do_verify,
    execute,
    fresh,
    history,
    settings_of,
)
from tests.support.builders import (
    ORGANISATION,
    an_id,
    create,
)
from tests.support.databases import TestDatabase
from tests.support.deployment import Deployment
from tests.support.servers import KafkaServer
from tests.support.stack import Stack, running, until


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


async def test_a_second_run_is_not_held_up_by_a_log_that_was_recreated_since(
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
        pytest.param("offboarding.after_record", marks=pytest.mark.long),
        "offboarding.after_key",
        pytest.param("offboarding.after_wait", marks=pytest.mark.long),
        pytest.param("offboarding.after_event", marks=pytest.mark.long),
        "offboarding.after_applied",
        "offboarding.in_rows",
        pytest.param("offboarding.in_rows:4", marks=pytest.mark.long),
        pytest.param("offboarding.after_rows", marks=pytest.mark.long),
        pytest.param("offboarding.before_tombstone:2", marks=pytest.mark.long),
        pytest.param("offboarding.after_tombstones", marks=pytest.mark.long),
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
