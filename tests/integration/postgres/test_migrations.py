"""Migrations: once, in order, never changed; and the rights that they leave each service."""

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from rollcall.postgres import migrate
from rollcall.postgres.migrate import MigrationRefused
from tests.support.databases import TestDatabase

NAMES = [migration.name for migration in migrate.available()]
FORBIDDEN = [
    ("ingress", "INSERT INTO directory.member (organisation_id, id) VALUES (NULL, NULL)"),
    ("ingress", "DELETE FROM directory.member"),
    ("ingress", "UPDATE directory.progress SET next_offset = 0"),
    ("ingress", "SELECT FROM tenancy.api_key"),
    ("ingress", "SELECT outcomes FROM audit.event"),
    ("ingress", "SELECT actor FROM audit.event"),
    ("ingress", "SELECT event_id FROM directory.departed"),
    ("ingress", "SELECT value FROM directory.dead_letter"),
    ("ingress", "SELECT error FROM directory.dead_letter"),
    ("ingress", "SELECT FROM audit.unheard"),
    ("ingress", "SELECT FROM notice.notification"),
    ("ingress", "DELETE FROM tenancy.key_use"),
    ("provisioner", "UPDATE audit.event SET status = 200"),
    ("provisioner", "DELETE FROM audit.event"),
    ("provisioner", "DELETE FROM audit.unheard"),
    ("provisioner", "DELETE FROM directory.progress"),
    ("provisioner", "DELETE FROM directory.departed"),
    ("notifier", "INSERT INTO directory.departed SELECT FROM directory.departed"),
    ("provisioner", "TRUNCATE directory.member"),
    ("provisioner", "SELECT FROM notice.notification"),
    ("provisioner", "SELECT audit.ensure_months(now(), 1)"),
    ("provisioner", "CREATE TABLE directory.extra (id integer)"),
    ("notifier", "UPDATE directory.member SET status = 'revoked'"),
    ("notifier", "SELECT FROM directory.group_member"),
    ("notifier", "SELECT FROM tenancy.api_key"),
    ("notifier", "SELECT FROM tenancy.key_use"),
    ("notifier", "UPDATE tenancy.organisation SET name = ''"),
    ("notifier", "SELECT FROM audit.event"),
    ("notifier", "DELETE FROM notice.notification"),
    ("console", "UPDATE directory.member SET status = 'revoked'"),
    ("console", "UPDATE audit.event SET status = 200"),
    ("console", "DELETE FROM console.act"),
    ("console", "UPDATE console.act SET kind = ''"),
    ("console", "SELECT value FROM directory.dead_letter"),
    ("console", "SELECT headers FROM directory.dead_letter"),
    ("console", "SELECT value FROM directory.parked"),
    ("console", "SELECT sha256 FROM tenancy.api_key"),
    ("console", "UPDATE tenancy.key_use SET last_used = now()"),
    ("console", "INSERT INTO notice.notification SELECT FROM notice.notification"),
    ("console", "UPDATE console.issuer SET url = ''"),
    ("console", "INSERT INTO console.issuer_role SELECT FROM console.issuer_role"),
    ("console", "DELETE FROM console.api_key"),
    ("console", "UPDATE notice.progress SET next_offset = 0"),
    ("ingress", "SELECT FROM console.account"),
    ("ingress", "SELECT FROM console.api_key"),
    ("provisioner", "SELECT FROM console.issuer"),
    ("provisioner", "SELECT FROM console.session"),
    ("notifier", "INSERT INTO rollcall.migration (name, sha256) VALUES ('', '')"),
]


async def test_a_fresh_database_gets_all_and_a_second_run_nothing(
    empty_database: TestDatabase,
) -> None:
    first = await migrate.migrate(empty_database.url())
    second = await migrate.migrate(empty_database.url())

    assert first == NAMES
    assert second == []


async def test_two_runs_at_once_apply_each_file_once(empty_database: TestDatabase) -> None:
    both = await asyncio.gather(
        migrate.migrate(empty_database.url()), migrate.migrate(empty_database.url())
    )

    assert sorted(both, key=len) == [[], NAMES]


async def test_services_can_tell_what_is_pending(empty_database: TestDatabase) -> None:
    await migrate.migrate(empty_database.url())

    async with empty_database.connect("owner") as connection:
        await connection.execute("DELETE FROM rollcall.migration WHERE name = $1", NAMES[-1])
    async with empty_database.connect("ingress") as connection:
        pending = await migrate.pending(connection)

    assert pending == [NAMES[-1]]


async def test_a_changed_file_is_refused(empty_database: TestDatabase, tmp_path: Path) -> None:
    path = tmp_path / "0001_expand_thing.sql"
    path.write_text("CREATE TABLE thing (id integer);")
    await migrate.migrate(empty_database.url(), folder=tmp_path)

    path.write_text("CREATE TABLE thing (id bigint);")
    with pytest.raises(MigrationRefused, match="was changed after it was applied"):
        await migrate.migrate(empty_database.url(), folder=tmp_path)


