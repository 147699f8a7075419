"""Write the net changes of an ordinary batch and its rows of the audit, in one call."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rollcall.postgres import audit, directory_write, queries
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.directory_write import (
    DOCUMENT_BYTES,
    FIRST_OF_EACH,
    HELD_AT_ONCE,
    MEMBERSHIPS_AT_ONCE,
    RESOURCES_AT_ONCE,
    ROWS_AT_ONCE,
    THREAD_BYTES,
)
from rollcall.postgres.rows import joined

if TYPE_CHECKING:
    from rollcall.directory.fold import NetChanges
    from rollcall.postgres.pool import Connection

Row = tuple[Any, ...]

_SQL = queries.load("batch_write")
_WRITE: Final = _SQL["write_batch"]


async def write(
    connection: "Connection",
    net: "NetChanges",
    rows: Sequence[AuditRow],
    *,
    in_thread: bool,
    alive: Callable[[], None],
) -> bool:
    """Do what `directory_write.write_changes` and `audit.record` do; False: it is too much at once.

    Then nothing is written. `in_thread`: documents are encoded in a thread, and may be more.
    """
    if not _is_ordinary(net, rows):
        return False
    documents = (
        await asyncio.to_thread(_documents, net, DOCUMENT_BYTES)
        if in_thread
        else _documents(net, THREAD_BYTES)
    )
    if documents is None:
        return False
    found = await connection.fetchrow(_WRITE, *_arguments(net, *documents, rows))
    alive()
    if found is not None:
        more = found["more_of_groups"], found["more_of_members"]
        await directory_write.remove_more(connection, more[0] or (), more[1] or (), alive)
        if HELD_AT_ONCE in (found["letters"], found["parked"]):
            await directory_write.erase_held(connection, net.erased_members, alive)
    return True


def _is_ordinary(net: "NetChanges", rows: Sequence[AuditRow]) -> bool:
    """Whether each part of it fits into one statement; documents are measured when encoded."""
    most_resources = max(len(net.put_members), len(net.put_groups), len(rows))
    most_pairs = max(len(net.added_members), len(net.removed_members_of_groups))
    removed = max(len(net.removed_members), len(net.removed_groups))
    return (
        not net.left
        and most_resources <= ROWS_AT_ONCE
        and most_pairs <= MEMBERSHIPS_AT_ONCE
        and removed <= RESOURCES_AT_ONCE
    )


def _documents(net: "NetChanges", most_bytes: int) -> tuple[list[Row], list[Row]] | None:
    """The rows of members and of groups; None if their documents have more bytes together."""
    size = 0
    members: list[Row] = []
    groups: list[Row] = []
    for organisation_id, member in net.put_members:
        members.append(directory_write.member_row(organisation_id, member))
        size += len(members[-1][-1])
        if size > most_bytes:
            return None
    for organisation_id, group in net.put_groups:
        groups.append(directory_write.group_row(organisation_id, group))
        size += len(groups[-1][-1])
        if size > most_bytes:
            return None
    return members, groups


def _arguments(
    net: "NetChanges", members: Sequence[Row], groups: Sequence[Row], rows: Sequence[AuditRow]
) -> list[Any]:
    """The parameters of the query, in its order; None for all columns of what there is none of."""
    return [
        *_pairs(net.removed_members_of_groups),
        *_columns(net.removed_groups, 2),
        *_columns(net.removed_members, 2),
        *_columns(members, 14),
        *_columns(groups, 9),
        *_pairs(net.added_members),
        *_columns(net.erased_members, 2),
        *(audit.columns_of(rows) if rows else [None] * 15),
        FIRST_OF_EACH,
        HELD_AT_ONCE,
    ]


def _columns(rows: Sequence[Row], width: int) -> Sequence[list[Any] | None]:
    return directory_write.columns_of(rows, width) if rows else [None] * width


def _pairs(rows: Sequence[tuple[str, str, str]]) -> Sequence[str | None]:
    return joined(rows) if rows else [None] * 3
