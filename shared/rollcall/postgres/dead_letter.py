"""Dead letters: records that could not be applied, kept until a redrive or discard closes them."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import orjson

from rollcall.directory.quarantine import Key, Quarantine
from rollcall.postgres import queries
from rollcall.postgres.rows import is_id, to_utc

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

State = Literal["dead", "redriven", "discarded"]
ALL_STATES: tuple[State, ...] = ("dead", "redriven", "discarded")

_SQL = queries.load("dead_letter")
_RECORD = _SQL["record_dead_letters"]
_UPDATE = _SQL["update_dead_letters"]
_QUARANTINES = _SQL["load_quarantines"]
_LOAD = _SQL["load_dead"]
_RECENT = _SQL["recent_dead"]
_IN_A_ROW = _SQL["dead_in_a_row"]
_FIND = _SQL["find_dead_letters"]
_READ = _SQL["read_dead_letter"]
_DISCARD_WITHOUT_RESOURCE = _SQL["discard_without_resource"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record as Kafka delivered it, and why it was not applied.

    In a malformed record `event_id` and `organisation_id` may be None or any text. `error` is a
    message of our own that never quotes the record. `id` is the id of its audit row. If
    `resource_id` is set, that resource is in quarantine. `attempts` counts how often the event was
    tried, `announced` how many of its outcomes were announced (the column `told`). `cause`:
    rollcall/directory/cause.py.
    """

    topic: str
    partition: int
    offset: int
    event_id: str | None
    organisation_id: str | None
    headers: Sequence[tuple[str, bytes]]
    key: bytes | None
    value: bytes | None
    error_class: str
    error: str
    append_time: datetime
    epoch: int = 0
    id: str | None = None
    type: str | None = None
    endpoint: str | None = None
    resource_id: str | None = None
    attempts: int = 1
    announced: int = 1
    state: State = "dead"
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """The new state of a stored event; without an error class the old one is kept."""

    id: str
    state: State
    attempts: int
    announced: int
    error_class: str | None = None
    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class InQuarantine:
    """The quarantines of organisations, without their events; `parks`: parked organisation → id of
    the dead event behind which it was parked."""

    quarantines: list[tuple[str, Key, Quarantine]]
    parks: dict[str, str]


@dataclass(frozen=True, slots=True)
class Dead:
    """A letter that is still dead, as the limits count it. `organisation_id` is None if it is not
    certain. `is_parked`: its organisation is parked."""

    id: str | None
    offset: int
    organisation_id: str | None
    cause: str
    is_parked: bool = False


@dataclass(frozen=True, slots=True)
class InARow:
    """Dead letters among the last decided events, and the number of their organisations."""

    letters: int
    organisations: int
    without_organisation: int


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A stored record, as Kafka delivered it (`rollcall.kafka.feed.Record`)."""

    id: str
    organisation_id: str
    topic: str
    partition: int
    offset: int
    epoch: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    attempts: int = 0
    announced: int = 1


@dataclass(frozen=True, slots=True)
class DeadLetterSummary:
    """A dead letter without its record, for lists; `parked`: the number of events behind it."""

    topic: str
    partition: int
    offset: int
    epoch: int
    event_id: str | None
    organisation_id: str | None
    error_class: str
    error: str
    append_time: datetime
    recorded: datetime
    state: str
    id: str | None
    type: str | None
    endpoint: str | None
    resource_id: str | None
    attempts: int
    parked: int

    @property
    def name(self) -> str:
        """`topic/partition/offset`, the name in the answer to its request."""
        return f"{self.topic}/{self.partition}/{self.offset}"


async def record(connection: "Connection", letters: Sequence[DeadLetter]) -> None:
    """Store the letters, inside the batch's transaction. Headers become [name, base64]."""
    if not letters:
        return
    await connection.execute(
        _RECORD,
        [letter.topic for letter in letters],
        [letter.partition for letter in letters],
        [letter.offset for letter in letters],
        [letter.epoch for letter in letters],
        [printable(letter.event_id) for letter in letters],
        [_id_or_none(letter.organisation_id) for letter in letters],
        [headers_text(letter.headers) for letter in letters],
        [letter.key for letter in letters],
        [letter.value for letter in letters],
        [letter.error_class for letter in letters],
        [printable(letter.error) for letter in letters],
        [letter.append_time for letter in letters],
        [letter.id for letter in letters],
        [printable(letter.type) for letter in letters],
        [letter.endpoint for letter in letters],
        [letter.resource_id for letter in letters],
        [letter.attempts for letter in letters],
        [letter.announced for letter in letters],
        [letter.state for letter in letters],
        [letter.cause for letter in letters],
    )


async def update(connection: "Connection", tried: Sequence[Tried]) -> None:
    """Store the new states of letters, inside the batch's transaction."""
    if tried:
        await connection.execute(_UPDATE, *tried_columns(tried))


