"""Redrive: apply the dead event of a resource and those parked behind it, in order, as one step.

It stops at the first event that raises. If that is the dead event again, nothing changes. If it is
a parked event, that one is now dead and the rest stays parked behind it. A discard does the same
without applying the dead event.

A held event that was appended too late was answered 503. It is skipped and counts as done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rollcall.directory import rules
from rollcall.directory.cause import cause_of
from rollcall.directory.changes import Change, Decision, PutGroup, RemoveMember, Verdict
from rollcall.directory.facts import about
from rollcall.directory.quarantine import Event, Held, Quarantine, key_of
from rollcall.directory.state import State, touched
from rollcall.events.bodies import AboutDead, Discard
from rollcall.events.outcome import Fact
from rollcall.events.request import Request

if TYPE_CHECKING:
    from rollcall.directory.fold import Folded

Attempt = Callable[[Event, datetime], "Folded"]
PassOver = Callable[[Held], "Folded"]
FAILED: Final = 500


@dataclass(frozen=True, slots=True)
class HeldResult:
    """One held event and its result: a decision, or the error that stopped the redrive."""

    held: Held
    result: Folded


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive did, in order: `discarded`, then `applied`, then the step where it stopped.

    `mended` are changes that follow from the end of the quarantine itself. A late event is in
    `applied`, with an empty decision. The other fields are filled by a release: events in `moved`
    wait behind their own resource now, and each event in `fallen` is dead.
    """

    discarded: Held | None = None
    applied: tuple[HeldResult, ...] = ()
    stopped: HeldResult | None = None
    mended: tuple[Change, ...] = ()
    moved: tuple[Held, ...] = ()
    fallen: tuple[HeldResult, ...] = ()

    @property
    def failures(self) -> tuple[HeldResult, ...]:
        """The steps that could not be applied."""
        return self.fallen if self.stopped is None else (*self.fallen, self.stopped)

    @property
    def is_at_a_standstill(self) -> bool:
        """Whether the dead event is still dead, so that nothing was done."""
        return self.discarded is None and not self.applied


def redrive(
    state: State,
    request: Request,
    body: AboutDead,
    attempt: Attempt,
    pass_over: PassOver,
) -> tuple[Decision, Redriven] | None:
    """What `request` with this body does; None where the event is not dead (any more).

    `attempt` tries one held event and modifies `state`; `pass_over` makes the result of a late
    event. Raises LookupError if `state` does not hold the quarantine's events.
    """
    quarantine = state.quarantines.get(key_of(request))
    if quarantine is None or quarantine.dead_id != body.dead_id:
        return None
    if quarantine.dead is None:
        raise LookupError("the events in quarantine are not loaded")
    done = _results(quarantine, quarantine.dead, request, attempt, pass_over)
    if done.is_at_a_standstill and done.stopped is not None:
        tried = replace(quarantine.dead, attempts=quarantine.dead.attempts + 1)
        quarantine.dead = replace(tried, announced=tried.announced + 1)
        return Decision(verdict=Verdict(FAILED)), done
    left = quarantine.parked[len(done.applied) - (done.discarded is None) :]
    if done.stopped is None:
        state.quarantines.pop(key_of(request), None)  # an erasure may have ended it already
        done = replace(done, mended=_mended(state, request))
        state.apply(done.mended)
    else:
        dead = replace(done.stopped.held, attempts=1, announced=done.stopped.held.announced + 1)
        left = left[1:]
        cause = cause_of(dead.event)
        state.quarantines[key_of(request)] = Quarantine(dead.event.id, dead, left, cause)
    return _decision(request, body, done, len(left)), done


def _results(
    quarantine: Quarantine, dead: Held, request: Request, attempt: Attempt, pass_over: PassOver
) -> Redriven:
    is_discard = isinstance(request.body, Discard)
    applied: list[HeldResult] = []
    for held in quarantine.parked if is_discard else (dead, *quarantine.parked):
        if held.is_late and rules.drops_late_events(request.rules):
            step = HeldResult(held, pass_over(held))
        else:
            step = HeldResult(held, attempt(held.event, held.append_time))
        if step.result.error is not None:
            return Redriven(dead if is_discard else None, tuple(applied), step)
        applied.append(step)
    return Redriven(dead if is_discard else None, tuple(applied))


def _mended(state: State, request: Request) -> tuple[Change, ...]:
    """Remove the memberships of a member that was never created: in quarantine its id was known."""
    member_id = request.resource_id
    groups = state.groups_of.get(member_id)
    if request.endpoint != "Users" or member_id in state.members or not groups:
        return ()
    moved = (touched(state.groups[group], request.id, request.time) for group in sorted(groups))
    return (RemoveMember(member_id), *(PutGroup(group) for group in moved))


def _decision(request: Request, body: AboutDead, done: Redriven, left: int) -> Decision:
    """All changes; the outcome of the redrive itself; as status the worst of its steps."""
    detail: dict[str, object] = {
        "endpoint": request.endpoint,
        "dead_letter": body.dead_letter,
        "applied": len(done.applied),
        "parked": left,
    }
    if rules.drops_late_events(request.rules):
        late = sum(step.held.is_late for step in done.applied)
        if late:
            detail |= {"applied": len(done.applied) - late, "expired": late}
    if done.stopped is not None:
        detail["dead"] = done.stopped.held.event.id
    fact: Fact = "dead.redriven" if done.discarded is None else "dead.discarded"
    return decision_of(request, done, fact, detail)


def decision_of(
    request: Request, done: Redriven, fact: Fact, detail: Mapping[str, object]
) -> Decision:
    """The changes of all steps, one outcome of the request's own, and the steps' highest status."""
    changes: list[Change] = []
    statuses = [FAILED if done.failures else 204]
    for step in done.applied:
        if step.result.decision is not None:
            changes.extend(step.result.decision.changes)
            statuses.append(step.result.decision.verdict.status)
    worst = max(statuses)
    return Decision(
        changes=(*changes, *done.mended),
        outcomes=(about(request, fact, detail=detail),),
        verdict=Verdict(worst if worst >= 400 else 204),
    )
