"""A migrated database for each test, cloned from a template that is made once a run.

`database` is the fixture to take; `module_database` is shared by the tests of a module that only
read; `empty_database` has no schema yet. All need `tests.support.servers` as a plugin.
"""

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import pytest

from rollcall.postgres.migrate import available, migrate
from rollcall.postgres.pool import Service, prepare_connection
from tests.support.servers import PostgresServer

_TEMPLATE_LOCK = 7_239_811
_servers_with_template: set[str] = set()
if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection


def _template_name() -> str:
    """Named by its migrations: a server that outlives the run never serves an old schema."""
    digest = hashlib.sha256("".join(item.sha256 for item in available()).encode())
    return f"rollcall_template_{digest.hexdigest()[:12]}"


TEMPLATE = _template_name()


@dataclass(frozen=True, slots=True)
class TestDatabase:
    """One test's own database on the shared server."""

    __test__ = False  # the name is no test's

    name: str
    server: PostgresServer

    def url(self, service: Service = "owner") -> str:
        """The URL for a service's role; `owner` may do everything in this database."""
        return self.server.url(self.name, f"rollcall_{service}")

    @contextlib.asynccontextmanager
    async def connect(self, service: Service = "owner") -> AsyncIterator[Connection]:
        """A connection with our codecs, as a service."""
        connection: Connection = await asyncpg.connect(self.url(service), timeout=10)
        try:
            await prepare_connection(connection)
            yield connection
        finally:
            await connection.close(timeout=10)


async def create_database(server: PostgresServer, *, template: str | None = TEMPLATE) -> str:
    """Make a database with a name of its own, migrated if cloned from the template."""
    if template is not None:
        await _ensure_template(server)
    name = f"test_{uuid.uuid4().hex}"
    async with _admin(server) as admin:
        # Copied as files: where fsync is off this is faster than through the log, and steadier.
        source = f'TEMPLATE "{template}" STRATEGY file_copy' if template is not None else ""
        await admin.execute(f'CREATE DATABASE "{name}" OWNER rollcall_owner {source}')
    return name


async def drop_database(server: PostgresServer, name: str) -> None:
    """Remove a test's database, cutting the connections that are left."""
    async with _admin(server) as admin:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _ensure_template(server: PostgresServer) -> None:
    """Make the template unless another test, or another worker, has made it."""
    if server.admin_url in _servers_with_template:
        return
    async with _admin(server) as admin:
        await admin.execute("SELECT pg_advisory_lock($1::bigint)", _TEMPLATE_LOCK)
        is_template = await admin.fetchval(
            "SELECT datistemplate FROM pg_database WHERE datname = $1", TEMPLATE
        )
        if is_template:
            _servers_with_template.add(server.admin_url)
            return
        await admin.execute(f'DROP DATABASE IF EXISTS "{TEMPLATE}" WITH (FORCE)')
        await admin.execute(f'CREATE DATABASE "{TEMPLATE}" OWNER rollcall_owner')
        await migrate(server.url(TEMPLATE, "rollcall_owner"))
        # Marked only now: a template that a killed run left half-made is made again.
        await admin.execute(f'ALTER DATABASE "{TEMPLATE}" IS_TEMPLATE true')


@contextlib.asynccontextmanager
async def _admin(server: PostgresServer) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(server.admin_url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[TestDatabase]:
    """A migrated database of this test's own."""
    name = asyncio.run(create_database(postgres_server))
    yield TestDatabase(name, postgres_server)
    asyncio.run(drop_database(postgres_server, name))


@pytest.fixture(scope="module")
def module_database(postgres_server: PostgresServer) -> Iterator[TestDatabase]:
    """A migrated database of this module's own, for tests that leave it as they find it."""
    name = asyncio.run(create_database(postgres_server))
    yield TestDatabase(name, postgres_server)
    asyncio.run(drop_database(postgres_server, name))


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[TestDatabase]:
    """A database of this test's own without any schema of ours."""
    name = asyncio.run(create_database(postgres_server, template=None))
    yield TestDatabase(name, postgres_server)
    asyncio.run(drop_database(postgres_server, name))
