"""The status of partitions (positions in Postgres beside the log), and resuming a halted one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from rollcall.control.errors import NotPossible
from rollcall.events import envelope, outcome, request
from rollcall.events.envelope import MalformedEvent, NewerVersion
from rollcall.events.topics import Topics
from rollcall.kafka.admin import partition_count
from rollcall.kafka.feed import Look, Record
from rollcall.kafka.log_identity import difference
from rollcall.kafka.log_probe import LogProbe
from rollcall.postgres import progress
from rollcall.postgres.pool import Database
from rollcall.postgres.progress import Progress, Schema, Tried
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.tenancy import organisation as tenancy

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

TopicName = Literal["requests", "outcomes", "tenancy"]
LOG_APPEND_TIME: Final = 1


class StillHalted(NotPossible):
    """The cause of the halt is still there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition: its progress (None: it never had an owner) and its log (None: not known).

    `tried`: a time-out cut off the event at the position; it is being tried again.
    """

    partition: int
    progress: Progress | None
    log: Look | None
    tried: Tried | None = None

    @property
    def lag(self) -> int | None:
        """Records of the log that are not applied; None where the log is not known."""
        if self.log is None:
            return None
        position = self.log.first_offset if self.progress is None else self.progress.next_offset
        return max(0, self.log.end_offset - position)


class Partitions:
    """The partitions of one topic; made by `open_partitions`."""

    def __init__(self, settings: Settings, name: TopicName, database: Database) -> None:
        topics = Topics(settings.topic_prefix)
        self.topic: str = getattr(topics, name)
        self._settings = settings
        self._name = name
        self._database = database
        self._schema: Schema = "notice" if name == "outcomes" else "directory"
        self._probe = LogProbe(settings, self.topic)

    async def close(self) -> None:
        """Close the connection to Kafka."""
        await self._probe.close()

    async def list_all(self) -> tuple[list[PartitionStatus], str]:
        """Every partition in Postgres or Kafka, and a line for people if Kafka does not answer."""
        async with self._database.connection() as connection:
            rows = await progress.read_all(connection, self.topic, schema=self._schema)
            tried = await self._tried(connection)
        known = {row.partition: row for row in rows}
        logs: dict[int, Look] = {}
        note = ""
        try:
            count = await partition_count(self._settings, self.topic)
            numbers = list(range(count))
            looks = await asyncio.gather(*(self._probe.look(number, 0) for number in numbers))
            logs = dict(zip(numbers, looks, strict=True))
            if not count:
                note = f"no topic {self.topic} on this Kafka"
        except Unavailable as error:
            note = f"ends and lag are not known: {error}"
        return [
            PartitionStatus(number, known.get(number), logs.get(number), tried.get(number))
            for number in sorted({*known, *logs})
        ], note

    async def find(self, partition: int) -> PartitionStatus:
        """One partition, with the record before its position. Raises NotPossible, Unavailable."""
        async with self._database.connection() as connection:
            found = await progress.read(connection, self.topic, partition, schema=self._schema)
            tried = (await self._tried(connection)).get(partition)
        count = await partition_count(self._settings, self.topic)
        if found is None and partition >= count:
            raise NotPossible(f"{self.topic} has no partition {partition}")
        if partition >= count:
            return PartitionStatus(partition, found, None, tried)
        position = 0 if found is None else found.next_offset
        return PartitionStatus(partition, found, await self._probe.look(partition, position), tried)

    async def _tried(self, connection: "Connection") -> dict[int, Tried]:
        """Partitions that retry an event after a time-out; empty for the notifier's topic."""
        if self._schema != "directory":
            return {}
        return await progress.tried(connection, self.topic)

    async def halted(self, partition: int) -> tuple[Progress, Look]:
        """A halted partition and its log. Raises NotPossible where it is not, or has no log."""
        status = await self.find(partition)
        found = status.progress
        if found is None or found.state != "halted":
            raise NotPossible(f"partition {partition} of {self.topic} is not halted")
        if status.log is None:
            raise StillHalted(f"Kafka has no partition {partition} of {self.topic}")
        return found, status.log

    async def check_cause(self, halted: Progress, log: Look) -> None:
        """Raise StillHalted where the partition would halt again at once."""
        differs = difference(halted, log, compares_record=self._name != "tenancy")
        if differs is not None:
            raise StillHalted(
                f"{differs}; restore the log, or accept this one as it is", hint="accept this log"
            )
        if log.end_offset > halted.next_offset:
            following = await self._probe.look(halted.partition, halted.next_offset + 1)
            self._check_next(following.before)

    async def resume(self, halted: Progress) -> None:
        """Resume a partition at its position. Raises NotPossible where that has changed."""
        async with self._database.connection() as connection:
            if not await progress.resume(connection, halted, schema=self._schema):
                raise NotPossible("the partition has changed meanwhile; look again")

    async def accept_log(self, halted: Progress, log: Look, begin_at: int) -> None:
        """Resume a partition in another log, as the next epoch. Raises NotPossible."""
        if halted.published_offset < halted.next_offset:
            raise NotPossible(
                f"outcomes from offset {halted.published_offset} on are applied and not announced; "
                "a running provisioner announces them while the partition is halted"
            )
        if not log.first_offset <= begin_at <= log.end_offset:
            raise NotPossible(
                f"the log holds offsets {log.first_offset} to {log.end_offset}, not {begin_at}"
            )
        async with self._database.connection() as connection:
            if not await progress.accept_log(
                connection, halted, begin_at, end=log.end_offset, schema=self._schema
            ):
                raise NotPossible("the partition has changed meanwhile; look again")

    def _check_next(self, record: Record | None) -> None:
        """Raise StillHalted where this release cannot read the record at the position."""
        if record is None:
            return
        if self._name == "requests" and record.timestamp_type != LOG_APPEND_TIME:
            raise StillHalted(
                f"the record at offset {record.offset} has no append time of the broker; mend the "
                "topic (`rollcall topics apply`) and leave it out",
                hint="begin behind the record",
                begin_at=record.offset + 1,
            )
        try:
            event = envelope.decode(record.headers, record.value)
            match self._name:
                case "requests":
                    request.kind_of(event.type)
                case "outcomes":
                    outcome.fact_of(event.type)
                case "tenancy":
                    tenancy.from_event(event)
        except MalformedEvent:
            return
        except NewerVersion as newer:
            raise StillHalted(
                f"offset {record.offset}: {newer}; finish the roll-out first"
            ) from newer


@asynccontextmanager
async def open_partitions(
    settings: Settings, name: TopicName, database: Database
) -> AsyncIterator[Partitions]:
    """The partitions of a deployment's topic. Raises NotPossible, Unavailable."""
    partitions = Partitions(settings, name, database)
    try:
        yield partitions
    finally:
        await partitions.close()
