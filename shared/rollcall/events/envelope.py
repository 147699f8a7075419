"""CloudEvents 1.0 in Kafka's binary content mode: attributes are headers, the value is the data.

Source: CloudEvents core specification 1.0.2 and its Kafka protocol binding 1.0.2, §3.2. Each
attribute `x` is the header `ce_x`; `datacontenttype` is the header `content-type`. Times are
RFC 3339 in UTC. Our extension attributes (the specification asks for lower-case names):

- `acceptby`: the request counts only if the broker appended it at this time or earlier (epoch
  milliseconds)
- `answerby`: until when the sender waits for the reply (epoch milliseconds, by the broker's clock).
  A reply that the broker appended before that counts as heard
- `answered`: `1` if the sender is answered with success before the decision, although a reply is
  requested
- `promise`: `decision` if the sender is answered with the decision, whichever it is, or that it is
  not known; without it the sender may be answered with success before. A copy of the event without
  it, with `answered`, says that the promise could not be kept
- `replyto`: number of the partition of the replies topic on which the sender waits
- `causationid`: id of the event that caused this one
- `sequence`: `epoch.offset.index`, the order of outcomes in their partition
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"
PREFIX: Final = "ce_"


class MalformedEvent(ValueError):
    """The record is not one of our CloudEvents in binary mode; the message says what is missing."""


class NewerVersion(ValueError):
    """The event's type has a version that this release does not know: the partition must halt."""


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent. `extensions` holds our extension attributes as text; `data` is JSON."""

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    data: Any
    extensions: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None


def encode(event: Event) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and value of the Kafka record that carries `event`."""
    headers = [
        ("ce_specversion", SPEC_VERSION.encode()),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_subject", event.subject.encode()),
        ("ce_time", format_time(event.time).encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]
    headers.extend((PREFIX + name, value.encode()) for name, value in event.extensions.items())
    if event.traceparent is not None:
        headers.append(("traceparent", event.traceparent.encode()))
    return headers, orjson.dumps(event.data)


def decode(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Event:
    """The event in a Kafka record. Raises MalformedEvent."""
    found: dict[str, str] = {}
    try:
        for name, raw in headers:
            found[name] = raw.decode()
        known = {
            name: found.pop(PREFIX + name)
            for name in ("specversion", "id", "type", "source", "subject", "time")
        }
        time = parse_time(known["time"])
    except (KeyError, UnicodeDecodeError, AttributeError, ValueError) as error:
        raise MalformedEvent(f"not a CloudEvent in binary mode: {error!r}") from error
    if known["specversion"] != SPEC_VERSION:
        raise MalformedEvent(f"CloudEvents version {known['specversion']!r} is not {SPEC_VERSION}")
    try:
        data = orjson.loads(value or b"null")
    except orjson.JSONDecodeError as error:
        raise MalformedEvent("the value is no JSON") from error
    return Event(
        id=known["id"],
        type=known["type"],
        source=known["source"],
        subject=known["subject"],
        time=time,
        data=data,
        extensions={
            name[len(PREFIX) :]: text for name, text in found.items() if name.startswith(PREFIX)
        },
        traceparent=found.get("traceparent"),
    )


def format_time(moment: datetime) -> str:
    """RFC 3339 with milliseconds and `Z`; `moment` must be aware."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_time(text: str) -> datetime:
    """A moment in UTC. Raises ValueError for anything but RFC 3339 with an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return moment.astimezone(UTC)


def from_milliseconds(epoch_ms: int) -> datetime:
    """The moment of a Kafka timestamp (epoch milliseconds)."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
