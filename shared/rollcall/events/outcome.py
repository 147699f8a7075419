"""Outcomes: the facts that follow from a request. Ids and attribute names, never personal data.

Readers recognise a repeated announcement by `id`, and an old one by `sequence`. The id of an
outcome is made from the id of its request and an index, so a repeat after a crash has the same id.
If a request was first set aside (outcome `request.failed` or `request.parked`) and applied later,
the index of the later outcomes continues after the earlier ones.
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
    """One fact about one resource, as the decision states it.

    `attributes` are the names of the attributes that changed. `detail` depends on the fact, for
    example `{"from": "invited"}` for a revocation, `{"status": 409, "scim_type": "uniqueness"}` for
    a rejection, or `{"unknown_members": [...]}` for a change of a group. In a rejection, `"told":
    true` says that the request had been answered with success before it was refused.
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
    """The order of an outcome in its partition: epoch of the log, offset of the request, index."""

    epoch: int
    offset: int
    index: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}.{self.index}"


@dataclass(frozen=True, slots=True)
class Announcement:
    """An outcome as it is on the topic: with its id, its request, its time and its sequence."""

    id: str
    request_id: str
    sequence: Sequence
    time: datetime
    outcome: Outcome


def mark_refused_after_success(outcome: Outcome) -> Outcome:
    """Mark a rejection whose request had been answered with success; other outcomes unchanged.

    On the wire and in the audit the mark is the older word `told`.
    """
    if outcome.fact != "request.rejected":
        return outcome
    return replace(outcome, detail={**outcome.detail, "told": True})


def is_refused_after_success(outcome: Outcome) -> bool:
    """Whether this is the rejection of a request that had been answered with success."""
    return outcome.fact == "request.rejected" and outcome.detail.get("told") is True


def outcome_id(request_id: str, index: int) -> str:
    """The id of outcome number `index` of a request; a repeated announcement has the same id."""
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
