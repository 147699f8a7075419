"""The audit: one row for each decided request. It is also the outbox of the outcomes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from rollcall.postgres import queries
from rollcall.postgres.rows import is_id, to_utc

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

Json = dict[str, Any]

_SQL = queries.load("audit")
_ALREADY_APPLIED = _SQL["already_applied"]
_RECORD = _SQL["record_events"]
_UNANNOUNCED = _SQL["unannounced_events"]
_FIND = _SQL["find_events"]
_RECORD_UNHEARD = _SQL["record_unheard"]
_NOTE_UNHEARD = _SQL["note_unheard"]
_FIND_REFUSED = _SQL["find_refused"]


@dataclass(frozen=True, slots=True)
class AuditRow:
    """The decision about one request, without personal data.

    `id` is the request's id (UUIDv7). `outcomes` are objects `{"fact": …, "data": …}` in order,
    `data` as `rollcall.events.outcome.to_data` makes it; their index is the last part of the
    sequence (`epoch`, `offset`, index). An outcome of another request, which a redrive applied,
    names that request: `"of": {"id": …, "index": …}`. `"again": true` marks an outcome of a request
    that was decided before, whose first decision is lost; `"promised": true` a refusal whose sender
    is answered with it, or that it is not known. `optimistic`: the request was answered
    before it was decided, or it is not known whether it was.
    """

    id: str
    organisation_id: str | None
    topic: str
    partition: int
    offset: int
    type: str
    resource_id: str | None
    actor: str
    append_time: datetime
    event_time: datetime
    status: int
    scim_type: str | None
    outcomes: Sequence[Json]
    epoch: int = 0
    optimistic: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A request whose answer was, or may have been, another than its decision.

    `is_unheard`: the sender waited for the decision, and the reply was not in the log in time.
    `given`: the status that it was answered with by a verdict of ingress, which differed.
    """

    row: AuditRow
    recorded: datetime
    is_unheard: bool
    given: int | None = None


async def already_applied(connection: "Connection", ids: Iterable[str]) -> set[str]:
    """Those of the ids that are in the audit. An id that is not a canonical UUID never is."""
    possible = [identifier for identifier in ids if is_id(identifier)]
    if not possible:
        return set()
    return {row["id"] for row in await connection.fetch(_ALREADY_APPLIED, possible)}


async def record(connection: "Connection", rows: Sequence[AuditRow]) -> None:
    """Add the rows of a batch, inside its transaction.

    Raises asyncpg.UniqueViolationError (`event_pkey`) for an id that exists already; the caller
    drops copies first.
    """
    if not rows:
        return
    await connection.execute(_RECORD, *columns_of(rows))


def columns_of(rows: Sequence[AuditRow]) -> list[list[Any]]:
    """One column for each parameter of `record_events`."""
    return [
        [row.id for row in rows],
        [row.organisation_id for row in rows],
        [row.topic for row in rows],
        [row.partition for row in rows],
        [row.offset for row in rows],
        [row.epoch for row in rows],
        [row.type for row in rows],
        [row.resource_id for row in rows],
        [row.actor for row in rows],
        [row.append_time for row in rows],
        [row.event_time for row in rows],
        [row.status for row in rows],
        [row.scim_type for row in rows],
        [row.optimistic for row in rows],
        [orjson.dumps(list(row.outcomes)).decode() for row in rows],
    ]


async def unannounced(
    connection: "Connection",
    topic: str,
    partition: int,
    from_offset: int,
    limit: int,
    *,
    epoch: int = 0,
) -> list[AuditRow]:
    """Rows of the partition from `from_offset` on, ordered by offset."""
    rows = await connection.fetch(_UNANNOUNCED, topic, partition, from_offset, epoch, limit)
    return [to_row(row) for row in rows]


async def find(connection: "Connection", ids: Iterable[str]) -> dict[str, AuditRow]:
    """Id → decision, for those requests that are decided."""
    rows = await connection.fetch(_FIND, list(ids))
    return {row["id"]: to_row(row) for row in rows}


async def record_unheard(connection: "Connection", ids: Sequence[str]) -> None:
    """Note refusals whose reply was too late for the sender; a repeat changes nothing."""
    if ids:
        await connection.execute(_RECORD_UNHEARD, list(ids))


async def note_unheard(connection: "Connection", given: Mapping[str, int | None]) -> None:
    """Note requests that ingress answers with success without knowing their decision.

    Id → None; or the status that it was answered with, where it is decided otherwise.
    """
    if given:
        await connection.execute(_NOTE_UNHEARD, list(given), list(given.values()))


async def find_refused(
    connection: "Connection",
    *,
    organisation_id: str | None = None,
    since: datetime | None = None,
    limit: int,
) -> list[Refused]:
    """Requests that were answered with success and refused afterwards, newest first.

    They include dead letters that were answered with success, with status 500, and requests that
    were refused and applied afterwards, which a fault of ours would make.
    """
    rows = await connection.fetch(_FIND_REFUSED, organisation_id, since, limit)
    return [
        Refused(to_row(row), to_utc(row["recorded"]), row["is_unheard"], row["given"])
        for row in rows
    ]


def to_row(row: "asyncpg.Record") -> AuditRow:
    """The audit row in a database row that has its columns."""
    return AuditRow(
        id=row["id"],
        organisation_id=row["organisation_id"],
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        type=row["type"],
        resource_id=row["resource_id"],
        actor=row["actor"],
        append_time=to_utc(row["append_time"]),
        event_time=to_utc(row["event_time"]),
        status=row["status"],
        scim_type=row["scim_type"],
        outcomes=row["outcomes"],
        epoch=row["epoch"],
        optimistic=row["optimistic"],
    )
