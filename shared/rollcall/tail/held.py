"""What is held of one organisation: a part of its directory, folded to a position in the log. Pure.

The rule. Held is exact at its position for its keys, and what it does not hold was changed by none
of the folded records. So a row that is not held and that Postgres returns, applied up to an offset
at or below the position, is the row as it is at the position. Where both know a key, what is held
is newer and wins: a row that was removed stays removed, a pair that was taken out stays out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rollcall.directory.changes import (
    AddMembers,
    Change,
    PutGroup,
    PutMember,
    RemoveGroup,
    RemoveMember,
    RemoveMembers,
)
from rollcall.directory.state import Group, Member, State
from rollcall.directory.touch import Touch
from rollcall.events.bodies import Endpoint


class GroundMoved(Exception):
    """Postgres does not hold what the log up to the position leads to: all must be read again."""


@dataclass(slots=True)
class Held:
    """A partial state and the keys for which it is exact; mutable, used by one task at a time.

    `pairs`: group → members of whom it is held whether they are in it. `changed_groups`: groups
    whose members a folded record changed. `changed`: ids of the resources that one changed;
    `removed`: of members that one removed.
    """

    state: State
    keys: Touch = field(default_factory=Touch)
    pairs: dict[str, set[str]] = field(default_factory=dict)
    changed_groups: set[str] = field(default_factory=set)
    changed: dict[Endpoint, set[str]] = field(
        default_factory=lambda: {"Users": set(), "Groups": set()}
    )
    removed: set[str] = field(default_factory=set)
    has_quarantines: bool = False

    def missing(self, touch: Touch) -> Touch:
        """Of the keys, those that are not held."""
        keys = self.keys
        return Touch(
            members=touch.members - keys.members,
            groups=touch.groups - keys.groups,
            user_names=touch.user_names - keys.user_names,
            member_external_ids=touch.member_external_ids - keys.member_external_ids,
            group_names=touch.group_names - keys.group_names,
            group_external_ids=touch.group_external_ids - keys.group_external_ids,
            members_with_groups={
                each
                for each in touch.members_with_groups - keys.members_with_groups
                if not self._is_gone_member(each)
            },
            whole_groups={
                each
                for each in touch.whole_groups - keys.whole_groups
                if not self._is_gone_group(each)
            },
            known=touch.known - keys.known - keys.members,
            pairs={pair for pair in touch.pairs if not self.knows(*pair)},
        )

    def knows(self, group_id: str, member_id: str) -> bool:
        """Whether it is held if the member is in the group."""
        return (
            group_id in self.keys.whole_groups
            or member_id in self.keys.members_with_groups
            or member_id in self.pairs.get(group_id, ())
            or self._is_gone_group(group_id)
            or self._is_gone_member(member_id)
        )

    def is_in(self, group_id: str, member_id: str) -> bool:
        """Whether the member is in the group, of a pair that is held."""
        return member_id in self.state.memberships.get(group_id, ())

    def take(self, loaded: State, asked: Touch) -> None:
        """Take in what Postgres returned for the keys `asked`, which were not held.

        Raises GroundMoved where that contradicts what is held.
        """
        self._take_quarantines(loaded)
        found = list(self._pairs_of(loaded, asked.members_with_groups))
        for member in loaded.members.values():
            if member.id not in self.keys.members:
                self._add_member(member)
        for group in loaded.groups.values():
            if group.id not in self.keys.groups:
                self._add_group(group)
        for member_id in loaded.known_members:
            if not self._is_gone_member(member_id):
                self.state.known_members.add(member_id)
        self._take_pairs(found, asked)
        self._note_keys(loaded, asked)

    def note(self, changes: Iterable[Change]) -> None:
        """Note what a folded record has changed; the state has it already."""
        keys, changed = self.keys, self.changed
        for change in changes:
            match change:
                case PutMember(member):
                    # A new id is in no group; of any other one the groups were asked for.
                    keys.members.add(member.id)
                    keys.members_with_groups.add(member.id)
                    changed["Users"].add(member.id)
                    self.removed.discard(member.id)
                case RemoveMember(member_id):
                    changed["Users"].add(member_id)
                    self.removed.add(member_id)
                case PutGroup(group):
                    keys.groups.add(group.id)
                    if group.id in self.state.complete_groups:
                        keys.whole_groups.add(group.id)
                    changed["Groups"].add(group.id)
                case RemoveGroup(group_id):
                    changed["Groups"].add(group_id)
                    self.changed_groups.discard(group_id)
                case AddMembers(group_id, _) | RemoveMembers(group_id, _):
                    self.changed_groups.add(group_id)
                    changed["Groups"].add(group_id)
                case _:
                    continue

    def groups_of(self, member_id: str, stored: Iterable[str] = ()) -> set[str]:
        """The groups of a member; `stored`: those that Postgres has, where they are not held."""
        if member_id in self.keys.members_with_groups or self._is_gone_member(member_id):
            return set(self.state.groups_of.get(member_id, ()))
        return {
            *(each for each in stored if self._stays(each, member_id)),
            *(each for each in self.changed_groups if self.is_in(each, member_id)),
        }

    def members_of(self, group_id: str, stored: Iterable[str] = ()) -> set[str]:
        """The members of a group; `stored`: those that Postgres has, where they are not held."""
        held = self.state.memberships.get(group_id, set())
        if group_id in self.keys.whole_groups or self._is_gone_group(group_id):
            return set(held)
        return held | {each for each in stored if self._stays(group_id, each)}

    def _stays(self, group_id: str, member_id: str) -> bool:
        """Whether a pair that Postgres has is still there."""
        return self.is_in(group_id, member_id) or not self.knows(group_id, member_id)

    def _pairs_of(self, loaded: State, whole: set[str]) -> Iterator[tuple[str, str]]:
        """The loaded pairs that are true at the position: new ones, and those of `whole` members,
        of whom all groups are needed."""
        for group_id, member_ids in loaded.memberships.items():
            for member_id in member_ids:
                if not self.knows(group_id, member_id) or (
                    member_id in whole and self.is_in(group_id, member_id)
                ):
                    yield group_id, member_id

    def _take_pairs(self, found: list[tuple[str, str]], asked: Touch) -> None:
        state = self.state
        for member_id in asked.members_with_groups:
            state.groups_of[member_id] = {
                each for each in self.changed_groups if self.is_in(each, member_id)
            }
        for group_id, member_id in found:
            state.memberships.setdefault(group_id, set()).add(member_id)
            self.pairs.setdefault(group_id, set()).add(member_id)
            if member_id in state.groups_of:
                state.groups_of[member_id].add(group_id)
        for group_id in asked.whole_groups:
            state.complete_groups.add(group_id)
            state.memberships.setdefault(group_id, set())

    def _add_member(self, member: Member) -> None:
        holder = self.state.user_names.get(member.user_name_key)
        if holder not in (None, member.id):
            raise GroundMoved("two members have one userName")
        self.state.add_member(member)

    def _add_group(self, group: Group) -> None:
        holder = self.state.group_names.get(group.display_name_key)
        if group.name_is_unique and holder not in (None, group.id):
            raise GroundMoved("two groups have one unique name")
        self.state.add_group(group)

    def _take_quarantines(self, loaded: State) -> None:
        """The first time all, and then none that is not foreseen."""
        state = self.state
        if not self.has_quarantines:
            self.has_quarantines = True
            state.quarantines, state.park = loaded.quarantines, loaded.park
            return
        if not loaded.quarantines.keys() <= state.quarantines.keys():
            raise GroundMoved("a resource is in quarantine whose change was thought to succeed")
        if (loaded.park is None) != (state.park is None):
            raise GroundMoved("the organisation was parked, or released")

    def _note_keys(self, loaded: State, asked: Touch) -> None:
        keys = self.keys
        keys.members |= asked.members | asked.members_with_groups | loaded.members.keys()
        keys.groups |= asked.groups | asked.whole_groups | loaded.groups.keys()
        keys.user_names |= asked.user_names
        keys.member_external_ids |= asked.member_external_ids
        keys.group_names |= asked.group_names
        keys.group_external_ids |= asked.group_external_ids
        keys.members_with_groups |= asked.members_with_groups
        keys.whole_groups |= asked.whole_groups
        keys.known |= asked.known
        for group_id, member_id in asked.pairs:
            self.pairs.setdefault(group_id, set()).add(member_id)

    def _is_gone_member(self, member_id: str) -> bool:
        """Whether it is held that the member was removed, and so is in no group.

        That there is no such member does not say so: one whose create is in quarantine may be in
        groups, and stays there when the create is discarded.
        """
        return member_id in self.removed

    def _is_gone_group(self, group_id: str) -> bool:
        return group_id in self.keys.groups and group_id not in self.state.groups
