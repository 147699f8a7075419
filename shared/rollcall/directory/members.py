"""Decisions about members (Users on the wire)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from rollcall.directory import rules
from rollcall.directory.address import notice_address
from rollcall.directory.changes import (
    Change,
    Decision,
    EraseHeld,
    PutGroup,
    PutMember,
    RemoveMember,
    Verdict,
)
from rollcall.directory.facts import about
from rollcall.directory.kept_address import Addressed, addressed
from rollcall.directory.lifecycle import (
    INVITED,
    LifecycleState,
    Status,
    Transition,
    after,
    revoked_from,
)
from rollcall.directory.state import Json, Member, State, touched
from rollcall.events.bodies import Accept, Create, Patch, Replace
from rollcall.events.outcome import Fact, Outcome
from rollcall.events.request import Request
from rollcall.scim.errors import NotFound, ScimError, Uniqueness
from rollcall.scim.patch.patch import apply_patch
from rollcall.scim.profile import Profile
from rollcall.scim.schema import USER
from rollcall.scim.work import Work


class InvitationOver(ScimError):
    """This invitation is no longer open; ask the organisation's admin for a new one."""

    status = 409


def initial_resource(resource: Json) -> Json:
    """The resource of a new member: `active` is true unless the request says otherwise."""
    return resource if "active" in resource else {**resource, "active": True}


def create(state: State, request: Request, body: Create) -> Decision:
    """Invite a new member, or keep one who is created inactive from being invited."""
    resource = initial_resource(body.resource)
    if request.resource_id in state.members:
        raise Uniqueness("A member with this id exists already.", attribute="id")
    _check_user_name(state, request.resource_id, body.name_key)
    external_id = resource.get("externalId") or None  # a blank one names no resource
    check_external_id(state.member_external_ids, request, external_id, before=None)
    is_active = resource["active"]
    lifecycle = INVITED if is_active else revoked_from(Status.INVITED)
    member = Member(
        id=request.resource_id,
        user_name_key=body.name_key,
        external_id=external_id,
        status=lifecycle.status,
        restore_status=lifecycle.restore_status,
        invitation_id=request.id if is_active else None,
        version=request.id,
        created=request.time,
        last_modified=request.time,
        resource=resource,
    )
    fact: Fact = "member.invited" if is_active else "member.created"
    return Decision(
        changes=(PutMember(member),),
        outcomes=(about(request, fact),),
        verdict=Verdict(201, member=member),
    )


def replace_member(state: State, request: Request, body: Replace) -> Decision:
    """PUT: what is omitted is cleared, but `active` stays as it is (RFC 7644 §3.5.1)."""
    member = find(state, request)
    resource = dict(body.resource)
    if "active" not in resource and "active" in member.resource:
        resource["active"] = member.resource["active"]
    return _update(state, request, member, resource, body.name_key)


def patch(state: State, request: Request, body: Patch) -> Decision:
    """PATCH, all operations or none (RFC 7644 §3.5.2)."""
    member = find(state, request)
    profile = Profile(request.settings.profile)
    resource = apply_patch(
        member.resource,
        body.operations,
        USER,
        profile,
        Work(rules.most_work(request.rules)),
        filter_on_one=rules.knows_filter_on_one(request.rules),
    )
    return _update(state, request, member, resource, body.name_key)


def delete(state: State, request: Request) -> Decision:
    """Remove the member and its memberships; the groups that it was in get a new version."""
    member = find(state, request)
    changes: list[Change] = [RemoveMember(member.id)]
    changes.extend(
        PutGroup(touched(state.groups[group_id], request.id, request.time))
        for group_id in sorted(state.groups_of[member.id])
    )
    return Decision(
        changes=tuple(changes),
        outcomes=(about(request, "member.removed", detail={"from": member.status.value}),),
        verdict=Verdict(204),
    )


def erase(state: State, request: Request) -> Decision:
    """Remove the member as `delete` does, and all that is held of its events.

    Erasing a member that does not exist (any more) is accepted: a dead letter or a parked event
    may still hold their data. A member whose create is dead may already be in groups by its id, and
    leaves them.
    """
    member = state.members.get(request.resource_id)
    groups = sorted(state.groups_of.get(request.resource_id, ()))
    changes: list[Change] = [EraseHeld(request.resource_id)]
    outcomes = []
    if member is not None or groups:
        changes.append(RemoveMember(request.resource_id))
        changes.extend(
            PutGroup(touched(state.groups[group_id], request.id, request.time))
            for group_id in groups
        )
    if member is not None:
        outcomes.append(about(request, "member.removed", detail={"from": member.status.value}))
    return Decision(
        changes=tuple(changes),
        outcomes=(*outcomes, about(request, "member.erased")),
        verdict=Verdict(204),
    )


