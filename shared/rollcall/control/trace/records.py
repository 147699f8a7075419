"""Finds records in the log: at a known offset, or by a read with a limit.

Only the headers of a record are looked at (id, type, subject, times), never its body.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.control.meter import Meter
from rollcall.events.envelope import from_milliseconds
from rollcall.kafka.feed import Record
from rollcall.kafka.log_identity import event_id_of
from rollcall.kafka.log_probe import LogProbe
from rollcall.kafka.offsets import Extent, extents, offsets_at
from rollcall.kafka.reading import read

NEAR: Final = 2_000
"""An announcement is looked for in this many records after the time of what it announces."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record in the log, as its headers describe it.

    `accept_by_ms`: a record that was appended later than this is dropped.
    """

    topic: str
    partition: int
    offset: int
    append_time: datetime
    event_id: str | None
    type: str
    subject: str
    accept_by_ms: int | None

    @property
    def name(self) -> str:
        """`topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def is_expired(self) -> bool:
        """Whether the broker appended it after ingress had stopped waiting for that."""
        appended_ms = round(self.append_time.timestamp() * 1000)
        return self.accept_by_ms is not None and appended_ms > self.accept_by_ms


@dataclass(slots=True)
class Scan:
    """What a search read and found. `is_complete`: it read everything up to the end of the log.

    `begins`: partition → where it was read from.
    """

    found: list[Seen] = field(default_factory=list)
    records: int = 0
    is_complete: bool = True
    begins: dict[int, int] = field(default_factory=dict)


def describe(topic: str, partition: int, record: Record) -> Seen:
    """A record by its headers; fields that they lack are empty."""
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value}
    accept_by = headers.get("ce_acceptby", "")
    return Seen(
        topic=topic,
        partition=partition,
        offset=record.offset,
        append_time=from_milliseconds(record.timestamp),
        event_id=event_id_of(record.headers),
        type=headers.get("ce_type", "unknown"),
        subject=headers.get("ce_subject", ""),
        accept_by_ms=int(accept_by) if accept_by.isascii() and accept_by.isdigit() else None,
    )


async def record_at(probe: LogProbe, topic: str, partition: int, offset: int) -> Seen | None:
    """The record at an offset; None where the log does not hold it. Raises Unavailable."""
    record = (await probe.look(partition, offset + 1)).before
    if record is None or record.offset != offset:
        return None
    return describe(topic, partition, record)


async def scan_requests(
    deployment: Deployment,
    begins: Mapping[int, int],
    wanted: Collection[str],
    subjects: Collection[str],
    limit: int,
    meter: Meter,
) -> Scan:
    """Requests with one of these ids or subjects, from offsets on, at most `limit` a partition.

    Raises Unavailable.
    """
    topic = deployment.topics.requests
    held = await extents(deployment.settings, topic)
    scan = Scan()
    parts = {}
    for number, offset in begins.items():
        if number not in held:
            continue
        begin = max(offset, held[number].first)
        end = min(held[number].end, begin + limit)
        # Retention may have deleted the record that is looked for.
        may_be_gone = begin == held[number].first > 0
        scan.is_complete &= end == held[number].end and not may_be_gone
        scan.begins[number] = begin
        parts[number] = (begin, end)
    meter.note("read the log", sum(max(0, end - begin) for begin, end in parts.values()))
    for number, (begin, end) in parts.items():
        async for records in read(deployment.settings, topic, number, begin, end):
            for record in records:
                seen = describe(topic, number, record)
                if seen.event_id in wanted or seen.subject in subjects:
                    scan.found.append(seen)
            scan.records += len(records)
            meter.add(len(records))
    return scan


async def from_time(deployment: Deployment, moment: datetime) -> dict[int, int]:
    """Partition of the requests → the first offset that was appended then or later.

    Raises NotPossible where the topic is gone, Unavailable.
    """
    topic = deployment.topics.requests
    held = await extents(deployment.settings, topic)
    if not held:
        raise NotPossible(f"there is no topic {topic}, so nothing is known of what it held")
    return await offsets_at(deployment.settings, topic, held, round(moment.timestamp() * 1000))


async def announced(
    deployment: Deployment, partition: int, held: Extent, moment: datetime, ids: Collection[str]
) -> dict[str, Seen]:
    """Event id → its first record on the outcomes topic, searched from a moment on.

    An announcement is never older than its event, so the read begins at `moment` and ends when all
    are found, or after `NEAR` records. `held`: what the partition holds. Raises Unavailable.
    """
    found: dict[str, Seen] = {}
    topic = deployment.topics.outcomes
    if not ids or not held:
        return found
    at_ms = round(moment.timestamp() * 1000)
    begin = (await offsets_at(deployment.settings, topic, {partition: held}, at_ms))[partition]
    end = min(held.end, begin + NEAR)
    async for records in read(deployment.settings, topic, partition, begin, end):
        for record in records:
            seen = describe(topic, partition, record)
            if seen.event_id is not None and seen.event_id in ids:
                found.setdefault(seen.event_id, seen)
        if len(found) == len(ids):
            break
    return found
