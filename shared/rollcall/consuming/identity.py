"""Whether the log is still the one that the stored position was taken in.

A running consumer notices by itself when the log becomes shorter than its position: its offset is
out of range. It does not notice a topic that was deleted, created again and grew past the position
while the partition stood still, for example during an outage of Postgres. So the position is
compared with the log at the start, and again before a batch when ten seconds have passed since
the last comparison. What is compared: `rollcall.kafka.log_identity`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from rollcall.kafka.feed import Feed
from rollcall.kafka.log_identity import difference
from rollcall.kafka.worker import PartitionHalted
from rollcall.observability.logging import get_logger
from rollcall.postgres.progress import Progress
from rollcall.runtime.errors import Unavailable

AGAIN_AFTER_S: Final = 10.0
AGAIN_TIMEOUT_S: Final = 2.0
"""Longest wait for a comparison before a batch: Kafka may be away while records are in hand."""

log = get_logger()


class Identity:
    """Compares the log of one partition with its stored position."""

    def __init__(self, *, compares_record: bool = True) -> None:
        """`compares_record` is off for a compacted topic, which may have lost the last record."""
        self._compares_record = compares_record
        self._compared_at_s = time.monotonic()

    async def compare(self, feed: Feed, position: Progress) -> PartitionHalted | None:
        """Why this is not the log of `position`; None if it can be. Raises Unavailable."""
        self._compared_at_s = time.monotonic()
        look = await feed.look(position.next_offset)
        if look is None:
            return None
        return difference(position, look, compares_record=self._compares_record)

    async def compare_again(
        self, feed: Feed, next_offset: int, read: Callable[[], Awaitable[Progress | None]]
    ) -> PartitionHalted | None:
        """Compare before a batch at `next_offset`, unless that was done in the last ten seconds.

        `read` asks Postgres for the position. Where Kafka or Postgres does not answer within two
        seconds, the batch goes on without a comparison: returns None.
        """
        if time.monotonic() - self._compared_at_s < AGAIN_AFTER_S:
            return None
        self._compared_at_s = time.monotonic()
        try:
            async with asyncio.timeout(AGAIN_TIMEOUT_S):
                position = await read()
                look = await feed.look(next_offset)
        except (Unavailable, TimeoutError) as error:
            log.debug("kafka.unavailable", doing="look at the log", error=type(error).__name__)
            return None
        if position is None or position.next_offset != next_offset or look is None:
            return None  # another worker moved it; the batch will be fenced
        return difference(position, look, compares_record=self._compares_record)
