"""What the number of a request's rules decides: every difference between them is a function here.

A rule that refuses what was taken before, or takes what was refused, would make another directory
of an old log. So each request carries the number of the rules in force when it was accepted, and
the decision asks here. Numbers only rise; what a released number means is never edited.

| number | since | what is new |
|---|---|---|
| 1 | the beginning | |
| 2 | 0.1.0, second part | what a PATCH may cost, and the size after each of its operations |
| | | a filter may select a single complex value in a PATCH path |
| | | `externalId` may be shared |
| | | a request that revokes keeps the address held before it |
| | | a redrive drops what is late |
| 3 | 0.1.0, third part | a create that is equal to a dead one is refused with 500 (cause.py) |
"""

from typing import Final

from rollcall.events.request import Request
from rollcall.scim.limits import MAX_WORK

SECOND: Final = 2
THIRD: Final = 3


def most_work(rules: int) -> int | None:
    """The units of work that a PATCH may come to (`rollcall/scim/work.py`); None for any number.

    With a bound, the size of the resource is bounded after each operation and not only at the end.
    """
    return MAX_WORK if rules >= SECOND else None


def knows_filter_on_one(rules: int) -> bool:
    """Whether a path such as `manager[value eq "7"]` selects; before it was refused."""
    return rules >= SECOND


def are_external_ids_unique(request: Request) -> bool:
    """Whether nobody is given an `externalId` that another one has (docs/decisions/0047)."""
    return request.rules < SECOND or request.settings.unique_external_ids


def keeps_address(rules: int) -> bool:
    """Whether the address held before a revocation is kept (kept_address.py)."""
    return rules >= SECOND


def drops_late_events(rules: int) -> bool:
    """Whether a redrive leaves out what it finds held although its sender was answered 503."""
    return rules >= SECOND


def knows_repeats(rules: int) -> bool:
    """Whether a create that is equal to one in quarantine is refused, and not tried again."""
    return rules >= THIRD
