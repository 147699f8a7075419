"""Load what a batch touches, for all its organisations, in a few set-based queries.

One request may name 100,000 member ids. They are checked and joined in a thread and sent in chunks
as texts, because handling them one by one would block the event loop and with it all other
partitions.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from rollcall.directory.quarantine import Park
from rollcall.directory.state import State
from rollcall.directory.touch import Touch
from rollcall.postgres import dead_letter, queries
from rollcall.postgres.rows import is_id, is_storable, joined, to_group, to_member

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

ROWS_AT_ONCE: Final = 5000
"""How many ids one query asks for."""

_SQL = queries.load("directory_load")
_MEMBERS = _SQL["load_members"]
_MEMBERS_OF_EXTERNAL_IDS = _SQL["load_members_of_external_ids"]
_KNOWN_MEMBERS = _SQL["load_known_members"]
_GROUPS = _SQL["load_groups"]
_GROUPS_OF_EXTERNAL_IDS = _SQL["load_groups_of_external_ids"]
_MEMBERSHIPS = _SQL["load_memberships"]
_MEMBERS_OF_GROUPS = _SQL["load_members_of_groups"]
_GROUPS_OF_MEMBERS = _SQL["load_groups_of_members"]

Touches = Mapping[str, Touch]


async def load_states(connection: "Connection", touches: Touches) -> dict[str, State]:
    """Organisation id → the part of its directory that its touch names, exact for that part.

    Of quarantines only their keys are loaded, not their events, and of a parked organisation not
    the waiting ones. Runs inside the caller's transaction, because whole groups are read through a
    cursor. An id that is not a canonical UUID, or a name that Postgres cannot store, exists nowhere
    and is absent from the state like anything unknown.
    """
    states = {organisation: State(organisation) for organisation in touches}
    await _load_quarantines(connection, states)
    await _load_members(connection, touches, states)
    await _load_known_members(connection, touches, states)
    groups_of_members = await _load_groups_of_members(connection, touches, states)
    await _load_groups(connection, touches, states, groups_of_members)
    await _load_memberships(connection, touches, states)
    await _load_whole_groups(connection, touches, states)
    await _load_holders(connection, touches, states)
    return states


async def _load_quarantines(connection: "Connection", states: dict[str, State]) -> None:
    if not states:
        return
    held = await dead_letter.load_quarantines(connection, states)
    for organisation_id, key, quarantine in held.quarantines:
        states[organisation_id].quarantines[key] = quarantine
    for organisation_id, dead_id in held.parks.items():
        states[organisation_id].park = Park(dead_id)


async def _load_members(
    connection: "Connection", touches: Touches, states: dict[str, State]
) -> None:
    by_id = pairs_of(touches, lambda touch: touch.members | touch.members_with_groups, is_id)
    by_name = pairs_of(touches, lambda touch: touch.user_names, is_storable)
    if not (by_id[0] or by_name[0]):
        return
    rows = await connection.fetch(_MEMBERS, *by_id, *by_name)
    await _filled(rows, lambda: _add_members(states, rows))


def _add_members(states: dict[str, State], rows: Sequence["asyncpg.Record"]) -> None:
    for row in rows:
        state = states[row["organisation_id"]]
        if row["document"] is not None:
            state.add_member(to_member(row))
        else:
            state.user_names[row["user_name_key"]] = row["id"]


async def _load_known_members(
    connection: "Connection", touches: Touches, states: dict[str, State]
) -> None:
    wanted = (
        (organisation_id, member_id)
        for organisation_id, touch in touches.items()
        for member_id in touch.known
        if is_id(member_id)
    )
    for columns in await _chunks(wanted, sum(len(touch.known) for touch in touches.values())):
        for organisation_id, found in await connection.fetch(_KNOWN_MEMBERS, *columns):
            states[organisation_id].known_members.update(found.split(","))


async def _load_groups_of_members(
    connection: "Connection", touches: Touches, states: dict[str, State]
) -> dict[str, set[str]]:
    """Fill `groups_of`; returns organisation id → groups whose rows are then needed."""
    wanted: dict[str, set[str]] = {}
    for organisation_id, touch in touches.items():
        for member_id in touch.members_with_groups:
            states[organisation_id].groups_of[member_id] = set()
    members = pairs_of(touches, lambda touch: touch.members_with_groups, is_id)
    if not members[0]:
        return wanted
    rows = await connection.fetch(_GROUPS_OF_MEMBERS, *members)

    def fill() -> None:
        for organisation_id, group_id, member_id in rows:
            state = states[organisation_id]
            state.groups_of[member_id].add(group_id)
            state.memberships.setdefault(group_id, set()).add(member_id)
            wanted.setdefault(organisation_id, set()).add(group_id)

    await _filled(rows, fill)
    return wanted


async def _load_groups(
    connection: "Connection",
    touches: Touches,
    states: dict[str, State],
    groups_of_members: Mapping[str, set[str]],
) -> None:
    wanted = chain(
        (
            (organisation_id, group_id)
            for organisation_id, touch in touches.items()
            for group_id in touch.groups | touch.whole_groups
            if is_id(group_id)
        ),
        (
            (organisation_id, group_id)
            for organisation_id, group_ids in groups_of_members.items()
            for group_id in group_ids
        ),
    )
    by_name = pairs_of(touches, lambda touch: touch.group_names, is_storable)
    nothing: tuple[list[str], list[str]] = ([], [])
    most = sum(map(len, groups_of_members.values()))
    for columns in await _chunks(wanted, most) or [["", ""]]:
        if not (columns[0] or by_name[0]):
            return
        rows = await connection.fetch(_GROUPS, *columns, *by_name)
        await _filled(rows, partial(_add_groups, states, rows))
        by_name = nothing


def _add_groups(states: dict[str, State], rows: Sequence["asyncpg.Record"]) -> None:
    for row in rows:
        state = states[row["organisation_id"]]
        if row["document"] is not None:
            state.add_group(to_group(row))
        elif row["id"] not in state.groups:  # else it is loaded whole, by its id
            state.group_names[row["unique_name_key"]] = row["id"]


async def _load_holders(
    connection: "Connection", touches: Touches, states: dict[str, State]
) -> None:
    """Load the holders of the external ids by id alone: one value may have many holders."""
    members = pairs_of(touches, lambda touch: touch.member_external_ids, is_storable)
    if members[0]:
        for organisation_id, key, ids in await connection.fetch(_MEMBERS_OF_EXTERNAL_IDS, *members):
            holders = states[organisation_id].member_external_ids
            holders.setdefault(key, set()).update(ids.split(","))
    groups = pairs_of(touches, lambda touch: touch.group_external_ids, is_storable)
    if groups[0]:
        for organisation_id, key, ids in await connection.fetch(_GROUPS_OF_EXTERNAL_IDS, *groups):
            holders = states[organisation_id].group_external_ids
            holders.setdefault(key, set()).update(ids.split(","))


async def _load_memberships(
    connection: "Connection", touches: Touches, states: dict[str, State]
) -> None:
    wanted = (
        (organisation_id, group_id, member_id)
        for organisation_id, touch in touches.items()
        for group_id, member_id in touch.pairs
        if group_id not in touch.whole_groups and is_id(group_id) and is_id(member_id)
    )
    for columns in await _chunks(wanted, sum(len(touch.pairs) for touch in touches.values())):
        for organisation_id, group_id, found in await connection.fetch(_MEMBERSHIPS, *columns):
            states[organisation_id].memberships.setdefault(group_id, set()).update(found.split(","))


async def _load_whole_groups(
    connection: "Connection", touches: Touches, states: dict[str, State]
) -> None:
    groups = pairs_of(touches, lambda touch: touch.whole_groups, is_id)
    for organisation_id, group_id in zip(*groups, strict=True):
        states[organisation_id].complete_groups.add(group_id)
        states[organisation_id].memberships.setdefault(group_id, set())
    if not groups[0]:
        return
    cursor = connection.cursor(_MEMBERS_OF_GROUPS, *groups, prefetch=1)
    async for organisation_id, group_id, found in cursor:
        states[organisation_id].memberships[group_id].update(found.split(","))


async def _filled(rows: Sequence["asyncpg.Record"], fill: Callable[[], None]) -> None:
    """Put rows into the states; in a thread if there are many."""
    if len(rows) > ROWS_AT_ONCE:
        await asyncio.to_thread(fill)
    else:
        fill()


async def _chunks(rows: Iterator[tuple[str, ...]], most: int) -> list[list[str]]:
    """At most `most` rows of ids at a time, as columns of texts; in a thread if there are many."""
    if most > ROWS_AT_ONCE:
        return await asyncio.to_thread(_chunked, rows)
    return _chunked(rows)


def _chunked(rows: Iterator[tuple[str, ...]]) -> list[list[str]]:
    chunks = []
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        chunks.append(joined(chunk))
    return chunks


def pairs_of(
    touches: Touches, keys: Callable[[Touch], Iterable[str]], is_possible: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """Two columns, organisation and key, without keys that no row can have."""
    organisations: list[str] = []
    values: list[str] = []
    for organisation_id, touch in touches.items():
        for key in keys(touch):
            if is_possible(key):
                organisations.append(organisation_id)
                values.append(key)
    return organisations, values
