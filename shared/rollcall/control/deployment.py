"""The deployment that is worked on: Kafka and Postgres, under the caller's login and role."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rollcall.events.topics import Topics
from rollcall.kafka.log_probe import LogProbe
from rollcall.postgres.pool import Database
from rollcall.runtime.config import Settings
from rollcall.runtime.lifecycle import FaultPoint


@dataclass(frozen=True, slots=True)
class Deployment:
    """`settings` reach Kafka; `probe` looks at the log of the requests."""

    settings: Settings
    topics: Topics
    database: Database
    probe: LogProbe
    faults: FaultPoint


@asynccontextmanager
async def reached(settings: Settings, database: Database) -> AsyncIterator[Deployment]:
    """The deployment behind these; the database stays open. Raises Unavailable."""
    topics = Topics(settings.topic_prefix)
    probe = LogProbe(settings, topics.requests)
    try:
        yield Deployment(settings, topics, database, probe, FaultPoint(settings.fault))
    finally:
        await probe.close()
