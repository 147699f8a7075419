"""The present, in one place: tests set it off (`ROLLCALL_CLOCK_OFFSET_S`, only in `test`)."""

import time
from datetime import UTC, datetime, timedelta

_offset = timedelta()
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def set_offset(seconds: float) -> None:
    """Set this process's clock ahead of the machine's by `seconds` (behind, if negative)."""
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
    """Seconds since some fixed moment: only differences within one process mean anything.

    This clock is monotonic, and it goes on while the machine is suspended where the system has such
    a clock (`CLOCK_BOOTTIME`): a duration measured here agrees with other machines' clocks.
    """
    return time.clock_gettime(_ELAPSED)


def machine_ms() -> int:
    """The machine's own clock in epoch milliseconds, without the offset of tests."""
    return time.time_ns() // 1_000_000
