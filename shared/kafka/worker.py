"""The contract of a partition's worker: start, run, end; and how it says that it cannot go on."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from shared.kafka.feed import Feed, FeedClosed
from shared.observability.logging import get_logger
from shared.runtime.errors import Unavailable
from shared.runtime.retry import backoff_s

RETRY_MAX_S: Final = 5.0
T = TypeVar("T")
log = get_logger()


class Fenced(Exception):
    """Somebody else applied what this worker was about to: read the position again."""


class PartitionHalted(Exception):
    """The partition must not go on by itself; the message says why. The others do."""

    def __init__(self, reason: str, runbook: str) -> None:
        super().__init__(reason)
        self.runbook = runbook


class OutOfRange(Exception):
    """The log does not hold the position any more: truncated, re-created, or past retention."""


class Worker(Protocol):
    """What applies one partition. One object lives from one `start` to its end."""

    @property
    def next_offset(self) -> int:
        """The offset behind the last record that is applied for good."""
        ...

    @property
    def waits_for_outage(self) -> bool:
        """Whether it makes no progress for a known reason: Postgres or Kafka is away."""
        ...

    async def start(self, feed: Feed) -> int:
        """The offset to read from. Retries until it is known; raises FeedClosed when told to end.

        Raises PartitionHalted.
        """
        ...

    async def run(self, feed: Feed) -> None:
        """Apply what the feed gives until it is closed (FeedClosed may be raised or not).

        Raises Fenced, PartitionHalted. Cancelled only when it does not end in time: then the
        transaction at hand rolls back.
        """
        ...


async def insist(
    feed: Feed, action: Callable[[], Awaitable[T]], on_outage: Callable[[bool], None]
) -> T:
    """The result of `action`, tried again for as long as it raises Unavailable, be it for hours.

    `on_outage` is told True when the first attempt failed and False when one succeeded. Raises
    FeedClosed as soon as the feed is closed during an outage.
    """
    attempt = 0
    while True:
        try:
            result = await action()
        except Unavailable as error:
            attempt += 1
            on_outage(True)
            if attempt == 1:
                log.warning("partition.waiting", partition=feed.partition, reason=error.what)
            pause_s = backoff_s(attempt, initial_s=0.1, maximum_s=RETRY_MAX_S, jitter=0.5)
            if await feed.closes_within(pause_s):
                raise FeedClosed from error
        else:
            if attempt:
                log.info("partition.resumed", partition=feed.partition, attempts=attempt)
            on_outage(False)
            return result
