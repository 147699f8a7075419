"""Bytes that no client should send: a SCIM error for each, no 500, nothing on the log."""

import asyncio
import contextlib

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from rollcall.http.server import Listener
from rollcall.runtime.ids import new_id
from tests.support.databases import TestDatabase
from tests.support.door import Door, close_door, open_door
from tests.support.servers import KafkaServer

JSON = b"Content-Type: application/scim+json\r\n"
LENGTH = b"Content-Length: 2\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


async def exchange(port: int, *parts: bytes) -> bytes:
    """Send the parts one after the other and read until the server closes or says no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)  # so that the parts arrive apart
        async with asyncio.timeout(5):
            while b"\r\n\r\n" not in received:
                chunk = await reader.read(65536)
                if not chunk:
                    break
                received += chunk
            length = int(received.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0)
            while len(received.partition(b"\r\n\r\n")[2]) < length:
                received += await reader.read(65536)
    finally:
        writer.close()
    return received


def request(line: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
    return line + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body


@pytest.mark.parametrize(
    ("line", "headers", "body", "status"),
    [
        (b"POST {users}", b"{key}" + JSON + CHUNKED, (b"zz\r\n",), 400),
        (b"POST {users}", b"{key}" + JSON + b"Content-Length: 99999999\r\n", (b"",), 413),
        (b"POST {users}", b"{key}" + JSON + CHUNKED + LENGTH, (b"0\r\n\r\n",), 400),
        (b"POST {users}", b"{key}" + JSON + JSON + LENGTH, (b"{}",), 400),
        (b"POST {users}", b"{key}" + JSON + b"Content-Encoding: br\r\n" + LENGTH, (b"{}",), 415),
        (b"POST {users}", JSON + b"Expect: 100-continue\r\n" + LENGTH, (b"",), 401),
        (b"GET {users}", b"Authorization: Bearer " + b"x" * 9000 + b"\r\n", (b"",), 401),
        (b"GET {users}", b"Authorization: Bearer " + b"x" * 40000 + b"\r\n", (b"",), 400),
        (b"GET {users}", b"Authorization: Bearer \xff\xfe\r\n", (b"",), 401),
        (b"GET {users}", b"{key}{key}", (b"",), 401),
        (b"GET {users}", b"{key}Host: y\r\n", (b"",), 400),
        (b"GET {users}?filter=\xff", b"{key}", (b"",), 400),
        (b"GET {users}?filter=" + b"(" * 3000, b"{key}", (b"",), 400),
        (b"GET {users}?filter=" + b"a" * 40000, b"{key}", (b"",), 400),
        (b"GET {users}%00", b"{key}", (b"",), 404),
        (b"GET {users}/%00", b"{key}", (b"",), 404),
        (b"GET {users}/../Groups", b"{key}", (b"",), 404),
        (b"GET http://evil.example{users}/1", b"{key}", (b"",), 404),
        (b"GET http://evil.example{users}/1", b"", (b"",), 401),
        (b"TRACE {users}", b"{key}", (b"",), 405),
        (b"FOO {users}", b"{key}", (b"",), 400),
        (b"GET /", b"", (b"",), 404),
        (b"GET /v1/x/Users", b"", (b"",), 400),
        (b"GET /v3", b"", (b"",), 400),
        (b"OPTIONS *", b"{key}", (b"",), 404),
        (b"CONNECT x:443", b"", (b"",), 404),
        (b"POST {users}", b"{key}" + JSON + CHUNKED, (b"", b"zz\r\n"), 400),
        (b"POST {users}", b"{key}" + JSON + CHUNKED, (b"", b"1\r\n{\r\n", b"-1\r\n"), 400),
        (b"\x16\x03\x01 x", b"", (b"",), 400),
    ],
)
async def test_hostile_requests_are_refused_in_words(
    door: Door, line: bytes, headers: bytes, body: tuple[bytes, ...], status: int
) -> None:
    users = f"/v2/{door.organisation.id}/Users".encode()
    key = f"Authorization: Bearer {door.key}\r\n".encode()
    head = request(line.replace(b"{users}", users), headers.replace(b"{key}", key), body[0])

    received = await exchange(door.ingress.port, head, *body[1:])

    assert received.split(b" ")[1] == str(status).encode()
    assert b"application/scim+json" in received
    assert f'"status":"{status}"'.encode() in received
    assert door.key.encode() not in received
    assert await door.log() == []


@pytest.mark.parametrize(
    ("headers", "parts"),
    [(LENGTH, [b"{"]), (CHUNKED, [b"1\r\n{\r\n"])],
)
async def test_a_body_that_never_ends_gives_its_seat_back(
    kafka_server: KafkaServer,
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
    headers: bytes,
    parts: list[bytes],
) -> None:
    monkeypatch.setattr("rollcall_ingress.app.BODY_TIMEOUT_S", 0.3)
    door, _ = await open_door(
        kafka_server.bootstrap, database.url("ingress"), f"t{new_id().replace('-', '')}"
    )
    try:
        line = f"POST /v2/{door.organisation.id}/Users".encode()
        key = f"Authorization: Bearer {door.key}\r\n".encode()

        received = await exchange(door.ingress.port, request(line, key + JSON + headers), *parts)
    finally:
        await close_door(door)

    assert b'"status":"408"' in received


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
async def test_a_key_that_dies_while_a_body_arrives_writes_nothing(door: Door, verb: str) -> None:
    """The body may take half a minute; the key is dead within a second."""
    key = await door.new_key()
    resource = "" if verb == "POST" else f"/{new_id()}"
    line = f"{verb} /v2/{door.organisation.id}/Users{resource}".encode()
    authorization = f"Authorization: Bearer {key}\r\nContent-Length: 1000\r\n".encode()
    assert (await door.call("GET", "/Users", key=key))[0] == 200
    reader, writer = await asyncio.open_connection("127.0.0.1", door.ingress.port)
    writer.write(request(line, authorization + JSON, b"{"))
    await writer.drain()

    await door.revoke(key)
    async with asyncio.timeout(5):
        while (await door.call("GET", "/Users", key=key))[0] != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    urn = "api:messages:2.0:PatchOp" if verb == "PATCH" else "schemas:core:2.0:User"
    rest = (
        f'"schemas": ["urn:ietf:params:scim:{urn}"], "userName": "late@example.org", '
        '"Operations": [{"op": "replace", "path": "title", "value": "Late"}]}'
    )
    if verb == "PATCH":
        rest = rest.replace('"userName": "late@example.org", ', "")
    else:
        rest = rest.partition(', "Operations"')[0] + "}"
    writer.write(rest.encode().ljust(999))
    async with asyncio.timeout(5):
        status = await reader.readline()
    writer.close()

    assert status.startswith(b"HTTP/1.1 401")
    assert await door.log() == []


async def test_other_versions_of_http_are_refused(door: Door) -> None:
    line = f"GET /v2/{door.organisation.id}/Users ".encode()
    rest = f"\r\nHost: x\r\nAuthorization: Bearer {door.key}\r\n\r\n".encode()

    answers = [
        await exchange(door.ingress.port, line + version + rest)
        for version in (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/1.10", b"x")
    ]

    for answer in answers:
        assert b" 400 " in answer.partition(b"\r\n")[0]
        assert b'"status":"400"' in answer


async def test_a_form_with_a_chunk_that_is_none_is_no_bug_of_ours(door: Door) -> None:
    line = f"POST /invitation/{door.organisation.id}".encode()
    form = b"Content-Type: application/x-www-form-urlencoded\r\n"

    received = await exchange(door.ingress.port, request(line, form + CHUNKED), b"zz\r\n")

    assert received.startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off() -> None:
    """Or it would hold our memory for as long as it likes."""
    size = 32 * 1024 * 1024

    async def much(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * size)

    app = web.Application()
    app.router.add_get("/", much)
    listener = Listener(app, "127.0.0.1", 0, drain_s=1.0, stall_s=0.2)
    await listener.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(1.0)  # the time in which it takes nothing
        received = 0
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                while chunk := await reader.read(1024 * 1024):
                    received += len(chunk)
    finally:
        writer.close()
        await listener.drain()

    assert received < size


async def test_a_client_that_is_slow_gets_its_whole_answer() -> None:
    size = 8 * 1024 * 1024

    async def much(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * size)

    app = web.Application()
    app.router.add_get("/", much)
    listener = Listener(app, "127.0.0.1", 0, drain_s=1.0, stall_s=0.2)
    await listener.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=65536)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        received = 0
        async with asyncio.timeout(20):
            while received < size:
                received += len(await reader.readexactly(512 * 1024))
                await asyncio.sleep(0.04)
    finally:
        writer.close()
        await listener.drain()

    assert b" 200 " in head
    assert received == size


async def test_requests_make_no_metric_series_of_their_own_text(door: Door) -> None:
    def series() -> set[str]:
        return {
            f"{sample.name}{sorted(sample.labels.items())}"
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }

    async def ask(number: int) -> None:
        name = f"made-up-{number}"
        await door.call("GET", f"/{name}?{name}={name}", headers={name: name})
        await door.call("POST", "/Users", {"userName": number, name: name})
        await door.call("GET", "/Users", key=name)

    await ask(0)
    before = series()
    for number in range(1, 10):
        await ask(number)

    assert series() == before
    assert not any("made-up" in name for name in before)


async def test_no_key_and_no_body_is_logged(
    door: Door, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    body = {"userName": "secret.name@example.org", "password": "secret-password"}

    await door.call("POST", "/Users", body)
    await door.call("POST", "/Users", b'{"userName": "secret.name@example.org"')
    await door.call("GET", "/Users", key=door.key[:-1] + "_")
    raw = f"GET / HTTP/1.1\r\nAuthorization : Bearer {door.key}\r\n\r\n".encode()
    await exchange(door.ingress.port, raw)

    captured = capsys.readouterr()
    logged = captured.out + captured.err + caplog.text
    assert "request.refused" in logged
    for secret in (door.key, "secret.name", "secret-password"):
        assert secret not in logged
    ((_, published),) = await door.log()
    assert "secret-password" not in str(published)
