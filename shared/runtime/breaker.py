"""A circuit breaker: after missed budgets nobody waits, but one probe a second."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Breaker:
    """Closed while answers come in time; times are seconds of a monotonic clock."""

    failures_to_open: int = 3
    probe_every_s: float = 1.0
    _failures: int = field(default=0, init=False)
    _open: bool = field(default=False, init=False)
    _next_probe_s: float = field(default=0.0, init=False)

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

    def failed(self, now_s: float) -> None:
        """A budget passed without an answer."""
        self._failures += 1
        if self._failures >= self.failures_to_open and not self._open:
            self._open = True
            self._next_probe_s = now_s + self.probe_every_s
