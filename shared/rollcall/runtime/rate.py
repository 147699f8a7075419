"""How often a key may have something, and how long it has to wait beyond that.

The generic cell rate algorithm (ITU-T I.371, Annex A) keeps one number for each key: the moment at
which its next cell would be due if they came as evenly as the rate says. A cell may come before
that moment by as much as the burst allows, and moves it on by one interval. There is no queue and
no timer.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

SECOND_NS: Final = 1_000_000_000
FORGET_FROM: Final = 10_000
"""Keys that are remembered before those without an effect on later cells are looked for."""

K = TypeVar("K", bound=Hashable)


class Rates(Generic[K]):
    """The rates of many keys. Times are nanoseconds of one monotonic clock; `rate` is a second's.

    `rate` and `burst` may change from call to call. Each process counts for itself.
    """

    def __init__(self) -> None:
        self._due_ns: dict[K, int] = {}
        self._forget_from = FORGET_FROM

    def take(self, key: K, now_ns: int, *, rate: float, burst: int) -> int:
        """0 if a cell may come now, which is counted; else after how many nanoseconds it may.

        A cell that has to wait is not counted: it is taken again later.
        """
        interval_ns = _interval_ns(rate)
        due_ns = max(self._due_ns.get(key, now_ns), now_ns)
        # A rate or a burst that was lowered takes effect at once, also on what is counted.
        due_ns = min(due_ns, now_ns + burst * interval_ns)
        wait_ns = due_ns - (burst - 1) * interval_ns - now_ns
        if wait_ns > 0:
            return wait_ns
        self._remember(key, due_ns + interval_ns, now_ns)
        return 0

    def reserve(self, key: K, now_ns: int, *, rate: float, burst: int) -> int:
        """Nanoseconds until the next free moment, which is counted in any case; 0: now."""
        interval_ns = _interval_ns(rate)
        due_ns = max(self._due_ns.get(key, now_ns), now_ns)
        self._remember(key, due_ns + interval_ns, now_ns)
        return max(0, due_ns - (burst - 1) * interval_ns - now_ns)

    def _remember(self, key: K, due_ns: int, now_ns: int) -> None:
        if key not in self._due_ns and len(self._due_ns) >= self._forget_from:
            # A key whose moment has passed behaves as one that never came.
            self._due_ns = {known: due for known, due in self._due_ns.items() if due > now_ns}
            self._forget_from = max(FORGET_FROM, 2 * len(self._due_ns))
        self._due_ns[key] = due_ns


def _interval_ns(rate: float) -> int:
    return int(SECOND_NS / rate)
