"""Quarantine: what waits behind an event that could not be applied.

The rule. An event whose decision raises is dead, and its resource is in quarantine: later events
about that resource are parked behind it, in order, undecided. All others flow. One redrive applies
the dead event and the parked ones in their order and ends the quarantine (`redrive.py`); being one
event of the log, nothing can come between. At most one event is dead for a resource.
"""

from dataclasses import dataclass, field
from datetime import datetime

from shared.events.request import Endpoint, Request

Key = tuple[Endpoint, str]
"""(endpoint, id) of a resource within its organisation."""


class Refused(Exception):
    """Only the database refuses it; `error_class` is the SQLSTATE, the message our own words."""

    def __init__(self, error_class: str, reason: str) -> None:
        super().__init__(reason)
        self.error_class = error_class


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that is no request, and why; what it is about as far as it tells, else empty.

    `id` is that of its audit row. Without a resource it puts nothing into quarantine.
    """

    id: str
    organisation_id: str
    endpoint: Endpoint
    resource_id: str
    error: Exception

    @property
    def has_resource(self) -> bool:
        """Whether it tells which resource it is about."""
        return bool(self.organisation_id and self.resource_id)


Event = Request | Unreadable


@dataclass(frozen=True, slots=True)
class Held:
    """An event that is dead or parked. Its append time is what counts when it is applied later.

    `attempts`: how often it was tried, 0 while parked. `told`: how many outcomes of it are
    announced. `place` is the name of its record, `topic/partition/offset`. `is_late`: it was
    appended after its `acceptby`, which earlier releases did not ask of what they could not read.
    """

    event: Event
    append_time: datetime
    attempts: int = 0
    told: int = 1
    place: str = ""
    is_late: bool = False


@dataclass(slots=True)
class Quarantine:
    """One resource's dead event and what is parked behind it.

    `dead` is None, and `parked` not complete, where the batch has no redrive that needs them.
    """

    dead_id: str
    dead: Held | None = None
    parked: list[Held] = field(default_factory=list)


def key_of(event: Event) -> Key:
    """The resource that the event is about."""
    return event.endpoint, event.resource_id
