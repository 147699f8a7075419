"""Any backup heals: an old dump of Postgres is restored, and the log brings it to the present."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from rollcall.control.organisations import create_key, revoke_key
from rollcall.control.tenancy_log import open_log
from tests.support.load import Answered, creates, mails, settled
from tests.support.poison import rollcall
from tests.support.postgres_tools import call, tool
from tests.support.stack import Organisation, Stack, until

SCHEMAS = ("directory", "audit", "tenancy", "notice", "rollcall", "console")
COMPARED = ("member", '"group"', "group_member", "resource_count", "dead_letter", "parked")


async def dump(stack: Stack, to: Path) -> None:
    """What an operator's nightly job does."""
    await call(tool("pg_dump"), "-Fc", "-f", str(to), "-d", stack.database_url("owner"))


async def restore(stack: Stack, dumped: Path) -> None:
    """Everything of ours is gone, and is as it was when it was dumped."""
    for schema in SCHEMAS:
        await stack.rows(f"DROP SCHEMA {schema} CASCADE")
    await call(tool("pg_restore"), "-d", stack.database_url("owner"), str(dumped))


async def directory(stack: Stack) -> dict[str, list[str]]:
    """Every row of the directory as text."""
    found = {}
    for table in COMPARED:
        rows = await stack.rows(f"SELECT t::text AS row FROM directory.{table} AS t")
        found[table] = sorted(row["row"] for row in rows)
    return found


async def stop_all(stack: Stack) -> None:
    for process in stack.processes:
        if process.is_running():
            await asyncio.to_thread(process.terminate)


@pytest.mark.timeout(300)
async def test_an_old_backup_heals_by_itself(whole_stack: Stack, tmp_path: Path) -> None:
    """Dumped in the middle of a load. Afterwards no change is lost, a key that was revoked since
    opens nothing, and no mail is sent a second time."""
    stack = whole_stack
    zeeburg, diemen = await stack.organisation("Zeeburg"), await stack.organisation("Diemen")
    async with open_log(stack.settings) as log:
        record, second = await create_key(log, diemen.id, name="second")
    leaked = Organisation(diemen.id, diemen.partition, second.text, diemen.base)
    answered = Answered()
    async with stack.client(zeeburg) as client, stack.client(leaked) as other:
        load = asyncio.create_task(creates(client, 150, clients=8, answered=answered))
        await until(lambda: len(answered.created) > 40, "some are created")
        await dump(stack, tmp_path / "dump")
        await load
        await creates(other, 30, clients=4, prefix="d")
        ids = list(answered.created.values())
        for member in ids[:10]:
            done = await client.patch(
                f"/Users/{member}", {"op": "replace", "path": "active", "value": False}
            )
            assert done.status == 200
        for member in ids[10:15]:
            assert (await client.call("DELETE", f"/Users/{member}")).status == 204
    async with open_log(stack.settings) as log:
        await revoke_key(log, diemen.id, record.public_id)
    await settled(stack, zeeburg, diemen)
    before, sent = await directory(stack), mails(stack)
    assert len(sent) > 150
    await stop_all(stack)

    await restore(stack, tmp_path / "dump")
    assert await directory(stack) != before
    await stack.start_all()
    async with stack.client(leaked) as client:
        assert (await client.call("GET", "/Users?count=1")).status == 401
    await settled(stack, zeeburg, diemen)

    assert await directory(stack) == before
    assert mails(stack) == sent
    [key] = await stack.rows(
        "SELECT revoked FROM tenancy.api_key WHERE public_id = $1", record.public_id
    )
    assert key["revoked"] is not None
    assert (await rollcall(stack, "verify"))["drifts"] == []
    async with stack.client(zeeburg) as client:
        assert (await client.create_user("after@restore.example")).status == 201
    await until(lambda: bool(stack.mails("after@restore.example")), "new mails leave", 30)


@pytest.mark.timeout(200)
async def test_a_mail_that_left_is_known_although_its_row_is_lost(whole_stack: Stack) -> None:
    """A failover without its last commits, as the notifier alone sees it."""
    stack = whole_stack
    zeeburg = await stack.organisation()
    async with stack.client(zeeburg) as client:
        await creates(client, 20, clients=4)
    await settled(stack, zeeburg)
    sent = mails(stack)
    for process in stack.running("notifier"):
        await asyncio.to_thread(process.terminate)

    await stack.rows(
        "UPDATE notice.notification SET state = 'due', sent_at = NULL, message_id = NULL, "
        "announced = false"
    )
    await stack.rows(
        "UPDATE notice.progress SET next_offset = 0, last_event_id = NULL, last_append_time = NULL"
    )
    await stack.start("notifier")
    await settled(stack, zeeburg)

    assert mails(stack) == sent
    rows = await stack.rows("SELECT DISTINCT state, announced FROM notice.notification")
    assert [(row["state"], row["announced"]) for row in rows] == [("sent", True)]


@pytest.mark.timeout(200)
async def test_a_mail_that_left_while_kafka_was_away_is_announced_afterwards(
    whole_stack: Stack,
) -> None:
    """Here its row says that nobody was told: as after a crash between the mail and the telling."""
    stack = whole_stack
    zeeburg = await stack.organisation()
    async with stack.client(zeeburg) as client:
        await creates(client, 5, clients=2)
    await settled(stack, zeeburg)
    await stack.rows("UPDATE notice.notification SET announced = false")

    async def is_announced() -> bool:
        rows = await stack.rows("SELECT count(*) AS n FROM notice.notification WHERE NOT announced")
        return bool(rows[0]["n"] == 0)

    await until(is_announced, "every mail that left is told")

    ids = Counter(
        headers["ce_id"]
        for headers in await stack.headers(stack.topics.outcomes)
        if headers["ce_type"] == "io.rollcall.mail.sent.v1"
    )
    assert len(ids) == 5
    assert set(ids.values()) == {2}