def accept(state: State, request: Request, body: Accept, at: datetime) -> Decision:
    """The invited person answers from the mailbox: accepted and, by default, confirmed."""
    member = find(state, request)
    if member.status is not Status.INVITED or member.invitation_id != body.invitation_id:
        raise InvitationOver
    if body.expires is None or at > body.expires:
        raise InvitationOver("This invitation has expired; ask the admin for a new one.")
    lifecycle = after(member.lifecycle, Transition.ACCEPT)
    outcomes = [about(request, "member.accepted")]
    if request.settings.confirm_on_accept:
        lifecycle = after(lifecycle, Transition.CONFIRM)
        outcomes.append(about(request, "member.confirmed"))
    # Nothing that a client can read changes, so the version and lastModified stay.
    accepted = replace(
        member, status=lifecycle.status, restore_status=lifecycle.restore_status, invitation_id=None
    )
    return Decision(changes=(PutMember(accepted),), outcomes=tuple(outcomes), verdict=Verdict(204))


def _update(
    state: State, request: Request, member: Member, resource: Json, name_key: str | None
) -> Decision:
    """The member with a new resource, and all that follows for its status and invitation."""
    if resource == member.resource:
        return Decision(verdict=Verdict(200, member=member))
    user_name_key = member.user_name_key
    if resource["userName"] != member.resource["userName"]:
        if name_key is None:
            raise ValueError("the request writes a userName and has no key of it")
        user_name_key = name_key
    _check_user_name(state, member.id, user_name_key)
    external_id = resource.get("externalId") or None
    check_external_id(state.member_external_ids, request, external_id, before=member.external_id)
    lifecycle = _lifecycle_of(member, resource)
    keeps = rules.keeps_address(request.rules)
    address = addressed(member, lifecycle, resource, keeps=keeps)
    outcomes, invitation_id = _consequences(request, member, lifecycle, resource, address)
    changed = replace(
        member,
        user_name_key=user_name_key,
        external_id=external_id,
        status=lifecycle.status,
        restore_status=lifecycle.restore_status,
        invitation_id=invitation_id,
        version=request.id,
        last_modified=request.time,
        resource=resource,
        kept_address=address.kept,
    )
    return Decision(
        changes=(PutMember(changed),),
        outcomes=tuple(outcomes),
        verdict=Verdict(200, member=changed),
    )


def _lifecycle_of(member: Member, resource: Json) -> LifecycleState:
    """Only writing `active` changes the status; removing the attribute does not."""
    active = resource.get("active")
    if active is None:
        return member.lifecycle
    return after(member.lifecycle, Transition.RESTORE if active else Transition.REVOKE)


def _consequences(
    request: Request, member: Member, lifecycle: LifecycleState, resource: Json, address: Addressed
) -> tuple[list[Outcome], str | None]:
    """The outcomes of a change, and the id of the invitation that is open after it.

    An open invitation is valid for the address it was sent to. If a member who has not accepted
    changes address, the invitation becomes void and a new one is due. If an accepted member does,
    the outcome says that the new address is unverified, until its owner has answered from it. A
    change of address during a revocation is judged when the revocation ends (kept_address.py).
    """
    is_open = Status.INVITED in (lifecycle.status, lifecycle.restore_status)
    invitation_id = member.invitation_id
    outcomes: list[Outcome] = []
    names = changed_attributes(member.resource, resource)
    if names != ("active",):
        detail: Json = {}
        is_rewritten = notice_address(member.resource) != notice_address(resource)
        if is_rewritten and not is_open:
            detail = {"address_changed": True, "verified": False}
        outcomes.append(about(request, "member.changed", names, detail))
    if address.is_changed and is_open:
        invitation_id = None
    if lifecycle.status is Status.INVITED and invitation_id is None:
        reason = "address_changed" if member.status is Status.INVITED else "restored"
        outcomes.append(about(request, "member.invited", detail={"reason": reason}))
        return outcomes, request.id
    if lifecycle.status != member.status:
        if lifecycle.status is Status.REVOKED:
            detail = {"from": member.status.value}
            outcomes.append(about(request, "member.revoked", detail=detail))
        else:
            detail = {"to": lifecycle.status.value}
            outcomes.append(about(request, "member.restored", detail=detail))
    return outcomes, invitation_id


def changed_attributes(before: Json, after_: Json) -> tuple[str, ...]:
    """The names of the top-level attributes that differ, sorted."""
    names = before.keys() | after_.keys()
    return tuple(sorted(name for name in names if before.get(name) != after_.get(name)))


def _check_user_name(state: State, member_id: str, user_name_key: str) -> None:
    if state.user_names.get(user_name_key, member_id) != member_id:
        raise Uniqueness(
            "Another member of this organisation has this userName (letter case does not count).",
            attribute="userName",
        )


def check_external_id(
    holders: Mapping[str, set[str]],
    request: Request,
    external_id: str | None,
    *,
    before: str | None,
) -> None:
    """Raise Uniqueness if the request writes an `externalId` that another resource has, and the
    organisation wants them unique. A resource may always keep or repeat its own."""
    if external_id is None or external_id == before or not rules.are_external_ids_unique(request):
        return
    if holders.get(external_id, set()) - {request.resource_id}:
        kind = "member" if request.is_member else "group"
        raise Uniqueness(
            f"Another {kind} of this organisation has this externalId.", attribute="externalId"
        )


def find(state: State, request: Request) -> Member:
    """The member that the request is about. Raises NotFound."""
    member = state.members.get(request.resource_id)
    if member is None:
        raise NotFound(f"There is no User with the id {request.resource_id}.")
    return member
