"""What the decision reads: the loaded part of one organisation's members, groups and memberships.

The theory. A batch of requests is folded over a state that was loaded for it. `touch.py` names in
advance what a request may touch. So the state is a partial copy of the directory that is exact for
those resources: what is missing here is missing in the directory. A decision never modifies the
state; `State.apply` does, with the decision's changes. So a decision that raises leaves the state
untouched.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, assert_never

from rollcall.directory.address import notice_address
from rollcall.directory.changes import (
    AddMembers,
    Change,
    EraseHeld,
    PutGroup,
    PutMember,
    RemoveGroup,
    RemoveMember,
    RemoveMembers,
    RemoveOrganisation,
)
from rollcall.directory.lifecycle import LifecycleState, Status
from rollcall.directory.quarantine import Key, Park, Quarantine, key_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """One member (a User on the wire).

    `restore_status` is the status to which a revoked member returns; None for others. `version` is
    the id of the event that last changed the member. `invitation_id` is the id of the event whose
    invitation is open; None if the member was never invited (created inactive). `resource` is
    canonical. `kept_address` is the address for notices if it differs from the one in `resource`
    (kept_address.py): "" for no address, None if it does not differ.
    """

    id: str
    user_name_key: str
    external_id: str | None
    status: Status
    restore_status: Status | None
    invitation_id: str | None
    version: str
    created: datetime
    last_modified: datetime
    resource: Json
    kept_address: str | None = None

    @property
    def address(self) -> str | None:
        """The mailbox to which this member's notices are sent, or None."""
        if self.kept_address is None:
            return notice_address(self.resource)
        return self.kept_address or None

    @property
    def lifecycle(self) -> LifecycleState:
        """The member's state in the life cycle."""
        return LifecycleState(self.status, self.restore_status)


@dataclass(frozen=True, slots=True)
class Group:
    """One group without its members, which are separate rows. `resource` is canonical.

    `name_is_unique`: the organisation required unique names when the name was last written.
    """

    id: str
    display_name_key: str
    external_id: str | None
    version: str
    created: datetime
    last_modified: datetime
    resource: Json
    name_is_unique: bool = True


@dataclass(slots=True)
class State:
    """The loaded part of one organisation's directory. Mutable, used by one fold at a time.

    `memberships` maps a group to its loaded members: all of them for a group in `complete_groups`,
    otherwise those that the requests name. `groups_of` maps a loaded member to all their groups.
    `quarantines` holds all of the organisation. If `park` is set, all its events wait. The external
    ids that were asked for map to the ids of all their holders; a holder's row may not be loaded.
    """

    organisation_id: str
    members: dict[str, Member] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    user_names: dict[str, str] = field(default_factory=dict)
    member_external_ids: dict[str, set[str]] = field(default_factory=dict)
    group_names: dict[str, str] = field(default_factory=dict)
    group_external_ids: dict[str, set[str]] = field(default_factory=dict)
    known_members: set[str] = field(default_factory=set)
    memberships: dict[str, set[str]] = field(default_factory=dict)
    complete_groups: set[str] = field(default_factory=set)
    groups_of: dict[str, set[str]] = field(default_factory=dict)
    quarantines: dict[Key, Quarantine] = field(default_factory=dict)
    park: Park | None = None

    def add_member(self, member: Member) -> None:
        """Add or replace a member and the names that lead to it."""
        self.forget_member_names(member.id)
        self.members[member.id] = member
        self.known_members.add(member.id)
        self.user_names[member.user_name_key] = member.id
        if member.external_id is not None:
            self.member_external_ids.setdefault(member.external_id, set()).add(member.id)

    def add_group(self, group: Group) -> None:
        """Add or replace a group and the names that lead to it."""
        self.forget_group_names(group.id)
        self.groups[group.id] = group
        self.memberships.setdefault(group.id, set())
        if group.name_is_unique:
            self.group_names[group.display_name_key] = group.id
        if group.external_id is not None:
            self.group_external_ids.setdefault(group.external_id, set()).add(group.id)

    def forget_member_names(self, member_id: str) -> None:
        """Free the names that the member has now."""
        old = self.members.get(member_id)
        if old is None:
            return
        if self.user_names.get(old.user_name_key) == member_id:
            del self.user_names[old.user_name_key]
        _let_go(self.member_external_ids, old.external_id, member_id)

    def forget_group_names(self, group_id: str) -> None:
        """Free the names that the group has now."""
        old = self.groups.get(group_id)
        if old is None:
            return
        if self.group_names.get(old.display_name_key) == group_id:
            del self.group_names[old.display_name_key]
        _let_go(self.group_external_ids, old.external_id, group_id)

    def apply(self, changes: Iterable[Change]) -> None:
        """Make the changes of one decision, in order."""
        for change in changes:
            self._apply_one(change)

    def _apply_one(self, change: Change) -> None:
        match change:
            case PutMember(member):
                self.groups_of.setdefault(member.id, set())
                self.add_member(member)
            case RemoveMember(member_id):
                self.forget_member_names(member_id)
                self.members.pop(member_id, None)
                self.known_members.discard(member_id)
                for group_id in self.groups_of.pop(member_id, set()):
                    self.memberships.get(group_id, set()).discard(member_id)
            case PutGroup(group):
                if group.id not in self.groups:
                    self.complete_groups.add(group.id)
                self.add_group(group)
            case RemoveGroup(group_id):
                self.forget_group_names(group_id)
                self.groups.pop(group_id, None)
                self.memberships.pop(group_id, None)
                self.complete_groups.discard(group_id)
                for groups in self.groups_of.values():
                    groups.discard(group_id)
            case AddMembers(group_id, member_ids):
                self.memberships.setdefault(group_id, set()).update(member_ids)
                for member_id in member_ids:
                    if member_id in self.groups_of:
                        self.groups_of[member_id].add(group_id)
            case RemoveMembers(group_id, member_ids):
                self.memberships.setdefault(group_id, set()).difference_update(member_ids)
                for member_id in member_ids:
                    if member_id in self.groups_of:
                        self.groups_of[member_id].discard(group_id)
            case EraseHeld(member_id):
                self._forget_held(("Users", member_id))
            case RemoveOrganisation():
                self._forget_all()
            case _:
                assert_never(change)

    def _forget_held(self, key: Key) -> None:
        """Drop the dead, parked and waiting events of this resource."""
        self.quarantines.pop(key, None)
        if self.park is not None:
            waiting = self.park.waiting
            self.park.waiting = [held for held in waiting if key_of(held.event) != key]

    def _forget_all(self) -> None:
        """Drop everything: the organisation has left."""
        empty = State(self.organisation_id)
        for each in fields(self):
            setattr(self, each.name, getattr(empty, each.name))


def _let_go(holders: dict[str, set[str]], external_id: str | None, resource_id: str) -> None:
    """Remove the resource from the holders of the external id."""
    if external_id is None or external_id not in holders:
        return
    holders[external_id].discard(resource_id)
    if not holders[external_id]:
        del holders[external_id]


def touched(group: Group, version: str, moment: datetime) -> Group:
    """The group with a new version: its members changed, its resource did not."""
    return replace(group, version=version, last_modified=moment)
