"""Identifiers: UUIDv7 (RFC 9562 §5.7), ordered by the time at which they were minted."""

import uuid
from datetime import UTC, datetime

import uuid_utils

from shared.runtime import clock


def new_id() -> str:
    """A new UUIDv7 as lower-case text."""
    if clock.is_set_off():
        return str(uuid_utils.uuid7(nanoseconds=clock.now_ms() * 1_000_000))
    return str(uuid_utils.uuid7())


def parse_id(text: str) -> str | None:
    """The id in canonical lower-case form, or None where `text` is no UUID as we write them."""
    if len(text) != 36:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def minted_at(identifier: str) -> datetime:
    """When a UUIDv7 was minted, to the millisecond. Raises ValueError for any other text."""
    value = uuid.UUID(identifier)
    if value.version != 7:
        raise ValueError("not a UUIDv7")
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)
