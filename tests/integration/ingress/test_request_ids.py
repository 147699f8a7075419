"""Every answer names its request, and every request has one line, with ids and words of ours."""

import asyncio
import sys
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest

from rollcall.control.organisations import change_organisation
from rollcall.control.tenancy_log import open_log
from rollcall.runtime.ids import minted_at, new_id, parse_id
from rollcall_ingress.door.edge import Door as Edge
from tests.support.door import Door
from tests.support.scim_client import PATCH, USER
from tests.support.stack import Organisation, Process, Stack, until
from tests.support.wire import exchange

REQUEST_ID = "Rollcall-Request-Id"
LINES = {"request.answered", "request.refused", "request.unanswered"}
CANARY = "canary7f3a"
"""In whatever a client can choose; in no line."""
BASE = "/v2/{organisation}"
ANY: set[str | None] = set()
ALLOWED = {
    *("event", "level", "timestamp", "service", "request_id", "method", "route", "status", "ms"),
    *("organisation_id", "key_id", "pending", "reason", "what", "client_request_id"),
    *("ended", "unsent"),
}


def lines_of(process: Process) -> list[dict[str, Any]]:
    """What the process has logged; a line that is being written is left out."""
    whole = process.log.read_text().rpartition("\n")[0]
    return [orjson.loads(line) for line in whole.splitlines() if line.startswith("{")]


def access_lines(process: Process) -> list[dict[str, Any]]:
    return [line for line in lines_of(process) if line["event"] in LINES]


async def line_of(process: Process, request_id: str) -> dict[str, Any]:
    """The one line of a request."""

    def found() -> list[dict[str, Any]]:
        return [line for line in access_lines(process) if line["request_id"] == request_id]

    await until(lambda: bool(found()), f"the line of {request_id}", explain=process.explain)
    [only] = found()
    return only


class Asked:
    """One ingress without a provisioner, and what a test has asked it."""

    def __init__(self, stack: Stack, process: Process, organisation: Organisation) -> None:
        self.stack = stack
        self.process = process
        self.organisation = organisation

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> tuple[aiohttp.ClientResponse, dict[str, Any]]:
        """An answer and its line. `path` is below the organisation unless it begins with `//`."""
        root = f"http://127.0.0.1:{self.process.door_port}"
        url = f"{root}{path[1:]}" if path.startswith("//") else f"{self.organisation.base}{path}"
        sent = {"User-Agent": CANARY, "X-Other": CANARY}
        if key != "":
            sent["Authorization"] = f"Bearer {key or self.organisation.key}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else orjson.dumps(body)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, url, data=data, headers=sent, skip_auto_headers=("Content-Type",)
            ) as answer,
        ):
            await answer.read()
            request_id = answer.headers[REQUEST_ID]
            assert parse_id(request_id) == request_id
            minted_at(request_id)
            return answer, await line_of(self.process, request_id)


@pytest.fixture
async def asked(stack: Stack) -> Asked:
    process = await stack.start(
        "ingress", ROLLCALL_INGRESS_REPLY_BUDGET_S="0.3", ROLLCALL_LOG_LEVEL="debug"
    )
    return Asked(stack, process, await stack.organisation())


def a_user(**more: Any) -> dict[str, Any]:
    name = f"{CANARY}@example.org"
    return {
        "schemas": [USER],
        "userName": name,
        "name": {"givenName": CANARY, "familyName": CANARY},
        "emails": [{"value": name, "type": "work", "primary": True}],
        **more,
    }


