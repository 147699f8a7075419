"""The net changes of a batch as rows: one query per kind of change, deletes before puts."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from shared.directory.state import Group, Member
from shared.postgres import queries, search_keys
from shared.postgres.rows import is_id, joined

if TYPE_CHECKING:
    from shared.directory.fold import NetChanges
    from shared.postgres.pool import Connection

MEMBERSHIPS_AT_ONCE: Final = 10_000
"""Memberships in one statement: encoding more would hold the event loop for too long."""
EMAIL_KEY_SEPARATOR: Final = "\x1e"

_SQL = queries.load("directory_write")
_DELETE_MEMBERSHIPS = _SQL["delete_memberships"]
_DELETE_MEMBERSHIPS_OF_GROUPS = _SQL["delete_memberships_of_groups"]
_DELETE_MEMBERSHIPS_OF_MEMBERS = _SQL["delete_memberships_of_members"]
_DELETE_GROUPS = _SQL["delete_groups"]
_DELETE_MEMBERS = _SQL["delete_members"]
_UPSERT_MEMBERS = _SQL["upsert_members"]
_UPSERT_GROUPS = _SQL["upsert_groups"]
_INSERT_MEMBERSHIPS = _SQL["insert_memberships"]
_ERASE_LETTERS = _SQL["erase_letters"]
_ERASE_PARKED = _SQL["erase_parked"]
_LEAVE: Final = (
    _SQL["delete_memberships_of_organisation"],
    _SQL["delete_groups_of_organisation"],
    _SQL["delete_members_of_organisation"],
    _SQL["delete_parked_of_organisation"],
    _SQL["delete_letters_of_organisation"],
)
_NOTE_DEPARTED = _SQL["note_departed"]
_FIND_DEPARTED = _SQL["find_departed"]
_ALLOW_LONG_STATEMENTS = _SQL["allow_long_statements"]
LEAVING_TIMEOUT_MS: Final = 600_000
"""Deleting a million members is one statement, and is not to be given up halfway for ever."""

Row = TypeVar("Row", bound=tuple[Any, ...])


async def write_changes(connection: "Connection", net: "NetChanges") -> None:
    """Make the rows equal to the net result of a batch, inside the caller's transaction.

    Unique names are checked at commit, so a name may pass from one resource to another. A
    violation there (asyncpg.UniqueViolationError from the commit) means that the decision was made
    on something else than the rows: a bug of ours.
    """
    for chunk in _chunks(net.removed_members_of_groups):
        await connection.execute(_DELETE_MEMBERSHIPS, *joined(chunk))
    if net.removed_groups:
        groups = _columns(net.removed_groups, 2)
        await connection.execute(_DELETE_MEMBERSHIPS_OF_GROUPS, *groups)
        await connection.execute(_DELETE_GROUPS, *groups)
    if net.removed_members:
        members = _columns(net.removed_members, 2)
        await connection.execute(_DELETE_MEMBERSHIPS_OF_MEMBERS, *members)
        await connection.execute(_DELETE_MEMBERS, *members)
    if net.put_members:
        rows = [_member_row(organisation, member) for organisation, member in net.put_members]
        await connection.execute(_UPSERT_MEMBERS, *_columns(rows, 13))
    if net.put_groups:
        group_rows = [_group_row(organisation, group) for organisation, group in net.put_groups]
        await connection.execute(_UPSERT_GROUPS, *_columns(group_rows, 9))
    for chunk in _chunks(net.added_members):
        await connection.execute(_INSERT_MEMBERSHIPS, *joined(chunk))
    if net.erased_members:
        erased = _columns(net.erased_members, 2)
        await connection.execute(_ERASE_LETTERS, *erased)
        await connection.execute(_ERASE_PARKED, *erased)
    for organisation_id, event_id, moment in net.left:
        await _remove_organisation(connection, organisation_id, event_id, moment)


async def departed(connection: "Connection", organisation_ids: Iterable[str]) -> set[str]:
    """Those of the organisations that have left for good. What is no id has not."""
    possible = [each for each in organisation_ids if is_id(each)]
    if not possible:
        return set()
    return {row["organisation_id"] for row in await connection.fetch(_FIND_DEPARTED, possible)}


async def _remove_organisation(
    connection: "Connection", organisation_id: str, event_id: str, moment: datetime
) -> None:
    """Delete every row of the organisation, and keep one that says that it has left."""
    await connection.execute(_ALLOW_LONG_STATEMENTS, LEAVING_TIMEOUT_MS)
    for query in _LEAVE:
        await connection.execute(query, organisation_id, timeout=LEAVING_TIMEOUT_MS / 1000)
    await connection.execute(_NOTE_DEPARTED, organisation_id, event_id, moment)


def _member_row(organisation_id: str, member: Member) -> tuple[Any, ...]:
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
        member.resource,
    )


def _group_row(organisation_id: str, group: Group) -> tuple[Any, ...]:
    return (
        organisation_id,
        group.id,
        group.display_name_key,
        group.display_name_key if group.name_is_unique else None,
        group.external_id,
        group.version,
        group.created,
        group.last_modified,
        group.resource,
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into columns, one per parameter of the query."""
    return [[row[index] for row in rows] for index in range(width)]


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), MEMBERSHIPS_AT_ONCE):
        yield rows[start : start + MEMBERSHIPS_AT_ONCE]
