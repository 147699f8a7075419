"""Events that wait behind a dead one of the same resource, bytes and all, in the log's order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared.postgres import queries
from shared.postgres.dead_letter import (
    HeldRecord,
    Tried,
    headers_text,
    printable,
    to_held,
    tried_columns,
)
from shared.postgres.rows import to_utc

if TYPE_CHECKING:
    from shared.postgres.pool import Connection

_SQL = queries.load("parked")
_RECORD = _SQL["record_parked"]
_LOAD = _SQL["load_parked"]
_MOVE = _SQL["move_parked"]
_DELETE = _SQL["delete_parked"]
_LIST = _SQL["list_parked"]


@dataclass(frozen=True, slots=True)
class Parked:
    """One record as Kafka delivered it, and the resource for which it waits."""

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


@dataclass(frozen=True, slots=True)
class ParkedSummary:
    """A parked event without its bytes."""

    id: str
    type: str
    name: str
    append_time: datetime


async def record(connection: "Connection", events: Sequence[Parked]) -> None:
    """Keep the events, inside the batch's transaction."""
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
    )


async def load(
    connection: "Connection", resources: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], list[HeldRecord]]:
    """(organisation, endpoint, resource) → what is parked for it, in order."""
    found: dict[tuple[str, str, str], list[HeldRecord]] = {key: [] for key in resources}
    rows = await connection.fetch(_LOAD, *(list(column) for column in zip(*resources, strict=True)))
    for row in rows:
        key = (row["organisation_id"], row["endpoint"], row["resource_id"])
        found[key].append(to_held(row, 0, 1))
    return found


async def make_dead(connection: "Connection", tried: Sequence[Tried]) -> None:
    """Turn parked events into dead letters, inside the batch's transaction."""
    if tried:
        await connection.execute(_MOVE, *tried_columns(tried))
        await delete(connection, [each.id for each in tried])


async def delete(connection: "Connection", ids: Sequence[str]) -> None:
    """Forget events that were applied, inside the batch's transaction."""
    if ids:
        await connection.execute(_DELETE, ids)


async def list_behind(
    connection: "Connection", organisation_id: str, endpoint: str, resource_id: str, limit: int
) -> list[ParkedSummary]:
    """What is parked for a resource, in order."""
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
