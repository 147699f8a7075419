"""One part of a stack: what is started, how it says that it is ready, how it is stopped."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rollcall_local.stack.process import Account


@dataclass(frozen=True, slots=True)
class Part:
    """A child process of the supervisor.

    `service` is the name in `stack.json`, `label` differs for each replica. `prepare` makes what
    the part needs and returns its command; it may block and is called before every start.
    `is_ready` asks the part; it may block for a second. `is_passing` says, after it ended before it
    was ready, whether another try may succeed; `is_held`, whether an operator wants it stopped for
    now (`rollcall stop`). `address` and `ready_url` are for `rollcall status`.
    """

    service: str
    label: str
    log: Path
    prepare: Callable[[], list[str]]
    is_ready: Callable[[], bool]
    env: Mapping[str, str]
    cwd: Path
    address: str = ""
    ready_url: str = ""
    account: Account | None = None
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)
    stop_timeout_s: float = 10.0
    is_passing: Callable[[], bool] = field(default=lambda: False)
    is_held: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True, slots=True)
class StartStep:
    """A thing to do at the start: a part to bring up (if any), then work to do once (if any)."""

    what: str
    part: Part | None = None
    then: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps, in stages: those of a stage at once, one stage after another.

    Parts are stopped service by service in the order of `stop_order`; others come last.
    """

    stages: tuple[tuple[StartStep, ...], ...]
    stop_order: tuple[str, ...] = ()
    ready_timeout_s: float = 60.0

    @property
    def parts(self) -> list[Part]:
        """Every part, in order."""
        return [step.part for stage in self.stages for step in stage if step.part is not None]


def answers_200(url: str, timeout_s: float = 1.0) -> bool:
    """Return whether a GET of an `http://host:port/path` is answered with 200."""
    parsed = urlsplit(url)
    connection = http.client.HTTPConnection(parsed.netloc, timeout=timeout_s)
    try:
        connection.request("GET", parsed.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
