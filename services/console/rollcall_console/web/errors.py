"""What a view may raise, so that every page answers it alike (`guard.py`)."""


class NotFound(Exception):
    """There is no such page, or none for this visitor: both look the same."""


class MayNot(Exception):
    """The visitor sees this, and may not do that; `who` is a role that may, as a key of words."""

    def __init__(self, who: str) -> None:
        super().__init__(who)
        self.who = who


class Refused(Exception):
    """What was asked for is not possible; `key` and `values` say why, in the visitor's words."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values
