"""Replies: the transport answer to one waiting request, from provisioner to ingress.

Two other events are on the same topic. `Working` says that a large batch is being applied, so that
late replies do not open ingress's breaker. A mark is written by a replica of ingress and read back,
so that it knows how far it has read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rollcall.events.envelope import Event, MalformedEvent

Json = dict[str, Any]
TYPE: Final = "io.rollcall.reply.v1"
WORKING_TYPE: Final = "io.rollcall.reply.working.v1"
MARK_TYPE: Final = "io.rollcall.reply.mark.v1"
SOURCE: Final = "/rollcall/provisioner"
MARK_SOURCE: Final = "/rollcall/ingress"


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of the request `request_id`, in HTTP terms.

    `status` is 200, 201 or 204 with the state of the resource, or 4xx/5xx with the parts of a SCIM
    error. A member's reply carries everything that the representation needs: the canonical
    `resource`, and `groups` as pairs (id, display). A group's reply carries no members (there may
    be 100,000). `backlog` is the number of requests of the partition that the provisioner knew to
    be waiting when it answered. `is_parked`: the request waits behind a dead letter of the same
    resource and is not decided yet (status 202).
    """

    request_id: str
    status: int
    scim_type: str | None = None
    detail: str | None = None
    attribute: str | None = None
    resource_id: str | None = None
    version: str | None = None
    created: str | None = None
    last_modified: str | None = None
    resource: Json | None = None
    groups: tuple[tuple[str, str], ...] = ()
    backlog: int = 0
    is_parked: bool = False


@dataclass(frozen=True, slots=True)
class Working:
    """A batch of one partition of the requests topic was begun: number of records, bytes of values.

    `batch_id` is the id of the batch's first request. A batch that is retried may be announced
    again.
    """

    partition: int
    records: int
    size_bytes: int
    batch_id: str


def working_to_event(working: Working, *, event_id: str, time: datetime) -> Event:
    """The CloudEvent that announces a batch and its size; `event_id` is new for each."""
    return Event(
        id=event_id,
        type=WORKING_TYPE,
        source=SOURCE,
        subject=f"partition/{working.partition}",
        time=time,
        data={
            "partition": working.partition,
            "records": working.records,
            "size_bytes": working.size_bytes,
        },
        extensions={"causationid": working.batch_id},
    )


def working_from_event(event: Event) -> Working:
    """The announced batch. Raises MalformedEvent."""
    if event.type != WORKING_TYPE:
        raise MalformedEvent(f"{event.type!r} is no word about a batch")
    try:
        return Working(
            partition=int(event.data["partition"]),
            records=int(event.data["records"]),
            size_bytes=int(event.data["size_bytes"]),
            batch_id=event.extensions["causationid"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error


def mark_to_event(*, event_id: str, partition: int, time: datetime) -> Event:
    """The CloudEvent of a mark in a partition of the replies; `event_id` is new for each.

    Only its place matters: all replies that were appended earlier are before it.
    """
    return Event(
        id=event_id,
        type=MARK_TYPE,
        source=MARK_SOURCE,
        subject=f"partition/{partition}",
        time=time,
        data={},
    )


def to_event(reply: Reply, *, event_id: str, time: datetime) -> Event:
    """The CloudEvent of a reply; `event_id` is new for each."""
    data: Json = {"status": reply.status, "backlog": reply.backlog}
    for name in (
        "scim_type",
        "detail",
        "attribute",
        "resource_id",
        "version",
        "created",
        "last_modified",
        "resource",
    ):
        value = getattr(reply, name)
        if value is not None:
            data[name] = value
    if reply.is_parked:
        data["is_parked"] = True
    if reply.groups:
        data["groups"] = [list(group) for group in reply.groups]
    return Event(
        id=event_id,
        type=TYPE,
        source=SOURCE,
        subject=reply.request_id,
        time=time,
        data=data,
        extensions={"causationid": reply.request_id},
    )


def from_event(event: Event) -> Reply:
    """The reply in `event`. Raises MalformedEvent."""
    if event.type != TYPE:
        raise MalformedEvent(f"{event.type!r} is no reply that this release knows")
    try:
        data = dict(event.data)
        groups = tuple((str(key), str(display)) for key, display in data.pop("groups", ()))
        return Reply(request_id=event.extensions["causationid"], groups=groups, **data)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error
