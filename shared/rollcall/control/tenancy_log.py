"""Organisations and keys on the tenancy topic: read to its end, written, removed.

Two callers may write at the same time; nothing locks the topic. So after each write the log is
read again up to the written record:

- Two that create organisations may choose the same partition. That only costs balance and is not
  repaired: a partition is fixed when the organisation is created.
- Two that change the same record: the one that finds a record of the other between what it had read
  and what it wrote applies its change to that record and writes again. The last record then holds
  both changes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from aiokafka import AIOKafkaProducer

from rollcall.control.errors import NotPossible
from rollcall.events.envelope import MalformedEvent
from rollcall.events.topics import Topics
from rollcall.kafka.admin import partition_count
from rollcall.kafka.client import client_options, unavailable_if_away
from rollcall.kafka.producer import Producer
from rollcall.kafka.reading import PartitionReader, open_reader
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id
from rollcall.tenancy import organisation as records
from rollcall.tenancy.fold import TenancyState, TopicRecord, read_change
from rollcall.tenancy.organisation import COMMAND_LINE, ApiKey, Author, Organisation, Record

TIMEOUT_S: Final = 20.0
ATTEMPTS: Final = 5
R = TypeVar("R", Organisation, ApiKey)


class NotThere(NotPossible):
    """There is no organisation or key with that id or name; the message says what to do."""


class TopicsMissing(NotPossible):
    """The topics do not exist yet: `rollcall topics apply` makes them."""


@dataclass(slots=True)
class Tenancy(TenancyState):
    """Every organisation and key at one moment; `unreadable` counts malformed records."""

    unreadable: int = 0

    def organisation(self, id_or_name: str) -> Organisation:
        """The organisation with this id, or the only one with this name. Raises NotThere."""
        if found := self.organisations.get(id_or_name.lower()):
            return found
        named = [each for each in self.organisations.values() if each.name == id_or_name]
        if len(named) > 1:
            ids = ", ".join(each.id for each in named)
            raise NotThere(f"{len(named)} organisations are named {id_or_name!r}; use an id: {ids}")
        if not named:
            raise NotThere(f"no organisation {id_or_name!r}", hint="list organisations")
        return named[0]

    def keys_of(self, organisation_id: str) -> list[ApiKey]:
        """The organisation's keys, oldest first."""
        found = [key for key in self.keys.values() if key.organisation_id == organisation_id]
        return sorted(found, key=lambda key: (key.created, key.public_id))


def emptiest_partition(organisations: Collection[Organisation], partitions: Collection[int]) -> int:
    """The partition with the fewest organisations, the lowest of equals."""
    counts = dict.fromkeys(sorted(partitions), 0)
    for organisation in organisations:
        if organisation.partition in counts:
            counts[organisation.partition] += 1
    return min(counts, key=lambda partition: (counts[partition], partition))


