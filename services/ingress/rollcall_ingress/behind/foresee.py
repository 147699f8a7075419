"""What a write will come to, told before it is decided.

The same pure decision as the provisioner's is tried on what is known: a PATCH that must be answered
with a body (RFC 7644 §3.5.2) shows what comes out, and while the provisioner is behind, a write
that it will refuse is refused at once. What is not known is taken to be as the request needs it. So
what comes out is an estimate, marked as pending: the decision that counts is made in the log's
order. A refusal rests on what is known, and is exact where that is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from rollcall.directory.changes import Decision
from rollcall.directory.decide import decide
from rollcall.directory.state import Group, Member, State
from rollcall.events.request import Request
from rollcall.postgres.directory_search import FoundGroup, FoundMember
from rollcall.runtime.ids import parse_id
from rollcall.scim.errors import ScimError, from_parts
from rollcall.scim.work import most_work
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.aside import THREAD_FROM_WORK
from rollcall_ingress.behind.reads import OverlayReads
from rollcall_ingress.read.show import MEMBERSHIP

Found = FoundMember | FoundGroup
SOMEBODY = "somebody"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The resource as the PATCH will leave it.

    `related` are (id, display) of a member's groups, or of a group's members where those are
    shown; a display that is not known is None. `is_exact`: as of what it was foreseen from.
    """

    resource: Member | Group
    related: tuple[tuple[str, str | None], ...]
    is_exact: bool = True


async def resource_as_known(
    known: OverlayReads, organisation: Organisation, request: Request, *, with_related: bool
) -> Found | None:
    """The resource that `request` is about, as this replica knows it; None: there is none.

    `with_related`: with a member's groups, or a group's members. Raises Unavailable.
    """
    if request.is_member:
        return await known.member(organisation, request.resource_id, with_groups=with_related)
    return await known.group(organisation, request.resource_id, with_members=with_related)


def foresee(request: Request, found: Found, *, with_members: bool) -> Foreseen | None:
    """`found` after the PATCH, or None where the PATCH would be refused on it.

    `with_members`: whether a group was read with its members. Otherwise it is taken that those
    to be removed are there, and in both cases that those to be added exist if their ids may.
    """
    state, decision = _decide(request, [found], with_members=with_members)
    resource = decision.verdict.member or decision.verdict.group
    if resource is None:
        return None
    related = found.groups if isinstance(found, FoundMember) else found.members
    if isinstance(resource, Member):
        return Foreseen(resource, related, found.is_exact)
    state.apply(decision.changes)
    displays = dict(related)
    ids = sorted(state.memberships[resource.id]) if with_members else ()
    shown = tuple((each, displays.get(each)) for each in ids)
    return Foreseen(resource, shown, found.is_exact)


def most_work_on(request: Request, found: Iterable[Found]) -> int:
    """The units of work (`rollcall/scim/work.py`) of a decision on these resources, for `aside`."""
    units = 0
    for each in found:
        resource = each.member if isinstance(each, FoundMember) else each.group
        if request.operations:
            size = len(orjson.dumps(resource.resource))
            units += most_work(request.operations, size, enough=THREAD_FROM_WORK)
        if isinstance(each, FoundGroup):
            units += MEMBERSHIP * len(each.members)
    delta = request.members
    return units if delta is None else units + MEMBERSHIP * (len(delta.add) + len(delta.remove))


def refusal(request: Request, found: Iterable[Found]) -> ScimError | None:
    """The error that the request meets on these resources, if one of them is enough for one."""
    _, decision = _decide(request, found, with_members=False)
    return _error(decision)


def name_is_taken(request: Request) -> ScimError | None:
    """The error of a create whose `userName` somebody has."""
    state = State(request.organisation_id)
    if request.user_name_key is not None:
        state.user_names[request.user_name_key] = SOMEBODY
    return _error(decide(state, request, request.time))


def _error(decision: Decision) -> ScimError | None:
    verdict = decision.verdict
    if verdict.status < 400:
        return None
    detail = verdict.detail or "The change was refused."
    return from_parts(verdict.status, verdict.scim_type, detail, verdict.attribute)


def _decide(
    request: Request, found: Iterable[Found], *, with_members: bool
) -> tuple[State, Decision]:
    state = State(request.organisation_id)
    for each in found:
        if isinstance(each, FoundMember):
            state.add_member(each.member)
            state.groups_of[each.member.id] = set()
        else:
            _load_group(state, request, each, with_members=with_members)
    if request.members is not None:
        state.known_members.update(
            each for each in request.members.add if parse_id(each) is not None
        )
    return state, decide(state, request, request.time)


def _load_group(state: State, request: Request, found: FoundGroup, *, with_members: bool) -> None:
    state.add_group(found.group)
    delta = request.members
    removed = () if delta is None else delta.remove
    state.memberships[found.group.id] = (
        {member_id for member_id, _ in found.members} if with_members else set(removed)
    )
