"""The stack that the demo runs on: one that is running, or `rollcall up` as a child.

The child reports its start on our output. It has a session of its own, so Ctrl-C reaches only
us, and it ends with us, even if we are killed (see `rollcall_local.stack.process`).
"""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollcall_local.stack import process
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.folder import Folder
from rollcall_local.stack.stack_file import StackFile

START_TIMEOUT_S: Final = 300.0
"""The first start of all fetches Kafka."""
STOP_TIMEOUT_S: Final = 90.0
_ASK_EVERY_S: Final = 0.02
REPLICAS: Final = "ingress=2"
"""Two doors: what one has answered, the other has to know."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that is ready. `ended` completes when a stack of ours ends by itself, else never."""

    data: Path
    file: StackFile
    is_ours: bool
    ended: "asyncio.Future[int]"


@asynccontextmanager
async def running_stack(data: Path) -> AsyncIterator[RunningStack]:
    """A running stack in `data`; if we started it, it is stopped afterwards.

    Raises StackError when it does not start; its own output is above.
    """
    folder = Folder.at(data, making=True)
    if folder.supervisor() is not None:
        await _until_ready(folder, None)
        never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        yield RunningStack(data, StackFile.load(data), is_ours=False, ended=never)
        return
    child = await _start(data)
    ended = asyncio.ensure_future(child.wait())
    try:
        await _until_ready(folder, child)
        yield RunningStack(data, StackFile.load(data), is_ours=True, ended=ended)
    finally:
        await _to_its_end(asyncio.create_task(_stop(child, ended)))


async def _start(data: Path) -> Process:
    command = [sys.executable, "-m", "rollcall_operator", "up", "--data", str(data)]
    command += ["--replicas", REPLICAS]
    options = process.arguments(log=sys.stdout.fileno(), env=os.environ, cwd=Path.cwd())
    return await asyncio.create_subprocess_exec(
        *process.launched(command), **{**options, "stderr": None}
    )


async def _until_ready(folder: Folder, child: Process | None) -> None:
    """Wait for `stack.json`, which is written when all is ready."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not folder.stack_file.exists() or (child is not None and not _is_of(folder, child)):
        if child is not None and child.returncode is not None:
            raise StackError("the stack did not start", exit_code=child.returncode or 1)
        if child is None and folder.supervisor() is None:
            raise StackError("the stack ended before it was ready", exit_code=1)
        if time.monotonic() > deadline_s:
            raise StackError("the stack is not ready; see `rollcall status`", exit_code=1)
        await asyncio.sleep(_ASK_EVERY_S)  # between questions; the condition is above


def _is_of(folder: Folder, child: Process) -> bool:
    supervisor = folder.supervisor()
    return supervisor is not None and supervisor.pid == child.pid


async def _to_its_end(stopping: "asyncio.Task[None]") -> None:
    """Wait for it; one who cancels us meanwhile (a terminal that closes) waits as well."""
    cancelled: asyncio.CancelledError | None = None
    while not stopping.done():
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError as error:
            cancelled = error
    stopping.result()
    if cancelled is not None:
        raise cancelled


async def _stop(child: Process, ended: "asyncio.Future[int]") -> None:
    """Ask the child to stop; another signal in the meantime makes it kill what is left."""

    def ask() -> None:
        if child.returncode is None:
            child.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ask)
    ask()
    try:
        await asyncio.wait_for(asyncio.shield(ended), STOP_TIMEOUT_S)
    except TimeoutError:
        child.kill()
        await ended
