"""The present, in one place: tests set it off (`ROLLCALL_CLOCK_OFFSET_S`, only in `test`)."""

import time
from datetime import UTC, datetime, timedelta

_offset = timedelta()
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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


def elapsed_s() -> float:
    """Seconds since some moment: only their difference counts, within one process.

    Nobody sets this clock, and it goes on while the machine sleeps (where the system has such a
    one): what was to last so long by another machine's clock has lasted so long by this one.
    """
    return time.clock_gettime(_ELAPSED)


def machine_ms() -> int:
    """The machine's own clock, to be compared with what a library has read from it."""
    return time.time_ns() // 1_000_000
