"""Looks behind the door: the directory and the notices in Postgres, lag, the mailbox.

Everything is counted per organisation, so a stack that holds other data can run the demo as well.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rollcall.control.settings import OperatorSettings
from rollcall.events.topics import Topics
from rollcall.kafka.client import client_options
from rollcall.postgres import pool, progress
from rollcall.postgres.pool import Database
from rollcall.postgres.progress import Schema
from rollcall.runtime.errors import Unavailable
from rollcall_local.demo.maildir import Maildir, normal_id

_MEMBERS: Final = """
    SELECT user_name_key, status FROM directory.member WHERE organisation_id = $1::uuid
"""
_NOTICES: Final = """
    SELECT organisation_id::text, kind, state, message_id, due_at FROM notice.notification
    WHERE organisation_id = ANY ($1::uuid[])
"""
_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Notice:
    """A row of the notifier's: a mail that is due, was sent, was dropped or failed."""

    organisation_id: str
    kind: str
    state: str
    message_id: str | None
    due_at: datetime

    @property
    def normal_id(self) -> str:
        """The Message-ID as `Maildir.deliveries` knows it, empty where nothing was sent."""
        return normal_id(self.message_id)


@dataclass(frozen=True, slots=True)
class Member:
    """A member's user name, normalised, and its status."""

    user_name: str
    status: str


class Observer:
    """What the demo compares its own count with; made by `open_observer`."""

    def __init__(
        self, database: Database, consumer: AIOKafkaConsumer, topics: Topics, maildir: Maildir
    ) -> None:
        self._database = database
        self._consumer = consumer
        self._topics = topics
        self.maildir = maildir

    async def members(self, organisation_id: str) -> list[Member]:
        """Every member of an organisation. Raises Unavailable."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_MEMBERS, organisation_id)
        return [Member(row["user_name_key"], row["status"]) for row in rows]

    async def notices(self, organisation_ids: Sequence[str]) -> list[Notice]:
        """The notifier's rows of these organisations. Raises Unavailable."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_NOTICES, list(organisation_ids))
        return [Notice(**dict(row)) for row in rows]

    async def scan_mails(self) -> Maildir:
        """The mailbox, with all that has arrived by now."""
        await asyncio.to_thread(self.maildir.scan)
        return self.maildir

    async def lag(self, partitions: Collection[int]) -> int:
        """Requests not yet applied and outcomes not yet read in these partitions.

        Raises Unavailable.
        """
        to_apply = await self.requests_lag(partitions)
        return to_apply + await self._lag(self._topics.outcomes, partitions, "notice")

    async def requests_lag(self, partitions: Collection[int]) -> int:
        """Requests not yet applied in these partitions. Raises Unavailable."""
        return await self._lag(self._topics.requests, partitions, "directory")

    async def _lag(self, topic: str, partitions: Collection[int], schema: Schema) -> int:
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                ends = await self._consumer.end_offsets(wanted)
        except (KafkaError, TimeoutError) as error:
            raise Unavailable("Kafka") from error
        async with self._database.connection() as connection:
            rows = await progress.read_all(connection, topic, schema=schema)
        done = {row.partition: row.next_offset for row in rows}
        return sum(end - done.get(at.partition, 0) for at, end in ends.items())


@asynccontextmanager
async def open_observer(settings: OperatorSettings, mailbox: Path) -> AsyncIterator[Observer]:
    """An observer of a stack; mails that are there already are left out. Raises Unavailable."""
    maildir = Maildir(mailbox)
    await asyncio.to_thread(maildir.skip_present)
    consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
    database = await pool.open_pool(
        settings.database_url.get_secret_value(),
        role_hint="owner",
        max_size=2,
        statement_timeout_s=10.0,
        application_name="rollcall demo",
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await consumer.start()
        yield Observer(database, consumer, Topics(settings.topic_prefix), maildir)
    finally:
        await consumer.stop()
        await database.close()
