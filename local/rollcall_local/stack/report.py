"""What `rollcall up` prints: lines, what is still starting, and how it ended.

The supervisor speaks to a `Reporter`. In the foreground that is the terminal or plain lines; with
`--detach` it is a pipe to the command that waits, which shows the same. No reporter raises because
its output is not read any more (`shared/rollcall/observability/output.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from rollcall_local.stack.owned import NotOurs, open_log


class Reporter(Protocol):
    """Where the supervisor's words go."""

    def say(self, line: str) -> None:
        """Something has happened."""

    def working(self, on: Sequence[str], for_s: float) -> None:
        """Show what is still starting; called a few times a second, with nothing at the end."""

    def ready(self) -> None:
        """All parts are ready."""

    def failed(self, line: str, detail: str, exit_code: int) -> None:
        """The stack could not start."""


class PlainReporter:
    """Lines, for files and pipes: what takes more than two seconds is named every two seconds."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self._next_s = 2.0

    def say(self, line: str) -> None:
        self._print(line)

    def working(self, on: Sequence[str], for_s: float) -> None:
        if not on:
            self._next_s = 2.0
        elif for_s >= self._next_s:
            self._next_s += 2.0
            self._print(f"  {for_s:.0f} s: {', '.join(on)}")

    def ready(self) -> None:
        """Nothing: the caller says what to do next."""

    def failed(self, line: str, detail: str, exit_code: int) -> None:
        show_failure(line, detail)

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class TerminalReporter:
    """Prints on a terminal, with one moving line (rich) for what is still starting."""

    def __init__(self) -> None:
        from rich.console import Console  # slow to import

        self._console = Console()
        self._status: Any = None

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def working(self, on: Sequence[str], for_s: float) -> None:
        if not on:
            self._end()
            return
        text = f"{', '.join(on)} ({for_s:.0f} s)"
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def ready(self) -> None:
        self._end()

    def failed(self, line: str, detail: str, exit_code: int) -> None:
        self._end()
        show_failure(line, detail)

    def _end(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


class PipeReporter:
    """One JSON object a line into a pipe, for the command that waits at the other end.

    That command ends once all is ready, or earlier by Ctrl-C; then its output is not read any more.
    """

    def __init__(self, descriptor: int) -> None:
        self._pipe: IO[str] | None = open(descriptor, "w", encoding="utf-8")  # noqa: SIM115

    def say(self, line: str) -> None:
        self._send(what="say", line=line)

    def working(self, on: Sequence[str], for_s: float) -> None:
        self._send(what="working", on=list(on), for_s=for_s)

    def ready(self) -> None:
        self._send(what="ready")
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def failed(self, line: str, detail: str, exit_code: int) -> None:
        self._send(what="failed", line=line, detail=detail, exit_code=exit_code)

    def _send(self, **message: Any) -> None:
        if self._pipe is None:
            return
        try:
            self._pipe.write(json.dumps(message) + "\n")
            self._pipe.flush()
        except OSError:
            self._pipe = None


class LoggedReporter:
    """Another reporter, with each line written into the supervisor's log as well.

    A line that the log cannot take (its disk is full, it was swapped) is lost, so that it cannot
    keep the stack from stopping.
    """

    def __init__(self, inner: Reporter, log: Path) -> None:
        self._inner = inner
        self._log = log

    def say(self, line: str) -> None:
        self._write(line)
        self._inner.say(line)

    def working(self, on: Sequence[str], for_s: float) -> None:
        self._inner.working(on, for_s)

    def ready(self) -> None:
        self._write("ready")
        self._inner.ready()

    def failed(self, line: str, detail: str, exit_code: int) -> None:
        self._write(line)
        self._inner.failed(line, detail, exit_code)

    def _write(self, line: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with (
            contextlib.suppress(OSError, NotOurs),
            os.fdopen(open_log(self._log), "a", encoding="utf-8") as file,
        ):
            file.write(f"{at} {line}\n")


def for_output() -> Reporter:
    """Return the reporter that fits standard output."""
    return TerminalReporter() if sys.stdout.isatty() else PlainReporter()


def show_failure(line: str, detail: str = "") -> None:
    """Say on standard error why there is no stack, after the tail of the log that tells more."""
    if detail:
        print("\n".join(f"  | {each}" for each in detail.splitlines()), file=sys.stderr)
    print(f"rollcall: {line}", file=sys.stderr, flush=True)
