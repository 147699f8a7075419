"""Quarantine: later events about a resource wait behind the event that could not be applied.

The rule. An event whose decision raises is dead, and its resource is in quarantine: later events
about that resource are parked, in order and undecided. Events about other resources continue. A
redrive applies the dead event and the parked ones in their order and ends the quarantine
(`redrive.py`). A redrive is itself one event of the log, so nothing can come between its steps. A
resource has at most one dead event.

A create that equals a dead one (`cause.py`) is the same create, repeated under another id. It is
refused and puts nothing into quarantine.

An organisation that alone has too many dead letters of different causes is parked: all its events
wait, in order, until an operator releases them (`release.py`). The log alone does not say which
organisation that is. The caller says so, as it says which events Postgres refuses.
"""

from dataclasses import dataclass, field
from datetime import datetime

from rollcall.events.request import Endpoint, Request

Key = tuple[Endpoint, str]
"""(endpoint, id) of a resource within its organisation."""


class Refused(Exception):
    """Only the database refuses it. `error_class` is the SQLSTATE; the message is our own text."""

    def __init__(self, error_class: str, reason: str) -> None:
        super().__init__(reason)
        self.error_class = error_class


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event that could not be read as a request, and the error.

    `id` is the id of its audit row. `organisation_id` and `resource_id` are empty where they could
    not be read. Without a resource the event puts nothing into quarantine.
    """

    id: str
    organisation_id: str
    endpoint: Endpoint
    resource_id: str
    error: Exception

    @property
    def has_resource(self) -> bool:
        """Whether it names its resource."""
        return bool(self.organisation_id and self.resource_id)


Event = Request | Unreadable


@dataclass(frozen=True, slots=True)
class Held:
    """An event that is dead or parked. If it is applied later, its own append time counts.

    `attempts`: how often it was tried; 0 while it is parked. `announced`: how many of its outcomes
    were announced. `record_name`: the name of its record, `topic/partition/offset`. `is_late`: it
    was appended after its `acceptby`; earlier releases did not check that for unreadable events.
    """

    event: Event
    append_time: datetime
    attempts: int = 0
    announced: int = 1
    record_name: str = ""
    is_late: bool = False


@dataclass(slots=True)
class Quarantine:
    """The dead event of one resource and the events parked behind it.

    If the batch has no redrive of the resource, they are not loaded: `dead` is None and `parked`
    may be incomplete. `cause` is the cause of a dead create (cause.py).
    """

    dead_id: str
    dead: Held | None = None
    parked: list[Held] = field(default_factory=list)
    cause: str | None = None


@dataclass(slots=True)
class Park:
    """A parked organisation: the dead event behind which it was parked, and the waiting events.

    `waiting` is in order. It is incomplete if the batch has no release that needs it. `behind`:
    the number of waiting events after those that are loaded.
    """

    dead_id: str
    waiting: list[Held] = field(default_factory=list)
    behind: int = 0


def key_of(event: Event) -> Key:
    """The resource that the event is about."""
    return event.endpoint, event.resource_id
