"""What a downstream replay is asked for, what it did, and the headers that mark its records."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rollcall.control.replay.bounds import Boundary, Part
from rollcall.events.envelope import format_time, from_milliseconds
from rollcall.kafka.feed import Record
from rollcall.kafka.log_identity import event_id_of

OF: Final = "ce_replayof"
TIME: Final = "ce_replaytime"
RUN: Final = "ce_replayrun"
EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True)
class Mark:
    """The added headers of a replayed record: its offset in the source, and its replay.

    `begin`: from where on the target has all of this partition; `who`: the organisation that the
    replay was restricted to, or `*`. `event_id` is the record's own.
    """

    topic: str
    partition: int
    offset: int
    begin: int
    who: str
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """One partition: what is asked for, and where it goes on after what the target has already.

    `first`: from where on the target has all of it, once this is done.
    """

    part: Part
    begin: int
    first: int

    def __len__(self) -> int:
        return max(0, self.part.end - self.begin)


@dataclass(slots=True)
class Report:
    """What was sent, or would be read. `records`: looked at; `sent`: into the target."""

    into: str
    copies: list[Copy] = field(default_factory=list)
    sent: int = 0
    taken_s: float = 0.0

    @property
    def is_resumed(self) -> bool:
        """Whether the target had a part of it already."""
        return any(each.begin > each.part.begin for each in self.copies)

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        return {
            "into": self.into,
            "records": sum(map(len, self.copies)),
            "sent": self.sent,
            "resumed": self.is_resumed,
            "partitions": [
                {"partition": each.part.partition, "begin": each.begin, "end": each.part.end}
                for each in self.copies
            ],
            "short": [each.part.partition for each in self.copies if each.part.is_short],
            "seconds": round(self.taken_s, 3),
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """The replay that was asked for. `rate`: records a second, None: no limit."""

    into: str
    begin: Boundary
    end: Boundary | None = None
    organisation_id: str | None = None
    partitions: Collection[int] | None = None
    rate: float | None = None
    dry_run: bool = False

    @property
    def who(self) -> str:
        """The selection as a mark has it."""
        return self.organisation_id or EVERYBODY


def mark_in(headers: Sequence[tuple[str, bytes]]) -> Mark | None:
    """The mark in a record's headers; None where it is not a replayed record."""
    given = dict(headers)
    try:
        topic, partition, offset = given[OF].decode().rsplit("/", 2)
        begin, who = given[RUN].decode().split("/", 1)
        return Mark(topic, int(partition), int(offset), int(begin), who, event_id_of(headers))
    except (KeyError, ValueError):
        return None


def marked(record: Record, topic: str, copy: Copy, who: str) -> list[tuple[str, bytes]]:
    """The record's headers, and the three that say where it is from."""
    return [
        *record.headers,
        (OF, f"{topic}/{copy.part.partition}/{record.offset}".encode()),
        (TIME, format_time(from_milliseconds(record.timestamp)).encode()),
        (RUN, f"{copy.first}/{who}".encode()),
    ]
