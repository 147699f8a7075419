"""A process that a file of a stack names: looked at before it gets a signal.

A process id in a file says little: the process may have ended, and its number may be another's by
now. So its start is noted beside it, as the system reports it (no later process can have the same),
and a signal goes only to a process of our user that started then. A note of an earlier release has
no start; there the command line must be one of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollcall_local.stack.owned import NotOurs

_PROC: Final = Path("/proc")
_START_FIELD: Final = 19
"""The start time in /proc/PID/stat (proc(5), field 22), counted from the state after the name."""
_PS_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process as the system reports it: user (None where it has two), start, command line."""

    uid: int | None
    started: str
    command: tuple[str, ...]


def look(pid: int) -> Process | None:
    """The process of that id, or None where there is none."""
    if pid <= 0:
        return None
    return _from_proc(pid) if (_PROC / "self" / "stat").exists() else _from_ps(pid)


def started(pid: int | None) -> str | None:
    """When a process started, in the system's words; None where there is none."""
    found = None if pid is None else look(pid)
    return None if found is None else found.started


def _from_proc(pid: int) -> Process | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        status = (_PROC / str(pid) / "status").read_text(errors="replace")
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    [users] = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
    uid = int(users[0]) if len(set(users)) == 1 else None
    words = command.decode(errors="replace").rstrip("\0").split("\0")
    return Process(uid, fields[_START_FIELD], tuple(words))


def _from_ps(pid: int) -> Process | None:
    done = subprocess.run(
        ["ps", "-ww", "-o", "ruid=,uid=,lstart=,command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PS_S,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
    )
    words = done.stdout.split()
    if len(words) < 7:
        return None
    uid = int(words[0]) if words[0] == words[1] else None
    return Process(uid, " ".join(words[2:7]), tuple(words[7:]))


def is_module(name: str) -> Callable[[Sequence[str]], bool]:
    """What a command line of `python -m NAME` looks like."""
    return lambda command: name in command


def is_supervisor(command: Sequence[str]) -> bool:
    """What a command line of `rollcall up` looks like."""
    programs = {Path(word).name for word in command}
    return "up" in command and bool(programs & {"rollcall", "rollcall_operator"})


def is_ours(
    pid: int,
    since: str | None,
    looks_ours: Callable[[Sequence[str]], bool],
    uid: int | None = None,
) -> bool:
    """Whether it still is the process that was noted; False where it has ended.

    Raises NotOurs where there is another process of that id.
    """
    found = look(pid)
    if found is None or (since is None and not any(found.command)):
        return False  # one that ends has lost its command line before its files
    owner = os.geteuid() if uid is None else uid
    same = found.started == since if since is not None else looks_ours(found.command)
    if found.uid != owner or not same:
        raise NotOurs(
            f"process {pid} is not the one that this stack started: it gets no signal from us"
        )
    return True


def send(
    pid: int,
    since: str | None,
    number: signal.Signals,
    looks_ours: Callable[[Sequence[str]], bool],
    uid: int | None = None,
) -> bool:
    """Send a signal to a noted process; return whether there still was one. Raises NotOurs."""
    if pid <= 0:
        raise NotOurs(f"{pid} is no process id: no signal is sent")
    with contextlib.ExitStack() as stack:
        held: int | None = None
        if hasattr(os, "pidfd_open"):
            try:
                held = os.pidfd_open(pid)  # from here on the id cannot become another's
            except ProcessLookupError:
                return False
            except OSError:  # a kernel, or a sandbox, without them
                held = None
            else:
                stack.callback(os.close, held)
        if not is_ours(pid, since, looks_ours, uid):
            return False
        try:
            if held is None:
                os.kill(pid, number)
            else:
                signal.pidfd_send_signal(held, number)
        except ProcessLookupError:
            return False
    return True
