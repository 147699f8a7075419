"""Records that could not be applied, bytes and all, for a later redrive."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from shared.postgres import queries
from shared.postgres.rows import is_id, to_utc

if TYPE_CHECKING:
    from shared.postgres.pool import Connection

_SQL = queries.load("dead_letter")
_RECORD = _SQL["record_dead_letters"]
_LIST = _SQL["list_dead_letters"]
_COUNT = _SQL["count_dead_letters"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record as Kafka delivered it, and why it was not applied.

    `event_id` and `organisation_id` are None, or whatever text stands there, where the record is
    malformed. `error` is a message of ours: it never quotes the record.
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


@dataclass(frozen=True, slots=True)
class DeadLetterSummary:
    """A dead letter without its bytes, as lists show it."""

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


async def record(connection: "Connection", letters: Sequence[DeadLetter]) -> None:
    """Keep the letters, inside the batch's transaction. Headers are stored as [name, base64]."""
    if not letters:
        return
    await connection.execute(
        _RECORD,
        [letter.topic for letter in letters],
        [letter.partition for letter in letters],
        [letter.offset for letter in letters],
        [letter.epoch for letter in letters],
        [_printable(letter.event_id) for letter in letters],
        [_id_or_none(letter.organisation_id) for letter in letters],
        [_headers(letter.headers) for letter in letters],
        [letter.key for letter in letters],
        [letter.value for letter in letters],
        [letter.error_class for letter in letters],
        [_printable(letter.error) for letter in letters],
        [letter.append_time for letter in letters],
    )


async def list_by_state(
    connection: "Connection", state: str, limit: int
) -> list[DeadLetterSummary]:
    """Letters that are `dead`, `redriven` or `dropped`, oldest first."""
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
        )
        for row in await connection.fetch(_LIST, state, limit)
    ]


async def count_by_state(connection: "Connection") -> dict[str, int]:
    """State → how many letters."""
    return {row["state"]: row["number"] for row in await connection.fetch(_COUNT)}


def _headers(headers: Sequence[tuple[str, bytes]]) -> str:
    pairs = [
        [_printable(name) or "", base64.b64encode(value or b"").decode()] for name, value in headers
    ]
    return orjson.dumps(pairs).decode()


def _printable(text: str | None) -> str | None:
    """Text that Postgres can hold: what it cannot hold is escaped with a backslash."""
    if text is None:
        return None
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _id_or_none(text: str | None) -> str | None:
    return text if text is not None and is_id(text) else None
