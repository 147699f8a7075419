"""The fold: decide many requests in order, and collapse their changes to the net effect.

The provisioner, `rollcall rebuild` and `rollcall verify` use it. Folding a log in one batch or in
many gives the same directory. If a decision raises, only the resource of that event is affected: it
goes into quarantine (quarantine.py).

These events are never parked behind a dead letter:

- A request with a precondition. The version of its resource is not settled while the dead letter
  is open, and its sender expects a decision now. It is refused with 503.
- An erasure and the end of an organisation. They delete the parked events.

If an organisation is parked, all its other events wait in the same way.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final, assert_never

from rollcall.directory import release
from rollcall.directory.cause import cause_of, repeated
from rollcall.directory.changes import (
    AddMembers,
    Change,
    Decision,
    EraseHeld,
    PutGroup,
    PutMember,
    RemoveGroup,
    RemoveMember,
    RemoveMembers,
    RemoveOrganisation,
    Verdict,
)
from rollcall.directory.decide import decide, rejected
from rollcall.directory.quarantine import Event, Held, Park, Quarantine, Unreadable, key_of
from rollcall.directory.redrive import Redriven, redrive
from rollcall.directory.state import Group, Member, State
from rollcall.events.bodies import AboutDead
from rollcall.events.envelope import format_time
from rollcall.events.outcome import Outcome
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.scim.errors import ScimError, ServiceUnavailable

Key = tuple[str, str]
"""(organisation id, resource id)"""
Pair = tuple[str, str, str]
"""(organisation id, group id, member id)"""


Refusals = Mapping[str, Exception]
"""Event id → the error with which the database refused it in an earlier attempt at the batch."""
NONE: Final[Refusals] = MappingProxyType({})
PARKED: Final = 202


@dataclass(frozen=True, slots=True)
class Folded:
    """One event of a fold, with its decision and reply, or with the error that makes it dead.

    A parked event has a decision too, without changes. For a redrive or a discard, `redriven` says
    what was done and `decision` holds the changes of all its steps. `parks`: the organisation is
    parked behind this event. `is_of_park`: it waits for its organisation, not for its resource.
    """

    request: Event
    append_time: datetime
    decision: Decision | None = None
    reply: Reply | None = None
    error: Exception | None = None
    is_parked: bool = False
    redriven: Redriven | None = None
    parks: bool = False
    is_of_park: bool = False


class RepeatOfDead(ScimError):
    """An equal request failed before, and waits for the service's operator."""

    status = 500


def fold_batch(
    states: Mapping[str, State],
    batch: Sequence[tuple[Event, datetime]],
    refusals: Refusals = NONE,
    parks: Container[str] = (),
) -> list[Folded]:
    """Decide each event on the state that the events before it left. `states` are modified.

    `states` maps an organisation id to the rows that `touch.touches(batch)` names and to the
    organisation's quarantines. An event in `refusals` is dead, as if its decision had raised that
    error. If an event in `parks` is dead, its organisation is parked behind it.
    """
    return [_fold_one(states, event, append_time, refusals, parks) for event, append_time in batch]


def _fold_one(
    states: Mapping[str, State],
    event: Event,
    at: datetime,
    refusals: Refusals,
    parks: Container[str],
) -> Folded:
    if isinstance(event, Unreadable) and not event.has_resource:
        return Folded(event, at, error=event.error)
    state = states[event.organisation_id]
    if isinstance(event, Request) and isinstance(event.body, AboutDead):
        do = _release if event.is_release else _redrive
        return do(state, event, event.body, at, refusals)
    folded = _fold_in(state, event, at, refusals)
    if folded.error is not None and event.id in parks and state.park is None:
        state.park = Park(event.id)
        return replace(folded, parks=True)
    return folded


def _fold_in(state: State, event: Event, at: datetime, refusals: Refusals) -> Folded:
    """Decide an event, unless it repeats a dead one or has to wait."""
    if isinstance(event, Request) and event.is_final:
        return _tried(state, event, at, refusals)
    if isinstance(event, Request) and (dead_id := repeated(state.quarantines, event)) is not None:
        return _repeat(event, at, state, dead_id)
    quarantine = state.quarantines.get(key_of(event))
    if state.park is None and quarantine is None:
        return _tried(state, event, at, refusals)
    if isinstance(event, Request) and event.precondition is not None:
        return _unsettled(event, at, state)
    if state.park is not None:
        state.park.waiting.append(Held(event, at))
    elif quarantine is not None:
        quarantine.parked.append(Held(event, at))
    return replace(_parked(event, at), is_of_park=state.park is not None)


