"""Domain facts: what became of a request. Ids and names of attributes, never personal data.

Readers drop what they have seen by `id`, or what is old by `sequence`. The id of an outcome is made
from its request's id and its index, so that a repeat after a crash carries the same one. Of a
request that was set aside and applied later the index goes on counting: the outcome `failed` or
`parked` came first.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, get_args

from rollcall.events.envelope import Event, MalformedEvent, NewerVersion

Json = dict[str, Any]
Fact = Literal[
    "member.created",
    "member.invited",
    "member.changed",
    "member.revoked",
    "member.restored",
    "member.accepted",
    "member.confirmed",
    "member.removed",
    "member.erased",
    "group.created",
    "group.changed",
    "group.removed",
    "request.rejected",
    "request.failed",
    "request.parked",
    "dead.redriven",
    "dead.discarded",
    "organisation.deleted",
]
FACTS: Final[frozenset[str]] = frozenset(get_args(Fact))
VERSION: Final = 1
TYPE_PREFIX: Final = "io.rollcall.outcome."
SOURCE: Final = "/rollcall/provisioner"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fact about one resource, as the decision says it.

    `attributes` are the names of the attributes that changed; `detail` holds what else the fact
    says, for example `{"from": "invited"}` of a revocation, `{"status": 409, "scim_type":
    "uniqueness"}` of a rejection (and `"told": true` where the request had been answered with
    success before it was refused) or `{"unknown_members": [...]}` of a group's change.
    """

    fact: Fact
    organisation_id: str
    resource_id: str
    attributes: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """CloudEvents type, for example `io.rollcall.outcome.member.invited.v1`."""
        return f"{TYPE_PREFIX}{self.fact}.v{VERSION}"


@dataclass(frozen=True, slots=True, order=True)
class Sequence:
    """The place of an outcome in its partition: epoch of the log, offset of the request, index."""

    epoch: int
    offset: int
    index: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}.{self.index}"


@dataclass(frozen=True, slots=True)
class Announcement:
    """An outcome as it stands on the topic: with its id, its cause, its time and its place."""

    id: str
    request_id: str
    sequence: Sequence
    time: datetime
    outcome: Outcome


def mark_told(outcome: Outcome) -> Outcome:
    """A rejection marked as one whose request had been answered with success; others unchanged."""
    if outcome.fact != "request.rejected":
        return outcome
    return replace(outcome, detail={**outcome.detail, "told": True})


def is_told(outcome: Outcome) -> bool:
    """Whether it is the rejection of a request that had been answered with success."""
    return outcome.fact == "request.rejected" and outcome.detail.get("told") is True


def outcome_id(request_id: str, index: int) -> str:
    """The id of the outcome number `index` of a request: the same whenever it is announced."""
    return str(uuid.uuid5(uuid.UUID(request_id), f"outcome/{index}"))


def to_data(outcome: Outcome) -> Json:
    """The JSON data of an outcome; the audit table stores the same."""
    data: Json = {
        "organisation_id": outcome.organisation_id,
        "resource_id": outcome.resource_id,
    }
    if outcome.attributes:
        data["attributes"] = list(outcome.attributes)
    if outcome.detail:
        data["detail"] = dict(outcome.detail)
    return data


def to_event(announcement: Announcement) -> Event:
    """The CloudEvent of an announced outcome."""
    outcome = announcement.outcome
    endpoint = "Groups" if outcome.fact.startswith("group.") else "Users"
    if outcome.fact.startswith(("request.", "dead.")):
        endpoint = str(outcome.detail.get("endpoint", endpoint))
    return Event(
        id=announcement.id,
        type=outcome.type,
        source=SOURCE,
        subject=f"{outcome.organisation_id}/{endpoint}/{outcome.resource_id}",
        time=announcement.time,
        data=to_data(outcome),
        extensions={
            "causationid": announcement.request_id,
            "sequence": str(announcement.sequence),
        },
    )


def from_event(event: Event) -> Announcement:
    """The announcement in `event`. Raises MalformedEvent or NewerVersion."""
    fact = fact_of(event.type)
    try:
        epoch, offset, index = map(int, event.extensions["sequence"].split("."))
        return Announcement(
            id=event.id,
            request_id=event.extensions["causationid"],
            sequence=Sequence(epoch, offset, index),
            time=event.time,
            outcome=from_data(fact, event.data),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error


def from_data(fact: Fact, data: Json) -> Outcome:
    """The outcome in its JSON data. Raises KeyError, TypeError."""
    return Outcome(
        fact=fact,
        organisation_id=data["organisation_id"],
        resource_id=data["resource_id"],
        attributes=tuple(data.get("attributes", ())),
        detail=dict(data.get("detail", {})),
    )


def fact_of(event_type: str) -> Fact:
    """The fact in a type. Raises MalformedEvent or NewerVersion."""
    if not event_type.startswith(TYPE_PREFIX):
        raise MalformedEvent(f"{event_type!r} is no type of an outcome")
    fact, _, version = event_type.removeprefix(TYPE_PREFIX).rpartition(".v")
    if not version.isascii() or not version.isdigit():
        raise MalformedEvent(f"{event_type!r} has no version")
    if int(version) > VERSION or fact not in FACTS:
        raise NewerVersion(f"{event_type!r} is newer than this release knows")
    return fact  # type: ignore[return-value]
