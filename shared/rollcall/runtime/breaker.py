"""A circuit breaker: after missed budgets only one probe a second waits. No I/O, no clock.

| state | event | then |
|---|---|---|
| closed | `failures_to_open` budgets missed one after the other | open |
| closed | `trip`: it is known that waiting is useless | open |
| closed | a miss while it is excused | closed, not counted |
| open | a second has passed since the last probe | one caller may wait |
| any | an answer in time | closed, nothing counted, may be excused again |

An excuse is for one piece of work that announced that it takes long. It is given once between two
answers in time, and for a bounded time: work that never ends, or one long piece after another,
opens the breaker all the same.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Breaker:
    """Closed while answers come in time; times are seconds of a monotonic clock."""

    failures_to_open: int = 3
    probe_every_s: float = 1.0
    _failures: int = field(default=0, init=False)
    _open: bool = field(default=False, init=False)
    _next_probe_s: float = field(default=0.0, init=False)
    _excused_until_s: float | None = field(default=None, init=False)

    @property
    def is_open(self) -> bool:
        """Whether callers, but for probes, should not wait."""
        return self._open

    def may_wait(self, now_s: float) -> bool:
        """Whether this caller may wait for an answer: always when closed, one probe a second."""
        if not self._open:
            return True
        if now_s < self._next_probe_s:
            return False
        self._next_probe_s = now_s + self.probe_every_s
        return True

    def succeeded(self) -> None:
        """An answer came in time."""
        self._failures = 0
        self._open = False
        self._excused_until_s = None

    def failed(self, now_s: float) -> None:
        """A budget passed without an answer."""
        if self._open or (self._excused_until_s is not None and now_s < self._excused_until_s):
            return
        self._failures += 1
        if self._failures >= self.failures_to_open:
            self.trip(now_s)

    def trip(self, now_s: float) -> None:
        """Open at once; the next probe is due in `probe_every_s`. An open one stays as it is."""
        if not self._open:
            self._open = True
            self._next_probe_s = now_s + self.probe_every_s

    def excuse(self, now_s: float, for_s: float) -> None:
        """Do not count misses for `for_s` seconds; once only until the next answer in time."""
        if self._excused_until_s is None:
            self._excused_until_s = now_s + for_s
