"""Begin a batch in one call: compare and set the position, and load what the batch needs.

The call is the first of the batch's transaction. It loads only what is ordinary: a batch that
touches a large document, or a member of very many groups, is measured and loaded piece by piece
(directory_load.py).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rollcall.directory.quarantine import Park, Quarantine
from rollcall.directory.state import State
from rollcall.directory.touch import Touch
from rollcall.postgres import queries
from rollcall.postgres.directory_load import ROWS_AT_ONCE, pairs_of
from rollcall.postgres.rows import is_id, is_storable, to_group, to_member

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection
    from rollcall.postgres.progress import Step

MOST_MEMBERSHIPS: Final = 1000
"""Memberships of the members that one batch loads with all their groups."""

_SQL = queries.load("batch_begin")
_BEGIN = _SQL["begin_batch"]


class Large(Exception):
    """The batch touches more than is loaded in one call; the transaction has to be rolled back."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a batch asks for beside its position.

    `organisations`: of which to say whether they have left; `unplaced`: where they live.
    `event_ids`: of which to say whether they are applied. `unheard`: ids of refusals to note.
    `touches`: what to load; None: nothing. `most_bytes`: of one document.
    """

    organisations: Collection[str]
    unplaced: Collection[str]
    event_ids: Collection[str]
    unheard: Collection[str] = ()
    touches: Mapping[str, Touch] | None = None
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """What the call found. `partitions`: organisation → its partition, as far as it is known.

    `states` is what `directory_load.load_states` would load; None if it was not asked for.
    """

    applied: set[str]
    departed: set[str]
    partitions: Mapping[str, int]
    states: dict[str, State] | None = None


def is_loadable(touches: Mapping[str, Touch]) -> bool:
    """Whether one call may load it: no group whole, and no more ids than one query asks for."""
    known = sum(len(touch.known) for touch in touches.values())
    pairs = sum(len(touch.pairs) for touch in touches.values())
    is_whole = any(touch.whole_groups for touch in touches.values())
    return not is_whole and max(known, pairs) <= ROWS_AT_ONCE


async def begin(connection: "Connection", step: "Step", wanted: Wanted) -> Begun | None:
    """Move the position by `step`, and load; None, with nothing written, if it is not ours.

    Raises Large: then the caller must roll back.
    """
    touches = wanted.touches or {}
    row = await connection.fetchrow(
        _BEGIN,
        step.topic,
        step.partition,
        step.expected,
        step.epoch,
        step.new,
        step.published,
        step.last_event_id,
        step.last_append_time,
        _ids(wanted.unheard),
        _ids(wanted.organisations),
        _ids(wanted.unplaced),
        _ids(wanted.event_ids),
        _ids(touches),
        *_columns(touches, lambda touch: touch.members | touch.members_with_groups, is_id),
        *_columns(touches, lambda touch: touch.user_names, is_storable),
        *_columns(touches, lambda touch: touch.member_external_ids, is_storable),
        *_columns(touches, lambda touch: touch.known, is_id),
        *_columns(touches, lambda touch: touch.members_with_groups, is_id),
        *_columns(touches, lambda touch: touch.groups, is_id),
        *_columns(touches, lambda touch: touch.group_names, is_storable),
        *_columns(touches, lambda touch: touch.group_external_ids, is_storable),
        *_memberships(touches),
        wanted.most_bytes,
        MOST_MEMBERSHIPS,
    )
    if row is None or not row["is_ours"]:
        return None
    if row["is_large"]:
        raise Large
    return Begun(
        set(row["applied"] or ()),
        set(row["gone"] or ()),
        dict(row["partitions"] or ()),
        None if wanted.touches is None else _states(wanted.touches, row),
    )


def _states(touches: Mapping[str, Touch], row: "asyncpg.Record") -> dict[str, State]:
    states = {organisation_id: State(organisation_id) for organisation_id in touches}
    for organisation_id, endpoint, resource_id, dead_id, cause in row["quarantines"] or ():
        quarantine = Quarantine(dead_id, cause=cause)
        states[organisation_id].quarantines[endpoint, resource_id] = quarantine
    for organisation_id, dead_id in row["parks"] or ():
        states[organisation_id].park = Park(dead_id)
    _add_members(touches, states, row)
    _add_groups(states, row)
    return states


def _add_members(
    touches: Mapping[str, Touch], states: Mapping[str, State], row: "asyncpg.Record"
) -> None:
    for each in row["members"] or ():
        states[each["organisation_id"]].add_member(to_member(each))
    for organisation_id, key, member_id in row["member_names"] or ():
        states[organisation_id].user_names[key] = member_id
    for organisation_id, external_id, ids in row["member_holders"] or ():
        holders = states[organisation_id].member_external_ids
        holders.setdefault(external_id, set()).update(ids.split(","))
    for organisation_id, member_id in row["known"] or ():
        states[organisation_id].known_members.add(member_id)
    for organisation_id, touch in touches.items():
        for member_id in touch.members_with_groups:
            states[organisation_id].groups_of[member_id] = set()


def _add_groups(states: Mapping[str, State], row: "asyncpg.Record") -> None:
    for each in row["groups"] or ():
        states[each["organisation_id"]].add_group(to_group(each))
    for organisation_id, key, group_id in row["group_names"] or ():
        if group_id not in states[organisation_id].groups:  # else its row has said so
            states[organisation_id].group_names[key] = group_id
    for organisation_id, external_id, ids in row["group_holders"] or ():
        holders = states[organisation_id].group_external_ids
        holders.setdefault(external_id, set()).update(ids.split(","))
    for organisation_id, group_id, member_id in row["memberships"] or ():
        state = states[organisation_id]
        state.memberships.setdefault(group_id, set()).add(member_id)
        if member_id in state.groups_of:
            state.groups_of[member_id].add(group_id)


def _ids(given: Iterable[str]) -> list[str] | None:
    """Those that can be ids of rows; None if there are none."""
    return [each for each in given if is_id(each)] or None


def _columns(
    touches: Mapping[str, Touch],
    keys: Callable[[Touch], Iterable[str]],
    is_possible: Callable[[str], bool],
) -> Sequence[list[str] | None]:
    """Two columns, organisation and key; None each if there is no key."""
    organisations, values = pairs_of(touches, keys, is_possible)
    return (organisations, values) if values else (None, None)


def _memberships(touches: Mapping[str, Touch]) -> Sequence[Any]:
    """Three columns, organisation, group and member; None each if there is no membership."""
    rows = [
        (organisation_id, group_id, member_id)
        for organisation_id, touch in touches.items()
        for group_id, member_id in touch.pairs
        if is_id(group_id) and is_id(member_id)
    ]
    return [list(column) for column in zip(*rows, strict=True)] if rows else [None] * 3
