"""End a process that makes no progress although it has lag and no known outage.

Another process, or this one after a restart, takes the partitions over. Nothing is lost by that,
because the position is in Postgres. Two things are watched:

- the pumps: a worker without progress for `limit_s` is logged at ERROR, and the process is asked to
  stop as by SIGTERM, so that the batches of the other partitions are finished;
- the event loop, by a thread, because a loop that does not turn cannot stop the process.

If the process is still running after `exit_within_s`, it is ended hard. Time in which the process
slept (SIGSTOP, a suspended machine) does not count: both watchers count their own turns, not the
clock.
"""

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

from rollcall.observability.logging import get_logger

EXIT_STATUS: Final = 1
EXIT_WITHIN_S: Final = 30.0
_TICK_S: Final = 1.0

log = get_logger()


class NoProgress(Exception):
    """A worker stood still for no known reason; the log says which. The process ends."""


def end_hard_within(seconds: float) -> None:
    """End this process with `EXIT_STATUS` after `seconds`, wherever it is then.

    Nothing takes that back: a thread that hangs in a worker would prevent the interpreter from
    ending, after everything else has ended in order.
    """
    timer = threading.Timer(seconds, os._exit, (EXIT_STATUS,))
    timer.daemon = True
    timer.start()


class Watchdog:
    """Watches one process. `run` it beside the pumps; `raise_if_fired` after they have ended."""

    def __init__(
        self,
        standing_still: Callable[[], Sequence[str]],
        *,
        limit_s: float,
        exit_within_s: float = EXIT_WITHIN_S,
        tick_s: float = _TICK_S,
    ) -> None:
        self._standing_still = standing_still
        self._limit_s = limit_s
        self._exit_within_s = exit_within_s
        self._tick_s = tick_s
        self._turns = 0
        self._has_fired = False
        self._is_over = threading.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set; sets it when a worker makes no progress."""
        thread = threading.Thread(target=self._watch_loop, name="watchdog", daemon=True)
        thread.start()
        try:
            while not stop.is_set():
                self._turns += 1
                reasons = list(self._standing_still())
                if reasons:
                    self._fire(reasons)
                    stop.set()
                    return
                await asyncio.sleep(self._tick_s)
        finally:
            self._is_over.set()

    def raise_if_fired(self) -> None:
        """Raise NoProgress if this watchdog asked the process to stop."""
        if self._has_fired:
            raise NoProgress(NoProgress.__doc__)

    def _fire(self, reasons: Sequence[str]) -> None:
        self._has_fired = True
        log.error("service.stalled", reasons=list(reasons), runbook="service-stalled")
        end_hard_within(self._exit_within_s)

    def _watch_loop(self) -> None:
        """In a thread: end the process if the loop has not turned for `limit_s`."""
        seen, still_s = -1, 0.0
        while not self._is_over.wait(self._tick_s):
            if self._turns != seen:
                seen, still_s = self._turns, 0.0
                continue
            still_s += self._tick_s
            if still_s > self._limit_s:
                reason = "the event loop does not turn"
                log.error("service.stalled", reasons=[reason], runbook="service-stalled")
                sys.stdout.flush()
                faulthandler.dump_traceback()  # frames without values
                os._exit(EXIT_STATUS)
