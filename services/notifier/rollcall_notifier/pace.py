"""A rate per organisation: an initial sync of 50,000 joiners must not fill the mail server's queue.

Each mail gets a slot. One whose slot is later goes back to its row until then, so it holds up no
other organisation's mails; when it comes again, here or in another replica, its row says that it
has waited. Invitations and notices have separate lanes with the same rate, so a first sync does
not delay the notice that somebody's access has ended.
"""

from rollcall.runtime.rate import SECOND_NS, Rates

Lane = tuple[str, str]
"""Organisation id, and which of its mails."""


class Pacer:
    """`rate` mails a second in one lane, `burst` of them at once. Times: seconds, monotonic."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._rates: Rates[Lane] = Rates()
        self._last_slot_s = float("-inf")

    def is_holding(self, now_s: float) -> bool:
        """Whether mails wait for their slots."""
        return now_s < self._last_slot_s

    def wait_s(self, lane: Lane, now_s: float) -> float:
        """Seconds until the next slot, which is taken; 0: the mail may leave now."""
        now_ns = round(now_s * SECOND_NS)
        wait_ns = self._rates.reserve(lane, now_ns, rate=self._rate, burst=self._burst)
        wait_s = wait_ns / SECOND_NS
        self._last_slot_s = max(self._last_slot_s, now_s + wait_s)
        return wait_s
