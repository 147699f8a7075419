"""Write the net changes of a batch: one query per kind of change, in parts, deletes first."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rollcall.directory.state import Group, Member
from rollcall.postgres import queries, search_keys
from rollcall.postgres.pool import encoded
from rollcall.postgres.rows import is_id, joined

if TYPE_CHECKING:
    from rollcall.directory.fold import NetChanges
    from rollcall.postgres.pool import Connection

MEMBERSHIPS_AT_ONCE: Final = 10_000
"""Memberships in one statement: encoding more would block the event loop for too long."""
EMAIL_KEY_SEPARATOR: Final = "\x1e"

_SQL = queries.load("directory_write")
_DELETE_MEMBERSHIPS = _SQL["delete_memberships"]
_DELETE_MEMBERSHIPS_OF_GROUPS = _SQL["delete_memberships_of_groups"]
_DELETE_MORE_OF_GROUP = _SQL["delete_more_memberships_of_group"]
_DELETE_MEMBERSHIPS_OF_MEMBERS = _SQL["delete_memberships_of_members"]
_DELETE_MORE_OF_MEMBER = _SQL["delete_more_memberships_of_member"]
_DELETE_GROUPS = _SQL["delete_groups"]
_DELETE_MEMBERS = _SQL["delete_members"]
_UPSERT_MEMBERS = _SQL["upsert_members"]
_UPSERT_GROUPS = _SQL["upsert_groups"]
_INSERT_MEMBERSHIPS = _SQL["insert_memberships"]
_ERASE_LETTERS = _SQL["erase_letters"]
_ERASE_PARKED = _SQL["erase_parked"]
_LEAVE_MEMBERSHIPS = _SQL["delete_memberships_of_organisation"]
_LEAVE_BY_ID: Final = (
    _SQL["delete_groups_of_organisation"],
    _SQL["delete_members_of_organisation"],
)
_LEAVE_HELD: Final = (
    _SQL["delete_parked_of_organisation"],
    _SQL["delete_letters_of_organisation"],
)
_FREE_LEFT = _SQL["free_left_organisation"]
_NOTE_DEPARTED = _SQL["note_departed"]
_FIND_DEPARTED = _SQL["find_departed"]
DELETED_AT_ONCE: Final = 5000
"""Rows of one group, member or organisation that one statement deletes. That takes some hundredths
of a second, far from any time-out. The total number of rows has no limit."""
FIRST_OF_EACH: Final = 200
RESOURCES_AT_ONCE: Final = 100
"""How many groups or members share a statement, FIRST_OF_EACH rows of each; more rows go alone."""
DOCUMENT_BYTES: Final = 1024 * 1024
"""Bytes of documents in one statement: writing them to the socket blocks the event loop."""
THREAD_BYTES: Final = 256 * 1024
ROWS_AT_ONCE: Final = 1000
HELD_AT_ONCE: Final = 100
"""Held events in one statement; each may have megabytes."""
SMALLEST_ID: Final = "00000000-0000-0000-0000-000000000000"

Row = TypeVar("Row", bound=tuple[Any, ...])
Resource = TypeVar("Resource", Member, Group)


def _do_nothing() -> None:
    """The default of `alive`: does nothing."""


async def write_changes(
    connection: "Connection", net: "NetChanges", *, alive: Callable[[], None] = _do_nothing
) -> None:
    """Make the rows equal to the net result of a batch, inside the caller's transaction.

    Each statement writes or deletes a bounded number of rows and bytes, so it ends far below its
    time-out, however long the whole takes; `alive` is called after each. Unique names are checked
    at commit, so a name may move from one resource to another. A violation there
    (asyncpg.UniqueViolationError from the commit) means that the decision was based on other data
    than the rows, which is our bug.
    """
    for chunk in _chunks(net.removed_members_of_groups, MEMBERSHIPS_AT_ONCE):
        await connection.execute(_DELETE_MEMBERSHIPS, *joined(chunk))
        alive()
    await _remove_all(connection, net.removed_groups, _OF_GROUPS, alive)
    await _remove_all(connection, net.removed_members, _OF_MEMBERS, alive)
    async for rows in _documents(net.put_members, member_row):
        await connection.execute(_UPSERT_MEMBERS, *columns_of(rows, 14))
        alive()
    async for rows in _documents(net.put_groups, group_row):
        await connection.execute(_UPSERT_GROUPS, *columns_of(rows, 9))
        alive()
    for chunk in _chunks(net.added_members, MEMBERSHIPS_AT_ONCE):
        await connection.execute(_INSERT_MEMBERSHIPS, *joined(chunk))
        alive()
    await erase_held(connection, net.erased_members, alive)
    for organisation_id, event_id, moment in net.left:
        await _remove_organisation(connection, organisation_id, event_id, moment, alive)


async def erase_held(
    connection: "Connection", erased: Sequence[tuple[str, str]], alive: Callable[[], None]
) -> None:
    """Delete the dead letters and parked events about these members."""
    if erased:
        columns = columns_of(erased, 2)
        for query in (_ERASE_LETTERS, _ERASE_PARKED):
            await _while_some(connection, query, columns, alive)


async def remove_more(
    connection: "Connection",
    of_groups: Iterable[tuple[str, str, str]],
    of_members: Iterable[tuple[str, str, str]],
    alive: Callable[[], None],
) -> None:
    """Delete the memberships of groups, or members, that are left after a last one.

    Each: organisation, group or member, and the last member or group that was deleted.
    """
    for removal, more in ((_OF_GROUPS, of_groups), (_OF_MEMBERS, of_members)):
        for organisation_id, resource_id, last in more:
            of_one = (organisation_id, resource_id)
            await _until_none(connection, removal.more_of_one, of_one, last, alive)


async def departed(connection: "Connection", organisation_ids: Iterable[str]) -> set[str]:
    """Those organisations that have left. A text that is not an id has not."""
    possible = [each for each in organisation_ids if is_id(each)]
    if not possible:
        return set()
    return {row["organisation_id"] for row in await connection.fetch(_FIND_DEPARTED, possible)}


@dataclass(frozen=True, slots=True)
class _Removal:
    """The queries that remove resources of one kind with their memberships."""

    first_of_each: str
    more_of_one: str
    rows: str


_OF_GROUPS: Final = _Removal(_DELETE_MEMBERSHIPS_OF_GROUPS, _DELETE_MORE_OF_GROUP, _DELETE_GROUPS)
_OF_MEMBERS: Final = _Removal(
    _DELETE_MEMBERSHIPS_OF_MEMBERS, _DELETE_MORE_OF_MEMBER, _DELETE_MEMBERS
)


async def _remove_all(
    connection: "Connection",
    removed: Sequence[tuple[str, str]],
    queries_: _Removal,
    alive: Callable[[], None],
) -> None:
    """Delete groups, or members, with their memberships."""
    for chunk in _chunks(removed, RESOURCES_AT_ONCE):
        columns = columns_of(chunk, 2)
        large = await connection.fetch(queries_.first_of_each, *columns, FIRST_OF_EACH)
        alive()
        for organisation_id, resource_id, last in large:
            await _until_none(
                connection, queries_.more_of_one, (organisation_id, resource_id), last, alive
            )
        await connection.execute(queries_.rows, *columns)


async def _until_none(
    connection: "Connection",
    query: str,
    of: tuple[str, ...],
    last: str,
    alive: Callable[[], None],
) -> None:
    """Delete part by part, each part after the last id of the one before."""
    while True:
        row = await connection.fetchrow(query, *of, last, DELETED_AT_ONCE)
        alive()
        if row is None or row["number"] < DELETED_AT_ONCE:
            return
        last = row["last"]


async def _while_some(
    connection: "Connection", query: str, of: Sequence[Any], alive: Callable[[], None]
) -> None:
    """Delete held events, some at a time."""
    while await connection.fetchval(query, *of, HELD_AT_ONCE) == HELD_AT_ONCE:
        alive()


async def _remove_organisation(
    connection: "Connection",
    organisation_id: str,
    event_id: str,
    moment: datetime,
    alive: Callable[[], None],
) -> None:
    """Delete every row of the organisation, and add one that says that it has left."""
    behind = (SMALLEST_ID, SMALLEST_ID)
    while True:
        row = await connection.fetchrow(
            _LEAVE_MEMBERSHIPS, organisation_id, *behind, DELETED_AT_ONCE
        )
        alive()
        if row is None or row["number"] < DELETED_AT_ONCE:
            break
        behind = row["last_group"], row["last"]
    for query in _LEAVE_BY_ID:
        await _until_none(connection, query, (organisation_id,), SMALLEST_ID, alive)
    for query in _LEAVE_HELD:
        await _while_some(connection, query, [organisation_id], alive)
    await connection.execute(_FREE_LEFT, organisation_id)
    await connection.execute(_NOTE_DEPARTED, organisation_id, event_id, moment)


def member_row(organisation_id: str, member: Member) -> tuple[Any, ...]:
    """The columns of a member's row, in the order of `upsert_members`; the document is last."""
    return (
        organisation_id,
        member.id,
        member.user_name_key,
        member.external_id,
        member.status.value,
        None if member.restore_status is None else member.restore_status.value,
        member.invitation_id,
        member.version,
        member.created,
        member.last_modified,
        search_keys.member_display_name_key(member.resource),
        EMAIL_KEY_SEPARATOR.join(search_keys.email_keys(member.resource)),
        member.kept_address,
        encoded(member.resource),
    )


