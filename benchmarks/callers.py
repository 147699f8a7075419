"""A load of SCIM requests from one process that uses little CPU, to leave the machine to servers.

A caller is one keep-alive connection that sends one request after another. It reads only what a
benchmark counts: status, `Rollcall-Outcome`, `Retry-After`, and the body on request. The client of
a library uses as much CPU as ingress does, which would be measured too on two cores.
"""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of an answer that are read; status 0 means none (the connection broke)."""

    status: int
    is_pending: bool = False
    has_retry_after: bool = False
    body: bytes = b""


class Caller(asyncio.Protocol):
    """One connection to one SCIM base."""

    def __init__(self, base: str, key: str) -> None:
        parts = urlsplit(base)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = parts.path
        self._head = f" HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiter: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is another one

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Answer(0))

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._waiter is None:
            return
        head = self._buffer[:end].lower()
        status = int(head[9:12])
        at = head.find(b"\r\ncontent-length:")
        length = 0 if at < 0 else int(head[at + 17 :].partition(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        body = self._buffer[end + 4 : end + 4 + length]
        self._buffer = b""
        answer = Answer(
            status, b"rollcall-outcome: pending" in head, b"\r\nretry-after:" in head, body
        )
        is_over = b"\r\nconnection: close" in head or head.startswith(b"http/1.0")
        if is_over and self._transport is not None:
            self._transport.close()
            self._transport = None
        if not self._waiter.done():
            self._waiter.set_result(answer)

    async def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request below the base; status 0 for a refused or broken connection."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._buffer = b""
            try:
                await loop.create_connection(lambda: self, self._host, self._port)
            except OSError:
                return Answer(0)
        transport = self._transport
        if transport is None:
            return Answer(0)
        self._waiter = loop.create_future()
        head = f"{method} {self._path}{path}{self._head}"
        if body:
            head += f"Content-Type: application/scim+json\r\nContent-Length: {len(body)}\r\n"
        transport.write(head.encode() + b"\r\n" + body)
        return await self._waiter

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass(slots=True)
class Load:
    """The answers of a load: seconds of each, number by status, number pending."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    pending: int = 0
    without_retry_after: int = 0
    wall_s: float = 0.0

    def note(self, answer: Answer, seconds: float) -> None:
        """Count one answer."""
        self.seconds.append(seconds)
        self.statuses[answer.status] += 1
        self.pending += answer.is_pending
        self.without_retry_after += answer.status == 503 and not answer.has_retry_after

    @property
    def failed(self) -> int:
        """The number of answers that are not 2xx, including those that never came."""
        return sum(count for status, count in self.statuses.items() if not 200 <= status < 300)

    def percentile_ms(self, hundredths: int) -> float:
        """A percentile of the answers in milliseconds."""
        if len(self.seconds) < 2:
            return self.seconds[0] * 1000 if self.seconds else 0.0
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[hundredths - 1] * 1000

    def __str__(self) -> str:
        return (
            f"{len(self.seconds):7,} answers in {self.wall_s:6.2f} s  "
            f"p50 {self.percentile_ms(50):8.1f} ms  p99 {self.percentile_ms(99):8.1f} ms  "
            f"pending {self.pending:6,}  failed {self.failed:5,}  "
            f"{dict(sorted(self.statuses.items()))}"
        )


def together(loads: Iterable[Load]) -> Load:
    """Several loads added up."""
    result = Load()
    for load in loads:
        result.seconds += load.seconds
        result.statuses += load.statuses
        result.pending += load.pending
        result.without_retry_after += load.without_retry_after
        result.wall_s = max(result.wall_s, load.wall_s)
    return result


Call = Callable[[Caller, int], Awaitable[Answer]]
"""(connection, number of the request) → its answer."""


async def burst(base: str, key: str, numbers: Iterable[int], connections: int, call: Call) -> Load:
    """Send all numbers over `connections`; each sends the next one after its answer."""
    load, waiting = Load(), iter(numbers)
    callers = [Caller(base, key) for _ in range(connections)]

    async def one(caller: Caller) -> None:
        for number in waiting:
            began_s = time.perf_counter()
            load.note(await call(caller, number), time.perf_counter() - began_s)

    began_s = time.perf_counter()
    await asyncio.gather(*(one(caller) for caller in callers))
    load.wall_s = time.perf_counter() - began_s
    for caller in callers:
        caller.close()
    return load


async def pace(
    base: str,
    key: str,
    rate: float,
    seconds: float,
    call: Call,
    *,
    connections: int = 50,
    load: Load | None = None,
) -> Load:
    """Send `rate` requests per second, on time whether earlier ones are answered or not.

    A request that finds no free connection waits, and its time counts from when it was due.
    """
    result = load if load is not None else Load()
    free = [Caller(base, key) for _ in range(connections)]
    room = asyncio.Semaphore(connections)
    loop = asyncio.get_running_loop()
    start_s = loop.time()

    async def one(number: int, due_s: float) -> None:
        async with room:
            caller = free.pop()
            result.note(await call(caller, number), loop.time() - due_s)
            free.append(caller)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due_s = start_s + number / rate
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            group.create_task(one(number, due_s))
    result.wall_s = max(result.wall_s, loop.time() - start_s)
    for caller in free:
        caller.close()
    return result


def user(name: str, **more: Any) -> bytes:
    """A User as a provider sends it; not active, so that no mail is sent."""
    return json.dumps(
        {
            "schemas": [USER],
            "userName": name,
            "externalId": name.partition("@")[0],
            "active": False,
            "name": {"givenName": "Ana", "familyName": f"Of {name[:40]}"},
            "emails": [{"value": name, "type": "work", "primary": True}],
            **more,
        }
    ).encode()


def creator(run: str) -> Call:
    """A call that creates `m<number>.<run>@bench.example`."""

    async def create(caller: Caller, number: int) -> Answer:
        return await caller.call("POST", "/Users", user(f"m{number}.{run}@bench.example"))

    return create
