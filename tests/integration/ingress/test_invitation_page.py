"""The invitation page: what a person sees, and what goes onto the log."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rollcall.directory.invitation_link import Invitation, expires_at, make_token
from rollcall.events.bodies import Accept
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id
from rollcall.scim.errors import NotFound
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.invitation import InvitationPage, setup
from rollcall_ingress.invitation_form import Forms
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION
from tests.support.databases import TestDatabase
from tests.support.door import SECRET, Door, a_body, close_door, open_door
from tests.support.servers import KafkaServer
from tests.support.stack import until

HARBOUR = Organisation(ORGANISATION, "Harbour <b>& Sons</b>", 2, MOMENT)
PUBLIC_URL = "https://rollcall.example"
Client = TestClient[web.Request, web.Application]


@dataclass(frozen=True, slots=True)
class Said:
    """What a fake write path answers."""

    reply: Reply | None


class WritePath:
    """Keeps what it is given, and answers as a test says."""

    def __init__(self) -> None:
        self.submitted: list[Request] = []
        self.answer: Callable[[Request], Said] = lambda request: Said(Reply(request.id, 204))

    async def submit(self, request: Request) -> Said:
        self.submitted.append(request)
        return self.answer(request)


@pytest.fixture
def write_path() -> WritePath:
    return WritePath()


@pytest.fixture
async def page(write_path: WritePath) -> AsyncIterator[Client]:
    """The page alone, over a real socket."""
    app = web.Application()
    find = {HARBOUR.id: HARBOUR}.get
    setup(app, InvitationPage(find, write_path.submit, SECRET.encode(), PUBLIC_URL))
    async with TestClient(TestServer(app)) as client:
        yield client


def a_token(
    organisation_id: str = ORGANISATION, *, invited: tuple[str, str] | None = None, **late: float
) -> str:
    """A token; `invited`: member and invitation, otherwise ones that do not exist."""
    member_id, invitation_id = invited or (new_id(), new_id())
    expires = expires_at(invitation_id, 3600) + timedelta(**late)
    return make_token(
        SECRET.encode(), Invitation(organisation_id, member_id, invitation_id), expires
    )


async def accept(
    page: Client, token: str, *, path: str = f"/invitation/{ORGANISATION}", **headers: str
) -> tuple[int, str]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with page.post(path, data={"token": token}, headers=sent) as answer:
        return answer.status, await answer.text()


async def test_the_page_names_the_organisation_and_escapes_its_name(page: Client) -> None:
    async with page.get(f"/invitation/{ORGANISATION}") as answer:
        text = await answer.text()

    assert answer.status == 200
    assert answer.content_type == "text/html"
    assert "Harbour &lt;b&gt;&amp; Sons&lt;/b&gt; has invited you" in text
    assert '<html lang="en">' in text
    assert "<noscript>" in text


async def test_the_page_is_strict_about_what_it_loads_and_tells(page: Client) -> None:
    async with page.get(f"/invitation/{ORGANISATION}") as answer:
        headers = answer.headers

    policy = dict(
        part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


PATHS = (f"/invitation/{ORGANISATION}", "/invitation/page.css", "/invitation/x", "/invitation/")


@pytest.mark.parametrize("path", PATHS)
async def test_every_page_says_https_and_nothing_of_its_maker(page: Client, path: str) -> None:
    async with page.get(path) as answer:
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers["Server"] == "rollcall"


async def test_a_page_that_is_reached_by_http_does_not_ask_for_https(
    write_path: WritePath,
) -> None:
    """While developing: a browser would keep to it, for every port of the host."""
    app = web.Application()
    find = {HARBOUR.id: HARBOUR}.get
    setup(app, InvitationPage(find, write_path.submit, SECRET.encode(), "http://127.0.0.1:8080"))
    async with TestClient(TestServer(app)) as client, client.get(PATHS[0]) as answer:
        assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize(
    ("name", "kind"), [("accept.js", "text/javascript"), ("page.css", "text/css")]
)
async def test_script_and_style_come_from_here(page: Client, name: str, kind: str) -> None:
    async with page.get(f"/invitation/{name}") as answer:
        assert answer.status == 200
        assert answer.content_type == kind
        assert len(await answer.read()) > 100


async def test_another_language_can_be_asked_for(page: Client) -> None:
    async with page.get(f"/invitation/{ORGANISATION}?lang=nl") as answer:
        text = await answer.text()

    assert '<html lang="nl">' in text
    assert "heeft u uitgenodigd" in text


@pytest.mark.parametrize("path", [OTHER_ORGANISATION, "x", "%00", "a/b", ""])
async def test_unknown_and_malformed_organisations_look_alike(page: Client, path: str) -> None:
    async with page.get(f"/invitation/{new_id()}") as answer:
        expected = await answer.text()

    async with page.get(f"/invitation/{path}") as answer:
        assert answer.status == 404
        assert await answer.text() == expected


async def test_accepting_submits_a_request_event(page: Client, write_path: WritePath) -> None:
    invitation_id, member_id = new_id(), new_id()
    expires = expires_at(invitation_id, 3600)
    invitation = Invitation(ORGANISATION, member_id, invitation_id)

    status, text = await accept(page, make_token(SECRET.encode(), invitation, expires))

    assert status == 200
    assert "You have accepted" in text
    (request,) = write_path.submitted
    assert request.kind == "member.accept"
    assert request.organisation_id == ORGANISATION
    assert request.resource_id == member_id
    assert request.body == Accept(invitation_id, expires)
    assert request.actor == "invitation"
    assert request.settings.confirm_on_accept is True


async def test_without_reply_the_answer_is_being_processed(
    page: Client, write_path: WritePath
) -> None:
    write_path.answer = lambda _: Said(None)

    status, text = await accept(page, a_token())

    assert status == 200
    assert "being processed" in text


@pytest.mark.parametrize("refusal", [404, 409])
async def test_an_invitation_that_is_not_open_is_gone(
    page: Client, write_path: WritePath, refusal: int
) -> None:
    write_path.answer = lambda request: Said(Reply(request.id, refusal))

    status, text = await accept(page, a_token())

    assert status == 410
    assert "no longer open" in text


async def test_a_refusal_that_is_raised_reads_the_same(page: Client, write_path: WritePath) -> None:
    def refuse(_: Request) -> Said:
        raise NotFound

    write_path.answer = refuse

    assert (await accept(page, a_token()))[0] == 410


async def test_while_kafka_is_away_the_page_says_when_to_try_again(
    page: Client, write_path: WritePath
) -> None:
    def refuse(_: Request) -> Said:
        raise Unavailable("Kafka", 7)

    write_path.answer = refuse

    async with page.post(f"/invitation/{ORGANISATION}", data={"token": a_token()}) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "7"
        assert answer.content_type == "text/html"


async def test_our_own_bug_is_a_page_too(page: Client, write_path: WritePath) -> None:
    def fail(_: Request) -> Said:
        raise RuntimeError

    write_path.answer = fail

    status, text = await accept(page, a_token())

    assert status == 500
    assert "<html" in text


async def test_an_expired_token_is_gone_and_nothing_is_submitted(
    page: Client, write_path: WritePath
) -> None:
    status, text = await accept(page, a_token(seconds=-3601))

    assert status == 410
    assert "expired" in text
    assert write_path.submitted == []


@pytest.mark.parametrize("token", ["", "x", "é" * 96, "A" * 96, "A" * 5000])
async def test_a_forged_token_is_invalid(page: Client, write_path: WritePath, token: str) -> None:
    assert (await accept(page, token))[0] == 400
    assert write_path.submitted == []


async def test_a_token_of_another_organisation_is_invalid(
    page: Client, write_path: WritePath
) -> None:
    assert (await accept(page, a_token(OTHER_ORGANISATION)))[0] == 400
    assert write_path.submitted == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
    ],
)
async def test_a_form_of_another_site_is_forbidden(
    page: Client, write_path: WritePath, headers: dict[str, str]
) -> None:
    assert (await accept(page, a_token(), **headers))[0] == 403
    assert write_path.submitted == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "same-origin", "Origin": "null"},
        {"Origin": "null"},
        {"Origin": PUBLIC_URL},
    ],
)
async def test_our_own_form_is_taken(page: Client, headers: dict[str, str]) -> None:
    assert (await accept(page, a_token(), **headers))[0] == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"token": "x"}', "application/json"),
        (b"token=a&token=b", "application/x-www-form-urlencoded"),
        (b"other=a", "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
        (b"token=\xff", "application/x-www-form-urlencoded"),
        (b"&" * 2000, "application/x-www-form-urlencoded"),
    ],
)
async def test_anything_but_one_token_in_a_form_is_invalid(
    page: Client, write_path: WritePath, body: bytes, kind: str
) -> None:
    path = f"/invitation/{ORGANISATION}"

    async with page.post(path, data=body, headers={"Content-Type": kind}) as answer:
        assert answer.status == 400
        assert answer.content_type == "text/html"
    assert write_path.submitted == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_not_allowed(page: Client, method: str) -> None:
    async with page.request(method, f"/invitation/{ORGANISATION}") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD, POST"
        assert answer.content_type == "text/html"


async def post(door: Door, token: str) -> tuple[int, str]:
    url = f"{door.root}/invitation/{door.organisation.id}"
    form = aiohttp.FormData({"token": token})
    async with door.http.post(url, data=form) as answer:
        return answer.status, await answer.text()


async def test_at_the_real_door_an_acceptance_goes_the_way_of_every_change(door: Door) -> None:
    """Nobody applies it here, so the log decides; it is on the organisation's own partition."""
    await door.call("POST", "/Users", a_body())
    ((_, created),) = await door.log()
    token = a_token(door.organisation.id, invited=(created.resource_id, created.id))

    status, text = await post(door, token)
    again, _ = await post(door, token)
    unknown, _ = await post(door, a_token(door.organisation.id))

    assert (status, again, unknown) == (200, 410, 410), "as the log decides"
    assert "You have accepted" in text
    record, request = (await door.log())[1]
    assert record.partition == door.organisation.partition
    assert request.kind == "member.accept"
    assert request.accept_by_ms is not None
    assert token.encode() not in record.value


