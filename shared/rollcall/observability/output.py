"""Standard streams that may go away: the reader of a pipe ends, a terminal closes, a disk is full.

A process that has work to finish says what it does, and must not fail because nobody can hear it:
Python raises BrokenPipeError or OSError (EIO, ENOSPC) in the very line that only wanted to tell, or
waits in it for ever where the reader is stopped (a terminal after Ctrl-S, a pager).
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
"""The reader, or the terminal, does not come back; after any other error the next line may do."""

PATIENCE_S: Final = 1.0
"""For a process that has to be stoppable while a pager or a stopped terminal takes nothing."""


class Surviving:
    """A text stream whose writes never raise OSError: what cannot be written is lost.

    Once the other end is gone, `is_gone` is true, `on_gone` is called, and the descriptor leads to
    /dev/null, so that nothing that is still buffered fails the interpreter's last flush.
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
        """Write if it can be; returns the number of characters that were given."""
        try:
            return self._stream.write(text) if self._has_room() else len(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what is buffered, if it can be."""
        try:
            if self._has_room():
                self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _has_room(self) -> bool:
        """Whether a line can be written now; a stuck reader is waited for once."""
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
    """Let this process's standard output and error be lost without an error; may be repeated.

    `on_gone` is called, from whatever thread writes, when the reader of standard output is gone.
    With `patience_s`, a reader that takes nothing for so long loses lines, instead of stopping us.
    A stream that was closed before we started (Python has None for it) leads nowhere.
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
