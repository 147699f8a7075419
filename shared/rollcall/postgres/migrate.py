"""Migrations: numbered SQL files, applied in order, each once and in its own transaction.

Rules. Files are named `NNNN_expand_….sql` (ships before the code that needs it) or
`NNNN_contract_….sql` (one release later). Migrations are never reverted. A released file never
changes: its SHA-256 is stored with its name. The owner of the database runs them, one run at a time
(an advisory lock). A file whose header says `-- transaction: none` runs statement by statement
outside a transaction (for `CREATE INDEX CONCURRENTLY`) and must be safe to repeat.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from rollcall.observability.logging import get_logger
from rollcall.postgres import queries

FOLDER: Final = Path(__file__).parent / "migrations"
SERVICE_ROLES: Final = (
    "rollcall_ingress",
    "rollcall_provisioner",
    "rollcall_notifier",
    "rollcall_console",
)
AUDIT_MONTHS: Final = 13
"""Partitions of the audit that exist after a migration: this month and the twelve after it."""

_ADVISORY_LOCK: Final = 0x526F6C6C63616C6C  # "Rollcall"
_LOCK_WAIT_S: Final = 120.0
_STATEMENT_TIMEOUT_S: Final = 600.0
_FILE_NAME: Final = re.compile(r"^\d{4}_(expand|contract)_[a-z0-9_]+\.sql$")
_SQL = queries.load("migrate")
_PREPARE_HISTORY: Final = """
CREATE SCHEMA IF NOT EXISTS rollcall;
CREATE TABLE IF NOT EXISTS rollcall.migration (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);
"""
_PENDING = _SQL["pending_migrations"]
_HISTORY = _SQL["migration_history"]
_RECORD = _SQL["record_migration"]
_MISSING_ROLES = _SQL["missing_roles"]
_ENSURE_MONTHS = _SQL["ensure_months"]

log = get_logger()


class MigrationRefused(Exception):
    """The database cannot be brought to this release; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, which gives the order, its text and the SHA-256 of its bytes."""

    name: str
    text: str
    sha256: str

    @property
    def is_transactional(self) -> bool:
        """Whether it runs in a transaction; otherwise its statements run one by one."""
        header = self.text.split("\n\n", 1)[0]
        return "-- transaction: none" not in header


def available(folder: Path = FOLDER) -> list[Migration]:
    """The migrations of this release, in order. Raises MigrationRefused for a misnamed file."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        if not _FILE_NAME.match(path.name):
            raise MigrationRefused(
                f"{path.name}: name it NNNN_expand_what.sql or NNNN_contract_what.sql"
            )
        raw = path.read_bytes()
        found.append(Migration(path.name, raw.decode(), hashlib.sha256(raw).hexdigest()))
    numbers = [migration.name[:4] for migration in found]
    if len(set(numbers)) != len(numbers):
        raise MigrationRefused("two migrations have the same number; give the newer the next one")
    return found


async def migrate(database_url: str, *, folder: Path = FOLDER) -> list[str]:
    """Bring the database to this release; returns the names of the files that were applied.

    `database_url` is the owner's. Missing roles of the services are created if the owner may, and
    the audit's partitions are created in advance. Raises MigrationRefused, and asyncpg's errors if
    Postgres cannot be reached.
    """
    connection: asyncpg.Connection = await asyncpg.connect(
        database_url,
        timeout=10,
        command_timeout=_STATEMENT_TIMEOUT_S,
        server_settings={"application_name": "rollcall migrate", "lock_timeout": "5s"},
    )
    try:
        await _lock(connection)
        return await _apply_missing(connection, available(folder))
    finally:
        await connection.close(timeout=10)


async def pending(connection: "asyncpg.Connection", folder: Path = FOLDER) -> list[str]:
    """Names of this release's migrations that were not applied yet (for any service role)."""
    names = [migration.name for migration in available(folder)]
    return [row["name"] for row in await connection.fetch(_PENDING, names)]


async def _lock(connection: "asyncpg.Connection") -> None:
    # Polled, because a session that waits for the lock holds a snapshot. A CREATE INDEX
    # CONCURRENTLY in the session that has the lock would wait for that snapshot.
    deadline = asyncio.get_running_loop().time() + _LOCK_WAIT_S
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _ADVISORY_LOCK):
        if asyncio.get_running_loop().time() > deadline:
            raise MigrationRefused("another migration has held the lock for two minutes; see to it")
        await asyncio.sleep(0.2)


async def _apply_missing(
    connection: "asyncpg.Connection", migrations: list[Migration]
) -> list[str]:
    await _ensure_roles(connection)
    await connection.execute(_PREPARE_HISTORY)
    history = {row["name"]: row["sha256"] for row in await connection.fetch(_HISTORY)}
    _check_history(migrations, history)
    applied = []
    for migration in migrations:
        if migration.name in history:
            continue
        await _apply(connection, migration)
        applied.append(migration.name)
        log.info("migration.applied", migration=migration.name)
    if await connection.fetchval("SELECT to_regproc('audit.ensure_months') IS NOT NULL"):
        await connection.fetchval(_ENSURE_MONTHS, AUDIT_MONTHS)
    return applied


def _check_history(migrations: list[Migration], history: dict[str, str]) -> None:
    newest = max(history, default="")
    for migration in migrations:
        recorded = history.get(migration.name)
        if recorded is None and migration.name < newest:
            raise MigrationRefused(
                f"{migration.name} is older than {newest}, which was applied already; "
                "give it the next number"
            )
        if recorded is not None and recorded != migration.sha256:
            raise MigrationRefused(
                f"{migration.name} was changed after it was applied; restore the released file "
                "and put the change into a new migration"
            )


async def _apply(connection: "asyncpg.Connection", migration: Migration) -> None:
    if migration.is_transactional:
        async with connection.transaction():
            await connection.execute(migration.text)
            await connection.execute(_RECORD, migration.name, migration.sha256)
        return
    for statement in _statements(migration.text):
        await connection.execute(statement)
    await connection.execute(_RECORD, migration.name, migration.sha256)


def _statements(text: str) -> list[str]:
    """The statements of a file without transaction: each ends with `;` at the end of a line."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [piece for piece in map(str.strip, re.split(r";[ \t]*(?:\n|$)", code)) if piece]


async def _ensure_roles(connection: "asyncpg.Connection") -> None:
    rows = await connection.fetch(_MISSING_ROLES, list(SERVICE_ROLES))
    missing = [row["name"] for row in rows]
    try:
        for role in missing:
            await _create_role(connection, role)
    except asyncpg.InsufficientPrivilegeError as error:
        commands = " ".join(f"CREATE ROLE {role} LOGIN;" for role in missing)
        raise MigrationRefused(
            "the owner may not create the roles of the services; as a superuser, run: " + commands
        ) from error


async def _create_role(connection: "asyncpg.Connection", role: str) -> None:
    """Create one of SERVICE_ROLES without a password: it cannot log in until one is set."""
    try:
        await connection.execute(f"CREATE ROLE {role} LOGIN")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        # Roles belong to the server, and a migration of another database has just created it.
        log.debug("migration.role_existed", role=role)
