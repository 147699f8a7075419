"""Records of the requests topic → requests, or why a record cannot be one. No I/O.

What is refused here is a dead letter, except two things that no record can be blamed for and that
halt the partition: an event of a newer version than this release knows, and a topic whose records
do not carry the broker's append time.

Whether a record is late is judged from its headers alone, whatever else is wrong with it: its
sender was answered 503, so it is neither applied nor kept, and halts nothing.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rollcall.events.envelope import (
    PREFIX,
    Event,
    MalformedEvent,
    NewerVersion,
    decode,
    from_milliseconds,
)
from rollcall.events.request import Request, from_event, kind_of
from rollcall.kafka.feed import Record
from rollcall.kafka.worker import PartitionHalted
from rollcall.runtime.ids import parse_id

LOG_APPEND_TIME: Final = 1
ACCEPT_BY: Final = f"{PREFIX}acceptby"


class ForeignEvent(MalformedEvent):
    """What names the event's organisation does not agree (foreign.py)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a batch: its request, or the error that makes it a dead letter.

    `event` is what could be read of its envelope; None if nothing could, or if it is foreign:
    then nothing that it says of itself is believed.
    """

    record: Record
    append_time: datetime
    event: Event | None
    request: Request | None
    error: Exception | None = None

    @property
    def event_id(self) -> str | None:
        """The event's id, by which copies are known; None where it has none in canonical form."""
        given = "" if self.event is None else self.event.id
        return given if given and parse_id(given) == given else None

    @property
    def is_expired(self) -> bool:
        """Whether the broker appended it after ingress had stopped waiting for that (§3)."""
        return is_late(self.record)


@dataclass(frozen=True, slots=True)
class Understood:
    """The entries of a batch up to what halts the partition, if anything does."""

    entries: tuple[Entry, ...]
    halt: PartitionHalted | None = None


def is_late(record: Record) -> bool:
    """Whether the broker appended the record after the `acceptby` in its headers, if it has one."""
    try:
        given = [raw for name, raw in record.headers if name == ACCEPT_BY]
        return bool(given) and record.timestamp > int(given[-1].decode())
    except (ValueError, AttributeError):
        return False  # what is no number is no header of ours: the record is malformed


def understand(records: Sequence[Record]) -> Understood:
    """Read every record; stop before the first that halts the partition."""
    entries: list[Entry] = []
    for record in records:
        if record.timestamp_type != LOG_APPEND_TIME:
            reason = f"offset {record.offset} carries no append time of the broker"
            return Understood(tuple(entries), PartitionHalted(reason, "topic-settings"))
        try:
            entries.append(_read(record))
        except NewerVersion as newer:
            if is_late(record):
                append_time = from_milliseconds(record.timestamp)
                entries.append(Entry(record, append_time, None, None, newer))
                continue
            reason = f"offset {record.offset}: {newer}"
            return Understood(tuple(entries), PartitionHalted(reason, "newer-version"))
    return Understood(tuple(entries))


def drop_expired(entries: Sequence[Entry], kept: Container[int] = ()) -> list[Entry]:
    """The entries that count. An expired copy says nothing about other copies of its id.

    `kept`: offsets of what counted all the same when an earlier release decided it.
    """
    return [entry for entry in entries if not entry.is_expired or entry.record.offset in kept]


def drop_duplicates(entries: Sequence[Entry], applied: set[str]) -> list[Entry]:
    """The first entry of each id that is not in `applied`; what has no id is kept."""
    seen = set(applied)
    fresh = []
    for entry in entries:
        if entry.event_id is not None:
            if entry.event_id in seen:
                continue
            seen.add(entry.event_id)
        fresh.append(entry)
    return fresh


def runs(
    entries: Sequence[Entry], stands_alone: Callable[[Request], bool]
) -> Iterator[Sequence[Entry]]:
    """The entries in order, each whose request `stands_alone` in a run of its own."""
    begin = 0
    for index, entry in enumerate(entries):
        if entry.request is not None and stands_alone(entry.request):
            if begin < index:
                yield entries[begin:index]
            yield entries[index : index + 1]
            begin = index + 1
    if begin < len(entries):
        yield entries[begin:]


def stands_alone(request: Request) -> bool:
    """Whether it is a batch of its own: an erasure, the end of an organisation, a release."""
    return request.stands_alone


def _read(record: Record) -> Entry:
    append_time = from_milliseconds(record.timestamp)
    event: Event | None = None
    try:
        event = decode(record.headers, record.value)
        kind_of(event.type)  # what is newer may name its organisation in another way
        _check_agreement(record.key, event)
        request = from_event(event)
        _check_ids(request)
        _check_shape(request)
    except NewerVersion:
        raise
    except ForeignEvent as error:
        return Entry(record, append_time, None, None, error)
    except Exception as error:  # whatever a record makes us raise is its own trouble alone
        return Entry(record, append_time, event or _envelope(record), None, error)
    return Entry(record, append_time, event, request)


def _envelope(record: Record) -> Event | None:
    """What the headers say where the value is not readable."""
    try:
        return decode(record.headers, None)
    except Exception:  # that the record is unreadable is told by the error that led here
        return None


def _check_agreement(key: bytes | None, event: Event) -> None:
    """Key, subject and body name the same organisation, or it is nobody's."""
    organisation_id = event.data.get("organisation_id") if isinstance(event.data, dict) else None
    if not isinstance(organisation_id, str):
        return  # no request at all
    if event.subject.partition("/")[0] != organisation_id:
        raise ForeignEvent("the subject names another organisation than the body")
    if (key or b"").decode("utf-8", "replace") != organisation_id:
        raise ForeignEvent("the key names another organisation than the event")


def _check_ids(request: Request) -> None:
    if request.dead_id is not None and parse_id(request.dead_id) != request.dead_id:
        raise MalformedEvent("causationid is no UUID in canonical form")
    for name in ("id", "organisation_id", "resource_id"):
        identifier = getattr(request, name)
        if parse_id(identifier) != identifier:
            raise MalformedEvent(f"{name} is no UUID in canonical form")


def _check_shape(request: Request) -> None:
    """What is looked at before the decision: a wrong type there would stop the whole batch."""
    if not isinstance(request.resource, dict | None):
        raise MalformedEvent("the resource is no object")
    if not all(isinstance(operation, dict) for operation in request.operations):
        raise MalformedEvent("an operation is no object")
    for name in ("user_name_key", "display_name_key"):
        if not isinstance(getattr(request, name), str | None):
            raise MalformedEvent(f"{name} is no text")
