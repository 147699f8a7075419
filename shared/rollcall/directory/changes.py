"""What the decision says: the smallest changes of rows, in order. Written set-based by Postgres."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rollcall.events.outcome import Outcome

if TYPE_CHECKING:
    from rollcall.directory.state import Group, Member

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PutMember:
    """Insert the member, or make its row equal to this one."""

    member: Member


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Delete the member's row and all its memberships."""

    member_id: str


@dataclass(frozen=True, slots=True)
class PutGroup:
    """Insert the group, or make its row equal to this one; its members stay."""

    group: Group


@dataclass(frozen=True, slots=True)
class RemoveGroup:
    """Delete the group's row and all its memberships."""

    group_id: str


@dataclass(frozen=True, slots=True)
class AddMembers:
    """Insert memberships that are not there yet."""

    group_id: str
    member_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveMembers:
    """Delete memberships that are there."""

    group_id: str
    member_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EraseHeld:
    """Delete what is kept of a member's events, bytes and all: its dead letters and parked ones."""

    member_id: str


@dataclass(frozen=True, slots=True)
class RemoveOrganisation:
    """Delete all that the directory has of the organisation, and note that it has left.

    `event_id` and `time` are those of the event that says so.
    """

    event_id: str
    time: datetime


Change = (
    PutMember
    | RemoveMember
    | PutGroup
    | RemoveGroup
    | AddMembers
    | RemoveMembers
    | EraseHeld
    | RemoveOrganisation
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to whoever waits, in HTTP's terms: a status, or a SCIM error's parts.

    `member` or `group` is the resource after the decision, where there is one.
    """

    status: int
    scim_type: str | None = None
    detail: str | None = None
    attribute: str | None = None
    member: Member | None = None
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """All that one request leads to. A refusal has no changes and one outcome, `rejected`."""

    changes: tuple[Change, ...] = ()
    outcomes: tuple[Outcome, ...] = field(default=())
    verdict: Verdict = field(default=Verdict(204))
