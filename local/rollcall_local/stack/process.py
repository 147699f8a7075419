"""Start a child that cannot outlive us, and send it signals.

`launch` makes the child die with its parent on Linux. The kernel counts the *thread* that forked
as the parent, so children are to be started by the main thread, or one that lives as long as the
program. Elsewhere children are only stopped by a parent that ends in an orderly way.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollcall_local.stack.owned import open_log

_LAUNCH = str(Path(__file__).with_name("launch.py"))
_FREEZE_S = 5.0
_STOPPED = re.compile(r"^State:\t[TZ]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Account:
    """A system user that a child runs as."""

    name: str
    uid: int
    gid: int


def launched(command: Sequence[str], account: Account | None = None) -> list[str]:
    """Return the command line that becomes `command`, as `account`, bound to our life."""
    uid, gid = (-1, -1) if account is None else (account.uid, account.gid)
    interpreter = [sys.executable, "-I", "-S", _LAUNCH]
    return [*interpreter, str(os.getpid()), str(uid), str(gid), *command]


def arguments(*, log: int, env: Mapping[str, str], cwd: Path) -> dict[str, Any]:
    """Return the keyword arguments of `Popen` (and asyncio's kin) for a child of ours.

    The child has a session of its own, so that Ctrl-C on the terminal reaches only the
    supervisor, which stops the parts in order.
    """
    return {
        "stdin": subprocess.DEVNULL,
        "stdout": log,
        "stderr": subprocess.STDOUT,
        "env": dict(env),
        "cwd": cwd,
        "start_new_session": True,
    }


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return whether there was a process to receive it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def freeze(*pids: int) -> None:
    """Stop the processes (SIGSTOP), and wait until none of their threads runs any more.

    The signal is only on its way when `kill` returns: a busy machine has answered after it.
    """
    for pid in pids:
        send(pid, signal.SIGSTOP)
    wait_until(lambda: all(map(_is_stopped, pids)), _FREEZE_S, every_s=0.001)


def _is_stopped(pid: int) -> bool:
    """Whether the process is stopped, with all of its threads where the system shows them."""
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():
        shown = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, timeout=10
        ).stdout
        return not shown.strip() or shown.lstrip()[0] in "TZ"
    for status in threads.glob("*/status"):
        with contextlib.suppress(OSError):  # the thread has ended
            if not _STOPPED.search(status.read_text()):
                return False
    return True


def descendants(pid: int) -> list[int]:
    """Return the ids of the children of `pid`, theirs, and so on."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    children: dict[int, list[int]] = {}
    for line in listing.splitlines():
        child, parent = (int(field) for field in line.split())
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    todo = [pid]
    while todo:
        of = children.get(todo.pop(), [])
        found += of
        todo += of
    return found


def wait_until(is_so: Callable[[], bool], timeout_s: float, every_s: float = 0.03) -> bool:
    """Ask `is_so` until it says yes or the time is over; return its last word."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True


class Child:
    """One server process that tests and the keeper start, stop, kill and freeze."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the process; raises RuntimeError when it was never started."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def spawn(
        self,
        command: list[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        account: Account | None = None,
    ) -> None:
        """Start the process; its output goes to `log`."""
        descriptor = open_log(log)
        try:
            self._process = subprocess.Popen(
                launched(command, account), **arguments(log=descriptor, env=env, cwd=cwd)
            )
        finally:
            os.close(descriptor)

    def end(self, numbers: Iterable[signal.Signals], timeout_s: float) -> None:
        """Send the signals one after another, `timeout_s` apart, until the process has ended."""
        process = self._process
        if process is None:
            return
        for number in numbers:
            if process.poll() is not None:
                return
            send(process.pid, number)
            send(process.pid, signal.SIGCONT)  # a frozen process hears nothing but SIGKILL
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_s)
        process.wait(timeout_s)
