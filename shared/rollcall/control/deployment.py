"""The Kafka and Postgres of one deployment, with the caller's login and role.

control opens no database of its own: the caller hands it one.
"""

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
    """What functions of control are given. `probe` reads single records of the requests topic."""

    settings: Settings
    topics: Topics
    database: Database
    probe: LogProbe
    faults: FaultPoint


@asynccontextmanager
async def reached(settings: Settings, database: Database) -> AsyncIterator[Deployment]:
    """A deployment from its settings and an open database, which stays open. Raises Unavailable."""
    topics = Topics(settings.topic_prefix)
    probe = LogProbe(settings, topics.requests)
    try:
        yield Deployment(settings, topics, database, probe, FaultPoint(settings.fault))
    finally:
        await probe.close()
