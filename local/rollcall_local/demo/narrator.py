"""Prints what the demo does: a moving bar on a terminal, a line every two seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

_EVERY_S: Final = 2.0


class Bar(Protocol):
    """How far a phase is."""

    def advance(self) -> None:
        """One more is done."""

    def reach(self, done: int) -> None:
        """Note how many are done."""


class PlainBar:
    """Lines: one every two seconds while there is news or not."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._start_s = time.monotonic()
        self._next_s = self._start_s + _EVERY_S

    def advance(self) -> None:
        self.reach(self._done + 1)

    def reach(self, done: int) -> None:
        self._done = done
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _EVERY_S
            elapsed_s = now_s - self._start_s
            print(
                f"  {self._title}: {done:,} of {self._total:,} after {elapsed_s:.0f} s", flush=True
            )


class RichBar:
    """A task of a rich progress display."""

    def __init__(self, progress: Any, task: Any) -> None:
        self._progress = progress
        self._task = task

    def advance(self) -> None:
        self._progress.advance(self._task)

    def reach(self, done: int) -> None:
        self._progress.update(self._task, completed=done)


def say(line: str = "") -> None:
    """Print one line at once."""
    print(line, flush=True)


@contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """Show how far a phase of `total` steps is, for as long as the block runs."""
    if not sys.stdout.isatty():
        yield PlainBar(title, total)
        return
    from rich.progress import (  # slow to import, for terminals only
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*columns) as progress:
        yield RichBar(progress, progress.add_task(title, total=total))
