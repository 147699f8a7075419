"""What a replay needs of the database: rewind the notifier, read an organisation by pages."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rollcall.directory.state import Group, Member
from rollcall.postgres import queries
from rollcall.postgres.progress import Progress
from rollcall.postgres.rows import to_group, to_member, to_utc

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

PAGE: Final = 500
GROUPS_AT_ONCE: Final = 20
"""Groups in memory at a time; each may have 100,000 members."""
_FIRST: Final = "00000000-0000-0000-0000-000000000000"

_SQL = queries.load("replay")
_REWIND = _SQL["rewind_notice"]
_OLDEST_DUE = _SQL["oldest_due"]
_MEMBERS = _SQL["members_page"]
_GROUPS = _SQL["groups_page"]
_GROUPS_OF = _SQL["groups_of_members"]
_MEMBERS_OF = _SQL["members_of_groups"]
_GONE = _SQL["gone_for_good"]


@dataclass(frozen=True, slots=True)
class Named:
    """A member of a group, or a group of a member: its id and its display name."""

    id: str
    display: str | None


async def rewind(
    connection: "Connection",
    found: Progress,
    begin: int,
    until: int,
    *,
    last_event_id: str | None,
    last_append_time: datetime | None,
) -> bool:
    """Let the notifier read a partition again from `begin`; False if `found` is out of date.

    None of its mails is sent before it has read to `until`, or to its earlier position. The last
    two parameters are those of the record before `begin`, None if the log has none.
    """
    done = await connection.fetchval(
        _REWIND,
        found.topic,
        found.partition,
        found.next_offset,
        found.epoch,
        begin,
        until,
        last_event_id,
        last_append_time,
    )
    return done is True


async def oldest_due(connection: "Connection") -> dict[int, datetime]:
    """Partition → the time of the oldest event whose notice is due."""
    return {row["partition"]: to_utc(row["oldest"]) for row in await connection.fetch(_OLDEST_DUE)}


async def gone_for_good(
    connection: "Connection", organisation_id: str, types: Sequence[str]
) -> set[tuple[str, str]]:
    """(type, resource id) of what an organisation erased by events of these types."""
    rows = await connection.fetch(_GONE, organisation_id, list(types))
    return {(row["type"], row["resource_id"] or "") for row in rows}


async def members(
    connection: "Connection", organisation_id: str
) -> AsyncIterator[tuple[Member, Sequence[Named]]]:
    """Every member of an organisation with its groups, ordered by id."""
    after = _FIRST
    while rows := await connection.fetch(_MEMBERS, organisation_id, after, PAGE):
        page = [to_member(row) for row in rows]
        related = await _related(connection, _GROUPS_OF, organisation_id, [m.id for m in page])
        for member in page:
            yield member, related.get(member.id, ())
        after = page[-1].id


async def groups(
    connection: "Connection", organisation_id: str
) -> AsyncIterator[tuple[Group, Sequence[Named]]]:
    """Every group of an organisation with its members, ordered by id."""
    after = _FIRST
    while rows := await connection.fetch(_GROUPS, organisation_id, after, GROUPS_AT_ONCE):
        page = [to_group(row) for row in rows]
        related = await _related(connection, _MEMBERS_OF, organisation_id, [g.id for g in page])
        for group in page:
            yield group, related.get(group.id, ())
        after = page[-1].id


async def _related(
    connection: "Connection", query: str, organisation_id: str, ids: Sequence[str]
) -> dict[str, list[Named]]:
    found: dict[str, list[Named]] = {}
    for row in await connection.fetch(query, organisation_id, ids):
        found.setdefault(row["id"], []).append(Named(row["value"], row["display"]))
    return found
