"""Reads of the directory for answers and notices: by id, and by filter a page at a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.directory.state import Group, Member
from shared.postgres import filter_sql, queries
from shared.postgres.filter_sql import Condition
from shared.postgres.rows import is_id, to_group, to_member

if TYPE_CHECKING:
    import asyncpg

    from shared.postgres.pool import Connection

_SQL = queries.load("directory_search")
_FIND_MEMBER = _SQL["find_member"]
_FIND_MEMBER_WITH_GROUPS = _SQL["find_member_with_groups"]
_FIND_GROUP = _SQL["find_group"]
_SEARCH_MEMBERS = _SQL["search_members"]
_SEARCH_GROUPS = _SQL["search_groups"]
_COUNT_MEMBERS = _SQL["count_members"]

Related = tuple[tuple[str, str], ...]
"""(id, display) of each group of a member, or of each member of a group, in order of their ids."""


class Page(Protocol):
    """A page by index (`shared.scim.page.Page`): `start_index` counts from 1."""

    @property
    def start_index(self) -> int: ...
    @property
    def count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class FoundMember:
    """A member as stored; `groups` is empty where they were not asked for."""

    member: Member
    groups: Related = ()


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """A group as stored; `members` is empty where they were not asked for.

    A member's display is its `displayName`, otherwise its `userName`.
    """

    group: Group
    members: Related = ()


async def find_member(
    connection: "Connection", organisation_id: str, member_id: str, *, with_groups: bool = False
) -> FoundMember | None:
    """The member, or None; an id that is no UUID is nobody's."""
    member_id = member_id.lower()
    if not is_id(member_id):
        return None
    query = _FIND_MEMBER_WITH_GROUPS if with_groups else _FIND_MEMBER
    row = await connection.fetchrow(query, organisation_id, member_id)
    return None if row is None else FoundMember(to_member(row), _related(row))


async def find_group(
    connection: "Connection", organisation_id: str, group_id: str, *, with_members: bool = False
) -> FoundGroup | None:
    """The group, or None; an id that is no UUID is no group's."""
    group_id = group_id.lower()
    if not is_id(group_id):
        return None
    row = await connection.fetchrow(_FIND_GROUP, organisation_id, group_id, with_members)
    return None if row is None else FoundGroup(to_group(row), _related(row))


async def search_members(
    connection: "Connection",
    organisation_id: str,
    condition: Condition,
    page: Page,
    *,
    with_groups: bool = False,
) -> tuple[int, list[FoundMember]]:
    """How many members match, and one page of them in order of creation; of one snapshot."""
    rows = await connection.fetch(
        filter_sql.compose(_SEARCH_MEMBERS, condition),
        organisation_id,
        page.start_index - 1,
        page.count,
        with_groups,
        *condition.parameters,
    )
    found = [FoundMember(to_member(row), _related(row)) for row in rows if row["id"] is not None]
    return rows[0]["total"], found


async def search_groups(
    connection: "Connection",
    organisation_id: str,
    condition: Condition,
    page: Page,
    *,
    with_members: bool = False,
) -> tuple[int, list[FoundGroup]]:
    """How many groups match, and one page of them in order of creation; of one snapshot."""
    rows = await connection.fetch(
        filter_sql.compose(_SEARCH_GROUPS, condition),
        organisation_id,
        page.start_index - 1,
        page.count,
        with_members,
        *condition.parameters,
    )
    found = [FoundGroup(to_group(row), _related(row)) for row in rows if row["id"] is not None]
    return rows[0]["total"], found


async def count_members(connection: "Connection", organisation_id: str) -> dict[str, int]:
    """Status → how many members of the organisation have it."""
    rows = await connection.fetch(_COUNT_MEMBERS, organisation_id)
    return {row["status"]: row["number"] for row in rows}


def _related(row: "asyncpg.Record") -> Related:
    return tuple((identifier, display) for identifier, display in row["related"])
