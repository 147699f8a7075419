"""A lower bound of the broker's time that does not rest on this machine's date.

A record that was read had been appended before. A record that was acknowledged was appended
between its sending and its acknowledgement. A stopwatch runs since then, so the broker's clock
shows at least the append time plus the elapsed time. Only durations are measured here, on which all
machines agree. Where an acknowledgement contradicts the bound, the broker's clock was set, or
another broker leads: then only the acknowledgement counts.

Whether a reply was heard does not rest on this bound (announce.py).
"""

import time
from collections.abc import Callable


def stopwatch_ms() -> float:
    """Milliseconds that only rise, also while nothing runs in this process."""
    return time.monotonic() * 1000


class BrokerTime:
    """Epoch milliseconds of the broker; `stopwatch` gives milliseconds since some fixed moment."""

    def __init__(self, stopwatch: Callable[[], float] = stopwatch_ms) -> None:
        self._stopwatch = stopwatch
        self._ahead_ms: float | None = None

    @property
    def stopwatch(self) -> float:
        """The present of the stopwatch, to be given to `acknowledged`."""
        return self._stopwatch()

    @property
    def least_ms(self) -> int | None:
        """The broker's clock shows this or more; None while nothing is known."""
        return None if self._ahead_ms is None else int(self._stopwatch() + self._ahead_ms)

    def read(self, append_ms: int) -> None:
        """A record with this append time was read, some time after it was appended."""
        seen_ms = append_ms - self._stopwatch()
        if self._ahead_ms is None or seen_ms > self._ahead_ms:
            self._ahead_ms = seen_ms

    def acknowledged(self, sent: float, append_ms: int) -> None:
        """A record that was sent at `sent`, by the stopwatch, has just been acknowledged."""
        if self._ahead_ms is not None and self._ahead_ms > append_ms - sent:
            self._ahead_ms = None
        self.read(append_ms)
