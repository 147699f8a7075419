"""A SCIM client as identity providers have one: keep-alive connections, counted answers.

Every answer goes into a `Tally`: what was sent, answered, marked pending, failed, and how long it
took. A refused or broken connection is tried once more, as IdPs do; nothing else is.

Where there are several doors, each request goes to the next one in turn, as a load balancer without
stickiness sends them.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

import aiohttp
import orjson
import yarl

OUTCOME_HEADER: Final = "Rollcall-Outcome"
TIMEOUT_S: Final = 60.0
"""After this the big identity providers give up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `document` is its JSON, its text where it is none, or None where it is empty.

    `retry_after_s` is set where it says when to come back.
    """

    status: int
    document: Any
    is_pending: bool
    seconds: float
    retry_after_s: float | None = None


class NoAnswer(Exception):
    """The server could not be reached, or did not answer in time."""


@dataclass(slots=True)
class Tally:
    """What was sent and what came back. `seconds` holds the time of each answer.

    `failed` counts what was not answered, and answers that the caller did not expect; `later`
    those that said 503 and when to come back, and were repeated then.
    """

    sent: int = 0
    answered: int = 0
    pending: int = 0
    later: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        """Count a failure; the first few reasons are kept."""
        self.failed += 1
        if len(self.failures) < 10:
            self.failures.append(reason)

    def add(self, other: "Tally") -> None:
        """Add the counts of `other`."""
        self.sent += other.sent
        self.answered += other.answered
        self.pending += other.pending
        self.later += other.later
        self.failed += other.failed
        self.seconds += other.seconds
        self.failures += other.failures[: max(0, 10 - len(self.failures))]

    def percentile_ms(self, percent: float) -> float | None:
        """The time in milliseconds within which `percent` of the answers came, or None."""
        if not self.seconds:
            return None
        ordered = sorted(self.seconds)
        index = max(0, min(len(ordered) - 1, round(percent / 100 * len(ordered)) - 1))
        return ordered[index] * 1000


class ScimClient:
    """Speaks to the SCIM base of one organisation with one key."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, key: str, doors: Sequence[str] = ()
    ) -> None:
        """`doors` are the roots that take the requests in turn; without any, `base`'s alone."""
        self._session = session
        self._base = yarl.URL(base.rstrip("/"))
        self._key = key
        self._doors = cycle([yarl.URL(door) for door in doors] or [self._base])

    async def send(
        self,
        method: str,
        path: str,
        *,
        tally: Tally,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; `path` is already percent-encoded. Raises NoAnswer.

        `headers` replace the usual ones; the key is added unless they hold an Authorization of
        their own (an empty one: none is sent).
        """
        given = {"Authorization": f"Bearer {self._key}", **(headers or _usual(body))}
        if not given["Authorization"]:
            del given["Authorization"]
        tally.sent += 1
        try:
            answer = await self._once(method, self._url(path), given, body)
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.5)  # an IdP waits before it tries again
            try:
                answer = await self._once(method, self._url(path), given, body)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise NoAnswer(f"{method} {_shown(path)}: {error!r}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswer(f"{method} {_shown(path)}: {error!r}") from error
        tally.answered += 1
        tally.pending += answer.is_pending
        tally.seconds.append(answer.seconds)
        return answer

    def _url(self, path: str) -> yarl.URL:
        """The URL at the next door; its target is the base's path and `path`, to the letter.

        Parsed as a URL, a lone `?` at the end, which some providers send, would be lost.
        """
        door = next(self._doors)
        return yarl.URL.build(
            scheme=door.scheme,
            host=door.raw_host or "",
            port=door.port,
            path=self._base.raw_path + path,
            encoded=True,
        )

    async def _once(
        self, method: str, url: yarl.URL, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        start = time.perf_counter()
        async with self._session.request(
            method, url, headers=headers, data=body, allow_redirects=False
        ) as response:
            raw = await response.read()
            seconds = time.perf_counter() - start
            return Answer(
                status=response.status,
                document=_parse(raw),
                is_pending=response.headers.get(OUTCOME_HEADER) == "pending",
                seconds=seconds,
                retry_after_s=_seconds(response.headers.get("Retry-After", "")),
            )


def open_session(connections: int) -> aiohttp.ClientSession:
    """A session with at most `connections` connections; close it when done."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        headers={"User-Agent": "rollcall-demo", "Accept": "application/scim+json"},
    )


def _usual(body: bytes | None) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/scim+json; charset=utf-8"}


def _parse(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode(errors="replace")


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None


def _shown(path: str) -> str:
    return path.partition("?")[0]