def _tried(state: State, event: Event, at: datetime, refusals: Refusals) -> Folded:
    """Decide an event. If that raises, the event is dead and its resource goes into quarantine."""
    folded = _attempt(state, event, at, refusals)
    if folded.error is not None:
        dead = Held(event, at, attempts=1)
        state.quarantines[key_of(event)] = Quarantine(event.id, dead, cause=cause_of(event))
        if event.endpoint == "Users":  # its id may be added to groups although it has no row yet
            state.groups_of.setdefault(event.resource_id, set())
    return folded


def _attempt(state: State, event: Event, at: datetime, refusals: Refusals) -> Folded:
    """Decide one event and apply its changes to the state; return the error if it raises."""
    try:
        if isinstance(event, Unreadable):
            raise event.error
        if event.id in refusals:
            raise refusals[event.id]
        decision = decide(state, event, at)
        reply = to_reply(event, decision.verdict, state)
    except MemoryError:
        raise  # the batch was too large for the process: no single event caused this
    except Exception as error:
        return Folded(event, at, error=error)
    state.apply(decision.changes)
    return Folded(event, at, decision, reply)


def _parked(event: Event, at: datetime) -> Folded:
    """The event waits. Its sender gets the same answer as for a pending request."""
    outcome = Outcome(
        "request.parked",
        event.organisation_id,
        event.resource_id,
        detail={"status": PARKED, "endpoint": event.endpoint},
    )
    return Folded(
        event,
        at,
        Decision(outcomes=(outcome,), verdict=Verdict(PARKED)),
        Reply(event.id, PARKED, resource_id=event.resource_id, is_parked=True),
        is_parked=True,
    )


def _unsettled(request: Request, at: datetime, state: State) -> Folded:
    """Refuse a precondition: the version of the resource is unknown until its quarantine ends."""
    decision = rejected(
        request,
        ServiceUnavailable(
            detail="Earlier changes of this resource wait for the service's operator, so its "
            "version is not settled. Nothing was done; repeat the request later, or without a "
            "condition."
        ),
    )
    return Folded(request, at, decision, to_reply(request, decision.verdict, state))


def _repeat(request: Request, at: datetime, state: State, dead_id: str) -> Folded:
    """Refuse a repeat of a dead create with the answer that the first one got."""
    refusal = RepeatOfDead(
        "The service made a mistake with an equal request before, and has set that one aside as "
        f"{dead_id}; tell its operator this name. Nothing was done: there is no need to send it "
        "again until that is mended."
    )
    decision = rejected(request, refusal)
    [outcome] = decision.outcomes
    named = replace(outcome, detail={**outcome.detail, "repeat_of": dead_id})
    decision = replace(decision, outcomes=(named,))
    return Folded(request, at, decision, to_reply(request, decision.verdict, state))


def _release(
    state: State, request: Request, body: AboutDead, at: datetime, refusals: Refusals
) -> Folded:
    """Take up a part of what waits, or nothing where the organisation is not parked (any more)."""
    if request.id in refusals:
        failed = Folded(request, at, error=refusals[request.id])
        decision, redriven = release.refused(request, at, failed)
        return Folded(request, at, decision, redriven=redriven)
    found = release.release(
        state,
        request,
        body,
        fold=lambda event, then: _fold_in(state, event, then, refusals),
        pass_over=_passed_over,
    )
    decision, done = found or (Decision(), None)
    return Folded(request, at, decision, redriven=done)


def _passed_over(late: Held) -> Folded:
    return Folded(late.event, late.append_time, Decision())


def _redrive(
    state: State, request: Request, body: AboutDead, at: datetime, refusals: Refusals
) -> Folded:
    """Apply what is held, or nothing where that has happened already. An error is raised."""
    found = redrive(
        state,
        request,
        body,
        attempt=lambda event, then: _attempt(state, event, then, refusals),
        pass_over=_passed_over,
    )
    decision, redriven = found or (Decision(), None)
    reply = Reply(request.id, decision.verdict.status, resource_id=request.resource_id)
    return Folded(request, at, decision, reply, redriven=redriven)


