"""A rate per organisation: an initial sync of 50,000 joiners must not fill the mail server's queue.

Each mail gets a slot (the generic cell rate algorithm, GCRA). One whose slot is later goes back to
its row until then, so it holds up nobody else's; when it comes again, here or to another replica,
its row says that it has waited. Invitations and notices have lanes of their own, of the same rate:
a first sync keeps no leaver's notice waiting.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

MAX_LANES: Final = 20_000
Lane = tuple[str, str]
"""Organisation, and which of its mails."""


@dataclass(slots=True)
class Pacer:
    """`rate` mails a second in one lane, `burst` of them at once."""

    rate: float
    burst: float
    _next_s: OrderedDict[Lane, float] = field(default_factory=OrderedDict)
    _last_slot_s: float = float("-inf")

    def is_holding(self, now_s: float) -> bool:
        """Whether mails wait for their slots."""
        return now_s < self._last_slot_s

    def wait_s(self, lane: Lane, now_s: float) -> float:
        """Seconds until the next slot, which is taken; 0: the mail may leave now."""
        due_s = max(self._next_s.pop(lane, now_s), now_s)
        self._next_s[lane] = due_s + 1.0 / self.rate
        if len(self._next_s) > MAX_LANES:
            self._next_s.popitem(last=False)
        slot_s = due_s - (self.burst - 1) / self.rate
        self._last_slot_s = max(self._last_slot_s, slot_s)
        return max(0.0, slot_s - now_s)
