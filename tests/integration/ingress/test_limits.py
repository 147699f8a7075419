"""Limits and fairness through real sockets: what fits the log, and who is served beside a flood."""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from aiohttp import web

from rollcall.events.topics import MAX_RECORD_BYTES
from rollcall.http.server import Listener
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall.scim.limits import MAX_BODY_BYTES
from rollcall.scim.patch.patch import PATCH_URN
from rollcall.scim.schema import GROUP_URN, USER_URN
from rollcall.tenancy.organisation import Organisation
from tests.support.builders import operations_of
from tests.support.databases import TestDatabase
from tests.support.door import Door, close_door, open_door
from tests.support.servers import KafkaServer

MEBIBYTE = 1024 * 1024
USER = {"schemas": [USER_URN], "userName": "ana@example.org"}
DEADLINE_S = 10.0


# --- What is understood fits into a record ------------------------------------------------------


def filled(body: dict[str, Any]) -> bytes:
    """The body as JSON, padded with spaces to the last byte that is allowed."""
    raw = orjson.dumps(body)
    assert MAX_BODY_BYTES * 0.9 < len(raw) <= MAX_BODY_BYTES
    return raw + b" " * (MAX_BODY_BYTES - len(raw))


async def send(door: Door, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Status and answer. From a file: the client warns of large bodies in one piece."""
    headers = {
        "Authorization": f"Bearer {door.key}",
        "Content-Type": "application/scim+json",
    }
    async with door.http.request(
        method, door.base + path, data=io.BytesIO(body), headers=headers
    ) as response:
        return response.status, orjson.loads(await response.read() or b"{}")


def long_texts() -> bytes:
    """Four bytes a character."""
    value = "\U0001f600" * 2060
    operations = [
        {"op": "replace", "path": 'addresses[type eq "work"].streetAddress', "value": value}
    ] * 1000
    return filled({"schemas": [PATCH_URN], "Operations": operations})


def quoted_texts() -> bytes:
    """Each character is two bytes of JSON."""
    value = '"\\' * 2040
    operations = [
        {"op": "replace", "path": 'addresses[type eq "work"].streetAddress', "value": value}
    ] * 1000
    return filled({"schemas": [PATCH_URN], "Operations": operations})


@pytest.mark.parametrize("body", [long_texts, quoted_texts])
async def test_the_largest_body_of_a_patch_fits_into_a_record(door: Door, body: Any) -> None:
    status, _ = await send(door, "PATCH", f"/Users/{new_id()}", body())

    assert status == 404, "the log decides it: there is no such member"
    ((record, request),) = await door.log()
    assert len(operations_of(request)) >= 1000
    assert record.value is not None
    assert MEBIBYTE < len(record.value) < MAX_RECORD_BYTES


async def test_the_largest_body_of_a_group_fits_into_a_record(door: Door) -> None:
    members = [{"value": f"{number:068}"} for number in range(100_000)]
    body = {"schemas": [GROUP_URN], "displayName": "All", "members": members}

    status, _ = await send(door, "PUT", f"/Groups/{new_id()}", filled(body))

    assert status == 404, "the log decides it: there is no such group"
    ((_, request),) = await door.log()
    assert request.members is not None
    assert len(request.members.add) == 100_000


async def test_what_grows_beyond_a_record_is_413_and_not_on_the_log(door: Door) -> None:
    """The small letter of İ is three bytes, so ids in which nothing else stands grow by half."""
    members = [
        "İ" * 34 + chr(0x4E00 + number // 10_000) + chr(0x4E00 + number % 10_000)
        for number in range(100_000)
    ]
    body = orjson.dumps({"schemas": [GROUP_URN], "displayName": "All", "members": members})
    assert len(body) < MAX_BODY_BYTES

    status, document = await send(door, "POST", "/Groups", body)
    after, _, _ = await door.call("POST", "/Users", USER)

    assert status == 413
    assert str(MAX_RECORD_BYTES) in document["detail"]
    assert after == 201
    assert [request.kind for _, request in await door.log()] == ["member.create"]


# --- A rate --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Guest:
    """Another organisation at the same door."""

    organisation: Organisation
    key: str
    base: str


async def a_guest(door: Door) -> Guest:
    organisation = Organisation(new_id(), "Guest", 1, now())
    await door.tell(organisation)
    key = await door.new_key(organisation)
    return Guest(organisation, key, f"{door.root}/v2/{organisation.id}")


async def set_rate(door: Door, *, rate: int | None, burst: int | None) -> None:
    """Change the organisation's record and wait until ingress has read it."""
    wanted = replace(door.organisation, rate=rate, burst=burst)
    await door.tell(wanted)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            known = door.ingress.directory.organisation(wanted.id)
            if known is not None and (known.rate, known.burst) == (wanted.rate, wanted.burst):
                return
            await asyncio.sleep(0.01)


@contextmanager
def stopped_clock(door: Door) -> Iterator[None]:
    """No time passes for the rates, however slow the machine is."""
    rates = door.ingress._door._authenticator._rates
    clock_ns, now_ns = rates._clock_ns, rates._clock_ns()
    rates._clock_ns = lambda: now_ns
    try:
        yield
    finally:
        rates._clock_ns = clock_ns


async def test_beyond_the_rate_is_429_before_the_body_and_others_are_served(door: Door) -> None:
    guest = await a_guest(door)
    await set_rate(door, rate=25, burst=5)
    paths = ("/Users", "/Groups", "/Schemas", "/Nothing", "/Users")
    with stopped_clock(door):
        within = [(await door.call("GET", path))[0] for path in paths]

        async with a_slow_post(door.ingress.port, door.organisation.id, door.key) as post:
            beyond = await post.answer()
        other, _, _ = await door.call("GET", f"{guest.base}/Users", key=guest.key)

    assert within == [200, 200, 200, 404, 200]
    assert beyond.startswith(b"HTTP/1.1 429")
    assert b"Retry-After: 1\r\n" in beyond
    assert b"more than 25 requests a second, or more than 5 at once" in beyond
    assert other == 200


async def test_who_waits_is_served_again_and_off_means_off(door: Door) -> None:
    await set_rate(door, rate=25, burst=1)
    with stopped_clock(door):
        await door.call("GET", "/Users")
        refused, _, headers = await door.call("GET", "/Users")

    async with asyncio.timeout(int(headers["Retry-After"]) + 1):
        while (await door.call("GET", "/Users"))[0] != 200:
            pass
    await set_rate(door, rate=None, burst=None)
    statuses = [(await door.call("GET", "/Users"))[0] for _ in range(10)]

    assert refused == 429
    assert statuses == [200] * 10


async def test_a_wrong_key_spends_nothing_of_the_rate(door: Door) -> None:
    guest = await a_guest(door)
    await set_rate(door, rate=25, burst=1)

    with stopped_clock(door):
        strangers = [(await door.call("GET", "/Users", key=guest.key))[0] for _ in range(20)]
        own, _, _ = await door.call("GET", "/Users")

    assert strangers == [401] * 20
    assert own == 200


# --- A flood -------------------------------------------------------------------------------------


@dataclass(slots=True)
class SlowPost:
    """A request whose body does not come, or whose answer is not read."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> bytes:
        """Headers and body of a small answer."""
        async with asyncio.timeout(DEADLINE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            return head + await self.reader.readexactly(length)


def a_slow_post(
    port: int, organisation_id: str, key: str, size: int = 1000
) -> AbstractAsyncContextManager[SlowPost]:
    """A POST that announces `size` bytes and sends none of them."""
    headers = f"Authorization: Bearer {key}\r\nContent-Type: application/scim+json\r\n"
    return _slow(port, f"/v2/{organisation_id}/Users", headers, size)


def a_slow_form(port: int, path: str) -> AbstractAsyncContextManager[SlowPost]:
    """A form that is announced and does not come."""
    return _slow(port, path, "Content-Type: application/x-www-form-urlencoded\r\n", 100)


@asynccontextmanager
async def _slow(port: int, path: str, headers: str, size: int) -> AsyncIterator[SlowPost]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {size}\r\n\r\n".encode()
    )
    await writer.drain()
    try:
        yield SlowPost(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def a_door(
    kafka: KafkaServer, database: TestDatabase, **settings: Any
) -> AsyncIterator[Door]:
    prefix = f"t{new_id().replace('-', '')}"
    door, _ = await open_door(kafka.bootstrap, database.url("ingress"), prefix, **settings)
    try:
        yield door
    finally:
        await close_door(door)


async def refused_of(posts: list[SlowPost], count: int) -> list[bytes]:
    """The answers of those `count` posts that are answered at once."""
    tasks = [asyncio.create_task(post.reader.readuntil(b"\r\n\r\n")) for post in posts]
    try:
        answers: list[bytes] = []
        async with asyncio.timeout(DEADLINE_S):
            for done in asyncio.as_completed(tasks):
                answers.append(await done)
                if len(answers) == count:
                    return answers
        return answers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("size", "posts", "held"),
    [
        pytest.param(1000, 40, 14, id="many requests"),
        pytest.param(MAX_BODY_BYTES, 6, 1, id="few large ones"),
    ],
)
async def test_bodies_that_never_come_leave_another_organisation_served(
    kafka_server: KafkaServer, database: TestDatabase, size: int, posts: int, held: int
) -> None:
    async with a_door(
        kafka_server,
        database,
        ingress_max_requests=16,
        ingress_max_bytes=16 * MEBIBYTE,
        ingress_reply_budget_s=0.05,
    ) as door:
        guest = await a_guest(door)
        async with contextlib.AsyncExitStack() as flood:
            slow = [
                await flood.enter_async_context(
                    a_slow_post(door.ingress.port, door.organisation.id, door.key, size)
                )
                for _ in range(posts)
            ]
            refused = await refused_of(slow, posts - held)

            written, _, _ = await door.call("POST", f"{guest.base}/Users", USER, key=guest.key)
            read, _, _ = await door.call("GET", f"{guest.base}/Users", key=guest.key)
            own, _, headers = await door.call("POST", "/Users", USER)

        assert len(refused) == posts - held
        assert all(answer.startswith(b"HTTP/1.1 503") for answer in refused)
        assert all(b"\r\nRetry-After: " in answer for answer in refused)
        assert (written, read) == (201, 200)
        assert (own, int(headers["Retry-After"]) >= 1) == (503, True)


async def test_what_a_flood_held_is_free_when_it_is_over(
    kafka_server: KafkaServer, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollcall_ingress.app.BODY_TIMEOUT_S", 0.5)
    async with a_door(
        kafka_server,
        database,
        ingress_max_requests=16,
        ingress_reply_budget_s=0.05,
    ) as door:
        async with contextlib.AsyncExitStack() as flood:
            slow = [
                await flood.enter_async_context(
                    a_slow_post(door.ingress.port, door.organisation.id, door.key)
                )
                for _ in range(14)
            ]
            timed_out = [await post.answer() for post in slow]

        statuses = [(await door.call("GET", "/Users"))[0] for _ in range(20)]

        assert all(answer.startswith(b"HTTP/1.1 408") for answer in timed_out)
        assert statuses == [200] * 20


async def test_a_flood_of_acceptances_uses_no_organisation_s_share(
    kafka_server: KafkaServer, database: TestDatabase
) -> None:
    async with a_door(kafka_server, database, ingress_max_requests=16) as door:
        await door.call("GET", "/Users")  # from here on the organisation is known
        path = f"/invitation/{door.organisation.id}"
        async with contextlib.AsyncExitStack() as flood:
            for _ in range(20):
                await flood.enter_async_context(a_slow_form(door.ingress.port, path))
            own = [(await door.call("GET", "/Users"))[0] for _ in range(14)]

    assert own == [200] * 14, "a form holds no seat before its token is genuine"


async def test_an_idle_connection_is_closed() -> None:
    listener = Listener(web.Application(), "127.0.0.1", 0, drain_s=1, head_s=0.2)
    await listener.start()
    try:
        silent, unused = await asyncio.open_connection("127.0.0.1", listener.port)
        halfway, half = await asyncio.open_connection("127.0.0.1", listener.port)
        half.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        asked, asking = await asyncio.open_connection("127.0.0.1", listener.port)
        asking.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        async with asyncio.timeout(DEADLINE_S):
            assert await silent.read() == b""
            assert await halfway.read() == b""
            first = await asked.readuntil(b"\r\n\r\n")
        asking.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            second = await asked.readuntil(b"\r\n\r\n")

        assert first.startswith(b"HTTP/1.1 404")
        assert second.startswith(b"HTTP/1.1 404")
        for writer in (unused, half, asking):
            writer.close()
            await writer.wait_closed()
    finally:
        await listener.drain()


async def test_answers_that_no_client_reads_are_bounded(
    kafka_server: KafkaServer, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven MiB each: more than the socket's buffers, so the rest stays in the process."""
    monkeypatch.setattr("rollcall_ingress.app.STATEMENT_TIMEOUT_S", 20)
    async with a_door(kafka_server, database, ingress_max_bytes=16 * MEBIBYTE) as door:
        guest = await a_guest(door)
        await seed_large_members(database, door.organisation.id, count=35)
        loop = asyncio.get_running_loop()
        lists = []
        try:
            for _ in range(4):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", door.ingress.port))
                line = f"GET /v2/{door.organisation.id}/Users?count=35 HTTP/1.1\r\nHost: x\r\n"
                key = f"Authorization: Bearer {door.key}\r\n\r\n"
                await loop.sock_sendall(client, (line + key).encode())
                lists.append(client)
            async with asyncio.timeout(DEADLINE_S):
                first = [await loop.sock_recv(client, 12) for client in lists]
            written, _, _ = await door.call("POST", f"{guest.base}/Users", USER, key=guest.key)
        finally:
            for client in lists:
                client.close()

        assert sorted(first) == [b"HTTP/1.1 200"] + [b"HTTP/1.1 503"] * 3
        assert written == 201
        async with asyncio.timeout(DEADLINE_S):
            while (await door.call("GET", "/Users?count=35"))[0] != 200:
                pass


async def seed_large_members(database: TestDatabase, organisation_id: str, *, count: int) -> None:
    """Members with 200 KiB each, as a provisioner would have left them."""
    async with database.connect("owner") as connection:
        for number in range(count):
            document = {"userName": f"u{number}", "userType": "x" * 200 * 1024}
            await connection.execute(
                """
                INSERT INTO directory.member (
                    organisation_id, id, user_name_key, status, version, created, last_modified,
                    document)
                VALUES ($1::text::uuid, $2::text::uuid, $3, 'revoked', $2::text::uuid, now(), now(),
                    $4)
                """,
                organisation_id,
                new_id(),
                f"u{number}",
                document,
            )
