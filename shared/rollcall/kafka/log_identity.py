"""Check whether a log is the one in which a position was taken. No I/O.

The rule. An offset alone does not identify a log. A topic that was deleted and created again,
restored from a mirror, or truncated starts again at low offsets; continuing in it would silently
skip events or apply others. So every position is stored with the id and the append time of the
record before it. The log is the same if that record is still there with both. A mirror that
stamps records again keeps their ids, but their append times differ. Records that retention has
deleted cannot be compared. If retention deleted records before they were applied, they are missing,
and that counts as a difference.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from rollcall.kafka.feed import Look, Record
from rollcall.kafka.worker import (
    RECORD_DIFFERS,
    RESTAMPED,
    RETENTION_PASSED,
    SHORTER,
    PartitionHalted,
    log_differs,
)
from rollcall.runtime.ids import parse_id


class Position(Protocol):
    """A stored position, and what is known of the record before it (`progress.Progress`)."""

    @property
    def next_offset(self) -> int: ...
    @property
    def last_event_id(self) -> str | None: ...
    @property
    def last_append_time(self) -> datetime | None: ...


def difference(
    position: Position, look: Look, *, compares_record: bool = True
) -> PartitionHalted | None:
    """Why this is not the log of `position`, or None if there is no sign of that.

    `compares_record` is off for compacted topics, where compaction may have removed the record.
    """
    offset = position.next_offset
    if look.end_offset < offset:
        return log_differs(
            SHORTER,
            f"the log ends at offset {look.end_offset}, below the position {offset}: "
            "it was truncated or made anew",
        )
    if look.first_offset > offset:
        return log_differs(
            RETENTION_PASSED,
            f"the log begins at offset {look.first_offset}, above the position {offset}: "
            "what lies between was never applied",
        )
    is_gone = look.first_offset > offset - 1
    if is_gone or not compares_record or position.last_append_time is None:
        return None
    return _compare(position, position.last_append_time, look.before)


def event_id_of(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """The record's `ce_id` if it is a UUID in canonical form, even if the rest is malformed."""
    given = dict(headers).get("ce_id") or b""
    text = given.decode("ascii", "replace")
    return text if parse_id(text) == text else None


def _compare(
    position: Position, append_time: datetime, before: Record | None
) -> PartitionHalted | None:
    offset = position.next_offset - 1
    if before is None or before.offset != offset:
        return log_differs(
            RECORD_DIFFERS, f"the log has no record at offset {offset}, which we had"
        )
    found_id = event_id_of(before.headers)
    if found_id != position.last_event_id:
        return log_differs(
            RECORD_DIFFERS,
            f"the record at offset {offset} is {found_id or 'without id'}, "
            f"and was {position.last_event_id or 'without id'}",
        )
    if before.timestamp != round(append_time.timestamp() * 1000):
        return log_differs(
            RESTAMPED,
            f"the record at offset {offset} was appended at another time than it was before",
        )
    return None
