"""The decision: from a state and a request to changes, outcomes and a verdict. Pure.

Time, ids and settings come from the request and from `at`, the append time of its record. A refusal
is a decision like any other: no changes, the outcome `request.rejected`, and a SCIM error as
verdict. An exception is our bug and makes the event a dead letter.

The order of errors follows RFC 9110 §13.2: 404 if the resource does not exist, then 412 if a
precondition fails, then what the change itself raises.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from rollcall.directory import groups, leaving, members
from rollcall.directory.changes import Decision, Verdict
from rollcall.directory.state import State
from rollcall.events.outcome import Outcome
from rollcall.events.request import Kind, Request
from rollcall.scim.errors import PreconditionFailed, ScimError

Decider = Callable[[State, Request, datetime], Decision]

DECIDERS: Final[dict[Kind, Decider]] = {
    "member.create": members.create,
    "member.replace": members.replace_member,
    "member.patch": members.patch,
    "member.delete": members.delete,
    "member.accept": members.accept,
    "member.erase": members.erase,
    "group.create": groups.create,
    "group.replace": groups.replace_group,
    "group.patch": groups.patch,
    "group.delete": groups.delete,
    "organisation.delete": leaving.delete,
}


def decide(state: State, request: Request, at: datetime) -> Decision:
    """Decide what `request`, appended at `at`, does to `state`. `state` is not modified."""
    try:
        _check_precondition(state, request)
        return DECIDERS[request.kind](state, request, at)
    except ScimError as refusal:
        return rejected(request, refusal)


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
