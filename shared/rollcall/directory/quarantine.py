"""Quarantine: what waits behind an event that could not be applied.

The rule. An event whose decision raises is dead, and its resource is in quarantine: later events
about that resource are parked behind it, in order, undecided. All others flow. One redrive applies
the dead event and the parked ones in their order and ends the quarantine (`redrive.py`); being one
event of the log, nothing can come between. At most one event is dead for a resource.

A create that is equal to a dead one (`cause.py`) is that one sent again under another id: it is
refused, and puts nothing into quarantine.

An organisation is parked where it alone brings one cause after another: all its events wait, in
order, until an operator lets them go on (`release.py`). Who that is does not follow from the log:
it is said from outside, as it is which events only Postgres refuses.
"""

from dataclasses import dataclass, field
from datetime import datetime

from rollcall.events.request import Endpoint, Request

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
    `cause` is that of a dead create (cause.py).
    """

    dead_id: str
    dead: Held | None = None
    parked: list[Held] = field(default_factory=list)
    cause: str | None = None


@dataclass(slots=True)
class Park:
    """A parked organisation: the dead event behind which it was parked, and what waits, in order.

    `waiting` is not complete where the batch has no release that needs it; `behind`: how many more
    there are behind what is loaded.
    """

    dead_id: str
    waiting: list[Held] = field(default_factory=list)
    behind: int = 0


def key_of(event: Event) -> Key:
    """The resource that the event is about."""
    return event.endpoint, event.resource_id
