"""Parked events, with their records, in the log's order. They wait behind a dead event of the same
resource, or because their organisation is parked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rollcall.postgres import queries
from rollcall.postgres.dead_letter import (
    HeldRecord,
    Tried,
    headers_text,
    printable,
    to_held,
    tried_columns,
)
from rollcall.postgres.rows import to_utc

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

_SQL = queries.load("parked")
_RECORD = _SQL["record_parked"]
_LOAD = _SQL["load_parked"]
_MOVE = _SQL["move_parked"]
_DELETE = _SQL["delete_parked"]
_LIST = _SQL["list_parked"]
_LOAD_WAITING = _SQL["load_waiting"]
_MOVE_BEHIND = _SQL["move_behind_resource"]
_PARK = _SQL["park_organisations"]
_FREE = _SQL["free_organisations"]
_FIND_ORGANISATIONS = _SQL["find_parked_organisations"]


@dataclass(frozen=True, slots=True)
class Parked:
    """One record as Kafka delivered it, and its resource.

    `by_organisation`: it waits for its organisation, not behind a dead event of its resource.
    """

    id: str
    organisation_id: str
    endpoint: str
    resource_id: str
    topic: str
    partition: int
    offset: int
    epoch: int
    event_id: str | None
    type: str
    headers: Sequence[tuple[str, bytes]]
    key: bytes | None
    value: bytes | None
    append_time: datetime
    by_organisation: bool = False


@dataclass(frozen=True, slots=True)
class ParkedOrganisation:
    """An organisation whose events all wait since the event `id` died.

    `since`: the append time of that event. `waiting`: the number of waiting events.
    """

    organisation_id: str
    id: str
    topic: str
    partition: int
    offset: int
    since: datetime
    epoch: int = 0
    waiting: int = 0

    @property
    def name(self) -> str:
        """`topic/partition/offset` of the event behind which it was parked."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class ParkedSummary:
    """A parked event without its record."""

    id: str
    type: str
    name: str
    append_time: datetime


async def record(connection: "Connection", events: Sequence[Parked]) -> None:
    """Store the events, inside the batch's transaction."""
    if not events:
        return
    await connection.execute(
        _RECORD,
        [event.organisation_id for event in events],
        [event.endpoint for event in events],
        [event.resource_id for event in events],
        [event.epoch for event in events],
        [event.offset for event in events],
        [event.topic for event in events],
        [event.partition for event in events],
        [event.id for event in events],
        [printable(event.event_id) for event in events],
        [printable(event.type) for event in events],
        [headers_text(event.headers) for event in events],
        [event.key for event in events],
        [event.value for event in events],
        [event.append_time for event in events],
        [event.by_organisation for event in events],
    )


async def load(
    connection: "Connection", resources: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], list[HeldRecord]]:
    """(organisation, endpoint, resource) → its parked events, in order."""
    found: dict[tuple[str, str, str], list[HeldRecord]] = {key: [] for key in resources}
    rows = await connection.fetch(_LOAD, *(list(column) for column in zip(*resources, strict=True)))
    for row in rows:
        key = (row["organisation_id"], row["endpoint"], row["resource_id"])
        found[key].append(to_held(row, 0, 1))
    return found


async def make_dead(connection: "Connection", tried: Sequence[Tried]) -> None:
    """Turn parked events into dead letters, inside the batch's transaction."""
    if tried:
        causes = [each.cause for each in tried]
        await connection.execute(_MOVE, *tried_columns(tried), causes)
        await delete(connection, [each.id for each in tried])


async def delete(connection: "Connection", ids: Sequence[str]) -> None:
    """Delete events that were applied, inside the batch's transaction."""
    if ids:
        await connection.execute(_DELETE, ids)


async def load_waiting(
    connection: "Connection", organisation_id: str, events: int, size_bytes: int
) -> tuple[list[HeldRecord], int]:
    """The first events that wait for a parked organisation, and the number of those after them.

    At most `events` of them and at most `size_bytes`, but at least one.
    """
    rows = await connection.fetch(_LOAD_WAITING, organisation_id, events, size_bytes)
    behind = rows[0]["waiting"] - len(rows) if rows else 0
    return [to_held(row, 0, 1) for row in rows], behind


async def move_behind_resources(connection: "Connection", ids: Sequence[str]) -> None:
    """Let events wait behind a dead event of their resource instead of for their organisation."""
    if ids:
        await connection.execute(_MOVE_BEHIND, ids)


async def park_organisations(connection: "Connection", parks: Sequence[ParkedOrganisation]) -> None:
    """Store parked organisations, inside the batch's transaction."""
    if parks:
        await connection.execute(
            _PARK,
            [each.organisation_id for each in parks],
            [each.id for each in parks],
            [each.topic for each in parks],
            [each.partition for each in parks],
            [each.offset for each in parks],
            [each.epoch for each in parks],
            [each.since for each in parks],
        )


async def free_organisations(connection: "Connection", ids: Sequence[str]) -> None:
    """Delete organisations that are no longer parked, inside the batch's transaction."""
    if ids:
        await connection.execute(_FREE, ids)


async def organisations(
    connection: "Connection", organisation_id: str | None = None
) -> list[ParkedOrganisation]:
    """All parked organisations, or this one if it is parked; longest parked first."""
    rows = await connection.fetch(_FIND_ORGANISATIONS, organisation_id)
    return [ParkedOrganisation(**{**dict(row), "since": to_utc(row["since"])}) for row in rows]


async def list_behind(
    connection: "Connection", organisation_id: str, endpoint: str, resource_id: str, limit: int
) -> list[ParkedSummary]:
    """The events that are parked for a resource, in order."""
    rows = await connection.fetch(_LIST, organisation_id, endpoint, resource_id, limit)
    return [
        ParkedSummary(
            row["id"],
            row["type"],
            f"{row['topic']}/{row['partition']}/{row['offset']}",
            to_utc(row["append_time"]),
        )
        for row in rows
    ]
