"""Start and stop of a process: signals set an event, and fault points kill for tests."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final

import uvloop

from rollcall.observability.logging import get_logger

CANCELLED_WITHIN_S: Final = 1.0
SWITCH_S: Final = 0.0005
"""How long a calculating thread keeps the interpreter when the event loop asks for it, which it
does after every read and write. With Python's 5 ms, a small request beside a group of 5 MB would
wait that long a dozen times."""
COLLECT_EVERY: Final = (100_000, 10, 10)
"""New containers before the cycle collector looks at the youngest ones, and how many such looks
before the older ones have their turn. A request makes hundreds of containers, nearly none of them
in a cycle, and a tail of 20,000 requests would be looked through again and again: with Python's
(700, 10, 10) that was 27 % of what a create costs ingress. The price: what is in a cycle is freed a
few megabytes later."""

log = get_logger()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a service's main coroutine to its end on the fast event loop."""
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*COLLECT_EVERY)
    gc.freeze()  # modules and classes stay: no collection has to look through them
    uvloop.run(main)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets: the sign to drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event for at most `seconds`; whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def ends_before(work: Coroutine[Any, Any, object], stop: asyncio.Event) -> bool:
    """Do `work` until `stop` is set; whether it ended before that. Raises what it raises."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        return False
    finally:
        for waiting in (task, stopping):
            waiting.cancel()
        await asyncio.wait([task, stopping])


async def drain_step(name: str, work: Coroutine[Any, Any, object], timeout_s: float) -> bool:
    """One step of a drain, in a task of its own; whether it ended well, and in time.

    A step that does not end (Kafka or Postgres does not answer) is cancelled, logged and left
    behind: the next one must have its turn before the process is killed. What a step raises is
    logged too: no failure at the end may keep the other parts from being closed.
    """
    task = asyncio.create_task(work, name=f"drain: {name}")
    await asyncio.wait([task], timeout=timeout_s)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCELLED_WITHIN_S)
        log.warning("drain.cut_short", step=name, timeout_s=timeout_s)
        return False
    if task.cancelled() or (error := task.exception()) is None:
        return not task.cancelled()
    log.warning("drain.cut_short", step=name, error=type(error).__name__)
    return False


class FaultPoint:
    """A named place where a test lets the process die or freeze (`ROLLCALL_FAULT`, only in `test`).

    `provisioner.before_commit` dies at the first pass, `provisioner.before_commit:50` at the 50th;
    `provisioner.before_commit:50:stop` freezes there by SIGSTOP, as a suspended machine does, until
    it gets SIGCONT. With `:hang` a worker that `reaches` the place never goes on, and with `:block`
    the whole event loop stops there. The settings refuse a fault outside
    `ROLLCALL_ENVIRONMENT=test`.
    """

    def __init__(self, fault: str) -> None:
        self._name, *rest = fault.split(":")
        self._left = int(rest[0]) if rest else 1
        self._kind = rest[1] if len(rest) > 1 else "kill"

    def passes(self, name: str) -> None:
        """Die or freeze if this is the place and the time; otherwise nothing happens."""
        if self._strikes(name):
            self._strike()

    async def reaches(self, name: str) -> None:
        """As `passes`, at a place where a worker can wait: there it may also hang."""
        if self._strikes(name):
            if self._kind == "hang":
                await asyncio.Event().wait()
            self._strike()

    def _strikes(self, name: str) -> bool:
        if self._name != name:
            return False
        self._left -= 1
        return self._left == 0

    def _strike(self) -> None:
        if self._kind == "block":
            threading.Event().wait()
        os.kill(os.getpid(), signal.SIGSTOP if self._kind == "stop" else signal.SIGKILL)
