"""A rate per organisation: an initial sync of 50,000 joiners must not fill the mail server's queue.

Each mail gets a slot (the generic cell rate algorithm, GCRA). One whose slot is later goes back to
its row until then, so it holds up nobody else's; when it comes again, its slot is kept for it.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

MAX_ORGANISATIONS: Final = 10_000
MAX_SLOTS: Final = 200_000


@dataclass(slots=True)
class Pacer:
    """`rate` mails a second for one organisation, `burst_s` seconds' worth of them at once."""

    rate: float
    burst_s: float = 1.0
    _next_s: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _slots: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)

    @property
    def is_holding(self) -> bool:
        """Whether mails wait for their slots."""
        return bool(self._slots)

    def wait_s(self, organisation_id: str, mail: tuple[str, str], now_s: float) -> float:
        """Seconds until the slot of `mail` (event id, kind); 0: it may leave now."""
        slot_s = self._slots.pop(mail, None)
        if slot_s is None:
            slot_s = self._take_slot(organisation_id, now_s)
        if slot_s <= now_s:
            return 0.0
        self._slots[mail] = slot_s
        if len(self._slots) > MAX_SLOTS:
            self._slots.popitem(last=False)
        return slot_s - now_s

    def _take_slot(self, organisation_id: str, now_s: float) -> float:
        due_s = max(self._next_s.pop(organisation_id, now_s), now_s)
        self._next_s[organisation_id] = due_s + 1.0 / self.rate
        if len(self._next_s) > MAX_ORGANISATIONS:
            self._next_s.popitem(last=False)
        return due_s - self.burst_s
