"""The scratch: a second directory beside the live one, filled by the same queries and swapped in.

Rebuild and verify fold the log into a schema of their own. Its tables are made from the catalogue's
description of the live ones (columns, defaults, constraints, indexes, triggers, functions, rights),
so columns of later migrations are included. The named queries of the services say
`directory.member`; `InScratch` is a connection on which the same queries use the scratch's tables.
What the fold asks of the audit (copies of an event, dead events in a row) it asks of a small audit
in the scratch.

This module composes SQL from names that come from the catalogue or are defined below, quoted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rollcall.postgres import queries
from rollcall.postgres.queries import in_schema

if TYPE_CHECKING:
    from asyncpg.cursor import CursorFactory
    from asyncpg.transaction import Transaction

    from rollcall.postgres.pool import Connection

LIVE: Final = "directory"
PREVIOUS: Final = "directory_previous"
AUDIT: Final = "audit"
_NAME: Final = re.compile(r"^[a-z][a-z0-9_]*$")

_SQL = queries.load("scratch")
_TABLES = _SQL["list_tables"]
_COLUMNS = _SQL["list_columns"]
_KEYS = _SQL["list_keys"]
_TABLE_PARTS = _SQL["list_table_parts"]
_FUNCTIONS = _SQL["list_functions"]
_GRANTS = _SQL["list_grants"]
_FOREIGN = _SQL["list_foreign_objects"]
_NOTE = _SQL["read_note"]
_EXISTS = _SQL["schema_exists"]
_AUDIT_COLUMNS = _SQL["list_audit_columns"]
_LOCK = _SQL["lock"]
_UNLOCK = _SQL["unlock"]


class SchemaDiffers(Exception):
    """The scratch and the live directory have different tables: a migration came in between."""


@dataclass(frozen=True, slots=True)
class Names:
    """The schema names of one scratch: its directory, and its audit."""

    directory: str
    audit: str

    def __post_init__(self) -> None:
        for name in (self.directory, self.audit):
            if not _NAME.match(name) or name in (LIVE, AUDIT):
                raise ValueError(f"{name!r} is no name of a scratch schema")

    def of(self, sql: str) -> str:
        """A named query of the services, changed to use the scratch."""
        return in_schema(in_schema(sql, LIVE, self.directory), AUDIT, self.audit)


REBUILD: Final = Names("directory_rebuild", "audit_rebuild")
VERIFY: Final = Names("directory_verify", "audit_verify")


class InScratch:
    """A connection whose named queries use the scratch; its transactions are the real ones."""

    def __init__(self, connection: "Connection", names: Names) -> None:
        self._connection = connection
        self._names = names

    async def execute(self, query: str, *arguments: Any, timeout: float | None = None) -> str:
        """Like asyncpg's method."""
        return await self._connection.execute(self._names.of(query), *arguments, timeout=timeout)

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Like asyncpg's method."""
        return await self._connection.fetch(self._names.of(query), *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        """Like asyncpg's method."""
        return await self._connection.fetchrow(self._names.of(query), *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """Like asyncpg's method."""
        return await self._connection.fetchval(self._names.of(query), *arguments)

    def cursor(
        self, query: str, *arguments: Any, prefetch: int | None = None
    ) -> "CursorFactory[Any]":
        """Like asyncpg's method."""
        return self._connection.cursor(self._names.of(query), *arguments, prefetch=prefetch)

    def transaction(self) -> "Transaction":
        """Like asyncpg's method."""
        return self._connection.transaction()


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a directory: its columns in order, and those of its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


async def tables(connection: "Connection", schema: str = LIVE) -> list[Table]:
    """The tables of a directory, ordered by name."""
    columns: dict[str, list[str]] = {}
    for row in await connection.fetch(_COLUMNS, schema):
        columns.setdefault(row["table_name"], []).append(row["column_name"])
    keys: dict[str, list[str]] = {}
    for row in await connection.fetch(_KEYS, schema):
        keys.setdefault(row["table_name"], []).append(row["column_name"])
    return [Table(name, tuple(columns[name]), tuple(keys[name])) for name in sorted(columns)]


async def note_of(connection: "Connection", schema: str) -> str | None:
    """The note on a schema (`annotate`); None if there is no such schema."""
    note: str | None = await connection.fetchval(_NOTE, schema)
    return note


async def annotate(connection: "Connection", schema: str, note: str) -> None:
    """Write a note on a schema that says what it is."""
    quoted = await connection.fetchval("SELECT quote_literal($1::text)", note)
    await connection.execute(f"COMMENT ON SCHEMA {_quote(schema)} IS {quoted}")


async def exists(connection: "Connection", schema: str) -> bool:
    """Whether the schema exists."""
    return await connection.fetchval(_EXISTS, schema) is True


async def lock(connection: "Connection", number: int) -> bool:
    """Take an advisory lock while the connection lives; False if another session has it."""
    return await connection.fetchval(_LOCK, number) is True


async def unlock(connection: "Connection", number: int) -> None:
    """Release the advisory lock."""
    await connection.execute(_UNLOCK, number)


async def drop(connection: "Connection", *schemas: str) -> None:
    """Drop schemas with everything in them; never the live ones."""
    for schema in schemas:
        if schema in (LIVE, AUDIT):
            raise ValueError(f"{schema} is live")
        await connection.execute(f"DROP SCHEMA IF EXISTS {_quote(schema)} CASCADE")


async def make_tables(connection: "Connection", names: Names, *, is_kept: bool) -> None:
    """Create the scratch's schemas and empty tables, without keys and indexes.

    If the scratch is not kept, its tables are unlogged: twice as fast, and lost in a crash. Raises
    SchemaDiffers if the live schema has something that cannot be copied this way.
    """
    foreign = [row["name"] for row in await connection.fetch(_FOREIGN, LIVE)]
    if foreign:
        raise SchemaDiffers(f"the schema {LIVE} holds what is no table: {', '.join(foreign)}")
    kind = "TABLE" if is_kept else "UNLOGGED TABLE"
    directory, audit = _quote(names.directory), _quote(names.audit)
    await connection.execute(f"CREATE SCHEMA {directory}")
    await connection.execute(f"CREATE SCHEMA {audit}")
    for row in await connection.fetch(_FUNCTIONS, LIVE):
        await connection.execute(names.of(row["definition"]))
    for row in await connection.fetch(_TABLES, LIVE):
        table = _quote(row["name"])
        options = f" WITH ({', '.join(row['options'])})" if row["options"] else ""
        await connection.execute(
            f"CREATE {kind} {directory}.{table} "
            f"(LIKE {LIVE}.{table} INCLUDING DEFAULTS INCLUDING STORAGE){options}"
        )
    # The scratch's audit is only for the fold and never kept.
    await connection.execute(
        f"CREATE UNLOGGED TABLE {audit}.event (LIKE {AUDIT}.event INCLUDING DEFAULTS)"
        if not is_kept
        else f"CREATE TABLE {audit}.event (LIKE {AUDIT}.event INCLUDING DEFAULTS)"
    )
    await connection.execute(f"ALTER TABLE {audit}.event ADD PRIMARY KEY (id)")
    await connection.execute(f'CREATE INDEX ON {audit}.event (partition, "offset")')


async def finish_tables(connection: "Connection", names: Names) -> None:
    """Add keys, indexes, triggers and rights, with the names of the live ones."""
    for row in await connection.fetch(_TABLE_PARTS, LIVE):
        await connection.execute(names.of(row["definition"]))
    for row in await connection.fetch(_GRANTS, LIVE):
        await connection.execute(
            names.of(
                row["definition"].replace("SCHEMA directory ", "SCHEMA " + names.directory + " ")
            )
        )
    for table in await tables(connection):
        await connection.execute(f"ANALYZE {_quote(names.directory)}.{_quote(table.name)}")


async def is_of_one_form(connection: "Connection", names: Names) -> bool:
    """Whether a finished scratch has the live one's columns, keys, constraints and indexes."""
    if await tables(connection) != await tables(connection, names.directory):
        return False
    live = {names.of(row["definition"]) for row in await connection.fetch(_TABLE_PARTS, LIVE)}
    made = await connection.fetch(_TABLE_PARTS, names.directory)
    return live == {row["definition"] for row in made}


async def audit_columns(connection: "Connection") -> tuple[str, ...]:
    """The columns of an event in the audit, in order."""
    return tuple(row["column_name"] for row in await connection.fetch(_AUDIT_COLUMNS))


async def take_over_events(connection: "Connection", names: Names) -> None:
    """Add the events of the scratch's audit that the live audit does not have.

    For an organisation that has left, only the event that ended it: the others were deleted.
    """
    columns = ", ".join(map(_quote, await audit_columns(connection)))
    await connection.execute(
        f"INSERT INTO {AUDIT}.event ({columns}) "  # noqa: S608 names of the catalogue, quoted
        f"SELECT {columns} FROM {_quote(names.audit)}.event AS made WHERE NOT EXISTS ("
        f"SELECT FROM {_quote(names.directory)}.departed AS gone "
        "WHERE gone.organisation_id = made.organisation_id AND gone.event_id <> made.id) "
        "ON CONFLICT (id) DO NOTHING"
    )


async def swap(connection: "Connection", names: Names) -> None:
    """Put the scratch in the live directory's place, inside the caller's transaction.

    The live one becomes `directory_previous`; an older schema of that name is dropped. Only the
    names are locked. A running statement continues on the tables that it began with, and the next
    one, prepared or not, finds the new ones, because Postgres resolves the names in a prepared
    statement again after a schema was renamed. Functions get the text of the live ones, which names
    the live schema. Raises SchemaDiffers if the two do not have the same form.
    """
    if not await is_of_one_form(connection, names):
        raise SchemaDiffers("the directory was migrated since the rebuild began; begin anew")
    functions = [row["definition"] for row in await connection.fetch(_FUNCTIONS, LIVE)]
    await drop(connection, PREVIOUS)
    await connection.execute(f"ALTER SCHEMA {LIVE} RENAME TO {PREVIOUS}")
    await connection.execute(f"ALTER SCHEMA {_quote(names.directory)} RENAME TO {LIVE}")
    for definition in functions:
        await connection.execute(definition)
    await drop(connection, names.audit)


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that differs between two directories; `columns` if both have the row.

    `key` maps the columns of the primary key to values: ids, offsets and names of topics.
    """

    table: str
    key: Mapping[str, str]
    kind: str
    columns: tuple[str, ...] = ()


async def compare(
    connection: "Connection",
    names: Names,
    *,
    ignored: Mapping[str, frozenset[str]],
    where: Mapping[str, str],
    limit: int,
) -> list[Difference]:
    """Rows that differ between the live directory and the scratch, at most `limit` per table.

    Values are compared as text, so 1 and 1.0 in a document differ. `ignored`: table → columns that
    the log does not determine. `where`: table → condition on the rows to compare. `kind` is
    `missing` (only the log has the row), `extra` (only the directory has it) or `differs`.
    """
    found: list[Difference] = []
    for table in await tables(connection):
        rows = await connection.fetch(_comparison(table, names, ignored, where), limit)
        found.extend(
            Difference(
                table.name,
                {column: row[f"key_{column}"] for column in table.key},
                row["kind"],
                tuple(row["differing"]),
            )
            for row in rows
        )
    return found


def _comparison(
    table: Table,
    names: Names,
    ignored: Mapping[str, frozenset[str]],
    where: Mapping[str, str],
) -> str:
    name, key = _quote(table.name), [_quote(column) for column in table.key]
    compared = [
        column
        for column in table.columns
        if column not in table.key and column not in ignored.get(table.name, ())
    ]
    keys = ", ".join(
        f"coalesce(live.{column}, made.{column})::text AS {_quote('key_' + raw)}"
        for raw, column in zip(table.key, key, strict=True)
    )
    differing = ", ".join(
        f"CASE WHEN live.{_quote(column)}::text IS DISTINCT FROM made.{_quote(column)}::text "
        f"THEN '{column}' END"
        for column in compared
    )
    rows = f"WHERE {where[table.name]}" if table.name in where else ""
    on = " AND ".join(f"live.{column} = made.{column}" for column in key)
    is_there = key[0]
    return (
        f"SELECT * FROM (SELECT {keys}, "  # noqa: S608 names of the catalogue, quoted
        f"CASE WHEN live.{is_there} IS NULL THEN 'missing' "
        f"WHEN made.{is_there} IS NULL THEN 'extra' ELSE 'differs' END AS kind, "
        f"CASE WHEN live.{is_there} IS NULL OR made.{is_there} IS NULL THEN ARRAY[]::text[] "
        f"ELSE array_remove(ARRAY[{differing}]::text[], NULL) END AS differing "
        f"FROM (SELECT * FROM {LIVE}.{name} {rows}) AS live "
        f"FULL JOIN (SELECT * FROM {_quote(names.directory)}.{name} {rows}) AS made ON {on}"
        f") AS compared WHERE kind <> 'differs' OR differing <> '{{}}' LIMIT $1"
    )


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
