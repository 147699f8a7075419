"""A deployment of one test: topics, database, the provisioners it starts. No test in here."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from rollcall.events import outcome, reply
from rollcall.events.envelope import Event, decode
from rollcall.events.outcome import Announcement
from rollcall.events.reply import Reply
from rollcall.events.request import Request, to_event
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.kafka.producer import Acknowledged, Producer
from rollcall.kafka.pump import Pump
from rollcall.postgres.pool import open_pool
from rollcall.runtime.config import Settings, load
from rollcall.runtime.lifecycle import FaultPoint
from rollcall_provisioner.config import ProvisionerSettings
from rollcall_provisioner.consume import requests_pump, tenancy_pump
from rollcall_provisioner.worker_context import WorkerContext
from tests.support.databases import TestDatabase
from tests.support.stack import until

PARTITIONS = 4


@dataclass(slots=True)
class Running:
    """One provisioner without its admin port."""

    requests: Pump
    tenancy: Pump
    stop: asyncio.Event
    tasks: list["asyncio.Task[None]"]

    async def end(self) -> None:
        """Drain and leave the group."""
        self.stop.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), 30)


@dataclass(slots=True)
class Deployment:
    """Topics and database of a test."""

    settings: ProvisionerSettings
    topics: Topics
    database: TestDatabase
    producer: Producer
    started: list[Running] = field(default_factory=list)
    exits: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def context(self) -> WorkerContext:
        """A pool and a producer of one provisioner."""
        pool = await open_pool(
            self.settings.database_url.get_secret_value(),
            role_hint="provisioner",
            max_size=4,
            statement_timeout_s=20,
            application_name="test",
        )
        self.exits.push_async_callback(pool.close)
        producer = Producer(self.settings, client_id="test-provisioner")
        await producer.start()
        self.exits.push_async_callback(producer.stop)
        return WorkerContext(pool, producer, self.topics, FaultPoint(""))

    async def start(self, context: WorkerContext | None = None) -> Running:
        """A provisioner that has joined its groups."""
        context = context or await self.context()
        pumps = requests_pump(self.settings, context), tenancy_pump(self.settings, context)
        stop = asyncio.Event()
        running = Running(*pumps, stop, [asyncio.create_task(pump.run(stop)) for pump in pumps])
        self.started.append(running)
        await until(lambda: all(pump.has_joined for pump in pumps), "the groups are joined")
        return running

    async def send(self, request: Request, partition: int = 0) -> Acknowledged:
        """Append a request."""
        return await self.send_event(to_event(request), request.organisation_id, partition)

    async def send_event(self, event: Event, key: str, partition: int = 0) -> Acknowledged:
        """Append any event to the requests."""
        return await self.producer.send(
            self.topics.requests, partition=partition, key=key, event=event
        )

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of the database, as its owner."""
        async with self.database.connect() as connection:
            return list(await connection.fetch(query, *arguments))

    async def progress(self, partition: int = 0) -> asyncpg.Record:
        """The progress of a requests partition."""
        query = "SELECT * FROM directory.progress WHERE topic = $1 AND partition = $2"
        found: list[asyncpg.Record] = []

        async def is_known() -> bool:
            found[:] = await self.rows(query, self.topics.requests, partition)
            return bool(found)

        await until(is_known, "a worker has begun with the partition")
        return found[0]

    async def applied(self, offset: int, partition: int = 0) -> None:
        """Wait until everything below `offset` is applied."""

        async def is_applied() -> bool:
            query = "SELECT next_offset FROM directory.progress WHERE topic = $1 AND partition = $2"
            rows = await self.rows(query, self.topics.requests, partition)
            return bool(rows) and rows[0]["next_offset"] >= offset

        await until(is_applied, f"offset {offset} is applied")

    async def records(self, topic: str) -> list[ConsumerRecord]:
        """All records that a topic holds now, partition by partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            count = next(each.partitions for each in self.topics.all() if each.name == topic)
            partitions = [TopicPartition(topic, number) for number in range(count)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    fetched = await consumer.getmany(partition, timeout_ms=500)
                    found.extend(fetched.get(partition, ()))
        finally:
            await consumer.stop()
        return found

    async def events(self, topic: str) -> list[Event]:
        """All events that a topic holds now, partition by partition."""
        return [decode(each.headers, each.value) for each in await self.records(topic)]

    async def outcomes(self, number: int = 1) -> list[Announcement]:
        """At least `number` announced outcomes."""
        found = await self._at_least(self.topics.outcomes, number)
        return [outcome.from_event(event) for event in found]

    async def replies(self, number: int = 1) -> list[Reply]:
        """At least `number` replies."""
        found = await self._at_least(self.topics.replies, number)
        return [reply.from_event(event) for event in found]

    async def _at_least(self, topic: str, number: int) -> list[Event]:
        found: list[Event] = []

        async def are_there() -> bool:
            found[:] = await self.events(topic)
            return len(found) >= number

        await until(are_there, f"{number} events on {topic}")
        return found


@contextlib.asynccontextmanager
async def deployed(bootstrap: str, database: TestDatabase) -> AsyncIterator[Deployment]:
    """Topics of its own beside a database; the provisioners that it started are ended after it."""
    prefix = f"p{uuid.uuid4().hex[:12]}"
    settings = load(
        ProvisionerSettings,
        kafka_bootstrap=bootstrap,
        topic_prefix=prefix,
        database_url=database.url("provisioner"),
    )
    topics = Topics(prefix, requests_partitions=PARTITIONS, replies_partitions=2)
    await apply_topics(settings, topics, replication=1)
    producer = Producer(settings, client_id="test")
    await producer.start()
    made = Deployment(settings, topics, database, producer)
    try:
        yield made
    finally:
        for running in made.started:
            await running.end()
        await made.exits.aclose()
        await made.producer.stop()


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment names: settings to reach it, and its topics."""

    settings: Settings
    topics: Topics
