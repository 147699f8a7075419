"""The announcement of a dead letter: an event that could not be applied and was set aside.

The announcement says where the record is and the class of the error, never a value. The record
itself is in Postgres (`directory.dead_letter`).
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rollcall.events.envelope import Event, MalformedEvent

Json = dict[str, Any]
TYPE: Final = "io.rollcall.dead_letter.v1"
SOURCE: Final = "/rollcall/provisioner"


@dataclass(frozen=True, slots=True)
class Announcement:
    """One dead letter.

    `event_id` is the id of its audit row, and `name` its place: `topic/partition/offset`. `type` is
    the type of the event that failed. `time` is the append time of its record, or of the redrive in
    which it failed again. `attempts` counts how often it was tried.
    """

    event_id: str
    name: str
    organisation_id: str | None
    resource_id: str | None
    type: str
    error_class: str
    attempts: int
    topic: str
    partition: int
    offset: int
    time: datetime


def to_event(announcement: Announcement) -> Event:
    """The CloudEvent of an announcement; a repeated announcement has the same id."""
    data: Json = {
        "event_id": announcement.event_id,
        "organisation_id": announcement.organisation_id,
        "resource_id": announcement.resource_id,
        "type": announcement.type,
        "error_class": announcement.error_class,
        "attempts": announcement.attempts,
        "topic": announcement.topic,
        "partition": announcement.partition,
        "offset": announcement.offset,
    }
    return Event(
        id=str(uuid.uuid5(uuid.UUID(announcement.event_id), _name(announcement.attempts))),
        type=TYPE,
        source=SOURCE,
        subject=announcement.name,
        time=announcement.time,
        data=data,
        extensions={"causationid": announcement.event_id},
    )


def _name(attempts: int) -> str:
    return "dead" if attempts == 1 else f"dead/{attempts}"


def from_event(event: Event) -> Announcement:
    """The announcement in `event`. Raises MalformedEvent."""
    if event.type != TYPE:
        raise MalformedEvent(f"{event.type!r} is no dead letter that this release knows")
    try:
        return Announcement(name=event.subject, time=event.time, **event.data)
    except TypeError as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error
