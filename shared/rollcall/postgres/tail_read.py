"""Read a partial state and `next_offset` in one statement, for the fold of a tail.

One statement sees one snapshot, so the result is the directory exactly as it was when the partition
was applied up to `next_offset`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rollcall.directory.quarantine import Park, Quarantine
from rollcall.directory.state import Group, Member, State
from rollcall.directory.touch import Touch
from rollcall.postgres import queries
from rollcall.postgres.rows import is_id, is_storable, to_group, to_member, to_utc
from rollcall.runtime.errors import Unavailable

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

Json = dict[str, Any]
MOST_OF_A_NAME: Final = 1000
"""If more resources share a displayName or an externalId, they are not folded."""

_SQL = queries.load("tail_read")
_READ = _SQL["read_for_tail"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read. `touch` is what the connected requests need; `member_display_names` is what the
    look-up itself asks for.

    `groups_of_all`: also all groups of each member that is found. `members_of_all`: also all
    members of each group that is found. `in_any_group`: members for whom to read in which of the
    found groups they are. `event_ids`: events of which to find whether they are applied.
    """

    touch: Touch
    member_display_names: frozenset[str] = frozenset()
    groups_of_all: bool = False
    members_of_all: bool = False
    in_any_group: frozenset[str] = frozenset()
    event_ids: frozenset[str] = frozenset()


@dataclass(slots=True)
class Read:
    """The result of a read; `displays`: member id → how it is shown in a group.

    `last_append_time` is that of the partition's last applied record, None if there is none.
    `epoch` is that of the log in which the offset counts; it rises when an operator accepts another
    log. `applied_ids`: the asked events that are applied.
    `has_left`: the organisation was deleted, and nothing of it is kept. `directory` is another
    number after a rebuild has taken the directory's place.
    """

    state: State
    epoch: int
    next_offset: int
    last_append_time: datetime | None
    displays: dict[str, str | None] = field(default_factory=dict)
    applied_ids: set[str] = field(default_factory=set)
    has_left: bool = False
    directory: int = 0


async def read(
    connection: "Connection", organisation_id: str, topic: str, partition: int, wanted: Wanted
) -> Read:
    """Read the part of the organisation's directory that `wanted` names, and how far it is applied.

    Raises Unavailable if more than `MOST_OF_A_NAME` resources have one displayName or the requested
    externalIds.
    """
    touch = wanted.touch
    pairs = [
        pair for pair in touch.pairs if pair[0] not in touch.whole_groups and all(map(is_id, pair))
    ]
    row = await connection.fetchrow(
        _READ,
        organisation_id,
        topic,
        partition,
        list(filter(is_id, touch.members | touch.members_with_groups)),
        list(filter(is_storable, touch.user_names)),
        list(filter(is_storable, touch.member_external_ids)),
        list(filter(is_storable, wanted.member_display_names)),
        list(filter(is_id, touch.groups | touch.whole_groups)),
        list(filter(is_storable, touch.group_names)),
        list(filter(is_storable, touch.group_external_ids)),
        list(filter(is_id, touch.members_with_groups)),
        wanted.groups_of_all,
        list(filter(is_id, touch.whole_groups)),
        wanted.members_of_all,
        list(filter(is_id, touch.known)),
        [group_id for group_id, _ in pairs],
        [member_id for _, member_id in pairs],
        MOST_OF_A_NAME + 1,
        list(filter(is_id, wanted.in_any_group)),
        list(filter(is_id, wanted.event_ids)),
    )
    if row is None:
        raise LookupError("the statement returns one row whatever there is")
    last = row["last_append_time"]
    found = Read(
        _state(organisation_id, row, wanted),
        row["epoch"],
        row["next_offset"],
        None if last is None else to_utc(last),
    )
    found.displays.update((member_id, display) for member_id, display in row["known"] or ())
    found.state.known_members.update(found.displays)
    found.applied_ids.update(row["applied_ids"] or ())
    found.has_left = row["has_left"]
    found.directory = row["directory_oid"]
    return found


def _state(organisation_id: str, row: Any, wanted: Wanted) -> State:
    state = State(organisation_id)
    members = [to_member(each) for each in row["members"] or ()]
    groups = [to_group(each) for each in row["groups"] or ()]
    if max(len(members), len(groups)) > MOST_OF_A_NAME:
        _check_names(members, groups, wanted)
    for member in members:
        state.add_member(member)
    complete = set(wanted.touch.members_with_groups)
    if wanted.groups_of_all:
        complete.update(state.members)
    for member_id in complete:
        state.groups_of[member_id] = set()
    for group in groups:
        state.add_group(group)
    state.complete_groups.update(wanted.touch.whole_groups)
    if wanted.members_of_all:
        state.complete_groups.update(state.groups)
    for group_id, member_id in row["memberships"] or ():
        state.memberships.setdefault(group_id, set()).add(member_id)
        if member_id in complete:
            state.groups_of[member_id].add(group_id)
    for endpoint, resource_id, dead_id, cause in row["quarantines"] or ():
        state.quarantines[endpoint, resource_id] = Quarantine(dead_id, cause=cause)
    if row["parked_behind"] is not None:
        state.park = Park(row["parked_behind"])
    return state


def _check_names(members: list[Member], groups: list[Group], wanted: Wanted) -> None:
    """Raise Unavailable if the limit for a displayName or an externalId was reached."""
    touch = wanted.touch
    of_name = sum(group.display_name_key in touch.group_names for group in groups)
    if (wanted.member_display_names and len(members) > MOST_OF_A_NAME) or of_name > MOST_OF_A_NAME:
        raise Unavailable("the directory (it is behind, and too many have this displayName)", 10.0)
    of_external_id = max(
        sum(member.external_id in touch.member_external_ids for member in members),
        sum(group.external_id in touch.group_external_ids for group in groups),
    )
    if of_external_id > MOST_OF_A_NAME:
        raise Unavailable("the directory (it is behind, and too many have this externalId)", 10.0)
