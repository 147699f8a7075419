"""Whether a log is the one that a position was taken in. Pure.

The rule. A position alone says nothing: a topic that was deleted and made anew, restored from a
mirror or cut short counts its offsets from nought like any other, and going on in it would skip
events, or apply others in their place, in silence. So with every position we keep id and append
time of the record before it. The log is the same one where it still has that record, with both;
a mirror that stamps records anew keeps the id and shows in the time. What retention has taken
cannot be compared; what it has taken before it was applied is missing, and counts as a difference.
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
    """Why this is not the log of `position`, or None if nothing speaks against it.

    `compares_record` is off for compacted topics, which may have lost the record before.
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
    """The record's `ce_id` where it is a UUID in canonical form, whatever else it carries."""
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
