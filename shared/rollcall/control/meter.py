"""What something long tells of its progress: a bar on a terminal, nothing elsewhere."""

from typing import Protocol


class Meter(Protocol):
    """Counts up to a total, one part after another."""

    def note(self, what: str, total: int | None) -> None:
        """Begin a part: `what`, and how many it has (None: not known)."""

    def add(self, number: int) -> None:
        """Add what is done of the part."""