async def test_each_route_and_each_refusal_has_an_id_and_one_line(asked: Asked) -> None:
    """The log at its most talkative, libraries included, holds nothing that a client chose."""
    off = await asked.stack.organisation(f"Off {CANARY}")
    slow = await asked.stack.organisation(f"Slow {CANARY}")
    async with open_log(asked.stack.settings) as log:
        await change_organisation(log, off.id, ["scim=off"])
        await change_organisation(log, slow.id, ["rate=25", "burst=1"])
    wrong_key = asked.organisation.key[:-1] + ("a" if asked.organisation.key[-1] != "a" else "b")
    an_id, one = new_id(), f"{BASE}/Users/{{id}}"
    users, groups = f"{BASE}/Users", f"{BASE}/Groups"
    created, _ = await asked.ask("POST", "/Users", a_user())
    user_id = created.headers["Location"].rpartition("/")[2]
    other = f"//v2/{off.id}"
    query = f'?filter=userName eq "{CANARY}"'
    patch = {"schemas": [PATCH], "Operations": [{"op": "remove", "path": "title"}]}
    cases: list[tuple[str, str, Any, dict[str, str], set[int], str | None, set[str | None]]] = [
        ("GET", f"/Users{query}", None, {}, {200}, users, {None}),
        ("GET", "/Groups", None, {}, {200}, groups, {None}),
        ("POST", "/Users/.search", {"schemas": []}, {}, {200, 400}, f"{users}/.search", ANY),
        ("GET", "/Schemas", None, {}, {200}, f"{BASE}/Schemas", {None}),
        ("GET", "/schemas/Nothing", None, {}, {404}, f"{BASE}/Schemas/{{id}}", {"notFound"}),
        ("GET", "/ResourceTypes/User", None, {}, {200}, f"{BASE}/ResourceTypes/{{id}}", {None}),
        (
            "HEAD",
            "/ServiceProviderConfig",
            None,
            {},
            {200},
            f"{BASE}/ServiceProviderConfig",
            {None},
        ),
        ("PATCH", f"/Users/{user_id}", patch, {}, {200}, one, {None}),
        ("POST", "/Users", a_user(), {}, {409}, users, {"uniqueness"}),
        ("POST", "/Users", f"{CANARY}".encode(), {}, {400}, users, {"invalidSyntax"}),
        ("POST", "/Users", b"{}", {"Content_Type": CANARY}, {415}, users, {"media_type"}),
        ("POST", "/Users", b"{}", {"Content_Encoding": CANARY}, {415}, users, {"encoded_body"}),
        ("GET", f"/Users?filter={CANARY}", None, {}, {400}, users, {"invalidFilter"}),
        ("GET", f"/Users/{CANARY}", None, {}, {404}, one, {"notFound"}),
        ("GET", f"/Users/{an_id}", None, {}, {404, 503}, one, {"notFound", "unavailable"}),
        ("PUT", f"/{CANARY}", None, {}, {404}, None, {"notFound"}),
        ("PUT", f"/Users/{CANARY}/{CANARY}", None, {}, {404}, None, {"notFound"}),
        ("PUT", "/Users", None, {}, {405}, users, {"methodNotAllowed"}),
        ("PROPFIND", "/Users", None, {}, {405}, users, {"methodNotAllowed"}),
        (CANARY.upper(), "/Users", None, {}, {400}, None, {"malformed_http"}),
        ("GET", "/Me", None, {}, {501}, f"{BASE}/Me", {"notImplementedByServer"}),
        ("POST", "/Bulk", b"", {}, {501}, f"{BASE}/Bulk", {"notImplementedByServer"}),
        ("GET", f"//{CANARY}", None, {}, {404}, None, {"notFound"}),
        ("GET", f"//v1/{CANARY}", None, {}, {400}, None, {"invalidVers"}),
        ("GET", "/Users", None, {"key": ""}, {401}, users, {"no_key"}),
        ("GET", "/Users", None, {"key": CANARY}, {401}, users, {"malformed_key"}),
        ("GET", "/Users", None, {"key": wrong_key}, {401}, users, {"malformed_key"}),
        ("GET", f"//v2/{CANARY}/Users", None, {}, {401}, users, {"other_organisation"}),
        ("GET", f"{other}/Users", None, {}, {401}, users, {"other_organisation"}),
        ("GET", f"{other}/Users", None, {"key": off.key}, {403}, users, {"switched_off"}),
        ("GET", f"//invitation/{CANARY}", None, {}, {404}, "/invitation/{organisation}", ANY),
        ("GET", f"//invitation/{off.id}", None, {}, {200}, "/invitation/{organisation}", {None}),
        ("PUT", f"//invitation/{off.id}", None, {}, {405}, "/invitation/{organisation}", ANY),
        ("POST", f"//invitation/{off.id}", b"", {}, {400}, "/invitation/{organisation}", ANY),
        ("GET", f"//invitation/{CANARY}/x", None, {}, {404}, None, {"not_found"}),
        ("GET", "//invitation/page.css", None, {}, {200}, "/invitation/page.css", {None}),
        ("PATCH", f"/Users/{user_id}", patch, {"If_Match": f'"{CANARY}"'}, {412, 503}, one, ANY),
        ("OPTIONS", "/Users", None, {}, {405}, users, {"methodNotAllowed"}),
    ]

    for method, path, body, extra, statuses, route, reasons in cases:
        try:
            answer, line = await asked.ask(method, path, body, **extra)
        except aiohttp.ClientError as error:
            raise AssertionError(f"{method} {path}") from error
        said = f"{method} {path}: {line}"
        assert answer.status in statuses, said
        assert line["status"] == answer.status, said
        assert line.get("route") == route, said
        assert reasons is ANY or line.get("reason") in reasons, said
        assert line["event"] == f"request.{'refused' if answer.status >= 400 else 'answered'}", said
        assert (line.get("reason") is not None) == (answer.status >= 400), said
        assert line["ms"] >= 0, said
        assert line["pending"] == (answer.headers.get("Rollcall-Outcome") == "pending"), said
        if "key" not in extra and not path.startswith("//") and answer.status != 400:
            assert line["organisation_id"] == asked.organisation.id, said
            assert line["key_id"] == asked.organisation.key.split("_")[1], said
        assert line["method"] in {"other", method}, said

    await asked_too_fast(asked, slow)
    await asked_over_the_wire(asked)
    logged = asked.process.log.read_text()
    assert CANARY not in logged.lower()
    for secret in (asked.organisation.key, off.key, wrong_key, user_id, an_id):
        assert secret not in logged
    for line in access_lines(asked.process):
        assert set(line) <= ALLOWED
    ids = [line["request_id"] for line in access_lines(asked.process)]
    assert len(ids) == len(set(ids))


