"""Progress of something long: a bar with rate and time left on a terminal, nothing elsewhere.

The total may grow while it runs (a log under load).
"""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


class Bar:
    """Counts up to a total; `note` begins the next part. Use it as a context manager."""

    def __init__(self, *, is_shown: bool | None = None) -> None:
        shown = sys.stderr.isatty() if is_shown is None else is_shown
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not shown,
        )
        self._task = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def note(self, what: str, total: int | None) -> None:
        """Begin a part: `what`, with `total` items (None: not known)."""
        self._progress.reset(self._task, description=what, total=total, visible=True)

    def add(self, number: int) -> None:
        """Add `number` items that are done."""
        self._progress.advance(self._task, number)
