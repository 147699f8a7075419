"""Processes of our services, forked from one that has imported their libraries already.

Importing aiohttp, aiokafka, asyncpg, pydantic and `shared` costs a second or two of a processor,
and the tests start several hundred services. So a run (each worker of it) has one process which has
imported them and does nothing else; asked for `rollcall_ingress`, it forks, and the child runs the
module as `python -m rollcall_ingress` would: with its own arguments, environment, output and
process id, to be killed, frozen and waited for like any other. What only a real start shows has its
own tests (`tests/integration/*/test_process.py`).

    fork = run as `python -m tests.support.forked`: reads requests as lines of JSON, answers so
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

ROOT: Final = Path(__file__).parents[2]
LIBRARIES: Final = (
    *("aiohttp.web", "aiokafka", "aiokafka.admin", "aiosmtpd.controller", "aiosmtplib", "asyncpg"),
    *("jinja2", "prometheus_client", "pydantic_settings", "stamina", "structlog", "uvloop"),
)
OURS: Final = (
    *("rollcall.directory.fold", "rollcall.events.envelope", "rollcall.http.server"),
    *("rollcall.kafka.producer", "rollcall.kafka.pump", "rollcall.observability.logging"),
    *("rollcall.postgres.directory_search", "rollcall.postgres.directory_write"),
    *("rollcall.postgres.notification", "rollcall.postgres.progress", "rollcall.runtime.lifecycle"),
    *("rollcall.scim.discovery", "rollcall.tenancy.api_key"),
)
"""What the services have in common. Their own modules are imported by the child, so that none has
another service's code or metrics in it."""
POLL_S: Final = 0.05


class Forked:
    """A forked process, with what tests use of `subprocess.Popen`."""

    def __init__(self, mother: "Mother", pid: int, arguments: Sequence[str]) -> None:
        self.args = tuple(arguments)
        self.pid = pid
        self.returncode: int | None = None
        self._mother = mother

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._mother.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(self.pid)
                try:
                    select.select([handle], [], [], timeout)
                finally:
                    os.close(handle)
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(POLL_S)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended: until then nobody else has its number."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Mother:
    """The process that forks, and the way to it: one question at a time."""

    def __init__(self) -> None:
        ours, hers = socket.socketpair()
        with hers:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forked", str(hers.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[hers.fileno()],
            )
        self._lines = ours.makefile("rw", encoding="utf-8", newline="\n")
        ours.close()
        self._turn = threading.Lock()
        atexit.register(self.end)

    def start(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], output: Path
    ) -> Forked:
        """Run a module as `python -m` does; what it prints is appended to `output`."""
        pid = self.ask(
            module=module,
            arguments=list(arguments),
            environment=dict(environment),
            output=str(output),
        )
        assert isinstance(pid, int)
        return Forked(self, pid, [sys.executable, "-m", module, *arguments])

    def ask(self, **question: Any) -> int | None:
        """One question, and its answer: a number or null."""
        with self._turn:
            self._lines.write(json.dumps(question) + "\n")
            self._lines.flush()
            answer: int | None = json.loads(self._lines.readline())
        return answer

    def end(self) -> None:
        """Let it end: it does when nobody asks any more."""
        with contextlib.suppress(OSError):
            self._lines.close()
        self._process.wait(10)


_mothers: list[Mother] = []


def start(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], output: Path
) -> Forked:
    """`Mother.start` of this test process's own, which begins with the first call."""
    if not _mothers:
        _mothers.append(Mother())
    return _mothers[0].start(module, arguments, environment, output)


def spawn(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], output: Path
) -> "subprocess.Popen[bytes]":
    """The same by an interpreter of its own, which takes the seconds that it takes elsewhere."""
    with output.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _serve(handle: int) -> None:
    for name in (*LIBRARIES, *OURS):
        importlib.import_module(name)
    gc.freeze()  # or the child's first collection copies every page
    control = socket.socket(fileno=handle)
    lines = control.makefile("rw", encoding="utf-8", newline="\n")
    ended: dict[int, int] = {}  # asked for again: by two threads at once, for one
    answer: int | None
    for line in lines:
        question = json.loads(line)
        if "poll" in question:
            pid = question["poll"]
            if pid not in ended:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    ended[pid] = os.waitstatus_to_exitcode(status)
            answer = ended.get(pid)
        else:
            answer = os.fork()
            if answer == 0:
                control.detach()
                os.close(handle)
                _be(**question)
            ended.pop(answer, None)  # the number of one that has ended
        lines.write(json.dumps(answer) + "\n")
        lines.flush()


def _be(
    *, module: str, arguments: Sequence[str], environment: Mapping[str, str], output: str
) -> NoReturn:
    """Be the module's process, and end as the interpreter would."""
    status = 1
    try:
        log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environ.clear()
        os.environ.update(environment)
        random.seed()
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            status = ended.code or 0
        else:
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status & 0xFF)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