class TenancyLog:
    """Reads and writes the tenancy topic; made by `open_log`."""

    def __init__(
        self, reader: PartitionReader, settings: Settings, author: Author = COMMAND_LINE
    ) -> None:
        self._reader = reader
        self._settings = settings
        self._author = author
        self._topics = Topics(settings.topic_prefix)
        self._next_offset = 0
        self._producer: Producer | None = None
        self._state = Tenancy()

    async def read(self) -> Tenancy:
        """All records up to the present end. Raises Unavailable, NewerVersion."""
        await self._advance()
        return self._state

    async def write(self, record: Record) -> int:
        """Write a record, acknowledged by all replicas in sync, and return its offset.

        Raises Unavailable.
        """
        producer = await self._started_producer()
        event = records.to_event(record, event_id=new_id(), time=now(), author=self._author)
        async with _kafka_errors():
            acknowledged = await producer.send(
                self._topics.tenancy, partition=0, key=records.record_key(record), event=event
            )
        return acknowledged.offset

    async def remove(self, key: str) -> int:
        """Write a tombstone for what was recorded under a key, and return its offset.

        Compaction takes away what was recorded, and later the tombstone too. Raises Unavailable.
        """
        producer = AIOKafkaProducer(
            **client_options(self._settings),
            client_id="rollcall-operator",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=3000,
        )
        async with _kafka_errors():
            await producer.start()
            try:
                sent = await producer.send_and_wait(
                    self._topics.tenancy, None, key=key.encode(), partition=0
                )
            finally:
                await producer.stop()
        return int(sent.offset)

    async def change(self, record: R, alter: Callable[[R], R]) -> R:
        """Write `alter(record)`; if another caller wrote meanwhile, alter that record and write.

        `record` is as last read. Raises Unavailable, NewerVersion.
        """
        current = record
        for _ in range(ATTEMPTS):
            wanted = alter(current)
            offset = await self.write(wanted)
            foreign = _last_of_others(await self._advance(past=offset), offset, record)
            if foreign is None:
                return wanted
            current = foreign
        raise Unavailable("the tenancy topic (others change the same record)", 1.0)

    async def requests_partitions(self) -> frozenset[int]:
        """The partitions that the requests topic has now. Raises TopicsMissing, Unavailable."""
        count = await partition_count(self._settings, self._topics.requests)
        if not count:
            raise TopicsMissing(f"no topic {self._topics.requests}; run `rollcall topics apply`")
        return frozenset(range(count))

    async def close(self) -> None:
        """Close what was opened to write."""
        if self._producer is not None:
            await self._producer.stop(TIMEOUT_S)

    async def _started_producer(self) -> Producer:
        if self._producer is None:
            producer = Producer(self._settings, client_id="rollcall-operator")
            async with _kafka_errors():
                await producer.start()
            self._producer = producer
        return self._producer

    async def _advance(self, past: int = -1) -> list[tuple[int, Record]]:
        """Fold what is new, up to the present end and beyond offset `past`; return it."""
        seen = []
        async with _kafka_errors():
            first, end = await self._reader.held()
            begin, end = max(self._next_offset, first), max(end, past + 1)
            async for batch in self._reader.read(begin, end):
                for record in batch:
                    parsed = self._fold(record)
                    if parsed is not None:
                        seen.append((record.offset, parsed))
            self._next_offset = max(begin, end)
        return seen

    def _fold(self, record: TopicRecord) -> Record | None:
        try:
            change = read_change(record)
        except MalformedEvent:
            self._state.unreadable += 1
            return None
        self._state.apply(change)
        return change.record


@asynccontextmanager
async def open_log(settings: Settings, author: Author = COMMAND_LINE) -> AsyncIterator[TenancyLog]:
    """The tenancy log of a deployment; `author` is noted in what is written.

    Raises Unavailable, TopicsMissing.
    """
    topic = Topics(settings.topic_prefix).tenancy
    async with AsyncExitStack() as stack:
        async with _kafka_errors():
            # The end is asked for after each write, and a question waits behind a fetch.
            opening = open_reader(settings, topic, 0, fetch_wait_ms=20)
            reader = await stack.enter_async_context(opening)
            if not await reader.is_there():
                raise TopicsMissing(f"no topic {topic}; run `rollcall topics apply`")
        log = TenancyLog(reader, settings, author)
        stack.push_async_callback(log.close)
        yield log


async def read_tenancy(settings: Settings) -> Tenancy:
    """Every organisation and key now. Raises TopicsMissing, Unavailable, NewerVersion."""
    async with open_log(settings) as log:
        return await log.read()


async def find_organisation(settings: Settings, id_or_name: str) -> Organisation:
    """The organisation with this id or unique name.

    Raises NotThere, TopicsMissing, Unavailable, NewerVersion.
    """
    return (await read_tenancy(settings)).organisation(id_or_name)


@asynccontextmanager
async def _kafka_errors() -> AsyncIterator[None]:
    """Turn errors of Kafka and time-outs inside into Unavailable."""
    with unavailable_if_away():
        async with asyncio.timeout(TIMEOUT_S):
            yield


def _last_of_others(seen: list[tuple[int, Record]], own: int, record: R) -> R | None:
    """The last record of the same key before our own offset, written by another caller."""
    found: R | None = None
    for offset, parsed in seen:
        is_same = records.record_key(parsed) == records.record_key(record)
        if offset < own and is_same and isinstance(parsed, type(record)):
            found = parsed
    return found
