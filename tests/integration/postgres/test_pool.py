"""Connections: lazy, to the primary, and `Unavailable` for all that passes by itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from rollcall.postgres import pool
from rollcall.postgres.pool import CutOff, Database
from rollcall.runtime.errors import Unavailable
from rollcall_local.stack.postgres.native import PostgresServer as NativePostgres
from tests.support.databases import TestDatabase


@asynccontextmanager
async def opened(url: str, *, statement_timeout_s: float = 5.0) -> AsyncIterator[Database]:
    database = await pool.open_pool(
        url,
        role_hint="provisioner",
        max_size=2,
        statement_timeout_s=statement_timeout_s,
        application_name="test",
        acquire_timeout_s=2.0,
    )
    try:
        yield database
    finally:
        await database.close()


async def test_a_pool_opens_while_postgres_is_away() -> None:
    async with opened("postgresql://nobody@127.0.0.1:1/nothing") as database:
        with pytest.raises(Unavailable) as away:
            async with database.connection():
                pass

    assert away.value.what == pool.POSTGRES


async def test_a_url_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        async with opened("mysql://nobody@127.0.0.1:1/nothing"):
            pass


async def test_connections_have_the_settings_that_queries_rely_on(
    database: TestDatabase,
) -> None:
    async with (
        opened(database.url("provisioner")) as opened_database,
        opened_database.transaction() as connection,
    ):
        plans = await connection.fetchval("SHOW plan_cache_mode")
        zone = await connection.fetchval("SHOW timezone")
        document = await connection.fetchval("SELECT $1::jsonb", {"a": [1, None, "é"]})

    assert (plans, zone) == ("force_custom_plan", "UTC")
    assert document == {"a": [1, None, "é"]}


async def test_a_statement_that_takes_too_long_is_unavailable(database: TestDatabase) -> None:
    async with opened(database.url("ingress"), statement_timeout_s=0.05) as opened_database:
        with pytest.raises(CutOff) as cut:
            async with opened_database.connection() as connection:
                await connection.execute("SELECT pg_sleep(5)")

    assert cut.value.cause == "statement-timeout"


async def test_a_cancelled_statement_is_no_time_out_of_ours(
    database: TestDatabase,
) -> None:

    async def be_cancelled(of: Database) -> None:
        async with of.connection() as connection:
            pid = connection.get_server_pid()
            sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            async with database.connect("provisioner") as other:
                done: set[asyncio.Task[str]] = set()
                while not done:  # what had not begun was not cancelled
                    await other.fetchval("SELECT pg_cancel_backend($1)", pid)
                    done, _ = await asyncio.wait([sleeping], timeout=0.05)
            await sleeping

    async with opened(database.url("provisioner"), statement_timeout_s=60) as opened_database:
        with pytest.raises(Unavailable) as away:
            await be_cancelled(opened_database)

    assert not isinstance(away.value, CutOff)


async def test_a_wait_for_the_lock_of_another_session_is_no_time_out_of_ours(
    database: TestDatabase,
) -> None:
    """It ends before the statement's time does, and so says whose fault it is."""
    async with (
        opened(database.url("provisioner"), statement_timeout_s=1) as opened_database,
        database.connect() as owner,
        owner.transaction(),
    ):
        await owner.execute("LOCK TABLE directory.progress IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable) as away:
            async with opened_database.connection() as connection:
                await connection.fetchval("SELECT count(*) FROM directory.progress")

    assert not isinstance(away.value, CutOff)


async def test_no_free_connection_is_no_time_out_of_ours(database: TestDatabase) -> None:
    async with (
        opened(database.url("ingress")) as opened_database,
        opened_database.connection(),
        opened_database.connection(),
    ):
        with pytest.raises(Unavailable) as away:
            async with opened_database.connection():
                pass

    assert not isinstance(away.value, CutOff)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (asyncpg.IdleInTransactionSessionTimeoutError("x"), "idle-in-transaction"),
        (asyncpg.QueryCanceledError("due to statement timeout"), "statement-timeout"),
        (asyncpg.TransactionTimeoutError("x"), "transaction-timeout"),
        (TimeoutError(), "no-answer"),
        (asyncpg.QueryCanceledError("due to user request"), None),
        (TimeoutError(110, "Connection timed out"), None),
        (ConnectionRefusedError(111, "refused"), None),
        (asyncpg.AdminShutdownError("x"), None),
        (asyncpg.LockNotAvailableError("x"), None),
        (asyncpg.DeadlockDetectedError("x"), None),
        (asyncpg.DiskFullError("x"), None),
        (asyncpg.TooManyConnectionsError("x"), None),
    ],
)
def test_each_end_of_an_attempt_has_its_own_cause(error: Exception, cause: str | None) -> None:
    unavailable = pool.as_unavailable(error)

    assert isinstance(unavailable, Unavailable)
    assert (unavailable.cause if isinstance(unavailable, CutOff) else None) == cause


async def test_a_session_that_was_idle_in_its_transaction_is_a_lost_connection(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pool.IDLE_IN_TRANSACTION_S, "provisioner", 1)
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"

    async def be_idle(of: Database) -> None:
        async with of.transaction() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            async with database.connect() as owner:
                async with asyncio.timeout(30):
                    while await owner.fetchval(query, pid):  # noqa: ASYNC110 another process ends it
                        await asyncio.sleep(0.05)
            await connection.fetchval("SELECT 1")

    async with opened(database.url("provisioner")) as opened_database:
        with pytest.raises(Unavailable) as away:
            await be_idle(opened_database)

    assert pool.is_lost_connection(away.value)


