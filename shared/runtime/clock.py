"""The present, in one place: tests and a later issue set it."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present, aware, in UTC."""
    return datetime.now(UTC)


def now_ms() -> int:
    """The present in epoch milliseconds, comparable to Kafka's append times."""
    return time.time_ns() // 1_000_000
