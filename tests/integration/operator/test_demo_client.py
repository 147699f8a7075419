"""The player and the crowd over real sockets, against a door that only pretends."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web

from rollcall_local.demo import crowd
from rollcall_local.demo.client import ScimClient, Tally, open_session
from rollcall_local.demo.conversation import Exchange, Expectation
from rollcall_local.demo.crowd import Crowd
from rollcall_local.demo.people import people
from rollcall_local.demo.player import play
from rollcall_local.stack import ports

ORGANISATION = "0198c0de-0000-7000-8000-0123456789ab"


class PretendedDoor:
    """Remembers requests; creates members by user name."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str | None, bytes]] = []
        self.ids: dict[str, str] = {}
        self.pending_from = 10_000
        self.lost_answers = 0
        self.busy_answers = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        authorization = request.headers.get("Authorization")
        self.requests.append((request.method, request.raw_path, authorization, body))
        if self.busy_answers:
            self.busy_answers -= 1
            return web.json_response({}, status=503, headers={"Retry-After": "0"})
        is_pending = len(self.requests) > self.pending_from
        headers = {"Rollcall-Outcome": "pending"} if is_pending else {}
        if request.method == "GET":
            name = unquote(request.raw_path).rpartition(" eq ")[2].strip('"')
            found = [{"id": self.ids[name]}] if name in self.ids else []
            return web.json_response({"Resources": found}, headers=headers)
        if request.method == "PATCH":
            return web.json_response({"id": "x"}, headers=headers)
        name = json.loads(body)["userName"]
        if name in self.ids:
            return web.json_response({"detail": "taken"}, status=409)
        self.ids[name] = f"id-{len(self.ids)}"
        if self.lost_answers:
            self.lost_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"id": self.ids[name]}, status=201, headers=headers)


async def serve(door: PretendedDoor, port: int) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", door.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


@pytest.fixture
def door() -> PretendedDoor:
    return PretendedDoor()


@pytest.fixture
def port() -> int:
    return ports.choose()


@pytest.fixture
async def client(door: PretendedDoor, port: int) -> AsyncIterator[ScimClient]:
    runner = await serve(door, port)
    async with open_session(8) as session:
        yield ScimClient(session, f"http://127.0.0.1:{port}/v2/org/", "the-key")
    await runner.cleanup()


def a_step(method: str, path: str, **given: Any) -> Exchange:
    expect = Expectation(given.pop("status", 200))
    return Exchange(id="1", scenario="a step", method=method, path=path, expect=expect, **given)


async def test_steps_are_sent_as_written_with_what_earlier_ones_saved(
    client: ScimClient, door: PretendedDoor
) -> None:
    steps = [
        a_step("POST", "/Users", status=201, body={"userName": "ana"}, save={"ana": "id"}),
        a_step("PATCH", "/Users/${ana}?", raw_body="{not json"),
        a_step("GET", '/Users?filter=userName eq "${ana}"&', headers={"Authorization": None}),
        a_step("GET", "/Users?a=%22b+c%22", headers={"Authorization": "Bearer ${other}"}),
    ]
    tally = Tally()

    played = await play(client, steps, names={"other": "another-key"}, tally=tally)

    assert [each.differences for each in played] == [()] * 4
    assert door.requests == [
        ("POST", "/v2/org/Users", "Bearer the-key", b'{"userName":"ana"}'),
        ("PATCH", "/v2/org/Users/id-0?", "Bearer the-key", b"{not json"),
        ("GET", "/v2/org/Users?filter=userName%20eq%20%22id-0%22&", None, b""),
        ("GET", "/v2/org/Users?a=%22b+c%22", "Bearer another-key", b""),
    ]
    assert (tally.sent, tally.answered, tally.failed) == (4, 4, 0)


async def test_a_step_that_differs_counts_as_failed_and_the_next_is_played(
    client: ScimClient,
) -> None:
    steps = [a_step("GET", "/Users", status=404), a_step("GET", "/Users")]
    tally = Tally()

    played = await play(client, steps, names={}, tally=tally)

    assert [bool(each.differences) for each in played] == [True, False]
    assert tally.failures == ["1: a step: status 200, expected 404"]


