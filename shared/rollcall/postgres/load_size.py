"""How much a batch would load, measured in advance. Only lengths are transferred."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rollcall.postgres import queries

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

_SQL = queries.load("load_size")
_MEMBERS = _SQL["size_members"]
_GROUPS = _SQL["size_groups"]
_WHOLE_GROUPS = _SQL["size_whole_groups"]
_HELD = _SQL["size_held"]

Pair = tuple[str, str]
"""(organisation, resource)"""


async def of_members(
    connection: "Connection", members: Collection[Pair]
) -> dict[Pair, tuple[int, int]]:
    """Member → bytes of its document as JSON (0 if it does not exist), number of its groups."""
    if not members:
        return {}
    rows = await connection.fetch(_MEMBERS, *_columns(members, 2))
    return {(organisation, id_): (size or 0, groups) for organisation, id_, size, groups in rows}


async def of_groups(connection: "Connection", groups: Collection[Pair]) -> dict[Pair, int]:
    """Group → bytes of its document as JSON, for groups that exist."""
    if not groups:
        return {}
    rows = await connection.fetch(_GROUPS, *_columns(groups, 2))
    return {(organisation, id_): size for organisation, id_, size in rows}


async def of_whole_groups(connection: "Connection", groups: Collection[Pair]) -> dict[Pair, int]:
    """Group → number of its members."""
    if not groups:
        return {}
    rows = await connection.fetch(_WHOLE_GROUPS, *_columns(groups, 2))
    return {(organisation, id_): members for organisation, id_, members in rows}


async def of_held(
    connection: "Connection", resources: Collection[tuple[str, str, str]]
) -> dict[tuple[str, str, str], int]:
    """(organisation, endpoint, resource) → bytes of its dead and parked events."""
    if not resources:
        return {}
    rows = await connection.fetch(_HELD, *_columns(resources, 3))
    return {(organisation, endpoint, id_): size for organisation, endpoint, id_, size in rows}


def _columns(rows: Collection[tuple[str, ...]], width: int) -> list[Sequence[str]]:
    return [[row[index] for row in rows] for index in range(width)]
