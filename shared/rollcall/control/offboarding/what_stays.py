"""What the log still holds after a deletion, and until when.

Kafka deletes whole segments. A segment goes once its last record is older than the retention, and
takes records for up to `segment.ms`: so a record is gone at the latest `retention.ms` plus
`segment.ms` after it was appended (and the broker looks every few minutes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from rollcall.events.envelope import format_time
from rollcall.events.topics import Topics
from rollcall.kafka.admin import topic_config
from rollcall.runtime.config import Settings

Who = Literal["organisation", "member"]
SNAPSHOTS: Final = (
    "Snapshots (`rollcall snapshot`), backups of Postgres and copies of the topics still hold it; "
    "delete them, or let them expire (docs/operations/offboarding.md)."
)
HOLDS: Final[Mapping[str, Mapping[Who, str]]] = {
    "requests": {
        "organisation": "its requests, with the data of its members",
        "member": "the requests about the member, with its data",
    },
    "replies": {
        "organisation": "answers, with members as they were",
        "member": "answers, with the member as it was",
    },
    "outcomes": {
        "organisation": "facts: ids and names of attributes",
        "member": "facts: ids and names of attributes",
    },
    "dead": {
        "organisation": "announcements of dead letters: ids and error classes",
        "member": "announcements of dead letters: ids and error classes",
    },
    "tenancy": {
        "organisation": "its name, the names and hashes of its keys",
        "member": "nothing",
    },
}


@dataclass(frozen=True, slots=True)
class Kept:
    """One topic: what it holds, and until when at the latest.

    `gone_by` None: no time limit; `removed_by` says what removes it.
    """

    topic: str
    holds: str
    retention_ms: int | None
    last_record: datetime
    gone_by: datetime | None
    removed_by: str

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        return {
            "topic": self.topic,
            "holds": self.holds,
            "retention_ms": self.retention_ms,
            "last_record": format_time(self.last_record),
            "gone_by": None if self.gone_by is None else format_time(self.gone_by),
            "removed_by": self.removed_by,
        }

    def __str__(self) -> str:
        if self.gone_by is None:
            return f"{self.topic} keeps {self.holds}, without a time limit: {self.removed_by}"
        return f"{self.topic} keeps {self.holds}, until {format_time(self.gone_by)} at the latest"


async def what_stays(settings: Settings, topics: Topics, who: Who, at: datetime) -> list[Kept]:
    """Topic by topic; `at` is when the last record of it was appended. Raises Unavailable."""
    found = []
    for name, holds in HOLDS.items():
        topic = getattr(topics, name)
        if who == "member" and name == "tenancy":
            continue
        config = await topic_config(settings, topic)
        if config is not None:
            found.append(judge(topic, holds[who], config, at))
    return found


def judge(topic: str, holds: str, config: Mapping[str, str], at: datetime) -> Kept:
    """What one topic's settings in force mean for a record appended at `at`."""
    retention_ms, segment_ms = _number(config, "retention.ms"), _number(config, "segment.ms")
    if "compact" in config.get("cleanup.policy", ""):
        return Kept(
            topic,
            holds,
            None,
            at,
            None,
            "the records are replaced by tombstones; the log cleaner takes the old ones away "
            "after their segment is closed, and the tombstones after delete.retention.ms",
        )
    gone_by = None
    if retention_ms is not None and segment_ms is not None:
        gone_by = _after(at, retention_ms + segment_ms)
    if gone_by is None:
        return Kept(
            topic,
            holds,
            None,
            at,
            None,
            "a retention.ms on the topic, or kafka-delete-records up to the offset of a snapshot",
        )
    return Kept(topic, holds, retention_ms, at, gone_by, "retention")


def _after(at: datetime, milliseconds: int) -> datetime | None:
    """The moment `milliseconds` later; None where it is beyond the year 9999."""
    try:
        return at + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def _number(config: Mapping[str, str], name: str) -> int | None:
    """A limit in milliseconds; None for -1 (no limit), and where it may not be read."""
    value = int(config.get(name, "-1"))
    return None if value < 0 else value
