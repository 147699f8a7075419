"""A whole directory in memory that answers as `postgres.tail_read` does. No test in here.

What the statement itself returns is tested against Postgres (test_tail_read.py).
"""

from dataclasses import dataclass

from rollcall.directory.state import State
from rollcall.postgres.search_keys import member_display_name_key
from rollcall.postgres.tail_read import Wanted

PARTITION = 3
APPENDED_MS = 1_764_057_600_500


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a directory that was wanted, and the names to show of members."""

    state: State
    displays: dict[str, str | None]


def read(whole: State, wanted: Wanted) -> Part:
    """The part of the directory that is wanted, and no more."""
    touch = wanted.touch
    members = {
        member.id
        for member in whole.members.values()
        if member.id in touch.members | touch.members_with_groups
        or member.user_name_key in touch.user_names
        or member.external_id in touch.member_external_ids
        or member_display_name_key(member.resource) in wanted.member_display_names
    }
    with_groups = touch.members_with_groups | (members if wanted.groups_of_all else set())
    pairs = {(group, member) for group, ids in whole.memberships.items() for member in ids}
    memberships = {pair for pair in pairs if pair[1] in with_groups}
    groups = {group for group, _ in memberships} | {
        group.id
        for group in whole.groups.values()
        if group.id in touch.groups | touch.whole_groups
        or group.display_name_key in touch.group_names
        or group.external_id in touch.group_external_ids
    }
    in_full = touch.whole_groups | (groups if wanted.members_of_all else set())
    memberships |= {pair for pair in pairs if pair[0] in in_full or pair in touch.pairs}
    memberships |= {
        (group, member)
        for group, member in pairs
        if group in groups & whole.groups.keys()
        if member in wanted.in_any_group
    }
    state = State(whole.organisation_id)
    for member_id in members:
        state.add_member(whole.members[member_id])
    for member_id in with_groups:
        state.groups_of[member_id] = set()
    for group_id in groups:
        state.add_group(whole.groups[group_id])
    for group_id, member_id in memberships:
        state.memberships.setdefault(group_id, set()).add(member_id)
        if member_id in with_groups:
            state.groups_of[member_id].add(group_id)
    shown = touch.known | {member for group, member in memberships if group in in_full}
    displays = {
        member_id: resource.get("displayName")
        for member_id in shown & whole.members.keys()
        for resource in [whole.members[member_id].resource]
    }
    state.known_members.update(displays)
    return Part(state, displays)
