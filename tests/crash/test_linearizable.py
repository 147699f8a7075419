"""One resource is one register, whichever replica is asked and whatever is killed meanwhile.

Several clients read and change the titles of a few users at three replicas by turns, while
replicas and provisioners are killed. Every answer must be explained by one order of the changes in
which each takes effect between its request and its answer (Herlihy and Wing 1990). An answer of
503, and none, leave open whether the change takes effect.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from tests.support.linearizable import Operation, checker, unexplained
from tests.support.scim_client import SCIM, Answer, Client
from tests.support.stack import Organisation, Process, Stack

REGISTERS = 3
CLIENTS = 6
SECONDS = 60.0
PAUSE_S = 0.15


class Doors:
    """The roots of all replicas, by turns."""

    def __init__(self, organisation: Organisation, ports: list[int], http: aiohttp.ClientSession):
        roots = [f"http://127.0.0.1:{port}/v2/{organisation.id}" for port in ports]
        self._clients: Iterator[Client] = itertools.cycle([Client(http, root) for root in roots])

    async def call(
        self, method: str, path: str, body: object = None, **headers: str | None
    ) -> Answer | None:
        """The answer of the next replica; None where none came."""
        with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
            return await next(self._clients).call(method, path, body, **headers)
        return None


def titled(title: str) -> dict[str, object]:
    operation = {"op": "replace", "path": "title", "value": title}
    return {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [operation],
    }


async def work(
    number: int, doors: Doors, paths: list[str], until_s: float, history: list[Operation]
) -> None:
    """Read, write, and write if nobody else has, at one of the registers after the other."""
    dice = random.Random(number)
    seen: dict[str, tuple[str, str]] = {}
    for step in itertools.count():
        if time.monotonic() > until_s:
            return
        path, kind = dice.choice(paths), dice.choice(("read", "write", "swap"))
        call = time.monotonic()
        if kind == "read" or (kind == "swap" and path not in seen):
            answer = await doors.call("GET", path)
            if answer is not None and answer.status == 200:
                title = answer.body.get("title", "")
                seen[path] = (title, answer.headers["ETag"])
                history.append(
                    Operation(path, number, "read", title, "yes", call, time.monotonic())
                )
            elif answer is not None:
                assert answer.status == 503, answer
        else:
            value = f"{number}-{step}"
            expected, tag = seen.pop(path) if kind == "swap" else ("", None)
            answer = await doors.call("PATCH", path, titled(value), If_Match=tag)
            history.extend(
                judged(path, number, kind, value, expected, answer, call, time.monotonic())
            )
        await asyncio.sleep(dice.uniform(0.0, PAUSE_S))  # the pace of a client


def judged(
    path: str,
    number: int,
    kind: str,
    value: str,
    expected: str,
    answer: Answer | None,
    call: float,
    returned: float,
) -> Iterator[Operation]:
    """The operation that a change was; none where nothing was done."""
    write: Literal["write", "swap"] = "write" if kind == "write" else "swap"
    if answer is None or (answer.status == 503 and "nothing was done" not in str(answer.body)):
        yield Operation(path, number, write, value, "unknown", call, returned, expected)
    elif answer.status == 412:
        yield Operation(path, number, write, value, "no", call, returned, expected)
    elif answer.status == 204:
        # Accepted, not decided in the time that a reply has; when it takes effect is not said.
        assert answer.headers.get("Rollcall-Outcome") == "pending", answer
        yield Operation(path, number, write, value, "unknown", call, returned, expected)
    elif answer.status != 503:
        assert answer.status == 200, answer
        yield Operation(path, number, write, value, "yes", call, returned, expected)


async def kill_by_turns(stack: Stack, doors: list[Process], until_s: float, seed: int) -> None:
    """A replica of ingress, or the provisioner for longer, again and again."""
    dice = random.Random(seed)
    provisioner = await stack.start("provisioner")
    while time.monotonic() < until_s:
        await asyncio.sleep(dice.uniform(0.5, 2.0))  # how long all is well
        if dice.random() < 0.5:
            provisioner.kill()
            await asyncio.sleep(dice.uniform(0.5, 6.0))  # how long it is gone
            provisioner = await stack.start("provisioner", ready=False)
        else:
            gone = dice.randrange(len(doors))
            port = doors[gone].door_port
            doors[gone].kill()
            doors[gone] = await stack.start("ingress", ready=False, ROLLCALL_INGRESS_PORT=str(port))
            doors[gone].door_port = port


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_a_resource_is_a_register_at_every_replica(
    stack: Stack, tmp_path: Path, seed: int
) -> None:
    built = checker(tmp_path)
    organisation = await stack.organisation()
    replicas = [await stack.start("ingress") for _ in range(3)]
    ports = [each.door_port for each in replicas if each.door_port is not None]
    seconds = SECONDS if seed > 1 else 20.0
    history: list[Operation] = []
    headers = {**SCIM, "Authorization": f"Bearer {organisation.key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        first = Client(http, f"http://127.0.0.1:{ports[0]}/v2/{organisation.id}")
        made = [await first.create_user(f"u{n}@example.org") for n in range(REGISTERS)]
        paths = [f"/Users/{each.body['id']}" for each in made]
        until_s = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(kill_by_turns(stack, replicas, until_s, seed))
            for number in range(CLIENTS):
                doors = Doors(organisation, ports, http)
                group.create_task(work(number, doors, paths, until_s, history))

    answers = {(each.kind, each.answer) for each in history}
    assert {("read", "yes"), ("write", "yes"), ("swap", "yes"), ("swap", "no")} <= answers
    print(f"{len(history)} operations, {sorted(answers)}")
    assert unexplained(built, history) == []
