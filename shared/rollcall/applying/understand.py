"""Read records of the requests topic as requests, or say why a record is not one. No I/O.

A record that cannot be read is a dead letter. Two faults are not the record's own and halt the
partition instead: an event of a newer version than this release knows, and a topic whose records
have no append time of the broker.

Whether a record is late is judged by its headers alone, even if the rest is unreadable. The sender
of a late record was answered 503, so it is neither applied nor kept, and it never halts.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rollcall.events.bodies import AboutDead
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
    """Key, subject, body and partition do not name the same organisation (foreign.py)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a batch, with its request or with the error that makes it a dead letter.

    `event` is the readable part of its envelope. It is None if nothing is readable, or if the event
    is foreign and so nothing in it can be trusted.
    """

    record: Record
    append_time: datetime
    event: Event | None
    request: Request | None
    error: Exception | None = None

    @property
    def event_id(self) -> str | None:
        """The event's id, by which copies are recognised; None if it is not a canonical UUID."""
        given = "" if self.event is None else self.event.id
        return given if given and parse_id(given) == given else None

    @property
    def is_expired(self) -> bool:
        """Whether the broker appended it after its `acceptby`, when ingress had given up."""
        return is_late(self.record)


@dataclass(frozen=True, slots=True)
class Understood:
    """The entries of a batch before the record that halts the partition, and the halt if any."""

    entries: tuple[Entry, ...]
    halt: PartitionHalted | None = None


def is_late(record: Record) -> bool:
    """Whether the broker appended the record after the `acceptby` header, if there is one."""
    try:
        given = [raw for name, raw in record.headers if name == ACCEPT_BY]
        return bool(given) and record.timestamp > int(given[-1].decode())
    except (ValueError, AttributeError):
        return False  # not a number, so not written by ingress: the record is malformed


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
    """The entries without those that are late. A late copy does not affect other copies of its id.

    `kept`: offsets of late records that an earlier release applied all the same.
    """
    return [entry for entry in entries if not entry.is_expired or entry.record.offset in kept]


def drop_duplicates(entries: Sequence[Entry], applied: set[str]) -> list[Entry]:
    """The first entry of each id that is not in `applied`; entries without an id stay."""
    seen = set(applied)
    fresh = []
    for entry in entries:
        if entry.event_id is not None:
            if entry.event_id in seen:
                continue
            seen.add(entry.event_id)
        fresh.append(entry)
    return fresh


def answered_early(present: Sequence[Entry], fresh: Sequence[Entry]) -> list[str]:
    """Ids of the copies among `present` which say that their sender was answered undecided.

    Ingress writes one where it could not keep a promise (decision 0063).
    """
    offsets = {entry.record.offset for entry in fresh}
    return [
        entry.request.id
        for entry in present
        if entry.record.offset not in offsets
        and entry.request is not None
        and entry.request.is_answered
        and entry.request.promise is None
    ]


def runs(
    entries: Sequence[Entry], stands_alone: Callable[[Request], bool]
) -> Iterator[Sequence[Entry]]:
    """Split the entries, in order, into runs; a request that `stands_alone` is its own run."""
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
    """Whether it is a batch of its own: an erasure, the end of an organisation, or a release."""
    return request.stands_alone


def _read(record: Record) -> Entry:
    append_time = from_milliseconds(record.timestamp)
    event: Event | None = None
    try:
        event = decode(record.headers, record.value)
        kind_of(event.type)  # first: a newer version may name its organisation differently
        _check_agreement(record.key, event)
        request = from_event(event)
        _check_ids(request)
    except NewerVersion:
        raise
    except ForeignEvent as error:
        return Entry(record, append_time, None, None, error)
    except Exception as error:  # any error that a record causes is confined to that record
        return Entry(record, append_time, event or _envelope(record), None, error)
    return Entry(record, append_time, event, request)


def _envelope(record: Record) -> Event | None:
    """The envelope in the headers, for a record whose value is unreadable."""
    try:
        return decode(record.headers, None)
    except Exception:  # the error that led here already says that the record is unreadable
        return None


def _check_agreement(key: bytes | None, event: Event) -> None:
    """Raise ForeignEvent unless key, subject and body name the same organisation."""
    organisation_id = event.data.get("organisation_id") if isinstance(event.data, dict) else None
    if not isinstance(organisation_id, str):
        return  # not a request
    if event.subject.partition("/")[0] != organisation_id:
        raise ForeignEvent("the subject names another organisation than the body")
    if (key or b"").decode("utf-8", "replace") != organisation_id:
        raise ForeignEvent("the key names another organisation than the event")


def _check_ids(request: Request) -> None:
    body = request.body
    if isinstance(body, AboutDead) and parse_id(body.dead_id) != body.dead_id:
        raise MalformedEvent("causationid is no UUID in canonical form")
    for name in ("id", "organisation_id", "resource_id"):
        identifier = getattr(request, name)
        if parse_id(identifier) != identifier:
            raise MalformedEvent(f"{name} is no UUID in canonical form")
