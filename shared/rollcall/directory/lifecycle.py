"""The life of a member, as one table of transitions.

    invited ──accept──▶ accepted ──confirm──▶ confirmed
       │                   │                      │
       └──────revoke───────┴───────revoke─────────┘──▶ revoked ──restore──▶ what it was

A member who is created inactive starts as `revoked` and is restored to `invited`. Removal is not a
status: the row is deleted. A transition that the table does not list has no effect, so a repeated
request changes nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """The status of a member in the life cycle."""

    INVITED = "invited"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    REVOKED = "revoked"


class Transition(StrEnum):
    """What can happen to a member."""

    ACCEPT = "accept"
    CONFIRM = "confirm"
    REVOKE = "revoke"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class LifecycleState:
    """A status, and for a revoked member the status that a restoration gives back (else None)."""

    status: Status
    restore_status: Status | None = None


INVITED: Final = LifecycleState(Status.INVITED)
ACCEPTED: Final = LifecycleState(Status.ACCEPTED)
CONFIRMED: Final = LifecycleState(Status.CONFIRMED)


def revoked_from(status: Status) -> LifecycleState:
    """The state of a member who was revoked while in `status`."""
    return LifecycleState(Status.REVOKED, status)


TRANSITIONS: Final[dict[tuple[LifecycleState, Transition], LifecycleState]] = {
    (INVITED, Transition.ACCEPT): ACCEPTED,
    (ACCEPTED, Transition.CONFIRM): CONFIRMED,
    (INVITED, Transition.REVOKE): revoked_from(Status.INVITED),
    (ACCEPTED, Transition.REVOKE): revoked_from(Status.ACCEPTED),
    (CONFIRMED, Transition.REVOKE): revoked_from(Status.CONFIRMED),
    (revoked_from(Status.INVITED), Transition.RESTORE): INVITED,
    (revoked_from(Status.ACCEPTED), Transition.RESTORE): ACCEPTED,
    (revoked_from(Status.CONFIRMED), Transition.RESTORE): CONFIRMED,
}


def after(state: LifecycleState, transition: Transition) -> LifecycleState:
    """The state after a transition; unchanged where the table does not list it."""
    return TRANSITIONS.get((state, transition), state)
