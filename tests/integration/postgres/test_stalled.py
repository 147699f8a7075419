"""A process that stands still in mid-statement keeps its locks until somebody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from rollcall.postgres import pool, progress
from rollcall.postgres.pool import Database
from rollcall.runtime.errors import Unavailable
from tests.support.databases import TestDatabase

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

TOPIC = "outcomes"
STILL_S = 1


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pool.IDLE_IN_TRANSACTION_S, "notifier", STILL_S)


@asynccontextmanager
async def notifier(database: TestDatabase, program: str) -> AsyncIterator[Database]:
    opened = await pool.open_pool(
        database.url("notifier"),
        role_hint="notifier",
        max_size=3,
        statement_timeout_s=1.0,
        application_name=program,
    )
    try:
        yield opened
    finally:
        await opened.close()


async def advance(database: Database) -> bool:
    async with database.transaction() as connection:
        return await move(connection)


async def move(connection: Connection) -> bool:
    return await progress.advance(
        connection,
        TOPIC,
        0,
        expected=0,
        epoch=0,
        new=1,
        published=1,
        last_event_id=None,
        last_append_time=None,
        schema="notice",
    )


@asynccontextmanager
async def standing_still(database: TestDatabase, program: str) -> AsyncIterator[Connection]:
    """A transaction that has moved the partition, and is between Parse and Bind of the next step.

    That is where asyncpg's own first step of a statement leaves the session.
    """
    connection = await asyncpg.connect(
        database.url("notifier"),
        server_settings={
            "application_name": program,
            "statement_timeout": "1000",
            "idle_in_transaction_session_timeout": f"{STILL_S}s",
        },
    )
    try:
        await progress.ensure(connection, TOPIC, 0, schema="notice")
        await connection.execute("BEGIN")
        assert await move(connection)
        protocol: Any = attrgetter("_protocol")(connection)
        await protocol.prepare("", "SELECT true", 5.0, record_class=asyncpg.Record)
        yield connection
    finally:
        connection.terminate()


async def has_gone_on(database: Database) -> bool:
    try:
        return await advance(database)
    except Unavailable:
        return False


async def test_who_waits_for_its_lock_ends_it_and_goes_on(database: TestDatabase) -> None:
    async with (
        standing_still(database, "one") as asleep,
        notifier(database, "one") as successor,
    ):
        first = await has_gone_on(successor)
        async with asyncio.timeout(20):
            while not await has_gone_on(successor):
                pass
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await asleep.execute("COMMIT")

    assert not first, "it waited for nothing: the session held no lock"


async def test_another_program_of_the_same_role_is_left_alone(database: TestDatabase) -> None:
    async with (
        standing_still(database, "one") as asleep,
        notifier(database, "another") as other,
    ):
        tried = [await has_gone_on(other) for _ in range(5)]
        async with database.connect() as anybody:
            alive = await anybody.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", asleep.get_server_pid()
            )

    assert tried == [False] * 5
    assert alive == 1