def group_row(organisation_id: str, group: Group) -> tuple[Any, ...]:
    """The columns of a group's row, in the order of `upsert_groups`; the document is last."""
    return (
        organisation_id,
        group.id,
        group.display_name_key,
        group.display_name_key if group.name_is_unique else None,
        group.external_id,
        group.version,
        group.created,
        group.last_modified,
        encoded(group.resource),
    )


def columns_of(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Turn rows into columns, one per parameter of the query."""
    return [[row[index] for row in rows] for index in range(width)]


def _chunks(rows: Sequence[Row], most: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


async def _documents(
    put: Sequence[tuple[str, Resource]], to_row: Callable[[str, Resource], tuple[Any, ...]]
) -> AsyncIterator[list[tuple[Any, ...]]]:
    """The rows of resources, in parts of bounded bytes; large ones are built in a thread."""
    left = iter(put)
    in_thread = False
    while True:
        rows = (
            await asyncio.to_thread(_next_rows, left, to_row, DOCUMENT_BYTES)
            if in_thread
            else _next_rows(left, to_row, THREAD_BYTES)
        )
        if not rows:
            return
        yield rows
        in_thread = sum(len(row[-1]) for row in rows) >= THREAD_BYTES


def _next_rows(
    left: Iterator[tuple[str, Resource]],
    to_row: Callable[[str, Resource], tuple[Any, ...]],
    most_bytes: int,
) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    for organisation_id, resource in left:
        rows.append(to_row(organisation_id, resource))
        size += len(rows[-1][-1])
        if size >= most_bytes or len(rows) >= ROWS_AT_ONCE:
            break
    return rows
