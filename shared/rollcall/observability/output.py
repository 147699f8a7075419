"""Standard streams that may go away: the reader of a pipe ends, a terminal closes, a disk is full.

A process that has work to finish must not fail because its output is lost. Python raises
BrokenPipeError or OSError (EIO, ENOSPC) in the line that writes, or blocks there if the reader is
stopped (a terminal after Ctrl-S, a pager).
"""

import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO, cast

_GONE: Final = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)
"""Errors after which the reader or terminal is gone; after others the next line may work."""

PATIENCE_S: Final = 1.0
"""For a process that must be stoppable while a pager or a stopped terminal does not read."""


class Surviving:
    """A text stream whose writes never raise OSError: what cannot be written is lost.

    Once the other end is gone, `is_gone` is true, `on_gone` is called, and the descriptor leads to
    /dev/null, so that buffered text does not fail the interpreter's last flush.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_stuck = False
        self.patience_s: float | None = None
        self.is_gone = False
        self.on_gone: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write if possible; returns the number of characters in `text`."""
        try:
            return self._stream.write(text) if self._has_room() else len(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each line if possible."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what is buffered, if possible."""
        try:
            if self._has_room():
                self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _has_room(self) -> bool:
        """Whether a line can be written now; waits once for a reader that does not read."""
        if self.patience_s is None:
            return True
        wait_s = 0.0 if self._is_stuck else self.patience_s
        self._is_stuck = not select.select([], [self._stream.fileno()], [], wait_s)[1]
        return not self._is_stuck

    def _failed(self, error: OSError) -> None:
        if self.is_gone or error.errno not in _GONE:
            return
        self.is_gone = True
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(nowhere, self._stream.fileno(), inheritable=True)
        finally:
            os.close(nowhere)
        self.on_gone()


def survive(on_gone: Callable[[], object] | None = None, patience_s: float | None = None) -> None:
    """Make writes to standard output and error never fail; may be called more than once.

    `on_gone` is called when the reader of standard output is gone, from the thread that writes.
    With `patience_s`, lines are lost if the reader reads nothing for that long, instead of blocking
    the process. A stream that was closed before the start (None in Python) leads to /dev/null.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        if not isinstance(stream, Surviving):
            stream = Surviving(stream)
            setattr(sys, name, stream)
        if patience_s is not None:
            stream.patience_s = patience_s
    if on_gone is not None:
        cast(Surviving, sys.stdout).on_gone = on_gone
