"""Release: fold the waiting events of a parked organisation in order, a bounded part at a time.

Each event is folded as it would have been without the park: behind a quarantine it is parked for
its resource, a repeat is refused, and an event that raises is dead. When nothing is left the
organisation is no longer parked. An operator sends as many releases as that needs. What the
identity provider sends in the meantime waits at the end. While five different causes are open, a
release stops after each event that dies, because then the fault has not been mended.

The size of a part is a constant, because the same log must always give the same directory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rollcall.directory.cause import different
from rollcall.directory.changes import Decision, Verdict
from rollcall.directory.quarantine import Event, Held, Park, key_of
from rollcall.directory.redrive import FAILED, HeldResult, Redriven, decision_of
from rollcall.directory.state import State
from rollcall.events.bodies import AboutDead
from rollcall.events.request import Request

if TYPE_CHECKING:
    from rollcall.directory.fold import Folded

EVENTS_AT_ONCE: Final = 50
BYTES_AT_ONCE: Final = 1024 * 1024
"""The most bytes of record values that one release takes up; it takes at least one event."""
MOST_CAUSES: Final = 5

Fold = Callable[[Event, datetime], "Folded"]
PassOver = Callable[[Held], "Folded"]


def release(
    state: State, request: Request, body: AboutDead, fold: Fold, pass_over: PassOver
) -> tuple[Decision, Redriven] | None:
    """What `request` with this body does.

    None where its organisation is not parked, or behind another event.

    `fold` folds one waiting event and modifies `state`. Only loaded events are taken up.
    """
    park = state.park
    if park is None or park.dead_id != body.dead_id:
        return None
    state.park = None  # so that each event is folded as it would have been without the park
    applied: list[HeldResult] = []
    fallen: list[HeldResult] = []
    moved: list[Held] = []
    taken = 0
    for held in park.waiting[:EVENTS_AT_ONCE]:
        taken += 1
        result = pass_over(held) if held.is_late else fold(held.event, held.append_time)
        if result.error is not None:
            fallen.append(HeldResult(held, result))
            _note_announced(state, held)
            if different(state.quarantines) >= MOST_CAUSES:
                break
        elif result.is_parked:
            moved.append(held)
        else:
            applied.append(HeldResult(held, result))
    left = park.waiting[taken:]
    if left or park.behind:
        state.park = Park(park.dead_id, left, park.behind)
    done = Redriven(applied=tuple(applied), moved=tuple(moved), fallen=tuple(fallen))
    late = sum(step.held.is_late for step in applied)
    detail: dict[str, object] = {
        "endpoint": request.endpoint,
        "dead_letter": body.dead_letter,
        "applied": len(applied) - late,
        "parked": len(moved),
        "failed": len(fallen),
        "left": len(left) + park.behind,
    }
    if late:
        detail["expired"] = late
    return decision_of(request, done, "dead.redriven", detail), done


def _note_announced(state: State, held: Held) -> None:
    """Count two announced outcomes of an event that was parked and is dead now."""
    quarantine = state.quarantines[key_of(held.event)]
    if quarantine.dead is not None:
        quarantine.dead = replace(quarantine.dead, announced=held.announced + 1)


def refused(request: Request, at: datetime, result: Folded) -> tuple[Decision, Redriven]:
    """A release that did not finish in time: it fails, and everything stays as it was."""
    held = Held(request, at, attempts=1, announced=0)
    return Decision(verdict=Verdict(FAILED)), Redriven(stopped=HeldResult(held, result))
