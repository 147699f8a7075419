"""Progress of long work. The caller decides how it is shown: a bar on a terminal, or not at all."""

from typing import Protocol


class Meter(Protocol):
    """Counts what is done, one part of the work after another."""

    def note(self, what: str, total: int | None) -> None:
        """Begin a part: `what`, and how many it has (None: not known)."""

    def add(self, number: int) -> None:
        """Add what is done of the part."""