async def test_at_the_real_door_the_decision_answers(patient_door: Door) -> None:
    posting = asyncio.create_task(post(patient_door, a_token(patient_door.organisation.id)))
    await patient_door.answer_next(status=204)

    status, text = await posting

    assert status == 200
    assert "You have accepted" in text


async def test_at_the_real_door_the_page_speaks_the_organisations_language(door: Door) -> None:
    await door.tell(replace(door.organisation, language="nl"))
    url = f"{door.root}/invitation/{door.organisation.id}"

    async def is_dutch() -> bool:
        async with door.http.get(url) as answer:
            return '<html lang="nl">' in await answer.text()

    await until(is_dutch, "the page is Dutch")


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def slow_forms(host: str, port: int, path: str, number: int) -> list[Connection]:
    """Connections whose form begins and does not end."""
    opened = []
    for _ in range(number):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 200\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken=".encode()
        )
        await writer.drain()
        opened.append((reader, writer))
    return opened


async def test_slow_forms_keep_no_seat_from_anybody(
    kafka_server: KafkaServer, database: TestDatabase
) -> None:
    """Nobody has shown a token yet; with a limit of ten, nine of them held all that one may."""
    door, _ = await open_door(
        kafka_server.bootstrap,
        database.url("ingress"),
        f"t{new_id().replace('-', '')}",
        ingress_max_requests=10,
    )
    path = f"/invitation/{door.organisation.id}"
    slow = await slow_forms("127.0.0.1", door.ingress.port, path, 30)
    try:

        async def ask(number: int) -> int:
            found, _, _ = await door.call("GET", f"/Users?startIndex={number + 1}")
            return found

        asked = await asyncio.gather(*map(ask, range(8)))
        status, _ = await post(door, a_token(door.organisation.id))

        assert asked == [200] * 8
        assert status == 410, "the log knows no such member"
    finally:
        for _, writer in slow:
            writer.close()
        await close_door(door)


async def test_the_slowest_form_makes_room_for_another(write_path: WritePath) -> None:
    app = web.Application()
    page = InvitationPage(
        {HARBOUR.id: HARBOUR}.get,
        write_path.submit,
        SECRET.encode(),
        PUBLIC_URL,
        forms=Forms(most=3, timeout_s=60),
    )
    setup(app, page)
    async with TestClient(TestServer(app)) as client:
        path = f"/invitation/{ORGANISATION}"
        slow = await slow_forms(str(client.host), client.port or 0, path, 3)

        async def are_read() -> bool:
            return len(page.forms) == 3

        await until(are_read, "the slow forms are being read")
        status, _ = await accept(client, a_token())

        assert status == 200
        first, _ = slow[0]
        assert b" 400 " in await asyncio.wait_for(first.readline(), 10)
        for _, writer in slow:
            writer.close()
