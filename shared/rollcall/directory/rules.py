"""The rules of a request: every difference between two numbers of rules is a function here.

A rule that refuses what was accepted before, or accepts what was refused, would build another
directory from an old log. So each request carries the number of the rules that were in force when
it was accepted, and the decision asks these functions. Numbers only rise, and the meaning of a
released number never changes.

| number | since | what is new |
|---|---|---|
| 1 | the beginning | |
| 2 | 0.1.0, second part | what a PATCH may cost, and the size after each of its operations |
| | | a filter may select a single complex value in a PATCH path |
| | | `externalId` may be shared |
| | | a request that revokes keeps the address held before it |
| | | a redrive skips late events |
| 3 | 0.1.0, third part | a create that is equal to a dead one is refused with 500 (cause.py) |
"""

from typing import Final

from rollcall.events.request import Request
from rollcall.scim.limits import MAX_WORK

SECOND: Final = 2
THIRD: Final = 3


def most_work(rules: int) -> int | None:
    """The most units of work that a PATCH may cost (`rollcall/scim/work.py`); None: no limit.

    Where there is a limit, the size of the resource is also checked after each operation and not
    only at the end.
    """
    return MAX_WORK if rules >= SECOND else None


def knows_filter_on_one(rules: int) -> bool:
    """Whether a path such as `manager[value eq "7"]` selects a value; older rules refuse it."""
    return rules >= SECOND


def are_external_ids_unique(request: Request) -> bool:
    """Whether an `externalId` that another resource has is refused (docs/decisions/0047)."""
    return request.rules < SECOND or request.settings.unique_external_ids


def keeps_address(rules: int) -> bool:
    """Whether the address held before a revocation is kept (kept_address.py)."""
    return rules >= SECOND


def drops_late_events(rules: int) -> bool:
    """Whether a redrive skips held events whose sender was answered 503."""
    return rules >= SECOND


def knows_repeats(rules: int) -> bool:
    """Whether a create that equals one in quarantine is refused instead of tried again."""
    return rules >= THIRD
