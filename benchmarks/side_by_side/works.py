"""What is measured: a kind of request, from a number of clients, against any SCIM server."""

import itertools
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from benchmarks.callers import PATCH, Answer, Call, Caller, Load, burst, creator, user

Kind = Literal["create", "get", "filter", "revoke"]

KNOWN: Final = 500
"""Members that reads choose from."""
PREPARERS: Final = 20
"""Connections that create what a work needs."""
REVOKE: Final = json.dumps(
    {
        "schemas": [PATCH],
        "Operations": [{"op": "replace", "path": "active", "value": False}],
    }
).encode()


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of request and the number of clients that send it one after another."""

    kind: Kind
    clients: int

    def __str__(self) -> str:
        who = "1 client" if self.clients == 1 else f"{self.clients} clients"
        return f"{self.kind}, {who}"


@dataclass(frozen=True, slots=True)
class Known:
    """A member of a server under load."""

    id: str
    name: str


class Target:
    """A SCIM server under load; remembers the members that it was given."""

    def __init__(self, base: str, key: str) -> None:
        self.base, self.key = base, key
        self._known: list[Known] = []
        self._active: list[Known] = []
        self._runs = itertools.count()

    async def prepare(self, work: Work, revocations: int) -> None:
        """Create what the work needs. Raises RuntimeError when the server refuses it."""
        if work.kind in ("get", "filter") and not self._known:
            self._known = await self._create(KNOWN, active=False)
        if work.kind == "revoke":
            self._active = await self._create(revocations, active=True)

    async def run(self, work: Work, seconds: float) -> Load:
        """Do the work for some seconds, or until nobody is left to revoke."""
        limit = len(self._active) if work.kind == "revoke" else None
        numbers = numbers_for(seconds, limit)
        return await burst(self.base, self.key, numbers, work.clients, self._call(work.kind))

    def _call(self, kind: Kind) -> Call:
        if kind == "create":
            return creator(f"{time.time_ns()}.{next(self._runs)}")
        if kind == "get":
            return self._get
        return self._find if kind == "filter" else self._revoke

    async def _get(self, caller: Caller, _: int) -> Answer:
        return await caller.call("GET", f"/Users/{random.choice(self._known).id}")

    async def _find(self, caller: Caller, _: int) -> Answer:
        wanted = quote(f'userName eq "{random.choice(self._known).name}"')
        return await caller.call("GET", f"/Users?filter={wanted}")

    async def _revoke(self, caller: Caller, number: int) -> Answer:
        return await caller.call("PATCH", f"/Users/{self._active[number].id}", REVOKE)

    async def _create(self, count: int, *, active: bool) -> list[Known]:
        run = f"{time.time_ns()}"
        made: list[Known] = []

        async def create(caller: Caller, number: int) -> Answer:
            name = f"k{number}.{run}@bench.example"
            answer = await caller.call("POST", "/Users", user(name, active=active))
            if answer.status == 201:
                made.append(Known(json.loads(answer.body)["id"], name))
            return answer

        load = await burst(self.base, self.key, range(count), PREPARERS, create)
        if load.failed:
            raise RuntimeError(f"{self.base} refused to create members: {load}")
        return made


def numbers_for(seconds: float, limit: int | None = None) -> Iterator[int]:
    """Numbers of requests until the time is over, `limit` at most."""
    end_s = time.perf_counter() + seconds
    for number in itertools.count() if limit is None else range(limit):
        if time.perf_counter() >= end_s:
            return
        yield number
