"""The retry of a consumer: an action (a batch, say) tried again while Postgres or Kafka is away."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from rollcall.kafka.feed import Feed, FeedClosed
from rollcall.observability.logging import get_logger
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.retry import backoff_s

RETRY_MAX_S: Final = 5.0
ASK_EVERY_S: Final = 2.0
"""How often a halted partition checks whether an operator has resumed it."""

T = TypeVar("T")
log = get_logger()


async def insist(
    feed: Feed, action: Callable[[], Awaitable[T]], on_outage: Callable[[bool], None]
) -> T:
    """The result of `action`, retried while it raises Unavailable, for hours if necessary.

    `on_outage` is called with True after the first failed attempt and with False after a success
    that follows one. Raises FeedClosed as soon as the feed is closed during an outage.
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
            pause_s = backoff_s(attempt, initial_s=0.1, maximum_s=RETRY_MAX_S)
            if await feed.closes_within(pause_s):
                raise FeedClosed from error
        else:
            if attempt:
                log.info("partition.resumed", partition=feed.partition, attempts=attempt)
            on_outage(False)
            return result


async def until(
    feed: Feed, is_so: Callable[[], Awaitable[bool]], on_outage: Callable[[bool], None]
) -> None:
    """Ask every few seconds until `is_so` returns True, also during outages. Raises FeedClosed."""
    while not await insist(feed, is_so, on_outage):
        if await feed.closes_within(ASK_EVERY_S):
            raise FeedClosed
