"""Identifiers: UUIDv7 (RFC 9562 §5.7), ordered by the time at which they were minted."""

import re
import uuid
from datetime import UTC, datetime
from typing import Final

import uuid_utils

from rollcall.runtime import clock

_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def new_id() -> str:
    """A new UUIDv7 as lower-case text."""
    if clock.is_set_off():
        return str(uuid_utils.uuid7(nanoseconds=clock.now_ms() * 1_000_000))
    return str(uuid_utils.uuid7())


def parse_id(text: str) -> str | None:
    """The id in lower case, or None where `text` is not 8-4-4-4-12 digits (RFC 9562 §4).

    `uuid.UUID` takes more: braces, `urn:`, dashes anywhere, a sign, digits of other scripts.
    """
    return text.lower() if _UUID.fullmatch(text) is not None else None


def minted_at(identifier: str) -> datetime:
    """When a UUIDv7 was minted, to the millisecond. Raises ValueError for any other text."""
    value = uuid.UUID(identifier)
    if value.version != 7:
        raise ValueError("not a UUIDv7")
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)
