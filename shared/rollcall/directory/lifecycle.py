"""The life of a member, as one table of transitions.

    invited ──accept──▶ accepted ──confirm──▶ confirmed
       │                   │                      │
       └──────revoke───────┴───────revoke─────────┘──▶ revoked ──restore──▶ what it was

A member who is created inactive starts as `revoked` and is restored to `invited`. Removal is not a
status: the row is deleted. A step that the table does not list has no effect, so a repeated request
changes nothing.
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


class Step(StrEnum):
    """What can happen to a member."""

    ACCEPT = "accept"
    CONFIRM = "confirm"
    REVOKE = "revoke"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Standing:
    """A status, and for a revoked member the status that a restoration gives back (else None)."""

    status: Status
    restore_status: Status | None = None


INVITED: Final = Standing(Status.INVITED)
ACCEPTED: Final = Standing(Status.ACCEPTED)
CONFIRMED: Final = Standing(Status.CONFIRMED)


def revoked_from(status: Status) -> Standing:
    """The standing of a member who was revoked while in `status`."""
    return Standing(Status.REVOKED, status)


TRANSITIONS: Final[dict[tuple[Standing, Step], Standing]] = {
    (INVITED, Step.ACCEPT): ACCEPTED,
    (ACCEPTED, Step.CONFIRM): CONFIRMED,
    (INVITED, Step.REVOKE): revoked_from(Status.INVITED),
    (ACCEPTED, Step.REVOKE): revoked_from(Status.ACCEPTED),
    (CONFIRMED, Step.REVOKE): revoked_from(Status.CONFIRMED),
    (revoked_from(Status.INVITED), Step.RESTORE): INVITED,
    (revoked_from(Status.ACCEPTED), Step.RESTORE): ACCEPTED,
    (revoked_from(Status.CONFIRMED), Step.RESTORE): CONFIRMED,
}


def after(standing: Standing, step: Step) -> Standing:
    """The standing after a step; unchanged where the step has no effect."""
    return TRANSITIONS.get((standing, step), standing)
