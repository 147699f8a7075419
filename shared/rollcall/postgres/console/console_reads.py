"""What the console shows of an organisation: contacts of its keys, its last day, its latest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rollcall.postgres import queries
from rollcall.postgres.rows import to_utc

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

_SQL = queries.load("console_reads")

DAY_MOST: Final = 20_000
"""Requests that are counted of one day: reading them takes some 50 ms."""
CONTACTS_MOST: Final = 2_000
"""Minutes of contact that are read of one key."""


@dataclass(frozen=True, slots=True)
class Day:
    """Numbers of the last 24 hours; of `hours`, the last is the present one.

    Not `is_whole`: there were more than DAY_MOST requests, and the numbers are of the latest.
    """

    requests: int
    joined: int
    gone: int
    changed: int
    refused: int
    hours: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all requests of the day are in the numbers."""
        return self.requests < DAY_MOST


@dataclass(frozen=True, slots=True)
class Happening:
    """One decided request; `name` is what its resource is called now, None where it is gone."""

    id: str
    type: str
    resource_id: str | None
    actor: str
    at: datetime
    status: int
    scim_type: str | None
    outcomes: Sequence[dict[str, Any]]
    name: str | None


async def key_uses(connection: "Connection", public_ids: Sequence[str]) -> dict[str, datetime]:
    """Key → when it was last used, to a minute; a key that never was is missing."""
    rows = await connection.fetch(_SQL["key_uses"], list(public_ids))
    return {row["public_id"]: to_utc(row["last_used"]) for row in rows}


async def note_contacts(connection: "Connection") -> None:
    """Keep in which minutes keys were used; called every few minutes or more often."""
    await connection.execute(_SQL["note_contacts"])


async def contacts_of(
    connection: "Connection", public_ids: Sequence[str]
) -> dict[str, list[datetime]]:
    """Key → the minutes in which it was used, oldest first."""
    found: dict[str, list[datetime]] = {}
    for row in await connection.fetch(_SQL["contacts_of"], list(public_ids), CONTACTS_MOST):
        found.setdefault(row["public_id"], []).append(to_utc(row["at"]))
    return {key: minutes[::-1] for key, minutes in found.items()}


async def day_of(connection: "Connection", organisation_id: str) -> Day:
    """The last 24 hours of an organisation."""
    row = await connection.fetchrow(_SQL["day_of"], organisation_id, DAY_MOST)
    assert row is not None  # aggregates without GROUP BY are one row
    return Day(
        row["requests"],
        row["joined"],
        row["gone"],
        row["changed"],
        row["refused"],
        tuple(row["hours"]),
    )


async def latest_of(
    connection: "Connection", organisation_id: str, limit: int, *, only_refused: bool = False
) -> list[Happening]:
    """The latest decided requests of an organisation, newest first."""
    rows = await connection.fetch(_SQL["latest_of"], organisation_id, limit, only_refused)
    return [to_happening(row) for row in rows]


async def timeline_of(
    connection: "Connection", organisation_id: str, resource_id: str, limit: int
) -> list[Happening]:
    """The latest decisions about one member or group, newest first, without its name."""
    rows = await connection.fetch(_SQL["timeline_of"], organisation_id, resource_id, limit)
    return [to_happening(row) for row in rows]


def to_happening(row: "asyncpg.Record") -> Happening:
    """The happening in a row that has its columns."""
    return Happening(
        id=row["id"],
        type=row["type"],
        resource_id=row["resource_id"],
        actor=row["actor"],
        at=to_utc(row["append_time"]),
        status=row["status"],
        scim_type=row["scim_type"],
        outcomes=row["outcomes"],
        name=row["name"],
    )
