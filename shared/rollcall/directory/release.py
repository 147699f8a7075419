"""Release: what waits of a parked organisation is folded in its order, a bounded part at a time.

Each event is folded as it would have been: what is in quarantine is parked behind its resource, a
repeat is refused, what raises is dead. The organisation goes on when nothing is left. So an
operator sends as many releases as it takes; whatever the identity provider sends in between waits
behind the rest, and is taken up in its turn. While five different causes are open, a release stops
behind each event that dies: then nothing has been mended, and the rest had better wait.

How much is a part is fixed here, because the same log must come to the same directory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rollcall.directory.cause import different
from rollcall.directory.changes import Decision, Verdict
from rollcall.directory.quarantine import Event, Held, Park, key_of
from rollcall.directory.redrive import FAILED, Redriven, Step, decision_of
from rollcall.directory.state import State
from rollcall.events.request import Request

if TYPE_CHECKING:
    from rollcall.directory.fold import Folded

EVENTS_AT_ONCE: Final = 50
BYTES_AT_ONCE: Final = 1024 * 1024
"""Bytes of values, or one event."""
MOST_CAUSES: Final = 5

Fold = Callable[[Event, datetime], "Folded"]
PassOver = Callable[[Held], "Folded"]


def release(
    state: State, request: Request, fold: Fold, pass_over: PassOver
) -> tuple[Decision, Redriven] | None:
    """What `request` does; None where its organisation is not parked, or behind another event.

    `state` is modified step by step, by `fold`. No more is taken up than is loaded.
    """
    park = state.park
    if park is None or park.dead_id != request.dead_id:
        return None
    state.park = None  # so that each is folded as it would have been
    applied: list[Step] = []
    fallen: list[Step] = []
    moved: list[Held] = []
    taken = 0
    for held in park.waiting[:EVENTS_AT_ONCE]:
        taken += 1
        result = pass_over(held) if held.is_late else fold(held.event, held.append_time)
        if result.error is not None:
            fallen.append(Step(held, result))
            _note_told(state, held)
            if different(state.quarantines) >= MOST_CAUSES:
                break
        elif result.is_parked:
            moved.append(held)
        else:
            applied.append(Step(held, result))
    left = park.waiting[taken:]
    if left or park.behind:
        state.park = Park(park.dead_id, left, park.behind)
    done = Redriven(applied=tuple(applied), moved=tuple(moved), fallen=tuple(fallen))
    late = sum(step.held.is_late for step in applied)
    detail: dict[str, object] = {
        "endpoint": request.endpoint,
        "dead_letter": request.dead_letter,
        "applied": len(applied) - late,
        "parked": len(moved),
        "failed": len(fallen),
        "left": len(left) + park.behind,
    }
    if late:
        detail["expired"] = late
    return decision_of(request, done, "dead.redriven", detail), done


def _note_told(state: State, held: Held) -> None:
    """What was parked and is dead now has been told twice: that it waits, and that it failed."""
    quarantine = state.quarantines[key_of(held.event)]
    if quarantine.dead is not None:
        quarantine.dead = replace(quarantine.dead, told=held.told + 1)


def refused(request: Request, at: datetime, result: Folded) -> tuple[Decision, Redriven]:
    """A release that could not be done in time: it failed by itself, and all stays as it was."""
    held = Held(request, at, attempts=1, told=0)
    return Decision(verdict=Verdict(FAILED)), Redriven(stopped=Step(held, result))
