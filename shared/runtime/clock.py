"""The present, in one place: tests set it off (`ROLLCALL_CLOCK_OFFSET_S`, only in `test`)."""

import time
from datetime import UTC, datetime, timedelta

_offset = timedelta()


def set_offset(seconds: float) -> None:
    """Let this process's clock be so far ahead (behind, if negative) of the machine's."""
    global _offset
    _offset = timedelta(seconds=seconds)


def is_set_off() -> bool:
    """Whether this process's clock differs from the machine's on purpose."""
    return bool(_offset)


def now() -> datetime:
    """The present, aware, in UTC."""
    return datetime.now(UTC) + _offset


def now_ms() -> int:
    """The present in epoch milliseconds, comparable to Kafka's append times."""
    return machine_ms() + _offset // timedelta(milliseconds=1)


def machine_ms() -> int:
    """The machine's own clock, to be compared with what a library has read from it."""
    return time.time_ns() // 1_000_000
