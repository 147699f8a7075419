"""What a decision consists of: row changes in order, outcomes and a verdict."""

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
    """Insert the group, or make its row equal to this one. Its members do not change."""

    group: Group


@dataclass(frozen=True, slots=True)
class RemoveGroup:
    """Delete the group's row and all its memberships."""

    group_id: str


@dataclass(frozen=True, slots=True)
class AddMembers:
    """Insert those memberships that do not exist yet."""

    group_id: str
    member_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveMembers:
    """Delete those memberships that exist."""

    group_id: str
    member_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EraseHeld:
    """Delete the records of a member's dead letters and parked events."""

    member_id: str


@dataclass(frozen=True, slots=True)
class RemoveOrganisation:
    """Delete everything that the directory holds of the organisation, and note that it has left.

    `event_id` and `time` are those of the `organisation.delete` event.
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
    """The answer to the sender: an HTTP status, and for an error the parts of a SCIM error.

    `member` or `group` is the resource after the decision, where it still exists.
    """

    status: int
    scim_type: str | None = None
    detail: str | None = None
    attribute: str | None = None
    member: Member | None = None
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of one request. A refusal has no changes and one outcome, `request.rejected`."""

    changes: tuple[Change, ...] = ()
    outcomes: tuple[Outcome, ...] = field(default=())
    verdict: Verdict = field(default=Verdict(204))
