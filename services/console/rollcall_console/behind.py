"""How far an organisation's partition is behind its log; Kafka may be away."""

import asyncio
from dataclasses import dataclass
from typing import Final

from rollcall.events.topics import Topics
from rollcall.kafka.log_probe import LogProbe
from rollcall.postgres import progress
from rollcall.postgres.pool import Database
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

ASK_S: Final = 1.0
"""How long a page waits for Kafka."""


@dataclass(frozen=True, slots=True)
class Behind:
    """Changes that wait in the partition; None: Kafka did not answer. `is_halted`: they stay."""

    waiting: int | None
    is_halted: bool = False


class LogEnds:
    """Asks where the partitions of the requests topic end."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._topic = Topics(settings.topic_prefix).requests
        self._probe = LogProbe(settings, self._topic)
        self._database = database

    async def behind(self, partition: int) -> Behind:
        """How far a partition is behind. Raises Unavailable for Postgres alone."""
        async with self._database.connection() as connection:
            found = await progress.read(connection, self._topic, partition)
        is_halted = found is not None and found.state == "halted"
        try:
            async with asyncio.timeout(ASK_S):
                log = await self._probe.look(partition, 0)  # 0: no record is read
        except (Unavailable, TimeoutError):
            return Behind(None, is_halted)
        position = log.first_offset if found is None else found.next_offset
        return Behind(max(0, log.end_offset - position), is_halted)

    async def close(self) -> None:
        """Disconnect."""
        await self._probe.close()
