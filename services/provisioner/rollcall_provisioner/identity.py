"""Whether the log is the one that was applied: asked before the first batch, and now and then.

Between two askings a running consumer would notice a shorter log by itself (its offset is out of
range), but not one that was made anew and has grown past the position while the partition was
paused, say during an outage of Postgres. So a worker asks again before a batch, ten seconds after
it last did. What the comparison is: `shared/rollcall/kafka/log_identity.py`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from rollcall.applying.dead_letters import Place
from rollcall.kafka.feed import Feed
from rollcall.kafka.log_identity import difference
from rollcall.kafka.worker import insist
from rollcall.observability.logging import get_logger
from rollcall.postgres import progress
from rollcall.postgres.pool import Database
from rollcall.postgres.progress import Progress
from rollcall.runtime.errors import Unavailable

AGAIN_AFTER_S: Final = 10.0
AGAIN_TIMEOUT_S: Final = 2.0
"""The second and later times nobody waits long: Kafka may be away while records are in hand."""

log = get_logger()


class Identity:
    """Compares one partition's log with its progress. Raises PartitionHalted where they differ."""

    def __init__(self, database: Database, *, compares_record: bool = True) -> None:
        self._database = database
        self._compares_record = compares_record
        self._asked_at_s = time.monotonic()

    async def check(
        self, feed: Feed, position: Progress, on_outage: Callable[[bool], None]
    ) -> None:
        """Compare before anything is applied; waits for Kafka, be it for hours."""
        self._asked_at_s = time.monotonic()
        look = await insist(feed, lambda: feed.look(position.next_offset), on_outage)
        if look is None:
            return
        differs = difference(position, look, compares_record=self._compares_record)
        if differs is not None:
            raise differs

    async def check_again(self, feed: Feed, place: Place, next_offset: int) -> None:
        """Compare before a batch, if that was not done lately. Without an answer, go on."""
        if time.monotonic() - self._asked_at_s < AGAIN_AFTER_S:
            return
        self._asked_at_s = time.monotonic()
        try:
            async with asyncio.timeout(AGAIN_TIMEOUT_S):
                async with self._database.connection() as connection:
                    position = await progress.read(connection, place.topic, place.partition)
                look = await feed.look(next_offset)
        except (Unavailable, TimeoutError) as error:
            log.debug("kafka.unavailable", doing="look at the log", error=type(error).__name__)
            return
        if position is None or position.next_offset != next_offset or look is None:
            return  # somebody else's: the batch will find out
        differs = difference(position, look, compares_record=self._compares_record)
        if differs is not None:
            raise differs