def to_reply(request: Request, verdict: Verdict, state: State) -> Reply:
    """The reply to a request. A member's reply carries all that its representation needs.

    `state` may be the one before or after the decision: a request about a member changes none of
    the member's groups.
    """
    resource: Member | Group | None = verdict.member or verdict.group
    if resource is None:
        return Reply(
            request_id=request.id,
            status=verdict.status,
            scim_type=verdict.scim_type,
            detail=verdict.detail,
            attribute=verdict.attribute,
            resource_id=request.resource_id,
        )
    groups: tuple[tuple[str, str], ...] = ()
    if verdict.member is not None:
        groups = tuple(
            (group_id, str(state.groups[group_id].resource["displayName"]))
            for group_id in sorted(state.groups_of.get(resource.id, ()))
        )
    return Reply(
        request_id=request.id,
        status=verdict.status,
        resource_id=resource.id,
        version=resource.version,
        created=format_time(resource.created),
        last_modified=format_time(resource.last_modified),
        resource=resource.resource,
        groups=groups,
    )


@dataclass(slots=True)
class NetChanges:
    """The net effect of many changes: each row once, deletions first.

    Every tuple starts with the organisation id. `left`: event id and time of the end of an
    organisation.
    """

    put_members: list[tuple[str, Member]] = field(default_factory=list)
    removed_members: list[Key] = field(default_factory=list)
    put_groups: list[tuple[str, Group]] = field(default_factory=list)
    removed_groups: list[Key] = field(default_factory=list)
    added_members: list[Pair] = field(default_factory=list)
    removed_members_of_groups: list[Pair] = field(default_factory=list)
    erased_members: list[Key] = field(default_factory=list)
    left: list[tuple[str, str, datetime]] = field(default_factory=list)


def collapse(changes: Iterable[tuple[str, Change]]) -> NetChanges:
    """The net effect of changes, which are given in order with their organisation's id.

    Removing a member or a group also removes its memberships, so those pairs are left out.
    """
    members: dict[Key, Member] = {}
    groups: dict[Key, Group] = {}
    gone_members: dict[Key, None] = {}
    gone_groups: dict[Key, None] = {}
    pairs: dict[Key, dict[str, bool]] = {}
    net = NetChanges()
    for organisation_id, change in changes:
        match change:
            case PutMember(member):
                members[organisation_id, member.id] = member
            case RemoveMember(member_id):
                members.pop((organisation_id, member_id), None)
                gone_members[organisation_id, member_id] = None
                for (of_organisation, _), of_group in pairs.items():
                    if of_organisation == organisation_id:
                        of_group.pop(member_id, None)
            case PutGroup(group):
                groups[organisation_id, group.id] = group
            case RemoveGroup(group_id):
                groups.pop((organisation_id, group_id), None)
                gone_groups[organisation_id, group_id] = None
                pairs.pop((organisation_id, group_id), None)
            case AddMembers(group_id, member_ids):
                of_group = pairs.setdefault((organisation_id, group_id), {})
                of_group.update(dict.fromkeys(member_ids, True))
            case RemoveMembers(group_id, member_ids):
                of_group = pairs.setdefault((organisation_id, group_id), {})
                of_group.update(dict.fromkeys(member_ids, False))
            case EraseHeld(member_id):
                net.erased_members.append((organisation_id, member_id))
            case RemoveOrganisation(event_id, time):
                members = {key: each for key, each in members.items() if key[0] != organisation_id}
                groups = {key: each for key, each in groups.items() if key[0] != organisation_id}
                pairs = {key: each for key, each in pairs.items() if key[0] != organisation_id}
                net.left.append((organisation_id, event_id, time))
            case _:
                assert_never(change)
    net.put_members = [(key[0], member) for key, member in members.items()]
    net.removed_members = list(gone_members)
    net.put_groups = [(key[0], group) for key, group in groups.items()]
    net.removed_groups = list(gone_groups)
    for (organisation_id, group_id), of_group in pairs.items():
        for member_id, is_there in of_group.items():
            target = net.added_members if is_there else net.removed_members_of_groups
            target.append((organisation_id, group_id, member_id))
    return net
