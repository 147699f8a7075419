"""What Postgres lets every role do, and no role of ours needs, is taken away at the start."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from rollcall.control import doctor
from rollcall.control.settings import OperatorSettings
from rollcall.postgres.migrate import migrate
from rollcall.postgres.upkeep import rights
from rollcall.runtime.config import load
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.native import PostgresServer
from rollcall_operator.owner import connected
from tests.support.postgres_tools import call, tool

pytestmark = pytest.mark.timeout(240)
DATABASES = ("postgres", "template1", postgres_roles.DATABASE)
LARGE_OBJECTS = (
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'kept')",
    "SELECT lo_put(1, 0, 'kept')",
    "SELECT lo_open(1, 131072)",
    "SELECT lowrite(0, 'kept')",
    "SELECT lo_truncate(0, 1)",
    "SELECT lo_unlink(1)",
    "SELECT lo_get(1)",
    "SELECT loread(0, 1)",
)


@pytest.fixture(scope="module")
def passwords() -> Mapping[str, str]:
    return {role: secrets.token_hex(8) for role in postgres_roles.ROLES}


@pytest.fixture
async def server(native_postgres: PostgresServer, passwords: Mapping[str, str]) -> PostgresServer:
    """A server as `rollcall up` prepares it; twice, as at a second start."""
    for _ in range(2):
        await postgres_roles.bootstrap(native_postgres.admin_url, passwords)
    url = native_postgres.settings.url(
        postgres_roles.OWNER, passwords[postgres_roles.OWNER], postgres_roles.DATABASE
    )
    await migrate(url)
    return native_postgres


@pytest.mark.parametrize("role", postgres_roles.ROLES)
async def test_no_role_of_ours_gets_into_the_common_databases(
    server: PostgresServer, passwords: Mapping[str, str], role: str
) -> None:
    for database in ("postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="CONNECT"):
            await asyncpg.connect(server.settings.url(role, passwords[role], database), timeout=10)


@pytest.mark.parametrize("role", postgres_roles.SERVICE_ROLES)
async def test_no_service_makes_what_lies_beside_the_tables(
    server: PostgresServer, passwords: Mapping[str, str], role: str
) -> None:
    url = server.settings.url(role, passwords[role], postgres_roles.DATABASE)
    connection = await asyncpg.connect(url, timeout=10)
    try:
        for statement in (*LARGE_OBJECTS, "CREATE TEMP TABLE kept (it text)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_nothing_is_left_and_what_was_there_is_seen(
    server: PostgresServer, native_postgres: PostgresServer
) -> None:
    connection = await asyncpg.connect(
        server.admin_url, database=postgres_roles.DATABASE, timeout=10
    )
    other = await asyncpg.connect(server.admin_url, database="template1", timeout=10)
    try:
        assert await rights.public(connection, DATABASES) == {}
        assert set(await rights.public(other, [])) == {"large objects"}
        await connection.execute("GRANT TEMP ON DATABASE postgres TO PUBLIC")
        await connection.execute("GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC")
        assert await rights.public(connection, DATABASES) == {
            "large objects": "1",
            "postgres": "TEMPORARY",
        }
    finally:
        await connection.close()
        await other.close()


async def test_doctor_names_it_in_production(
    server: PostgresServer, passwords: Mapping[str, str]
) -> None:
    role = postgres_roles.OWNER
    settings = load(
        OperatorSettings,
        kafka_bootstrap="127.0.0.1:1",
        environment="production",
        database_url=server.settings.url(role, passwords[role], postgres_roles.DATABASE),
    )
    before = await doctor.look_at_postgres(settings, lambda: connected(settings))
    admin = await asyncpg.connect(server.admin_url, timeout=10)
    try:
        await admin.execute("GRANT CONNECT, TEMP ON DATABASE template1 TO PUBLIC")
    finally:
        await admin.close()

    after = await doctor.look_at_postgres(settings, lambda: connected(settings))

    assert [each.line for each in before if each.state != "ok"] == []
    [note] = [each for each in after if each.state != "ok"]
    assert (note.subject, note.state) == ("rights in Postgres", "note")
    assert note.line.startswith("every role has CONNECT, TEMPORARY ON DATABASE template1; ")


async def test_the_owner_can_restore_its_own_dump(
    server: PostgresServer, passwords: Mapping[str, str], tmp_path: Path
) -> None:
    """With the option of docs/operations/backup.md."""
    role = postgres_roles.OWNER
    url = server.settings.url(role, passwords[role], postgres_roles.DATABASE)
    file = tmp_path / "rollcall.dump"
    admin = await asyncpg.connect(server.admin_url, timeout=10)
    try:
        await admin.execute(f'CREATE DATABASE restored OWNER "{role}"')
    finally:
        await admin.close()
    target = server.settings.url(role, passwords[role], "restored")

    leaves_out = "--exclude-schema=pg_catalog"
    await call(tool("pg_dump"), "-Fc", leaves_out, f"--file={file}", f"--dbname={url}")
    await call(tool("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={target}", str(file))

    restored = await asyncpg.connect(target, timeout=10)
    try:
        assert await rights.granted(restored)
    finally:
        await restored.close()
