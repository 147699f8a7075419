"""How far the services are behind the log: by partition, by organisation, and against retention.

Positions are those in Postgres (`progress`), which decide. Waiting requests of an organisation are
counted nowhere, so the unapplied end of each partition is read, up to a limit that the answer
names: where that is reached, a number is a lower bound.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.control.tenancy_log import Tenancy, read_tenancy
from rollcall.control.words import counted
from rollcall.events.envelope import format_time, from_milliseconds
from rollcall.kafka.admin import topic_config
from rollcall.kafka.offsets import Extent, extents
from rollcall.kafka.reading import read
from rollcall.postgres import progress
from rollcall.postgres.progress import Progress, Schema
from rollcall.runtime import clock

TopicName = Literal["requests", "outcomes", "tenancy"]
READERS: Final[Mapping[TopicName, tuple[str, Schema]]] = {
    "requests": ("provisioner", "directory"),
    "outcomes": ("notifier", "notice"),
    "tenancy": ("provisioner", "directory"),
}
"""Topic → the service that reads it with a position in Postgres, and the schema of the position."""
SCAN_RECORDS: Final = 10_000
AT_ONCE: Final = 4
UNNAMED: Final = "-"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a topic keeps a record. `keeps_s` None: without a time limit, if `is_known`.

    `is_by_size`: a full partition loses its oldest records before that.
    """

    keeps_s: float | None
    is_known: bool = True
    is_by_size: bool = False

    @property
    def kind(self) -> Literal["time", "forever", "unknown"]:
        """Whether a record is deleted after a time, never, or at a time that may not be read."""
        if not self.is_known:
            return "unknown"
        return "forever" if self.keeps_s is None else "time"

    def left_s(self, appended: datetime, now: datetime) -> float | None:
        """Seconds until a record may be deleted, not below 0; None: never, or not known."""
        if self.keeps_s is None or not self.is_known:
            return None
        return max(0.0, self.keeps_s - (now - appended).total_seconds())


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition of one topic. `oldest`: append time of the oldest unread record.

    `again_to`: the partition is replayed; its mails wait until it is read up to this offset.
    """

    topic: TopicName
    partition: int
    reader: str
    state: str
    position: int
    held: Extent
    retention: Retention
    again_to: int | None = None
    oldest: datetime | None = None

    @property
    def lag(self) -> int:
        """Offsets between the position and the end: records, but for what compaction took."""
        return max(0, self.held.end - max(self.position, self.held.first))

    @property
    def trouble(self) -> str | None:
        """What is wrong between the position and the log, as a sentence."""
        if self.position > self.held.end:
            return "the log ends below the position"
        if self.position < self.held.first and self.topic != "tenancy":
            gone = self.held.first - self.position
            what = counted(gone, "record that was", "records that were")
            return f"retention took {what} not applied"
        if self.again_to is not None:
            return f"it is replayed; its mails wait until it is read to offset {self.again_to}"
        return None


@dataclass(frozen=True, slots=True)
class OrganisationLag:
    """Unread records of an organisation in a partition; `is_exact`: all of them were counted."""

    topic: TopicName
    partition: int
    organisation_id: str
    waiting: int
    oldest: datetime
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Lag:
    """The lag of all partitions at one moment; `scanned`: records read of each at most."""

    at: datetime
    scanned: int
    partitions: Sequence[PartitionLag]
    organisations: Sequence[OrganisationLag]
    names: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        return {
            "at": format_time(self.at),
            "scanned_records_per_partition": self.scanned,
            "partitions": [self._partition(each) for each in self.partitions],
            "organisations": [self._organisation(each) for each in self.organisations],
        }

    def age_s(self, moment: datetime | None) -> float | None:
        """Seconds since a moment of the broker's clock, by this machine's clock."""
        return None if moment is None else round(max(0.0, (self.at - moment).total_seconds()), 3)

    def left_s(self, each: PartitionLag) -> float | None:
        """Seconds until its oldest record that waits may be deleted; None: never, or not known."""
        return None if each.oldest is None else each.retention.left_s(each.oldest, self.at)

    def _partition(self, each: PartitionLag) -> dict[str, Any]:
        retention = each.retention
        return {
            "topic": each.topic,
            "partition": each.partition,
            "reader": each.reader,
            "state": each.state,
            "position": each.position,
            "first_offset": each.held.first,
            "end_offset": each.held.end,
            "lag": each.lag,
            "oldest": None if each.oldest is None else format_time(each.oldest),
            "oldest_age_s": self.age_s(each.oldest),
            "retention": retention.kind,
            "deleted_after_s": retention.keeps_s if retention.is_known else None,
            "deleted_by_size": retention.is_by_size,
            "oldest_deleted_in_s": self.left_s(each),
            "replayed_to": each.again_to,
            "trouble": each.trouble,
        }

    def _organisation(self, each: OrganisationLag) -> dict[str, Any]:
        return {
            "topic": each.topic,
            "partition": each.partition,
            "organisation_id": each.organisation_id,
            "name": self.names.get(each.organisation_id),
            "waiting": each.waiting,
            "exact": each.is_exact,
            "oldest": format_time(each.oldest),
            "oldest_age_s": self.age_s(each.oldest),
        }


async def measure(deployment: Deployment, scan_records: int = SCAN_RECORDS) -> Lag:
    """The lag now. Raises NotPossible where a topic is missing, Unavailable.

    At least the first waiting record of each partition is read, for its age.
    """
    tenancy = await read_tenancy(deployment.settings)
    partitions = [each for name in READERS for each in await _partitions(deployment, name)]
    slots = asyncio.Semaphore(AT_ONCE)

    async def scanned(each: PartitionLag) -> tuple[PartitionLag, list[OrganisationLag]]:
        async with slots:
            return await _scan(deployment, each, max(1, scan_records))

    found = await asyncio.gather(*map(scanned, partitions))
    return Lag(
        at=clock.now(),
        scanned=max(1, scan_records),
        partitions=[each for each, _ in found],
        organisations=sorted(
            (each for _, waiting in found for each in waiting), key=lambda each: each.oldest
        ),
        names=_names(tenancy),
    )


async def _partitions(deployment: Deployment, name: TopicName) -> list[PartitionLag]:
    topic: str = getattr(deployment.topics, name)
    reader, schema = READERS[name]
    # The position first: a log that is asked afterwards is not behind it.
    async with deployment.database.connection() as connection:
        rows = await progress.read_all(connection, topic, schema=schema)
    known: dict[int, Progress] = {each.partition: each for each in rows}
    held = await extents(deployment.settings, topic)
    if not held:
        raise NotPossible(f"Kafka has no topic {topic}; run `rollcall topics apply`")
    retention = retention_of(await topic_config(deployment.settings, topic) or {})
    return [
        PartitionLag(
            name,
            number,
            reader,
            known[number].state if number in known else "unowned",
            known[number].next_offset if number in known else 0,
            extent,
            retention,
            _again_to(known.get(number)) if name == "outcomes" else None,
        )
        for number, extent in sorted(held.items())
    ]


def _again_to(found: Progress | None) -> int | None:
    """How far a partition of the outcomes was read before a replay set it back."""
    if found is None or found.next_offset >= found.published_offset:
        return None
    return found.published_offset


async def _scan(
    deployment: Deployment, each: PartitionLag, scan_records: int
) -> tuple[PartitionLag, list[OrganisationLag]]:
    """The partition with its oldest waiting record, and what waits by organisation."""
    begin = max(each.position, each.held.first)
    end = min(each.held.end, begin + scan_records)
    topic: str = getattr(deployment.topics, each.topic)
    oldest: datetime | None = None
    first_of: dict[str, datetime] = {}
    waiting: dict[str, int] = {}
    async for records in read(deployment.settings, topic, each.partition, begin, end):
        for record in records:
            appended = from_milliseconds(record.timestamp)
            oldest = oldest or appended
            if each.topic != "tenancy":  # its keys are those of API keys as well
                key = (record.key or b"").decode("utf-8", "replace") or UNNAMED
                waiting[key] = waiting.get(key, 0) + 1
                first_of.setdefault(key, appended)
    return replace(each, oldest=oldest), [
        OrganisationLag(
            each.topic, each.partition, key, number, first_of[key], end == each.held.end
        )
        for key, number in waiting.items()
    ]


def retention_of(config: Mapping[str, str]) -> Retention:
    """The retention in a topic's settings; empty settings are those that may not be read."""
    if "retention.ms" not in config:
        return Retention(None, is_known=False)
    if "delete" not in config.get("cleanup.policy", "delete"):
        return Retention(None)
    keeps_ms = int(config["retention.ms"])
    by_size = int(config.get("retention.bytes", "-1")) >= 0
    return Retention(None if keeps_ms < 0 else keeps_ms / 1000, is_by_size=by_size)


def _names(tenancy: Tenancy) -> dict[str, str]:
    return {each.id: each.name for each in tenancy.organisations.values()}
