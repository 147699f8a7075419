"""What a request asks for: one dataclass per operation, and nothing that another one would need.

The header (who, where, when, by which rules) is `rollcall.events.request.Request`; the fields of an
event's data that a body is written to are in `rollcall.events.body_data`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal[
    "member.create",
    "member.replace",
    "member.patch",
    "member.delete",
    "member.accept",
    "member.erase",
    "group.create",
    "group.replace",
    "group.patch",
    "group.delete",
    "dead.redrive",
    "dead.discard",
    "organisation.delete",
]
Endpoint = Literal["Users", "Groups"]


@dataclass(frozen=True, slots=True)
class MemberDelta:
    """A change of a group's members: first `clear`, then `remove`, then `add` (disjoint ids)."""

    clear: bool = False
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Create:
    """A new member or group: the canonical resource, and the normalised name that it takes.

    `name_key` is the key of a member's `userName` or a group's `displayName`. It travels with the
    request, so that a new release of the normalisation renames nothing. `members`: a group's.
    """

    resource: Json
    name_key: str
    members: MemberDelta | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """PUT: the whole canonical resource. `members` is None where the request left them out."""

    resource: Json
    name_key: str | None = None
    members: MemberDelta | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH: canonical operations, and apart from them the change of a group's members.

    `name_key` is the key of the name that the operations write; None: they write none.
    """

    operations: tuple[Json, ...] = ()
    name_key: str | None = None
    members: MemberDelta | None = None


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A create or a replace without its resource, or a create without the key of its name.

    Ingress writes no such event, so its decision raises and it is a dead letter.
    """

    is_create: bool
    resource: Json | None = None
    name_key: str | None = None
    members: MemberDelta | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE of a member or a group."""


@dataclass(frozen=True, slots=True)
class Accept:
    """An invited member accepts. What names no invitation, or no end of it, accepts nothing."""

    invitation_id: str | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Erase:
    """A member is removed with all that is held of its events. Only an operator asks for it."""


@dataclass(frozen=True, slots=True)
class Redrive:
    """A dead letter is tried again, with what is parked behind it. Only an operator asks for it.

    `dead_id` is the id of the event that is dead (on the wire `causationid`), `dead_letter` the
    name of its record, `topic/partition/offset`.
    """

    dead_id: str
    dead_letter: str


@dataclass(frozen=True, slots=True)
class Discard:
    """A dead letter is given up, and what is parked behind it is tried. Fields as `Redrive`'s."""

    dead_id: str
    dead_letter: str


@dataclass(frozen=True, slots=True)
class EndOrganisation:
    """The organisation's last event: all that the directory has of it goes."""


Writing = Create | Replace | Patch | Incomplete
"""What may write a name, and change a group's members."""
AboutDead = Redrive | Discard
"""What is about a dead letter, or lets a parked organisation go on."""
Body = Writing | Delete | Accept | Erase | AboutDead | EndOrganisation