async def asked_too_fast(asked: Asked, slow: Organisation) -> None:
    """Many at once, until one is beyond the rate."""

    async def one() -> dict[str, Any]:
        _, line = await asked.ask("GET", f"//v2/{slow.id}/Groups", key=slow.key)
        return line

    async def is_beyond() -> bool:
        lines = await asyncio.gather(*(one() for _ in range(10)))
        for line in lines:
            assert line["organisation_id"] == slow.id
            assert line.get("reason") == ("rate" if line["status"] == 429 else None)
        return any(line["status"] == 429 for line in lines)

    await until(is_beyond, "a request beyond the rate")


async def asked_over_the_wire(asked: Asked) -> None:
    """What no HTTP library sends: requests that are not valid, and one that asks for a proxy."""
    port = asked.process.door_port
    assert port is not None
    bad = f"X: {CANARY}".encode()
    for raw in (
        f"GET /{CANARY}\x01 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        f"GET /{CANARY} HTTP/3.0\r\nHost: x\r\n\r\n".encode(),
        f"{CANARY}\r\n\r\n".encode(),
        b"GET / HTTP/1.1\r\nHost: x\r\n" + bad + b"\r\nX Y: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + CANARY.encode() * 4000 + b"\r\n\r\n",
        f"CONNECT {CANARY}:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    ):
        reply = await exchange(port, raw)
        assert reply.status >= 400, raw[:60]
        request_id = reply.header(REQUEST_ID.lower())
        assert request_id is not None, raw[:60]
        line = await line_of(asked.process, request_id)
        assert (line["status"], line["event"]) == (reply.status, "request.refused")
        assert line["reason"] in {"malformed_http", "notFound"}


async def test_the_id_of_a_write_is_its_event_s_everywhere(whole_stack: Stack) -> None:
    """In the answer, in Kafka, in the audit, in the line; and `rollcall trace` knows it."""
    stack, organisation = whole_stack, await whole_stack.organisation()
    [ingress] = stack.running("ingress")
    async with stack.client(organisation) as client:
        made = await client.create_user("ana@example.org")
        path = f"/Users/{made.body['id']}"
        again = await client.create_user("ana@example.org")
        patched = await client.patch(path, {"op": "replace", "path": "title", "value": "x"})
        deleted = await client.call("DELETE", path)
    answers = {"201": made, "409": again, "200": patched, "204": deleted}
    assert [str(answer.status) for answer in answers.values()] == list(answers)
    ids = [answer.headers[REQUEST_ID] for answer in answers.values()]

    rows = await stack.rows("SELECT id::text, status FROM audit.event ORDER BY id")
    published = [headers["ce_id"] for headers in await stack.headers(stack.topics.requests)]
    lines = [await line_of(ingress, request_id) for request_id in ids]
    traced = await rollcall_json(stack, "trace", ids[1])

    assert sorted(ids) == ids
    assert published == ids
    assert [row["id"] for row in rows] == ids
    assert [line["status"] for line in lines] == [201, 409, 200, 204]
    assert {line["pending"] for line in lines} == {False}
    assert lines[1]["reason"] == "uniqueness"
    assert made.headers["ETag"] == f'W/"{ids[0]}"'
    [only] = traced["traces"]
    assert (only["request_id"], only["fate"]) == (ids[1], "refused")


async def rollcall_json(stack: Stack, *arguments: str) -> Any:
    """What a command prints with `--json`, as the owner of the stack's database."""
    environment = {
        **stack.environment,
        "ROLLCALL_DATABASE_URL": stack.database_url("owner"),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall_operator", *arguments, "--json"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return orjson.loads(output)


async def test_a_client_s_own_id_is_repeated_and_reaches_no_event(asked: Asked) -> None:
    answer, line = await asked.ask("POST", "/Users", a_user(), X_Request_Id="idp-42")
    ignored, other = await asked.ask("GET", "/Users", X_Request_Id=f"{CANARY}@x")

    assert answer.headers["X-Request-Id"] == line["client_request_id"] == "idp-42"
    assert line["request_id"] == answer.headers[REQUEST_ID] != "idp-42"
    assert line["pending"] is True
    assert "X-Request-Id" not in ignored.headers
    assert "client_request_id" not in other
    [record] = await asked.stack.records(asked.stack.topics.requests)
    assert "idp-42" not in record
    assert answer.headers[REQUEST_ID] in record


async def test_a_request_whose_client_has_left_has_a_line_that_says_so(asked: Asked) -> None:
    """Before its body is whole, while it waits for the reply, and with an answer half taken."""
    host, port = "127.0.0.1", asked.process.door_port
    path = asked.organisation.base.partition(str(port))[2] + "/Users"
    head = f"Host: x\r\nAuthorization: Bearer {asked.organisation.key}\r\n"
    body = orjson.dumps(a_user())
    for sent in (body[:20], body):
        _, writer = await asyncio.open_connection(host, port)
        length = f"Content-Length: {len(body)}\r\n\r\n"
        writer.write(f"POST {path} HTTP/1.1\r\n{head}{length}".encode() + sent)
        await writer.drain()
        await has_begun(asked)
        writer.transport.abort()

        def unanswered() -> list[dict[str, Any]]:
            return [
                line
                for line in access_lines(asked.process)
                if line["event"] == "request.unanswered"
            ]

        expected = 1 if sent is not body else 2
        await until(lambda expected=expected: len(unanswered()) == expected, "its line")  # type: ignore[misc]

    broken, whole = unanswered()
    assert (broken["ended"], broken["unsent"]) == ("client_gone", 400)
    assert (whole["ended"], whole["unsent"], whole["pending"]) == ("client_gone", 201, True)
    for line in (broken, whole):
        assert "status" not in line
        assert line["organisation_id"] == asked.organisation.id
        assert line["route"] == f"{BASE}/Users"


async def has_begun(asked: Asked) -> None:
    """Until a request is in flight, as the metrics have it."""
    url = f"http://127.0.0.1:{asked.process.admin_port}/metrics"
    async with aiohttp.ClientSession() as session:

        async def is_in_flight() -> bool:
            async with session.get(url) as answer:
                return "rollcall_ingress_in_flight_requests 1.0" in await answer.text()

        await until(is_in_flight, "a request is in flight")


async def test_a_request_that_a_drain_cuts_off_has_a_line(stack: Stack) -> None:
    process = await stack.start(
        "ingress", ROLLCALL_INGRESS_DRAIN_S="0.1", ROLLCALL_INGRESS_PRE_STOP_S="0"
    )
    asked = Asked(stack, process, await stack.organisation())
    async with stack.client(asked.organisation) as client:
        call = asyncio.create_task(client.create_user("ana@example.org"))
        await has_begun(asked)
        process.terminate()
        with pytest.raises(aiohttp.ClientError):
            await call

    [line] = access_lines(process)
    assert (line["event"], line["ended"]) == ("request.unanswered", "cut_off")
    assert line["organisation_id"] == asked.organisation.id


async def test_probes_and_metrics_have_no_line(asked: Asked) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/livez", "/readyz", "/metrics", "/ignored"):
            url = f"http://127.0.0.1:{asked.process.admin_port}{path}"
            async with session.get(url) as answer:
                assert answer.status == 200
                assert REQUEST_ID not in answer.headers

    await asked.ask("GET", "/Schemas")

    assert len(access_lines(asked.process)) == 1


async def test_an_error_of_ours_names_the_request_in_answer_and_log(
    door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*_: object) -> None:
        raise LookupError(CANARY)

    monkeypatch.setattr(Edge, "_serve", fail)

    status, body, headers = await door.call("GET", "/Users")

    assert status == 500
    assert body is not None
    assert headers[REQUEST_ID] in body["detail"]
    logged = capsys.readouterr().out
    assert logged.count(headers[REQUEST_ID]) == 2
    assert "request.failed" in logged
    assert "reason=internal" in logged.replace("'", "")
    assert CANARY not in logged


async def test_a_body_that_takes_too_long_has_a_line_with_its_status(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    admission = door.ingress._admission
    admission._bounds = replace(admission._bounds, body_timeout_s=0.2)
    path = door.base.removeprefix(door.root) + "/Users"
    head = f"Host: x\r\nAuthorization: Bearer {door.key}\r\nContent-Length: 50\r\n\r\n{CANARY}"

    reply = await exchange(door.ingress.port, f"POST {path} HTTP/1.1\r\n{head}".encode())

    assert reply.status == 408
    request_id = reply.header(REQUEST_ID.lower())
    assert request_id is not None
    [line] = [each for each in capsys.readouterr().out.splitlines() if request_id in each]
    for said in ("request.refused", "status=408", "reason=slow_body", door.organisation.id):
        assert said in line
    assert CANARY not in line