async def test_a_crowd_looks_up_and_creates_each_person_once(
    client: ScimClient, door: PretendedDoor
) -> None:
    joiners = people(ORGANISATION, 1, 30)
    door.ids[joiners[0].address] = "was-there"
    tally, done = Tally(), []

    ids = await crowd.join(Crowd(client, 8, tally, lambda: done.append(1)), joiners)

    assert ids[joiners[0].address] == "was-there"
    assert len(set(ids.values())) == len(done) == 30
    assert (tally.sent, tally.answered, tally.failed) == (59, 59, 0)


async def test_answers_marked_pending_are_counted(client: ScimClient, door: PretendedDoor) -> None:
    door.pending_from = 6
    tally = Tally()

    await crowd.join(Crowd(client, 1, tally, lambda: None), people(ORGANISATION, 1, 5))

    assert (tally.answered, tally.pending, tally.failed) == (10, 4, 0)


async def test_a_503_is_repeated_when_it_says_and_a_create_after_another_look_up(
    client: ScimClient, door: PretendedDoor
) -> None:
    [person] = people(ORGANISATION, 1, 1)
    tally = Tally()
    crowd_of_one = Crowd(client, 1, tally, lambda: None)
    door.busy_answers = 1

    await crowd.join(crowd_of_one, [person])
    door.busy_answers = 2
    await crowd.leave(crowd_of_one, ["a"])

    assert [method for method, *_ in door.requests] == ["GET", "GET", "POST", *["PATCH"] * 3]
    assert (tally.later, tally.failed, tally.sent) == (3, 0, 6)


async def test_a_lost_answer_to_a_create_is_found_by_looking_up(
    client: ScimClient, door: PretendedDoor
) -> None:
    door.lost_answers = 1
    tally = Tally()

    ids = await crowd.join(Crowd(client, 1, tally, lambda: None), people(ORGANISATION, 1, 2))

    assert len(ids) == 2
    assert tally.failed == 0


async def test_each_request_goes_to_the_next_door_and_a_second_try_to_the_one_after(
    port: int,
) -> None:
    doors = [PretendedDoor(), PretendedDoor()]
    numbers = [port, ports.choose([port])]
    runners = [await serve(door, number) for door, number in zip(doors, numbers, strict=True)]
    roots = [f"http://127.0.0.1:{number}" for number in numbers]
    tally = Tally()
    async with open_session(1) as session:
        client = ScimClient(session, f"{roots[0]}/v2/org", "key", roots)
        for number in range(4):
            await client.send("PATCH", f"/Users/{number}", tally=tally)
        await runners[0].cleanup()
        answer = await client.send("PATCH", "/Users/4", tally=tally)
    await runners[1].cleanup()

    paths = [[path for _, path, _, _ in door.requests] for door in doors]
    assert paths[0] == ["/v2/org/Users/0", "/v2/org/Users/2"]
    assert paths[1] == ["/v2/org/Users/1", "/v2/org/Users/3", "/v2/org/Users/4"]
    assert answer.status == 200
    assert (tally.sent, tally.answered, tally.failed) == (5, 5, 0)


async def test_a_refused_connection_is_tried_once_more(port: int) -> None:
    tally = Tally()
    async with open_session(1) as session:
        client = ScimClient(session, f"http://127.0.0.1:{port}/v2/org", "key")

        ids = await crowd.join(Crowd(client, 1, tally, lambda: None), people(ORGANISATION, 1, 1))

    assert ids == {}
    assert (tally.sent, tally.answered, tally.failed) == (1, 0, 1)


async def test_a_door_that_opens_between_two_tries_is_no_failure(
    door: PretendedDoor, port: int
) -> None:
    tally = Tally()
    async with open_session(1) as session:
        client = ScimClient(session, f"http://127.0.0.1:{port}/v2/org", "key")
        joining = asyncio.create_task(
            crowd.join(Crowd(client, 1, tally, lambda: None), people(ORGANISATION, 1, 1))
        )
        await asyncio.sleep(0.1)  # the first try is refused at once, the second comes later

        runner = await serve(door, port)
        ids = await joining
        await runner.cleanup()

    assert len(ids) == 1
    assert (tally.sent, tally.failed) == (2, 0)
