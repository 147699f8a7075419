"""Looks at positions and at the log's ends every few seconds, and remembers an hour of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rollcall.control.lag import READERS, TopicName
from rollcall.events.topics import Topics
from rollcall.kafka.offsets import Extent, extents
from rollcall.observability.logging import get_logger
from rollcall.postgres import progress
from rollcall.postgres.pool import Database
from rollcall.postgres.progress import Progress
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.lifecycle import is_set_within
from rollcall_console.operations.samples import EVERY_S, Hour, Sample

TOPICS: Final[tuple[TopicName, ...]] = ("requests", "outcomes", "tenancy")

log = get_logger()


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition: who reads it, how far, and what waits; `state` None: nobody has begun."""

    topic: TopicName
    partition: int
    reader: str
    state: str | None
    reason: str | None
    position: int
    waiting: int
    applied: datetime | None


@dataclass(frozen=True, slots=True)
class Look:
    """How the deployment was at a moment; `away`: what did not answer, None where all did."""

    at: datetime
    partitions: Sequence[PartitionState] = ()
    away: str | None = None

    @property
    def waiting(self) -> int:
        """Requests that are not applied."""
        return sum(each.waiting for each in self.partitions if each.topic == "requests")

    @property
    def halted(self) -> int:
        """Partitions that wait for an operator."""
        return sum(each.state == "halted" for each in self.partitions)


class Watch:
    """One per process; `latest` is None until the first look."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        topics = Topics(settings.topic_prefix)
        self._topics = {
            "requests": topics.requests, "outcomes": topics.outcomes, "tenancy": topics.tenancy,
        }  # fmt: skip
        self.latest: Look | None = None
        self.hour = Hour()

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again, until `stop` is set."""
        while True:
            self.latest = await self._look()
            if self.latest.away is None:
                self.hour.add(_sample(self.latest))
            if await is_set_within(stop, EVERY_S):
                return

    async def _look(self) -> Look:
        found: list[PartitionState] = []
        try:
            for name in TOPICS:
                reader, schema = READERS[name]
                held = await extents(self._settings, self._topics[name])
                async with self._database.connection() as connection:
                    known = await progress.read_all(connection, self._topics[name], schema=schema)
                positions = {each.partition: each for each in known}
                found += [
                    _state(name, number, reader, held[number], positions.get(number))
                    for number in sorted(held)
                ]
        except Unavailable as error:
            log.warning("page.unavailable", what=error.what)
            before = () if self.latest is None else self.latest.partitions
            return Look(now(), before, error.what)
        return Look(now(), found)


def _state(
    topic: TopicName, number: int, reader: str, held: Extent, known: Progress | None
) -> PartitionState:
    position = held.first if known is None else max(known.next_offset, held.first)
    return PartitionState(
        topic,
        number,
        reader,
        None if known is None else known.state,
        None if known is None else known.reason,
        position,
        max(0, held.end - position),
        None if known is None else known.last_append_time,
    )


def _sample(look: Look) -> Sample:
    requests = [each for each in look.partitions if each.topic == "requests"]
    applied = sum(each.position for each in requests)
    return Sample(look.at.timestamp(), applied + look.waiting, applied, look.waiting)
