"""Keeps one part alive: starts it, notices its end, starts it again with back-off.

A part that only does not answer is left alone: it may have been frozen on purpose, and a restart
would lose what it was doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Literal

from rollcall_local.stack import process
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.owned import open_log, tail
from rollcall_local.stack.part import Part

State = Literal["stopped", "starting", "ready", "waiting", "ended"]
_ASK_EVERY_S = 0.03
_HELD_ASK_EVERY_S = 0.1
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 10.0
_GOOD_LIFE_S = 30.0
_WRONG_SETTINGS = 2  # exit status of a service whose settings are missing or wrong


class Runner:
    """The life of one part. `on_change` is called whenever state or process id have changed."""

    def __init__(
        self,
        part: Part,
        *,
        say: Callable[[str], None],
        on_change: Callable[[], None],
        restart: bool,
    ) -> None:
        self.part = part
        self.state: State = "stopped"
        self.restarts = 0
        self.pid: int | None = None
        self._say = say
        self._on_change = on_change
        self._restart = restart
        self._process: asyncio.subprocess.Process | None = None
        self._must_stop = asyncio.Event()

    async def start(self, timeout_s: float) -> None:
        """Start the part and wait until it is ready. Raises StackError with its log's tail."""
        deadline = time.monotonic() + timeout_s
        while not await self._came_up(timeout_s=deadline - time.monotonic()):
            if self._must_stop.is_set():
                raise StackError(f"{self.part.label} was stopped before it was ready")
            if time.monotonic() > deadline or not self.part.is_passing():
                await self._end_now()
                how = f"after {timeout_s:.0f} s" if time.monotonic() > deadline else self._how()
                raise StackError(
                    f"{self.part.label} is not ready: {how} (log: {self.part.log})",
                    detail=tail(self.part.log),
                    exit_code=2 if self._code == _WRONG_SETTINGS else 1,
                )

    async def watch(self) -> None:
        """Watch a started part until `stop`: say when it ends, start it again."""
        backoff_s = _FIRST_BACKOFF_S
        while not self._must_stop.is_set():
            since = time.monotonic()
            if self._process is not None:
                await self._process.wait()
            if self._must_stop.is_set():
                return
            self._set("waiting", pid=None)
            if self.part.is_held():
                await self._while_held()
                continue
            if not self._restart:
                self._set("ended", pid=None)
                self._say(f"{self.part.label} ended ({self._how()}) and is left so")
                return
            if time.monotonic() - since > _GOOD_LIFE_S:
                backoff_s = _FIRST_BACKOFF_S
            self._say(f"{self.part.label} ended ({self._how()}); again in {backoff_s:.1f} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._must_stop.wait(), backoff_s)
            backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
            if not self._must_stop.is_set() and not self.part.is_held():
                await self._start_again()

    async def _while_held(self) -> None:
        """Leave the part ended until `rollcall start`, then bring it back at once."""
        self._set("stopped", pid=None)
        self._say(f"{self.part.label} is stopped, until `rollcall start {self.part.service}`")
        while self.part.is_held():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._must_stop.wait(), _HELD_ASK_EVERY_S)
            if self._must_stop.is_set():
                return
        await self._start_again()

    async def stop(self) -> None:
        """Stop the part in its own way, by force where that takes too long."""
        self._must_stop.set()
        child = self._process
        if child is not None:
            for number in self.part.stop_signals:
                if child.returncode is not None:
                    break
                process.send(child.pid, number)
                process.send(child.pid, signal.SIGCONT)  # a frozen process hears nothing
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.wait(), self.part.stop_timeout_s)
        self._set("stopped", pid=None)

    def kill(self) -> None:
        """End the part at once."""
        self._must_stop.set()
        if self._process is not None and self._process.returncode is None:
            process.send(self._process.pid, signal.SIGKILL)

    async def _start_again(self) -> None:
        self.restarts += 1
        try:
            if await self._came_up(timeout_s=None):
                self._say(f"{self.part.label} is back (process {self.pid})")
        except (StackError, OSError) as error:
            self._say(f"{self.part.label} cannot start: {error}")

    async def _came_up(self, timeout_s: float | None) -> bool:
        """Start the process; return whether it was ready before it ended or time was over."""
        self._set("starting", pid=None)
        command = await asyncio.to_thread(self.part.prepare)
        if self._must_stop.is_set():
            return False
        await self._spawn(command)
        started = time.monotonic()
        while not await asyncio.to_thread(self.part.is_ready):
            if self._process is None or self._process.returncode is not None:
                return False
            if timeout_s is not None and time.monotonic() - started > timeout_s:
                return False
            if self._must_stop.is_set():
                return False
            await asyncio.sleep(_ASK_EVERY_S)  # between questions; the condition is above
        if self._process is None or self._process.returncode is not None:
            return False
        self._set("ready", pid=self._process.pid)
        return True

    async def _spawn(self, command: list[str]) -> None:
        log = open_log(self.part.log)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *process.launched(command, self.part.account),
                **process.arguments(log=log, env=self.part.env, cwd=self.part.cwd),
            )
        finally:
            os.close(log)
        self._set("starting", pid=self._process.pid)

    async def _end_now(self) -> None:
        if self._process is not None and self._process.returncode is None:
            process.send(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        self._set("ended", pid=None)

    @property
    def _code(self) -> int | None:
        return self._process.returncode if self._process is not None else None

    def _how(self) -> str:
        code = self._code
        if code is None:
            return "never started"
        if code < 0:
            return f"signal {signal.Signals(-code).name}"
        return f"exit status {code}"

    def _set(self, state: State, pid: int | None) -> None:
        if (state, pid) != (self.state, self.pid):
            self.state, self.pid = state, pid
            self._on_change()
