"""Retries with exponential back-off and jitter, set up in one place (library: stamina)."""

from collections.abc import AsyncIterator

import stamina

from shared.runtime.errors import Unavailable


def until_available(
    *, on: type[Exception] | tuple[type[Exception], ...] = Unavailable, wait_max_s: float = 10.0
) -> AsyncIterator[stamina.Attempt]:
    """Attempts without end: `async for attempt in until_available(): with attempt: …`.

    For what must come back some day: Kafka or Postgres away at the start or for hours.
    """
    return aiter(
        stamina.retry_context(
            on=on, attempts=None, timeout=None, wait_initial=0.1, wait_max=wait_max_s
        )
    )


def backoff_s(attempt: int, *, initial_s: float, maximum_s: float, jitter: float) -> float:
    """Seconds to wait after failure number `attempt` (from 1); `jitter` is in [0, 1)."""
    full = min(maximum_s, initial_s * 2.0 ** min(attempt - 1, 30))
    return full * (0.5 + jitter / 2)
