"""The contract of a partition's worker: start, run, end, and the errors that stop it."""

from collections.abc import Collection
from typing import Final, Protocol

from rollcall.kafka.feed import Feed

OUT_OF_RANGE: Final = "out-of-range"
SHORTER: Final = "log-shorter"
RETENTION_PASSED: Final = "retention-passed"
RECORD_DIFFERS: Final = "record-differs"
RESTAMPED: Final = "restamped"
LOG_CAUSES: Final = frozenset({OUT_OF_RANGE, SHORTER, RETENTION_PASSED, RECORD_DIFFERS, RESTAMPED})
"""Signs that this is another log than before; `log_identity.py` explains each."""
NEWER_VERSION: Final = "newer-version"
TOO_MANY_DEAD: Final = "too-many-dead-letters"
CUT_OFF: Final = "cut-off"
TRIED_AGAIN: Final[Collection[str]] = frozenset({NEWER_VERSION, TOO_MANY_DEAD})
"""Causes that another release may remove. A worker with this cause tries again when it starts; if
that does not help, the partition halts again before anything is written. Any other cause stays
until an operator runs `rollcall partition resume`."""


class Fenced(Exception):
    """Another process applied what this worker was about to apply: read the position again."""


class PartitionHalted(Exception):
    """The partition must not continue by itself; the message says why. Other partitions continue.

    `cause` is one word of a small set, for the metric and for `progress.reason`. Its default is the
    name of the runbook.
    """

    def __init__(self, reason: str, runbook: str, *, cause: str | None = None) -> None:
        super().__init__(reason)
        self.runbook = runbook
        self.cause = runbook if cause is None else cause


class OutOfRange(Exception):
    """The log no longer holds the position: it was truncated, re-created, or is past retention."""


class Worker(Protocol):
    """Applies one partition. An object is used for one `start` and the run after it."""

    @property
    def next_offset(self) -> int:
        """The offset after the last record that is applied for good."""
        ...

    @property
    def waits_for_outage(self) -> bool:
        """Whether it makes no progress for a known reason: Postgres or Kafka is away."""
        ...

    async def start(self, feed: Feed) -> int:
        """The offset to read from. Retries until it is known; raises FeedClosed if it should end.

        Raises PartitionHalted, also if the partition was halted before and not resumed since.
        """
        ...

    async def until_resumed(self, feed: Feed) -> None:
        """After PartitionHalted: wait until an operator resumes the partition.

        Raises FeedClosed, Fenced.
        """
        ...

    async def run(self, feed: Feed) -> None:
        """Apply what the feed gives until it is closed (FeedClosed may be raised or not).

        Raises Fenced, PartitionHalted. It is cancelled only if it does not end in time; then the
        current transaction rolls back.
        """
        ...


def halted_before(cause: str | None, detail: str | None) -> PartitionHalted:
    """The error of a worker that starts in a partition which is still halted."""
    detail = detail or "it was halted before, and nobody noted why"
    if cause is None or cause in LOG_CAUSES:
        return log_differs(cause or OUT_OF_RANGE, detail)
    return PartitionHalted(detail, cause)


def log_differs(cause: str, detail: str) -> PartitionHalted:
    """The error for a log that is not the one in which the position was taken."""
    return PartitionHalted(detail, "log-and-progress-differ", cause=cause)
