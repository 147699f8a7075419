"""A service from the start of its process to its end: the same order for all of them.

    settings → log → signals → parts → admin port → work until SIGTERM → drain → exit status

A service says what its parts are and what it does (`Service`); `main` is its `__main__`.
"""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from rollcall.http.health import NOTHING_SHOWN, health_app
from rollcall.http.server import CannotListen, Listener, NoFastParser
from rollcall.kafka.watchdog import NoProgress, Watchdog
from rollcall.observability import logging
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import Service as Name
from rollcall.runtime import clock, lifecycle
from rollcall.runtime.config import Settings, load_or_exit
from rollcall.runtime.lifecycle import drain_step

ADMIN_DRAIN_S: Final = 1.0
"""How long requests to the admin port may take to finish; probes and metrics take milliseconds."""
STOP_S: Final = 5.0
"""How long a step of the drain may take that has no bound of its own."""
READY_POLL_S: Final = 0.2
"""How often a service that is starting looks whether it is ready, to log that once."""

S = TypeVar("S", bound=Settings)
log = get_logger()


class CannotServe(Exception):
    """The service ends by itself; the message says why. The exit status is 1."""


class Service(ABC):
    """One service: its parts, and what they do between start and end.

    `stall_s`: the process is ended when `not_alive` has a reason for so long, in seconds, or the
    event loop stands still for so long; None: nothing is watched. `shown`: more addresses of the
    admin port, path → what is answered as JSON.
    """

    def __init__(
        self,
        name: Name,
        *,
        admin_host: str,
        admin_port: int,
        stall_s: float | None = None,
        shown: Mapping[str, Callable[[], Any]] = NOTHING_SHOWN,
    ) -> None:
        self._stall_s = stall_s
        self._is_draining = False
        self._admin = Listener(
            health_app(name, not_ready=self.not_ready, not_alive=self.not_alive, shown=shown),
            admin_host,
            admin_port,
            drain_s=ADMIN_DRAIN_S,
        )

    @abstractmethod
    def missing(self) -> Sequence[str]:
        """What it waits for before it can take part, a sentence each; empty: it is ready."""

    @abstractmethod
    async def work(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish what is in hand. Raises CannotServe."""

    @abstractmethod
    async def close(self) -> None:
        """Close the parts, each in a `drain_step`, so that none keeps the next from its turn."""

    async def open(self) -> None:
        """What listens beside the admin port starts to. Raises CannotListen."""
        return

    def not_alive(self) -> Sequence[str]:
        """Why the process is to be ended: what stands still for no known reason."""
        return ()

    def facts(self) -> Mapping[str, Any]:
        """What the log lines of its start and its drain say beside."""
        return {}

    @property
    def admin_port(self) -> int:
        """The port of probes and metrics."""
        return self._admin.port

    def not_ready(self) -> Sequence[str]:
        """Why this replica should get no work now. An outage later is no reason."""
        return [*self.missing(), *(["draining"] if self._is_draining else [])]

    async def start(self) -> None:
        """Listen. Raises CannotListen, NoFastParser."""
        await self._admin.start()
        await self.open()
        log.info("service.started", **self.facts(), admin_port=self.admin_port)

    async def stop(self) -> None:
        """Close the parts, the admin port last: it says until then that this replica drains."""
        self._is_draining = True
        await self.close()
        await drain_step("admin port", self._admin.drain(), STOP_S)
        log.info("service.stopped")

    async def serve(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then drain.

        Raises CannotServe, CannotListen, NoFastParser, and NoProgress where something stood still.
        """
        await self.start()
        watchdog = None
        beside = [self._log_ready(stop), self._log_draining(stop)]
        if self._stall_s is not None:
            watchdog = Watchdog(self.not_alive, limit_s=self._stall_s)
            beside.append(watchdog.run(stop))
        tasks = [asyncio.create_task(each) for each in (self._work(stop), *beside)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.stop()
        for task in tasks:
            if not task.cancelled():
                task.result()
        if watchdog is not None:
            watchdog.raise_if_fired()

    async def _work(self, stop: asyncio.Event) -> None:
        try:
            await self.work(stop)
        finally:
            stop.set()

    async def _log_ready(self, stop: asyncio.Event) -> None:
        while self.missing():
            if await lifecycle.is_set_within(stop, READY_POLL_S):
                return
        log.info("service.ready", **self.facts())

    async def _log_draining(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._is_draining = True
        log.info("service.draining", **self.facts())


def main(name: Name, settings_class: type[S], build: Callable[[S], Awaitable[Service]]) -> None:
    """Run a service to its end; `--print-config` prints its settings instead.

    Exit status 0 after SIGTERM or SIGINT, 1 where it cannot serve, 2 for wrong settings.
    """
    settings = load_or_exit(settings_class, sys.argv[1:])
    clock.set_offset(settings.clock_offset_s)
    logging.configure(name, level=settings.log_level, log_format=settings.log_format)

    async def serve() -> None:
        stop = lifecycle.stop_on_signals()
        service = await build(settings)
        await service.serve(stop)

    try:
        lifecycle.run(serve())
    except (CannotServe, CannotListen, NoFastParser, NoProgress) as error:
        print(f"rollcall {name}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
