"""What a server was asked, read from its log: every statement of every session. No test here."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from rollcall_local.stack.postgres import roles
from tests.support.servers import PostgresServer, own_postgres

_LINE = re.compile(
    r"^\S+ \S+ \S+ \[(?P<session>\d+)\] (?P<role>\S+) LOG:  "
    r"(?:statement|execute [^:]+): (?P<text>.*)$"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, which is one round trip: its session, its role, its first line."""

    session: int
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class LoggedPostgres:
    """A server that logs every statement, and its log."""

    server: PostgresServer
    log: Path

    @property
    def end(self) -> int:
        """The place in the log behind all that was asked until now, for `since`."""
        return self.log.stat().st_size

    def since(self, begin: int, role: str) -> list[Statement]:
        """What a service's role asked from `begin` on, in the log's order.

        Without what asyncpg asks once about types, when a connection is new.
        """
        text = self.log.read_bytes()[begin:].decode(errors="replace")
        found = [match for line in text.splitlines() if (match := _LINE.match(line))]
        return [
            Statement(int(match["session"]), match["role"], match["text"])
            for match in found
            if match["role"] == f"rollcall_{role}"
            and match["text"]
            and not match["text"].startswith("WITH RECURSIVE typeinfo_tree(")
        ]


@contextlib.contextmanager
def logged_postgres() -> Iterator[LoggedPostgres]:
    """A server of one's own, with our roles, that logs every statement."""
    with own_postgres() as native:
        server = PostgresServer(native.admin_url, "native")
        asyncio.run(_prepare(server))
        yield LoggedPostgres(server, native.log)


async def _prepare(server: PostgresServer) -> None:
    await roles.bootstrap(server.admin_url, server.passwords, database=None)
    connection = await asyncpg.connect(server.admin_url, timeout=10)
    try:
        await connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close(timeout=10)
