"""The contact light: whether an identity provider is heard from as often as it usually is. Pure.

A client's own rhythm is the usual gap between its contacts. Minutes of contact that are close
together are one contact: a cycle of provisioning takes a while. It is silent after three times
its rhythm; before its rhythm is known, after a day. A client that nobody ever heard of waits for
its first contact: never is that called well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final, Literal

State = Literal["off", "waiting", "live", "silent"]

TOGETHER: Final = timedelta(minutes=5)
"""Minutes of contact that are no further apart are one contact."""
LEAST_GAPS: Final = 3
"""Gaps from which a rhythm is known."""
SILENT_AFTER: Final = 3
"""Times its own rhythm."""
UNKNOWN_RHYTHM: Final = timedelta(days=1)
SHORTEST_SILENCE: Final = timedelta(minutes=15)
"""A client that asks every minute is not called silent after three."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The state of one client, or of all clients of an organisation.

    `last`: the last contact; `rhythm`: the usual time between contacts, None where unknown.
    """

    state: State
    last: datetime | None = None
    rhythm: timedelta | None = None


def rhythm_of(minutes: Sequence[datetime]) -> timedelta | None:
    """The usual gap between contacts, from the minutes of contact in order; None: not known."""
    gaps = [later - earlier for earlier, later in pairwise(minutes) if later - earlier > TOGETHER]
    if len(gaps) < LEAST_GAPS:
        return None
    return timedelta(seconds=median(gap.total_seconds() for gap in gaps))


def contact_of(
    minutes: Sequence[datetime], last_used: datetime | None, now: datetime, *, is_on: bool = True
) -> Contact:
    """The contact with a client: its minutes of contact in order, and its last use to a minute."""
    last = max([*minutes[-1:], *([last_used] if last_used else [])], default=None)
    if not is_on:
        return Contact("off", last)
    if last is None:
        return Contact("waiting")
    rhythm = rhythm_of(minutes)
    patience = UNKNOWN_RHYTHM if rhythm is None else max(SILENT_AFTER * rhythm, SHORTEST_SILENCE)
    return Contact("live" if now - last <= patience else "silent", last, rhythm)


def contact_of_all(clients: Sequence[Contact], *, is_on: bool = True) -> Contact:
    """The contact with an organisation: that of the client that was heard of last."""
    heard = [each for each in clients if each.last is not None]
    if not heard:
        return Contact("waiting" if is_on else "off")
    latest = max(heard, key=lambda each: (each.last is not None, each.last))
    return latest if is_on else Contact("off", latest.last)