async def test_a_full_pool_is_unavailable_after_its_timeout(database: TestDatabase) -> None:
    async with (
        opened(database.url("ingress")) as opened_database,
        opened_database.connection(),
        opened_database.connection(),
    ):
        with pytest.raises(Unavailable):
            async with opened_database.connection():
                pass


async def test_a_connection_cut_by_the_server_is_unavailable(database: TestDatabase) -> None:
    async with opened(database.url("ingress")) as opened_database:
        with pytest.raises(Unavailable):
            await _query_after_being_cut(opened_database, database)
        async with opened_database.connection() as connection:
            answer = await connection.fetchval("SELECT 2")

    assert answer == 2


async def test_a_read_only_server_is_unavailable(database: TestDatabase) -> None:
    async with opened(database.url("provisioner")) as opened_database:
        with pytest.raises(Unavailable):
            await _execute(
                opened_database, "SET TRANSACTION READ ONLY", "DELETE FROM directory.member"
            )


async def test_a_schema_that_is_not_there_is_unavailable(empty_database: TestDatabase) -> None:
    async with opened(empty_database.url("provisioner")) as opened_database:
        with pytest.raises(Unavailable) as away:
            async with opened_database.connection() as connection:
                await connection.execute("SELECT FROM directory.member")

    assert away.value.what == pool.NOT_MIGRATED


async def test_a_refused_login_is_unavailable(database: TestDatabase) -> None:
    url = database.url("ingress").replace("rollcall_ingress:", "rollcall_ingress:wrong-")

    async with opened(url) as opened_database:
        with pytest.raises(Unavailable) as away:
            async with opened_database.connection():
                pass

    assert away.value.what == pool.REFUSED


async def test_a_connection_that_cannot_be_given_back_is_unavailable(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server died in the middle of an exchange; what asyncpg says then is no bug of ours."""

    async def reset(self: object, *, timeout: float | None = None) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12")

    async with opened(database.url("ingress")) as opened_database:
        monkeypatch.setattr(asyncpg.Connection, "reset", reset)
        with pytest.raises(Unavailable):
            async with opened_database.connection() as connection:
                await connection.fetchval("SELECT 1")
        monkeypatch.undo()
        async with opened_database.connection() as connection:
            answer = await connection.fetchval("SELECT 2")

    assert answer == 2


async def test_our_own_bugs_are_not_unavailable(database: TestDatabase) -> None:
    async with opened(database.url("provisioner")) as opened_database:
        with pytest.raises(asyncpg.PostgresSyntaxError):
            async with opened_database.connection() as connection:
                await connection.execute("SELEKT")
        with pytest.raises(asyncpg.InterfaceError):
            async with opened_database.connection() as connection:
                await asyncio.gather(
                    connection.execute("SELECT pg_sleep(0.05)"), connection.execute("SELECT 1")
                )


async def test_a_transaction_that_raises_leaves_nothing(database: TestDatabase) -> None:
    async with opened(database.url("provisioner")) as opened_database:
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await _execute(
                opened_database,
                "INSERT INTO directory.progress (topic, partition) VALUES ('t', 1)",
                "SELEKT",
            )
        async with opened_database.connection() as connection:
            left = await connection.fetchval("SELECT count(*) FROM directory.progress")

    assert left == 0


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_frozen_server_is_unavailable_as_soon_as_the_statement_is_late(
    in_transaction: bool, native_postgres: NativePostgres
) -> None:
    """Neither the roll-back nor the way back into the pool waits for it again."""
    async with opened(native_postgres.admin_url, statement_timeout_s=0.5) as database:
        began_s = 0.0
        use = database.transaction if in_transaction else database.connection
        async with use() as connection:
            await connection.fetchval("SELECT 1")

        async def freeze_while_in_use() -> None:
            nonlocal began_s
            async with use() as connection:
                await connection.fetchval("SELECT 1")
                await asyncio.to_thread(native_postgres.pause)
                began_s = time.monotonic()
                await connection.fetchval("SELECT 2")

        with pytest.raises(Unavailable):
            await freeze_while_in_use()
        took_s = time.monotonic() - began_s
        await asyncio.to_thread(native_postgres.resume)
        async with database.connection() as connection:
            after = await connection.fetchval("SELECT 3")

    assert 1.4 < took_s < 2.0, "the statement's time-out and a second for the client"
    assert after == 3


async def test_a_killed_server_is_unavailable_and_then_back(
    native_postgres: NativePostgres,
) -> None:
    async with opened(native_postgres.admin_url) as database:
        async with database.connection() as connection:
            before = await connection.fetchval("SELECT 1")
        await asyncio.to_thread(native_postgres.kill)
        with pytest.raises(Unavailable):
            async with database.connection() as connection:
                await connection.fetchval("SELECT 1")
        await asyncio.to_thread(native_postgres.start)
        async with database.connection() as connection:
            after = await connection.fetchval("SELECT 1")

    assert (before, after) == (1, 1)


async def _execute(database: Database, *statements: str) -> None:
    """All statements in one transaction."""
    async with database.transaction() as connection:
        for statement in statements:
            await connection.execute(statement)


async def _query_after_being_cut(database: Database, server: TestDatabase) -> None:
    async with database.connection() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        async with server.connect("ingress") as other:
            await other.execute("SELECT pg_terminate_backend($1)", pid)
        await connection.fetchval("SELECT 1")
