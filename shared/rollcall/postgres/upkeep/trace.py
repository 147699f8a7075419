"""What the database knows of a change: its decision, later decisions by redrives, its notices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rollcall.postgres import audit, queries
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.rows import to_utc

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

_SQL = queries.load("trace")
_FIND = _SQL["find_decisions"]
_OF_RESOURCE = _SQL["decisions_of_resource"]
_LATER = _SQL["later_decisions"]
_NOTICES = _SQL["notices_of"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of the audit, and when it was written."""

    row: AuditRow
    recorded: datetime


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """The state of one notice. `announced`: the outcomes topic says that its mail was sent."""

    event_id: str
    kind: str
    member_id: str
    partition: int
    state: str
    reason: str | None
    due_at: datetime
    next_attempt_at: datetime
    attempts: int
    message_id: str | None
    sent_at: datetime | None
    announced: bool


async def decisions(connection: "Connection", ids: Sequence[str]) -> dict[str, Decision]:
    """Id → the decision about the request, for those that are decided."""
    return {row["id"]: _to_decision(row) for row in await connection.fetch(_FIND, list(ids))}


async def decisions_of_resource(
    connection: "Connection",
    organisation_id: str,
    resource_id: str,
    *,
    since: datetime | None = None,
    limit: int,
) -> list[Decision]:
    """The decisions about a resource, newest first."""
    rows = await connection.fetch(_OF_RESOURCE, organisation_id, resource_id, since, limit)
    return [_to_decision(row) for row in rows]


async def later_decisions(connection: "Connection", first: AuditRow) -> list[Decision]:
    """The redrives and discards that decided a request again, in order."""
    named = [{"of": {"id": first.id}}]
    rows = await connection.fetch(_LATER, first.organisation_id, first.resource_id, named)
    return [_to_decision(row) for row in rows]


async def notices(connection: "Connection", ids: Sequence[str]) -> dict[str, list[NoticeRow]]:
    """Request id → its notices, in order."""
    found: dict[str, list[NoticeRow]] = {}
    for row in await connection.fetch(_NOTICES, list(ids)):
        sent_at = row["sent_at"]
        notice = NoticeRow(
            event_id=row["event_id"],
            kind=row["kind"],
            member_id=row["member_id"],
            partition=row["partition"],
            state=row["state"],
            reason=row["reason"],
            due_at=to_utc(row["due_at"]),
            next_attempt_at=to_utc(row["next_attempt_at"]),
            attempts=row["attempts"],
            message_id=row["message_id"],
            sent_at=None if sent_at is None else to_utc(sent_at),
            announced=row["announced"],
        )
        found.setdefault(notice.event_id, []).append(notice)
    return found


def _to_decision(row: "asyncpg.Record") -> Decision:
    return Decision(audit.to_row(row), to_utc(row["recorded"]))
