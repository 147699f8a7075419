"""Joiners and leavers as an identity provider sends them: many at once, look-up before create.

A 503 says when to come back, and is no failure: the request is sent again then, a create after
another look-up. `docs/consistency.md` asks for no more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote

import orjson

from rollcall_local.demo.client import Answer, NoAnswer, ScimClient, Tally
from rollcall_local.demo.people import Person

T = TypeVar("T")
_LEAVE: Final = orjson.dumps(
    {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": False}}],
    }
)


PATIENCE_S: Final = 60.0
"""For so long a person is tried again."""


class Later(Exception):
    """A 503 that says after how many seconds to come back."""

    def __init__(self, method: str, after_s: float) -> None:
        super().__init__(f"{method}: 503 again and again")
        self.after_s = after_s


class Unexpected(Exception):
    """An answer that a client cannot go on with."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How a crowd calls: over `connections` connections; `on_done` is called after each person."""

    client: ScimClient
    connections: int
    tally: Tally
    on_done: Callable[[], None]


async def join(crowd: Crowd, joiners: Sequence[Person]) -> dict[str, str]:
    """Provision all people; returns address → resource id of those for whom it worked."""
    ids: dict[str, str] = {}

    async def one(person: Person) -> None:
        ids[person.address] = await _provision(crowd, person)

    await _for_each(crowd, joiners, one)
    return ids


async def leave(crowd: Crowd, ids: Sequence[str]) -> None:
    """Deactivate everybody by resource id, by PATCH without a path."""

    async def one(resource_id: str) -> None:
        answer = await crowd.client.send(
            "PATCH", f"/Users/{resource_id}", tally=crowd.tally, body=_LEAVE
        )
        _expect(answer, "PATCH", 200, 204)

    await _for_each(crowd, ids, one)


async def _provision(crowd: Crowd, person: Person) -> str:
    found = await _look_up(crowd, person)
    if found is not None:
        return found
    answer = await crowd.client.send(
        "POST", "/Users", tally=crowd.tally, body=orjson.dumps(person.resource())
    )
    if answer.status == 409:  # an earlier try got through, its answer did not
        found = await _look_up(crowd, person)
        if found is not None:
            return found
    _expect(answer, "POST", 201)
    return str(answer.document["id"])


async def _look_up(crowd: Crowd, person: Person) -> str | None:
    condition = quote(f'userName eq "{person.address}"', safe="")
    answer = await crowd.client.send("GET", f"/Users?filter={condition}", tally=crowd.tally)
    _expect(answer, "GET", 200)
    found = answer.document.get("Resources") or []
    return str(found[0]["id"]) if found else None


def _expect(answer: Answer, method: str, *statuses: int) -> None:
    if answer.status in statuses:
        return
    if answer.status == 503 and answer.retry_after_s is not None:
        raise Later(method, answer.retry_after_s)
    document = answer.document
    detail = document.get("detail") if isinstance(document, dict) else document
    raise Unexpected(f"{method}: {answer.status} {detail}")


async def _patiently(crowd: Crowd, item: T, one: Callable[[T], Awaitable[None]]) -> None:
    """Do it, and from the beginning once more whenever it is asked to come back."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await one(item)
        except Later as later:
            if time.monotonic() + later.after_s > until_s:
                raise
            crowd.tally.later += 1
            await asyncio.sleep(later.after_s)


async def _for_each(crowd: Crowd, items: Sequence[T], one: Callable[[T], Awaitable[None]]) -> None:
    waiting = iter(items)  # shared: each caller takes the next

    async def call() -> None:
        for item in waiting:
            try:
                await _patiently(crowd, item, one)
            except (NoAnswer, Later, Unexpected) as error:
                crowd.tally.fail(str(error))
            crowd.on_done()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(crowd.connections, len(items))):
            group.create_task(call())
