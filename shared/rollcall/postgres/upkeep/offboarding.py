"""Find and delete what remains of an organisation or a member outside the live directory.

Only the provisioner writes the live directory, also for offboarding. Everything else (audit,
notices, the copy of the tenancy topic, what a rebuild replaced or left unfinished) is deleted here,
in every table that names the organisation according to the catalogue, so that tables of later
migrations are included.

This module composes SQL from names that come from the catalogue, quoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rollcall.postgres import queries
from rollcall.postgres.rows import to_utc
from rollcall.postgres.upkeep.scratch import LIVE, PREVIOUS

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

_SQL = queries.load("offboarding")
_TABLES = _SQL["tables_of_organisations"]
_FIND_DEPARTURE = _SQL["find_departure"]
_PLACE = _SQL["place_of_event"]
_DROP_NOTICES = _SQL["drop_notices"]
_FORGET_UNHEARD = _SQL["forget_unheard"]
_FORGET_KEY_USE = _SQL["forget_key_use"]
_FORGET_ORGANISATION = _SQL["forget_organisation"]
_FIND_MEMBER_ID = _SQL["find_member_id"]
_FIND_TRACES = _SQL["find_traces"]
AT_ONCE: Final = 10_000
"""Rows that one statement deletes; it takes about a second."""
TOMBSTONES: Final = "departed"
"""The only table that still names a departed organisation: its id, an event id and a time."""
_NOTICES: Final = ("notice", "notification")


@dataclass(frozen=True, slots=True)
class OwnedTable:
    """A table whose rows name an organisation."""

    schema: str
    name: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_live(self) -> bool:
        """Whether only the provisioner may delete in it."""
        return self.schema == LIVE


@dataclass(frozen=True, slots=True)
class Departure:
    """The event that ended an organisation.

    `place` is (partition, epoch, offset), if known.
    """

    event_id: str
    time: datetime
    place: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Traces:
    """What exists of a member; `uncertain`: the number of letters that may be about any member."""

    is_there: bool
    letters: int
    parked: int
    notices: int
    uncertain: int


async def tables(connection: "Connection") -> list[OwnedTable]:
    """Every table whose rows name an organisation; for a partitioned table its partitions."""
    return [
        OwnedTable(row["schema"], row["name"], tuple(row["columns"]))
        for row in await connection.fetch(_TABLES)
        if row["name"] != TOMBSTONES
    ]


async def departure(connection: "Connection", organisation_id: str) -> Departure | None:
    """The event with which an organisation left; None if it has not."""
    row = await connection.fetchrow(_FIND_DEPARTURE, organisation_id)
    if row is None:
        return None
    place = await connection.fetchrow(_PLACE, row["event_id"])
    return Departure(
        row["event_id"],
        to_utc(row["departed"]),
        None if place is None else (place["partition"], place["epoch"], place["offset"]),
    )


async def count(
    connection: "Connection", table: OwnedTable, organisation_id: str, kept_event: str | None = None
) -> int:
    """The number of an organisation's rows in a table."""
    where, arguments = _of_organisation(table, organisation_id, kept_event)
    found = await connection.fetchval(
        f"SELECT count(*) FROM {_name(table)} WHERE {where}",  # noqa: S608 catalogue, quoted
        *arguments,
    )
    return int(found)


async def delete_some(
    connection: "Connection", table: OwnedTable, organisation_id: str, kept_event: str | None
) -> int:
    """Delete up to AT_ONCE rows of an organisation in the caller's transaction; returns how many.

    The audit row of `kept_event`, the event that ended the organisation, stays. The table of
    notices is locked, so that a sender that has not seen the end yet cannot add one afterwards.
    """
    if (table.schema, table.name) == _NOTICES:
        await connection.execute(f"LOCK TABLE {_name(table)} IN SHARE ROW EXCLUSIVE MODE")
    where, arguments = _of_organisation(table, organisation_id, kept_event)
    return await _delete(connection, table, where, arguments)


async def delete_member_rows(
    connection: "Connection", table: OwnedTable, organisation_id: str, member_id: str
) -> int:
    """Delete the rows of a table that are about a member, in the caller's transaction."""
    column = member_column(table)
    if column is None:
        return 0
    where = f'organisation_id = $1 AND "{column}" = $2'
    return await _delete(connection, table, where, [organisation_id, member_id])


def member_column(table: OwnedTable) -> str | None:
    """The column of a table that names a member; None if there is none, or nothing personal.

    The audit holds only ids and names of attributes, and stays.
    """
    if table.schema.startswith("audit"):
        return None
    if table.name == "member":
        return "id"
    return next((name for name in ("member_id", "resource_id") if name in table.columns), None)


async def drop_notices(connection: "Connection", organisation_id: str) -> None:
    """Drop all due notices to its members."""
    await connection.execute(_DROP_NOTICES, organisation_id)


async def forget_unheard(connection: "Connection", organisation_id: str) -> None:
    """Delete the notes that name the organisation's requests; call it before the audit's rows."""
    await connection.execute(_FORGET_UNHEARD, organisation_id)


async def forget_tenancy(
    connection: "Connection", organisation_id: str, public_ids: Sequence[str]
) -> None:
    """Delete the copy of its record and the last use of its keys; call it before its keys."""
    await connection.execute(_FORGET_KEY_USE, organisation_id, list(public_ids))
    await connection.execute(_FORGET_ORGANISATION, organisation_id)


async def find_member_id(
    connection: "Connection", organisation_id: str, user_name_key: str
) -> str | None:
    """The id of the member with that user name."""
    found: str | None = await connection.fetchval(_FIND_MEMBER_ID, organisation_id, user_name_key)
    return found


async def traces(connection: "Connection", organisation_id: str, member_id: str) -> Traces:
    """What exists of a member."""
    [row] = await connection.fetch(_FIND_TRACES, organisation_id, member_id)
    return Traces(**dict(row))


def _of_organisation(
    table: OwnedTable, organisation_id: str, kept_event: str | None
) -> tuple[str, list[Any]]:
    if kept_event is not None and table.schema == "audit" and "id" in table.columns:
        return "organisation_id = $1 AND id <> $2", [organisation_id, kept_event]
    return "organisation_id = $1", [organisation_id]


async def _delete(
    connection: "Connection", table: OwnedTable, where: str, arguments: list[Any]
) -> int:
    """Delete up to AT_ONCE rows.

    The triggers of a replaced directory still name the live schema in their text and would count
    there, so they are disabled.
    """
    name = _name(table)
    is_replaced = table.schema == PREVIOUS
    if is_replaced:
        await connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    done = await connection.execute(
        f"DELETE FROM {name} WHERE ctid = ANY (ARRAY("  # noqa: S608 names of the catalogue, quoted
        f"SELECT ctid FROM {name} WHERE {where} LIMIT {AT_ONCE}))",
        *arguments,
    )
    if is_replaced:
        await connection.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
    return int(done.rpartition(" ")[2])


def _name(table: OwnedTable) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in (table.schema, table.name))
