"""The rights of each service's role: as this release's migrations grant them, and as they are.

The migrations are parsed, not run: `GRANT … ON … TO …` in the few forms that they use. A test
compares the result with a database that the migrations made.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rollcall.postgres import queries
from rollcall.postgres.migrate import Migration

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

SCHEMAS: Final = ("audit", "console", "directory", "notice", "rollcall", "tenancy")
_SQL = queries.load("rights")
_FACTS: Final = _SQL["server_facts"]
_GRANTED: Final = _SQL["granted_rights"]
_ON_DATABASES: Final = _SQL["public_on_databases"]
_ON_LARGE_OBJECTS: Final = _SQL["public_on_large_objects"]
_NEWEST: Final = _SQL["newest_append_time"]
_STATEMENT: Final = re.compile(
    r"^(GRANT|REVOKE) (?P<what>[^;]+?) ON (?P<things>[^;]+?) (?:TO|FROM) (?P<roles>[^;]+?);",
    re.MULTILINE | re.DOTALL,
)
_PRIVILEGE: Final = re.compile(r"([A-Z]+)(?: \(([^)]*)\))?")


_RESERVED: Final = frozenset({"offset"})
"""Names of columns of ours that SQL takes for its own words."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One privilege of one role on a table, on columns of it, or on a schema (`schema audit`)."""

    role: str
    privilege: str
    thing: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = (f'"{each}"' if each in _RESERVED else each for each in self.columns)
        columns = f" ({', '.join(names)})" if self.columns else ""
        return f"{self.privilege}{columns} ON {self.thing}"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Facts about a server: 180004 is version 18.4; `clock` is its time."""

    version: int
    is_standby: bool
    clock: datetime


def of_release(migrations: Iterable[Migration]) -> frozenset[Right]:
    """The rights that these migrations grant, applied in order."""
    whole: set[Right] = set()
    columns: dict[Right, set[str]] = {}  # columns of one table, merged as Postgres stores them
    for migration in migrations:
        for statement in _STATEMENT.finditer(migration.text):
            gives = statement[1] == "GRANT"
            for right in _rights(statement):
                if not right.columns:
                    (whole.add if gives else whole.discard)(right)
                    continue
                held = columns.setdefault(replace(right, columns=()), set())
                (held.update if gives else held.difference_update)(right.columns)
    return frozenset(whole) | {
        replace(right, columns=tuple(sorted(held))) for right, held in columns.items() if held
    }


async def granted(connection: "Connection") -> frozenset[Right]:
    """The rights that roles other than the owner have in our schemas."""
    rows = await connection.fetch(_GRANTED, list(SCHEMAS))
    return frozenset(
        Right(row["role"], row["privilege"], row["thing"], tuple(row["columns"] or ()))
        for row in rows
    )


async def public(connection: "Connection", databases: Iterable[str]) -> Mapping[str, str]:
    """What Postgres lets every role do by default: a database's name, or `large objects` → what.

    Large objects are those of this connection's database. Empty if all of it was revoked.
    """
    functions = len(await connection.fetch(_ON_LARGE_OBJECTS))
    found = {"large objects": str(functions)} if functions else {}
    rows = await connection.fetch(_ON_DATABASES, list(databases))
    return found | {row["name"]: row["privileges"] for row in rows}


async def take_from_public(connection: "Connection") -> None:
    """Revoke the use of large objects in this database from PUBLIC. Needs a superuser."""
    for row in await connection.fetch(_ON_LARGE_OBJECTS):
        await connection.execute(row[0])


async def server_facts(connection: "Connection") -> ServerFacts:
    """Version, role and clock of the server."""
    row = await connection.fetchrow(_FACTS)
    assert row is not None  # a SELECT without FROM
    return ServerFacts(row["version"], row["is_standby"], row["clock"])


async def newest_append_time(connection: "Connection") -> datetime | None:
    """The broker's time at the last applied record, if there is one."""
    found: datetime | None = await connection.fetchval(_NEWEST)
    return found


def _rights(statement: re.Match[str]) -> Iterator[Right]:
    things = " ".join(statement["things"].split())
    if things.startswith("FUNCTION "):
        return
    schema = things.startswith("SCHEMA ")
    names = [each.strip().replace('"', "") for each in things.removeprefix("SCHEMA ").split(",")]
    for privilege, columns in _PRIVILEGE.findall(statement["what"]):
        unquoted = (each.strip().strip('"') for each in columns.split(","))
        listed = tuple(sorted(filter(None, unquoted)))
        for role in statement["roles"].split(","):
            for name in names:
                yield Right(role.strip(), privilege, f"schema {name}" if schema else name, listed)
