"""The decision: from a state and a request to changes, outcomes and a verdict. Pure.

Time, ids and settings come from the request and from `at`, the append time of its record. A refusal
is a decision like any other: no changes, the outcome `request.rejected`, and a SCIM error as
verdict. An exception is our bug and makes the event a dead letter.

The order of errors follows RFC 9110 §13.2: 404 if the resource does not exist, then 412 if a
precondition fails, then what the change itself raises.
"""

from datetime import datetime
from typing import Final, assert_never

from rollcall.directory import groups, members, offboarding
from rollcall.directory.changes import Decision, Verdict
from rollcall.directory.state import State
from rollcall.events.bodies import (
    Accept,
    Create,
    Delete,
    Discard,
    EndOrganisation,
    Erase,
    Incomplete,
    Patch,
    Redrive,
    Replace,
)
from rollcall.events.outcome import Outcome
from rollcall.events.request import Request
from rollcall.scim.errors import PreconditionFailed, ScimError

INCOMPLETE: Final = "the request lacks what its kind needs"


def decide(state: State, request: Request, at: datetime) -> Decision:
    """Decide what `request`, appended at `at`, does to `state`. `state` is not modified."""
    try:
        _check_precondition(state, request)
        return _of_member(state, request, at) if request.is_member else _of_group(state, request)
    except ScimError as refusal:
        return rejected(request, refusal)


def _of_member(state: State, request: Request, at: datetime) -> Decision:
    """Of a member, or of the organisation as a whole."""
    body = request.body
    match body:
        case Create():
            return members.create(state, request, body)
        case Replace():
            return members.replace_member(state, request, body)
        case Patch():
            return members.patch(state, request, body)
        case Delete():
            return members.delete(state, request)
        case Accept():
            return members.accept(state, request, body, at)
        case Erase():
            return members.erase(state, request)
        case EndOrganisation():
            return offboarding.delete(request)
        case Incomplete(is_create=is_create):
            if not is_create:
                members.find(state, request)
            raise ValueError(INCOMPLETE)
        case Redrive() | Discard():
            raise KeyError(request.kind)  # the fold does these (redrive.py, release.py)
        case _:
            assert_never(body)


def _of_group(state: State, request: Request) -> Decision:
    body = request.body
    match body:
        case Create():
            return groups.create(state, request, body)
        case Replace():
            return groups.replace_group(state, request, body)
        case Patch():
            return groups.patch(state, request, body)
        case Delete():
            return groups.delete(state, request)
        case Incomplete(is_create=is_create):
            if not is_create:
                groups.find(state, request)
            raise ValueError(INCOMPLETE)
        case Accept() | Erase() | EndOrganisation() | Redrive() | Discard():
            raise KeyError(request.kind)  # not about a group, or done by the fold (redrive.py)
        case _:
            assert_never(body)


def _check_precondition(state: State, request: Request) -> None:
    """Raise PreconditionFailed if the resource exists in a version that the request excludes."""
    wanted = request.precondition
    if wanted is None:
        return
    resources = state.members if request.is_member else state.groups
    resource = resources.get(request.resource_id)
    if resource is None:
        return
    if not wanted.is_matched(resource.version):
        raise PreconditionFailed(
            "The resource is not in the version that If-Match names; read it again, and repeat "
            "the request with the version that it has then.",
            attribute="If-Match",
        )
    if wanted.is_excluded(resource.version):
        raise PreconditionFailed(
            "The resource is in a version that If-None-Match excludes; read it again before you "
            "repeat the request.",
            attribute="If-None-Match",
        )


def rejected(request: Request, refusal: ScimError) -> Decision:
    """The decision that refuses `request`. Its outcome names the attribute, but never a value."""
    detail: dict[str, object] = {
        "status": refusal.status,
        "kind": request.kind,
        "endpoint": "Users" if request.is_member else "Groups",
    }
    if refusal.scim_type is not None:
        detail["scim_type"] = refusal.scim_type
    if refusal.attribute is not None:
        detail["attribute"] = refusal.attribute
    outcome = Outcome(
        "request.rejected", request.organisation_id, request.resource_id, detail=detail
    )
    verdict = Verdict(refusal.status, refusal.scim_type, refusal.detail, refusal.attribute)
    return Decision(outcomes=(outcome,), verdict=verdict)
