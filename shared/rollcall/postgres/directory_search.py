"""Reads of the directory for answers and notices: one resource by id, or a page by filter."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from rollcall.directory.state import Group, Member
from rollcall.events.request import Endpoint
from rollcall.postgres import filter_sql, queries
from rollcall.postgres.filter_sql import ANYTHING, BY_ID, Condition, Order
from rollcall.postgres.rows import is_id, to_group, to_member
from rollcall.scim.schema import GROUP, USER, ResourceSchema

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

_SQL = queries.load("directory_search")
_FIND_MEMBER = _SQL["find_member"]
_FIND_MEMBER_WITH_GROUPS = _SQL["find_member_with_groups"]
_FIND_GROUP = _SQL["find_group"]
_LISTS: Final[dict[Endpoint, tuple[str, str]]] = {
    "Users": (_SQL["list_members"], _SQL["search_members"]),
    "Groups": (_SQL["list_groups"], _SQL["search_groups"]),
}
"""The query of all resources, and of those that match a condition."""
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
class Resource:
    """A User or a Group as stored, with the groups or the members that it is related to.

    `related` is empty where it was not asked for. The display of a group's member is its
    `displayName`; without one it has none. Not `is_exact`: what other replicas have accepted and
    is not applied yet may be missing in it.
    """

    row: Member | Group
    related: Related = ()
    is_exact: bool = True

    @property
    def schema(self) -> ResourceSchema:
        """USER or GROUP."""
        return USER if isinstance(self.row, Member) else GROUP


async def find_member(
    connection: "Connection", organisation_id: str, member_id: str
) -> Member | None:
    """The member without its groups, or None."""
    member_id = member_id.lower()
    if not is_id(member_id):
        return None
    row = await connection.fetchrow(_FIND_MEMBER, organisation_id, member_id)
    return None if row is None else to_member(row)


async def find(
    connection: "Connection",
    endpoint: Endpoint,
    organisation_id: str,
    resource_id: str,
    *,
    with_related: bool = False,
) -> Resource | None:
    """The resource, or None; nothing has an id that is no UUID."""
    resource_id = resource_id.lower()
    if not is_id(resource_id):
        return None
    if endpoint == "Users":
        query = _FIND_MEMBER_WITH_GROUPS if with_related else _FIND_MEMBER
        row = await connection.fetchrow(query, organisation_id, resource_id)
        return None if row is None else Resource(to_member(row), _related(row))
    row = await connection.fetchrow(_FIND_GROUP, organisation_id, resource_id, with_related)
    if row is None:
        return None
    # Decode piece by piece, so that a large group does not block other threads and the event loop.
    pieces = row["related"]
    members = await asyncio.to_thread(_joined, pieces) if len(pieces) > 1 else _joined(pieces)
    return Resource(to_group(row), members)


async def search(
    connection: "Connection",
    endpoint: Endpoint,
    organisation_id: str,
    search: Search,
    page: Page,
    *,
    with_related: bool = False,
) -> tuple[int, list[Resource]]:
    """How many resources match, and one page of them in order; of one snapshot."""
    list_all, list_matching = _LISTS[endpoint]
    query = list_all if search.condition == ANYTHING else list_matching
    # Row 0 has the total.
    first, *rows = await connection.fetch(
        filter_sql.compose(query, search.condition, search.order),
        organisation_id,
        page.start_index - 1,
        page.count,
        with_related,
        search.page_bytes,
        *search.condition.arguments(search.base_url),
    )
    if endpoint == "Users":
        return first["total"], [Resource(to_member(row), _related(row)) for row in rows]
    return first["total"], [Resource(to_group(row), _related(row)) for row in rows]


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
