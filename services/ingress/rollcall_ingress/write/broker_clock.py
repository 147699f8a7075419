"""How far this process's clock is from the broker's, as far as acknowledgements prove it.

A record is appended after it was sent and before its acknowledgement came. So the broker's clock
minus ours lies between `append - acknowledged` and `append - sent`. What several acknowledgements
say together is closer; where they contradict each other, a clock was set, and the last one counts.

It matters for two things. `acceptby` is compared with the broker's clock. Were ours a minute ahead,
a request that was answered 503 could be appended a minute later and still count. So the certain
part of being ahead is taken off. Being behind needs no care there: it shows as 503s, and nothing
else. `answerby` is compared with the append time of the reply: it is carried in the broker's time,
as near as is certain in both directions.

The first request into a partition is sent before its leader has acknowledged anything. For it the
leader that was heard of last stands in: of another partition, or of the replies, where a mark is
sent before the service is ready (hearing.py). So what holds for it is what holds among the brokers.
"""

from typing import Final

from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import INGRESS_APPEND_SKEW, INGRESS_APPEND_SKEW_LAST

LOG_FROM_MS: Final = 1000
"""Milliseconds by which two clocks certainly differ, from which on that is logged."""

REPLIES: Final = -1
"""Stands for the partition of the replies that is read here, among those of the requests."""

log = get_logger()


class BrokerClock:
    """Epoch milliseconds throughout. By partition: leaders are different machines."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}
        self._logged: set[int] = set()
        self._last: int | None = None

    def note(self, partition: int, *, sent_ms: int, append_ms: int, acknowledged_ms: int) -> None:
        """Learn from an acknowledgement, also from a late one."""
        skew_ms = append_ms - sent_ms
        INGRESS_APPEND_SKEW.observe(skew_ms / 1000)
        INGRESS_APPEND_SKEW_LAST.set(skew_ms / 1000)
        seen = append_ms - acknowledged_ms, skew_ms
        known = self._known.get(partition, seen)
        both = max(known[0], seen[0]), min(known[1], seen[1])
        self._known[partition] = both if both[0] <= both[1] else seen
        self._last = partition
        if partition != REPLIES:
            self._log_difference(partition, append_ms - sent_ms)

    def ahead_ms(self, partition: int) -> int:
        """By how much our clock is ahead of the broker's at least; 0 where nothing proves it."""
        return max(0, -self._known.get(partition, (0, 0))[1])

    def taken_off_ms(self, partition: int) -> int:
        """Milliseconds to take off `acceptby`: `ahead_ms`, by the nearest known leader."""
        return self.ahead_ms(self._nearest(partition))

    def broker_ms(self, partition: int, own_ms: int) -> int:
        """A moment of our clock in the broker's time: corrected as far as is certain."""
        found = self._known.get(self._nearest(partition))
        return own_ms if found is None else own_ms + min(max(0, found[0]), found[1])

    def _nearest(self, partition: int) -> int:
        return partition if partition in self._known or self._last is None else self._last

    def _log_difference(self, partition: int, skew_ms: int) -> None:
        """Log once when the clocks begin to differ. A slow broker is no difference."""
        least, most = self._known[partition]
        differs = least > LOG_FROM_MS or most < -LOG_FROM_MS
        if differs and partition not in self._logged:
            self._logged.add(partition)
            log.warning("clock.differed", partition=partition, append_minus_send_ms=skew_ms)
        elif not differs:
            self._logged.discard(partition)
