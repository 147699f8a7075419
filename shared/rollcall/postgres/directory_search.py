"""Reads of the directory for answers and notices: one resource by id, or a page by filter."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from rollcall.directory.state import Group, Member
from rollcall.postgres import filter_sql, queries
from rollcall.postgres.filter_sql import ANYTHING, BY_ID, Condition, Order
from rollcall.postgres.rows import is_id, to_group, to_member

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

_SQL = queries.load("directory_search")
_FIND_MEMBER = _SQL["find_member"]
_FIND_MEMBER_WITH_GROUPS = _SQL["find_member_with_groups"]
_FIND_GROUP = _SQL["find_group"]
_MEMBERS = (_SQL["list_members"], _SQL["search_members"])
_GROUPS = (_SQL["list_groups"], _SQL["search_groups"])
_COUNT_MEMBERS = _SQL["count_members"]

PAGE_BYTES: Final = 16 * 1024 * 1024
"""Bytes of documents and memberships in one page; a larger resource is a page of its own."""

Related = tuple[tuple[str, str | None], ...]
"""(id, display) of each group of a member, or of each member of a group, ordered by id."""


class Page(Protocol):
    """A page by index (`rollcall.scim.page.Page`); `start_index` counts from 1."""

    @property
    def start_index(self) -> int: ...
    @property
    def count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Search:
    """What a list asks for: which resources, in which order, and at most how many bytes.

    `base_url` is the organisation's SCIM base, for conditions on addresses.
    """

    condition: Condition = ANYTHING
    order: Order = BY_ID
    base_url: str = ""
    page_bytes: int = PAGE_BYTES

    @property
    def is_indexed(self) -> bool:
        """Whether its cost depends on what it finds and not on the size of the organisation."""
        return self.condition.is_indexed and self.order.is_indexed


@dataclass(frozen=True, slots=True)
class FoundMember:
    """A member as stored; `groups` is empty if they were not requested.

    If `is_exact` is false, accepted requests that are not applied yet may be missing in it.
    """

    member: Member
    groups: Related = ()
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """A group as stored; `members` is empty if they were not requested.

    The display of a member is its `displayName`, if it has one. `is_exact` as in FoundMember.
    """

    group: Group
    members: Related = ()
    is_exact: bool = True


async def find_member(
    connection: "Connection", organisation_id: str, member_id: str, *, with_groups: bool = False
) -> FoundMember | None:
    """The member, or None; also None for an id that is not a UUID."""
    member_id = member_id.lower()
    if not is_id(member_id):
        return None
    query = _FIND_MEMBER_WITH_GROUPS if with_groups else _FIND_MEMBER
    row = await connection.fetchrow(query, organisation_id, member_id)
    return None if row is None else FoundMember(to_member(row), _related(row))


async def find_group(
    connection: "Connection", organisation_id: str, group_id: str, *, with_members: bool = False
) -> FoundGroup | None:
    """The group, or None; also None for an id that is not a UUID."""
    group_id = group_id.lower()
    if not is_id(group_id):
        return None
    row = await connection.fetchrow(_FIND_GROUP, organisation_id, group_id, with_members)
    if row is None:
        return None
    # Decode piece by piece, so that a large group does not block other threads and the event loop.
    pieces = row["related"]
    members = await asyncio.to_thread(_joined, pieces) if len(pieces) > 1 else _joined(pieces)
    return FoundGroup(to_group(row), members)


async def search_members(
    connection: "Connection",
    organisation_id: str,
    search: Search,
    page: Page,
    *,
    with_groups: bool = False,
) -> tuple[int, list[FoundMember]]:
    """The number of matching members, and one page of them in order, from one snapshot."""
    rows = await _rows(connection, _MEMBERS, organisation_id, search, page, with_groups)
    return rows[0]["total"], [FoundMember(to_member(row), _related(row)) for row in rows[1:]]


async def search_groups(
    connection: "Connection",
    organisation_id: str,
    search: Search,
    page: Page,
    *,
    with_members: bool = False,
) -> tuple[int, list[FoundGroup]]:
    """The number of matching groups, and one page of them in order, from one snapshot."""
    rows = await _rows(connection, _GROUPS, organisation_id, search, page, with_members)
    return rows[0]["total"], [FoundGroup(to_group(row), _related(row)) for row in rows[1:]]


async def _rows(
    connection: "Connection",
    queries_of: tuple[str, str],
    organisation_id: str,
    search: Search,
    page: Page,
    with_related: bool,
) -> "list[asyncpg.Record]":
    """Row 0 with the total, then the rows of the page."""
    query = queries_of[0] if search.condition == ANYTHING else queries_of[1]
    return await connection.fetch(
        filter_sql.compose(query, search.condition, search.order),
        organisation_id,
        page.start_index - 1,
        page.count,
        with_related,
        search.page_bytes,
        *search.condition.arguments(search.base_url),
    )


async def count_members(connection: "Connection", organisation_id: str) -> dict[str, int]:
    """Status → number of the organisation's members with it."""
    rows = await connection.fetch(_COUNT_MEMBERS, organisation_id)
    return {row["status"]: row["number"] for row in rows}


def _joined(pieces: Iterable[str]) -> Related:
    return tuple(
        (identifier, display) for piece in pieces for identifier, display in orjson.loads(piece)
    )


def _related(row: "asyncpg.Record") -> Related:
    return tuple((identifier, display) for identifier, display in row["related"])
