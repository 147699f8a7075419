"""What a write will come to, predicted before it is decided.

The same pure decision as the provisioner's is tried on what is known: a PATCH that must be answered
with a body (RFC 7644 §3.5.2) shows what comes out, and while the provisioner is behind, a write
that it will refuse is refused at once. What is not known is taken to be as the request needs it. So
the result is an estimate, marked as pending: the decision that counts is made in the log's order. A
refusal rests on what is known, and is exact where that is.
"""

from collections.abc import Iterable
from dataclasses import replace

import orjson

from rollcall.directory.changes import Decision
from rollcall.directory.decide import decide
from rollcall.directory.state import Member, State
from rollcall.events.bodies import Patch
from rollcall.events.request import Request
from rollcall.postgres.directory_search import Resource
from rollcall.runtime.ids import parse_id
from rollcall.scim.errors import ScimError, from_parts
from rollcall.scim.work import most_work
from rollcall_ingress.aside import THREAD_FROM_WORK
from rollcall_ingress.read.show import MEMBERSHIP

SOMEBODY = "somebody"


def foresee(request: Request, found: Resource, *, with_related: bool) -> Resource | None:
    """`found` as the PATCH will leave it, or None where the PATCH would be refused on it.

    `with_related`: whether a group was read with its members. Otherwise it is taken that those
    to be removed are there, and in both cases that those to be added exist if their ids may. The
    display of a member that is added is None.
    """
    state, decision = _decide(request, [found], with_related=with_related)
    row = decision.verdict.member or decision.verdict.group
    if row is None:
        return None
    if isinstance(row, Member):
        return replace(found, row=row)
    state.apply(decision.changes)
    displays = dict(found.related)
    ids = sorted(state.memberships[row.id]) if with_related else ()
    return replace(found, row=row, related=tuple((each, displays.get(each)) for each in ids))


def most_work_on(request: Request, found: Iterable[Resource]) -> int:
    """The units of work (`rollcall/scim/work.py`) of a decision on these resources, for `aside`."""
    units = 0
    for each in found:
        if isinstance(request.body, Patch) and request.body.operations:
            size = len(orjson.dumps(each.row.resource))
            units += most_work(request.body.operations, size, enough=THREAD_FROM_WORK)
        units += MEMBERSHIP * len(each.related)
    delta = request.members
    return units if delta is None else units + MEMBERSHIP * (len(delta.add) + len(delta.remove))


def refusal(request: Request, found: Iterable[Resource]) -> ScimError | None:
    """The error that the request meets on these resources, if one of them is enough for one."""
    _, decision = _decide(request, found, with_related=False)
    return _error(decision)


def name_is_taken(request: Request) -> ScimError | None:
    """The error of a create whose `userName` is taken."""
    state = State(request.organisation_id)
    if (name_key := request.name_key) is not None:
        state.user_names[name_key] = SOMEBODY
    return _error(decide(state, request, request.time))


def _error(decision: Decision) -> ScimError | None:
    verdict = decision.verdict
    if verdict.status < 400:
        return None
    detail = verdict.detail or "The change was refused."
    return from_parts(verdict.status, verdict.scim_type, detail, verdict.attribute)


def _decide(
    request: Request, found: Iterable[Resource], *, with_related: bool
) -> tuple[State, Decision]:
    state = State(request.organisation_id)
    for each in found:
        if isinstance(each.row, Member):
            state.add_member(each.row)
            state.groups_of[each.row.id] = set()
        else:
            state.add_group(each.row)
            removed = () if request.members is None else request.members.remove
            ids = (member_id for member_id, _ in each.related) if with_related else removed
            state.memberships[each.row.id] = set(ids)
    if (delta := request.members) is not None:
        state.known_members.update(each for each in delta.add if parse_id(each) is not None)
    return state, decide(state, request, request.time)