async def load_quarantines(connection: "Connection", organisations: Iterable[str]) -> InQuarantine:
    """All quarantines of these organisations."""
    rows = await connection.fetch(_QUARANTINES, [each for each in organisations if is_id(each)])
    found = InQuarantine([], {})
    for row in rows:
        if row["resource_id"] is None:
            found.parks[row["organisation_id"]] = row["id"]
            continue
        quarantine = Quarantine(row["id"], cause=row["cause"])
        key = (row["endpoint"], row["resource_id"])
        found.quarantines.append((row["organisation_id"], key, quarantine))
    return found


async def load_dead(
    connection: "Connection", resources: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], HeldRecord]:
    """(organisation, endpoint, resource) → its dead event, for resources that have one."""
    rows = await connection.fetch(_LOAD, *(list(column) for column in zip(*resources, strict=True)))
    return {
        (row["organisation_id"], row["endpoint"], row["resource_id"]): to_held(
            row, row["attempts"], row["told"]
        )
        for row in rows
    }


async def recent(
    connection: "Connection", topic: str, partition: int, epoch: int, first: int, last: int
) -> list[Dead]:
    """The dead records of the partition from offset `first` to `last`, in order."""
    rows = await connection.fetch(_RECENT, topic, partition, epoch, first, last)
    return [Dead(**dict(row)) for row in rows]


async def in_a_row(
    connection: "Connection", topic: str, partition: int, epoch: int, last: int
) -> InARow:
    """The dead ones among the `last` decided events of the partition.

    Events of parked organisations are not counted.
    """
    [row] = await connection.fetch(_IN_A_ROW, topic, partition, epoch, last)
    return InARow(**dict(row))


async def find(
    connection: "Connection",
    *,
    states: Sequence[State] = ("dead",),
    organisation_id: str | None = None,
    since: datetime | None = None,
    error_class: str | None = None,
    names: Sequence[str] | None = None,
    limit: int = 1000,
) -> list[DeadLetterSummary]:
    """At most `limit` letters that match all criteria, oldest first.

    `names`: ids, or `topic/partition/offset`.
    """
    rows = await connection.fetch(
        _FIND,
        list(states),
        organisation_id,
        since,
        error_class,
        None if names is None else list(names),
        limit,
    )
    return [
        DeadLetterSummary(
            topic=row["topic"],
            partition=row["partition"],
            offset=row["offset"],
            epoch=row["epoch"],
            event_id=row["event_id"],
            organisation_id=row["organisation_id"],
            error_class=row["error_class"],
            error=row["error"],
            append_time=to_utc(row["append_time"]),
            recorded=to_utc(row["recorded"]),
            state=row["state"],
            id=row["id"],
            type=row["type"],
            endpoint=row["endpoint"],
            resource_id=row["resource_id"],
            attempts=row["attempts"],
            parked=row["parked"],
        )
        for row in rows
    ]


async def read_bytes(
    connection: "Connection", letter: DeadLetterSummary
) -> tuple[list[tuple[str, bytes]], bytes | None, bytes | None]:
    """Headers, key and value of a letter (personal data). Raises LookupError if it is gone."""
    place = (letter.topic, letter.partition, letter.offset, letter.epoch)
    row = await connection.fetchrow(_READ, *place)
    if row is None:
        raise LookupError(f"{letter.name} was deleted while it was read")
    return read_headers(row["headers"]), row["key"], row["value"]


async def discard_without_resource(connection: "Connection", letter: DeadLetterSummary) -> bool:
    """Close a letter on which no fold depends; returns whether it was open."""
    place = (letter.topic, letter.partition, letter.offset, letter.epoch)
    return await connection.fetchval(_DISCARD_WITHOUT_RESOURCE, *place) is True


def tried_columns(tried: Sequence[Tried]) -> tuple[list[object], ...]:
    """One column per field, in the order of the queries that take them."""
    return (
        [each.id for each in tried],
        [each.state for each in tried],
        [each.attempts for each in tried],
        [each.announced for each in tried],
        [each.error_class for each in tried],
        [printable(each.error) for each in tried],
    )


def to_held(row: "asyncpg.Record", attempts: int, announced: int) -> HeldRecord:
    """The record in a row of a dead letter or of a parked event."""
    return HeldRecord(
        id=row["id"],
        organisation_id=row["organisation_id"],
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        epoch=row["epoch"],
        timestamp=round(row["append_time"].timestamp() * 1000),
        timestamp_type=1,  # only records with an append time of the broker are ever stored
        key=row["key"],
        value=row["value"],
        headers=read_headers(row["headers"]),
        attempts=attempts,
        announced=announced,
    )


def headers_text(headers: Sequence[tuple[str, bytes]]) -> str:
    """Headers as JSON text: [name, base64] each."""
    pairs = [
        [printable(name) or "", base64.b64encode(value or b"").decode()] for name, value in headers
    ]
    return orjson.dumps(pairs).decode()


def read_headers(stored: Sequence[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """Headers as Kafka delivered them, from the stored form."""
    return [(name, base64.b64decode(text)) for name, text in stored]


def printable(text: str | None) -> str | None:
    """Text that Postgres can store: other characters are escaped with a backslash."""
    if text is None:
        return None
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _id_or_none(text: str | None) -> str | None:
    return text if text is not None and is_id(text) else None
