"""Decisions about groups. Memberships are rows, and a change touches only those that it names."""

from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from typing import Final
from uuid import UUID

from rollcall.directory.changes import (
    AddMembers,
    Change,
    Decision,
    PutGroup,
    RemoveGroup,
    RemoveMembers,
    Verdict,
)
from rollcall.directory.facts import about
from rollcall.directory.members import changed_attributes, check_external_id
from rollcall.directory.rules import most_work
from rollcall.directory.state import Group, Json, State
from rollcall.events.bodies import Create, MemberDelta, Patch, Replace
from rollcall.events.request import Request
from rollcall.scim.errors import InvalidValue, NotFound, Uniqueness
from rollcall.scim.patch.patch import apply_patch
from rollcall.scim.profile import Profile
from rollcall.scim.schema import GROUP
from rollcall.scim.work import Work

NAMED_MEMBERS: Final = 1000
"""Most member ids that one outcome lists; if there are more it gives only their number."""
SORTED_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class Membership:
    """The effect of a request on the members of a group, as sorted ids."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def changes(self, group_id: str) -> list[Change]:
        """The row changes."""
        changes: list[Change] = []
        if self.removed:
            changes.append(RemoveMembers(group_id, self.removed))
        if self.added:
            changes.append(AddMembers(group_id, self.added))
        return changes

    def detail(self) -> Json:
        """The membership part of an outcome's detail. Unknown ids that are UUIDs are listed; others
        may be any text, even personal data, so only the total number of unknown ids covers them."""
        detail: Json = {}
        for name, ids in (("members_added", self.added), ("members_removed", self.removed)):
            if ids:
                detail[f"{name}_count"] = len(ids)
                if len(ids) <= NAMED_MEMBERS:
                    detail[name] = list(ids)
        if self.unknown:
            detail["unknown_members_count"] = len(self.unknown)
            detail["unknown_members"] = list(islice(filter(_is_uuid, self.unknown), NAMED_MEMBERS))
        return detail


def create(state: State, request: Request, body: Create) -> Decision:
    """A new group with those of the named members whom the organisation has."""
    group = Group(
        id=request.resource_id,
        display_name_key=body.name_key,
        external_id=body.resource.get("externalId") or None,
        version=request.id,
        created=request.time,
        last_modified=request.time,
        resource=body.resource,
        name_is_unique=request.settings.unique_group_names,
    )
    if group.id in state.groups:
        raise Uniqueness("A group with this id exists already.", attribute="id")
    _check_name(state, group)
    check_external_id(state.group_external_ids, request, group.external_id, before=None)
    membership = _membership(state, request, body.members, current=set())
    return Decision(
        changes=(PutGroup(group), *membership.changes(group.id)),
        outcomes=(about(request, "group.created", detail=membership.detail()),),
        verdict=Verdict(201, group=group),
    )


def replace_group(state: State, request: Request, body: Replace) -> Decision:
    """PUT: what is omitted is cleared, but members that are not spoken of stay."""
    group = find(state, request)
    return _update(state, request, body, group, body.resource, status=200)


def patch(state: State, request: Request, body: Patch) -> Decision:
    """PATCH, all operations or none (RFC 7644 §3.5.2)."""
    group = find(state, request)
    resource = group.resource
    if body.operations:
        profile = Profile(request.settings.profile)
        work = Work(most_work(request.rules))
        resource = apply_patch(resource, body.operations, GROUP, profile, work)
    return _update(state, request, body, group, resource, status=204)


def delete(state: State, request: Request) -> Decision:
    """Remove the group and its memberships; its members stay."""
    group = find(state, request)
    return Decision(
        changes=(RemoveGroup(group.id),),
        outcomes=(about(request, "group.removed"),),
        verdict=Verdict(204),
    )


def _update(
    state: State,
    request: Request,
    body: Replace | Patch,
    group: Group,
    resource: Json,
    status: int,
) -> Decision:
    current = state.memberships.get(group.id, set())
    membership = _membership(state, request, body.members, current=current)
    names = changed_attributes(group.resource, resource)
    changes = membership.changes(group.id)
    if not names and not changes:
        outcomes = [about(request, "group.changed", detail=membership.detail())]
        return Decision(
            outcomes=tuple(outcomes if membership.unknown else ()),
            verdict=Verdict(status, group=group),
        )
    key, is_unique = group.display_name_key, group.name_is_unique
    if "displayName" in names:
        if body.name_key is None:
            raise ValueError("the request writes a displayName and has no key of it")
        key, is_unique = body.name_key, request.settings.unique_group_names
    changed = replace(
        group,
        display_name_key=key,
        name_is_unique=is_unique,
        external_id=resource.get("externalId") or None,
        version=request.id,
        last_modified=request.time,
        resource=resource,
    )
    _check_name(state, changed)
    check_external_id(
        state.group_external_ids, request, changed.external_id, before=group.external_id
    )
    if changes:
        names = tuple(sorted({*names, "members"}))
    return Decision(
        changes=(PutGroup(changed), *changes),
        outcomes=(about(request, "group.changed", names, membership.detail()),),
        verdict=Verdict(status, group=changed),
    )


def _membership(
    state: State, request: Request, delta: MemberDelta | None, current: set[str]
) -> Membership:
    """What the request does to the members, given who is in the group now.

    Unknown ids are skipped and reported in the outcome; the interop profile refuses them. Adding a
    present member and removing an absent one change nothing.
    """
    if delta is None:
        return Membership()
    wanted = set(delta.add)
    known = wanted & state.known_members
    if state.quarantines:
        known |= {member_id for member_id in wanted if ("Users", member_id) in state.quarantines}
    unknown = wanted - known
    if unknown and request.settings.profile == Profile.INTEROP:
        raise InvalidValue(
            "members: the organisation has no User with some of these ids; create them first.",
            attribute="members",
        )
    removed = (current if delta.clear else current & set(delta.remove)) - known
    return Membership(
        added=_in_order(known - current),
        removed=_in_order(removed),
        unknown=_in_order(unknown),
    )


def _in_order(ids: set[str]) -> tuple[str, ...]:
    """Sorted, in chunks: one sort of 100,000 ids would block all other threads for 30 ms."""
    if len(ids) <= SORTED_AT_ONCE:
        return tuple(sorted(ids))
    runs, left = [], iter(ids)
    while run := sorted(islice(left, SORTED_AT_ONCE)):
        runs.append(run)
    return tuple(merge(*runs))


def _check_name(state: State, group: Group) -> None:
    if group.name_is_unique and state.group_names.get(group.display_name_key, group.id) != group.id:
        raise Uniqueness(
            "Another group of this organisation has this displayName (letter case does not count).",
            attribute="displayName",
        )


def find(state: State, request: Request) -> Group:
    """The group that the request is about. Raises NotFound."""
    group = state.groups.get(request.resource_id)
    if group is None:
        raise NotFound(f"There is no Group with the id {request.resource_id}.")
    return group


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
