"""Starts a plan, keeps its parts alive, stops them in order. One process, one event loop.

Ctrl-C, SIGTERM or SIGHUP stops everything in order; a second Ctrl-C or SIGTERM kills what is left.
Nothing that is said or noted on the way can keep it from that. Children die with this process even
if it is killed itself (see `process`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence

from rollcall_local.stack.errors import StackError
from rollcall_local.stack.owned import NotOurs
from rollcall_local.stack.part import Plan, StartStep
from rollcall_local.stack.report import Reporter
from rollcall_local.stack.runner import Runner

Publish = Callable[[Sequence[Runner], bool], None]
_REPORT_EVERY_S = 0.1


class Supervisor:
    """Runs a plan. `publish` is called with all runners whenever one has changed.

    Its second argument says whether the whole stack has become ready.
    """

    def __init__(self, plan: Plan, reporter: Reporter, publish: Publish, *, restart: bool) -> None:
        self._plan = plan
        self._reporter = reporter
        self._publish = publish
        self._is_ready = False
        self._under_way: list[str] = []
        self._unpublished = ""
        self._stop_asked = asyncio.Event()
        self._runners = [
            Runner(part, say=reporter.say, on_change=self._changed, restart=restart)
            for part in plan.parts
        ]
        self.took_s: dict[str, float] = {}
        self.on_ready: Callable[[], None] = lambda: None

    async def run(self) -> int:
        """Run until asked to stop; return the exit status.

        Raises StackError when the stack could not start; everything is stopped by then.
        """
        self._listen()
        try:
            if not await self._started():
                return 130
            self._is_ready = True
            self._changed()
            if self._unpublished:
                raise StackError(self._unpublished)
            self.on_ready()
            self._reporter.ready()
            await self._until_asked()
        finally:
            await self._stop_all()
        return 0

    def stop(self) -> None:
        """What a signal does: the first asks for an orderly end, the second kills."""
        if not self._stop_asked.is_set():
            self._stop_asked.set()  # first: reporting it may fail
            self._reporter.say("stopping")
            return
        for runner in self._runners:
            runner.kill()
        if not any(runner.pid for runner in self._runners):
            os._exit(130)  # a thread still prepares something, and would be waited for

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        """A terminal that closes says so more than once: the kernel, then the shell."""
        if not self._stop_asked.is_set():
            self.stop()

    async def _started(self) -> bool:
        """Bring up all stages; return False when asked to stop meanwhile. Raises StackError."""
        starting = asyncio.create_task(self._start_stages())
        asked = asyncio.create_task(self._stop_asked.wait())
        since = time.monotonic()
        try:
            while not starting.done() and not asked.done():
                self._reporter.working(list(self._under_way), time.monotonic() - since)
                await asyncio.wait(
                    {starting, asked},
                    timeout=_REPORT_EVERY_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            self._reporter.working([], 0.0)
            asked.cancel()
            starting.cancel()
            await asyncio.wait({starting, asked})
        if self._stop_asked.is_set():
            return False
        starting.result()
        return True

    async def _start_stages(self) -> None:
        for stage in self._plan.stages:
            try:
                async with asyncio.TaskGroup() as group:
                    for step in stage:
                        group.create_task(self._do(step))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def _do(self, step: StartStep) -> None:
        since = time.monotonic()
        self._under_way.append(step.what)
        try:
            for runner in self._runners:
                if runner.part is step.part:
                    await runner.start(self._plan.ready_timeout_s)
            if step.then is not None:
                async with asyncio.timeout(self._plan.ready_timeout_s):
                    await step.then()
        except StackError:
            raise
        except Exception as error:  # the outermost edge: any error ends the stack
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise StackError(f"{step.what}: {reason}") from error
        finally:
            self._under_way.remove(step.what)
            self.took_s[step.what] = time.monotonic() - since

    async def _until_asked(self) -> None:
        async with asyncio.TaskGroup() as group:
            for runner in self._runners:
                group.create_task(runner.watch())
            await self._stop_asked.wait()
            await self._stop_all()

    async def _stop_all(self) -> None:
        services = [runner.part.service for runner in self._runners]
        last = [name for name in dict.fromkeys(services) if name not in self._plan.stop_order]
        for service in (*self._plan.stop_order, *last):
            await asyncio.gather(
                *(each.stop() for each in self._runners if each.part.service == service)
            )

    def _changed(self) -> None:
        """Publish; a full disk is said once, and keeps no part from its start or its end.

        So is a folder that is no longer ours alone.
        """
        try:
            self._publish(self._runners, self._is_ready)
        except (OSError, NotOurs) as error:
            trouble = (
                str(error)
                if isinstance(error, NotOurs)
                else f"cannot write {error.filename or 'the status'}: {error.strerror}"
            )
            if not self._unpublished:
                self._reporter.say(trouble)
            self._unpublished = trouble
        else:
            self._unpublished = ""
