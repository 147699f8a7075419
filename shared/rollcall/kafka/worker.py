"""The contract of a partition's worker: start, run, end; and how it says that it cannot go on."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol, TypeVar

from rollcall.kafka.feed import Feed, FeedClosed
from rollcall.observability.logging import get_logger
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.retry import backoff_s

RETRY_MAX_S: Final = 5.0
ASK_EVERY_S: Final = 2.0
"""How often a halted partition asks whether somebody has let it run again."""

OUT_OF_RANGE: Final = "out-of-range"
SHORTER: Final = "log-shorter"
RETENTION_PASSED: Final = "retention-passed"
RECORD_DIFFERS: Final = "record-differs"
RESTAMPED: Final = "restamped"
LOG_CAUSES: Final = frozenset({OUT_OF_RANGE, SHORTER, RETENTION_PASSED, RECORD_DIFFERS, RESTAMPED})
"""Ways in which the log can be another one; `log_identity.py` says what each means."""
NEWER_VERSION: Final = "newer-version"
TOO_MANY_DEAD: Final = "too-many-dead-letters"
CUT_OFF: Final = "cut-off"
TRIED_AGAIN: Final[Collection[str]] = frozenset({NEWER_VERSION, TOO_MANY_DEAD})
"""Causes that another release takes away: a worker's start tries again by itself, and where it
does not help the partition halts before anything is written. Any other stays until somebody says
`rollcall partition resume`."""
T = TypeVar("T")
log = get_logger()


class Fenced(Exception):
    """Somebody else applied what this worker was about to: read the position again."""


class PartitionHalted(Exception):
    """The partition must not go on by itself; the message says why. The others do.

    `cause` is one word of a small set, for the metric and for `progress.reason`; where it is not
    given it is the runbook's name.
    """

    def __init__(self, reason: str, runbook: str, *, cause: str | None = None) -> None:
        super().__init__(reason)
        self.runbook = runbook
        self.cause = runbook if cause is None else cause


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

        Raises PartitionHalted, also where it was halted before and nobody has resumed it.
        """
        ...

    async def until_resumed(self, feed: Feed) -> None:
        """After PartitionHalted: wait until somebody lets the partition run again.

        Raises FeedClosed, Fenced.
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
    """Ask every few seconds, also through outages, until it is so. Raises FeedClosed."""
    while not await insist(feed, is_so, on_outage):
        if await feed.closes_within(ASK_EVERY_S):
            raise FeedClosed


def halted_before(cause: str | None, detail: str | None) -> PartitionHalted:
    """What a worker raises at its start where the partition was halted before, and still is."""
    detail = detail or "it was halted before, and nobody noted why"
    if cause is None or cause in LOG_CAUSES:
        return log_differs(cause or OUT_OF_RANGE, detail)
    return PartitionHalted(detail, cause)


def log_differs(cause: str, detail: str) -> PartitionHalted:
    """What to raise where the log is not the one that the position was taken in."""
    return PartitionHalted(detail, "log-and-progress-differ", cause=cause)
