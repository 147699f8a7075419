"""How long to wait before the next attempt, and a loop of attempts without end (stamina).

A consumer tries a batch again by `rollcall.consuming.insist`, which takes its pauses from here.
"""

import random
from collections.abc import AsyncIterator

import stamina

from rollcall.runtime.errors import Unavailable


def until_available(
    *, on: type[Exception] | tuple[type[Exception], ...] = Unavailable, wait_max_s: float = 10.0
) -> AsyncIterator[stamina.Attempt]:
    """Attempts without end: `async for attempt in until_available(): with attempt: …`.

    For what is waited for without a limit: Kafka or Postgres away at the start, or for hours.
    """
    return aiter(
        stamina.retry_context(
            on=on, attempts=None, timeout=None, wait_initial=0.1, wait_max=wait_max_s
        )
    )


def backoff_s(
    attempt: int, *, initial_s: float, maximum_s: float, jitter: float | None = None
) -> float:
    """Seconds to wait after failure number `attempt` (from 1): between half and all of its step.

    `jitter`, in [0, 1), says where in between; the default is random, so that clients that failed
    together do not try again together.
    """
    full = min(maximum_s, initial_s * 2.0 ** min(attempt - 1, 30))
    chance = random.random() if jitter is None else jitter  # noqa: S311 - no secret
    return full * (0.5 + chance / 2)
