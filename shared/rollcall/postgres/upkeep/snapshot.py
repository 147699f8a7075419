"""What a snapshot reads: all tables of the directory, and what a fold needs besides them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollcall.postgres import queries
from rollcall.postgres.upkeep import scratch

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

_SQL = queries.load("snapshot")
_RECENT_EVENTS = _SQL["recent_events"]
_ORGANISATIONS = _SQL["organisations"]
_ESTIMATED_ROWS = _SQL["estimated_rows"]
_MIGRATIONS = _SQL["migrations"]


@dataclass(frozen=True, slots=True)
class Source:
    """One table of a snapshot: the query for its rows, and its columns."""

    schema: str
    table: str
    columns: tuple[str, ...]
    query: str


async def sources(connection: "Connection") -> list[Source]:
    """The directory's tables as they are now, recent events of the audit, and organisations."""
    found = []
    for table in await scratch.tables(connection):
        listed = ", ".join(f'"{column}"' for column in table.columns)
        query = f'SELECT {listed} FROM {scratch.LIVE}."{table.name}"'  # noqa: S608 catalogue
        found.append(Source(scratch.LIVE, table.name, table.columns, query))
    columns = await scratch.audit_columns(connection)
    listed = ", ".join(f'recent."{column}"' for column in columns)
    query = f"SELECT {listed} FROM ({_RECENT_EVENTS}) AS recent"  # noqa: S608 catalogue
    found.append(Source(scratch.AUDIT, "event", columns, query))
    found.append(Source("tenancy", "organisation", ("id", "partition"), _ORGANISATIONS))
    return found


async def estimated_rows(connection: "Connection") -> int:
    """The approximate number of rows in the directory; at least 1."""
    return max(1, int(await connection.fetchval(_ESTIMATED_ROWS, scratch.LIVE)))


async def migrations(connection: "Connection") -> tuple[str, ...]:
    """The migrations that were applied to the database, in order."""
    return tuple(row["name"] for row in await connection.fetch(_MIGRATIONS))