async def test_a_file_older_than_the_newest_applied_is_refused(
    empty_database: TestDatabase, tmp_path: Path
) -> None:
    (tmp_path / "0002_expand_thing.sql").write_text("CREATE TABLE thing (id integer);")
    await migrate.migrate(empty_database.url(), folder=tmp_path)

    (tmp_path / "0001_expand_late.sql").write_text("CREATE TABLE late (id integer);")
    with pytest.raises(MigrationRefused, match="give it the next number"):
        await migrate.migrate(empty_database.url(), folder=tmp_path)


async def test_a_file_that_fails_leaves_no_trace(
    empty_database: TestDatabase, tmp_path: Path
) -> None:
    (tmp_path / "0001_expand_thing.sql").write_text("CREATE TABLE thing (id integer);")
    broken = tmp_path / "0002_expand_broken.sql"
    broken.write_text("CREATE TABLE half (id integer); SELECT nonsense;")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate.migrate(empty_database.url(), folder=tmp_path)

    broken.write_text("CREATE TABLE half (id integer);")
    applied = await migrate.migrate(empty_database.url(), folder=tmp_path)

    assert applied == ["0002_expand_broken.sql"]


async def test_an_index_is_built_concurrently_outside_a_transaction(
    empty_database: TestDatabase, tmp_path: Path
) -> None:
    (tmp_path / "0001_expand_thing.sql").write_text("CREATE TABLE thing (id integer);")
    (tmp_path / "0002_expand_index.sql").write_text(
        "-- An index for the look-up; repeatable.\n"
        "-- transaction: none\n\n"
        "DROP INDEX CONCURRENTLY IF EXISTS thing_id;\n"
        "CREATE INDEX CONCURRENTLY thing_id ON thing (id);\n"
    )

    applied = await migrate.migrate(empty_database.url(), folder=tmp_path)

    assert applied == ["0001_expand_thing.sql", "0002_expand_index.sql"]


@pytest.mark.parametrize("name", ["1_expand_a.sql", "0001_add_a.sql", "0001_expand_A.sql"])
def test_a_misnamed_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1")

    with pytest.raises(MigrationRefused, match="name it NNNN_expand_what"):
        migrate.available(tmp_path)


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_expand_a.sql").write_text("SELECT 1")
    (tmp_path / "0001_expand_b.sql").write_text("SELECT 1")

    with pytest.raises(MigrationRefused, match="same number"):
        migrate.available(tmp_path)


async def test_missing_roles_are_made_or_named(
    empty_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of this database may not create roles: the message says what to run."""
    monkeypatch.setattr(migrate, "SERVICE_ROLES", ("rollcall_nobody_yet",))

    with pytest.raises(MigrationRefused, match="CREATE ROLE rollcall_nobody_yet LOGIN;"):
        await migrate.migrate(empty_database.url())

    admin_url = empty_database.server.url(empty_database.name)
    try:
        await migrate.migrate(admin_url)
        async with empty_database.connect("owner") as connection:
            can_log_in = await connection.fetchval(
                "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'rollcall_nobody_yet'"
            )
    finally:
        admin = await asyncpg.connect(admin_url, timeout=10)
        await admin.execute("DROP ROLE IF EXISTS rollcall_nobody_yet")
        await admin.close(timeout=10)

    assert can_log_in


@pytest.mark.parametrize(("service", "statement"), FORBIDDEN)
async def test_a_service_may_not_do_more_than_its_work(
    module_database: TestDatabase, service: Any, statement: str
) -> None:
    async with module_database.connect(service) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_the_documented_grants_are_the_real_ones(module_database: TestDatabase) -> None:
    """The table in docs/reference/database.md, row by row."""
    text = (Path(__file__).parents[3] / "docs/reference/database.md").read_text(encoding="utf-8")
    documented = {}
    for row_text in re.findall(r"^\| `[a-z]+\.[a-z_]+` \|.*\|$", text, re.MULTILINE):
        table, *cells = (cell.strip(" `") for cell in row_text.strip("|").split("|"))
        services = ("ingress", "provisioner", "notifier", "console")
        for service, cell in zip(services, cells, strict=True):
            rights = frozenset(word for word in cell.replace(",", " ").split() if word.isupper())
            if rights:
                documented[table, service] = rights

    async with module_database.connect("owner") as connection:
        rows = await connection.fetch(
            "SELECT table_schema || '.' || table_name AS name, grantee, privilege_type"
            " FROM information_schema.table_privileges WHERE grantee = ANY ($1::text[])",
            list(migrate.SERVICE_ROLES),
        )
    real: dict[tuple[str, str], frozenset[str]] = {}
    for row in rows:
        key = (row["name"], row["grantee"].removeprefix("rollcall_"))
        real[key] = real.get(key, frozenset()) | {row["privilege_type"]}

    assert documented == real
