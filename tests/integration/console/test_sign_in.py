"""Who gets in: links, passwords, second factors, lock-out, sessions that end."""

import base64
import re
import time

import pytest

from rollcall.control.console_access import Wanted
from rollcall_console.door import codes
from tests.support.console import Answer, Browser, browser, link, root_of, signed_in
from tests.support.stack import Stack, until

PASSWORD = "correct horse battery staple"
EMAIL = "ana@acme.example"


@pytest.fixture
async def console(stack: Stack) -> Stack:
    """A deployment with the console alone."""
    await stack.start("console")
    return stack


async def enter(opened: Browser, password: str = PASSWORD, email: str = EMAIL) -> Answer:
    return await opened.post("/sign-in", {"email": email, "password": password, "to": "/account"})


async def with_password(console: Stack) -> None:
    async with signed_in(console) as opened:
        answer = await opened.post("/account/password", {"new": PASSWORD})
        assert answer.location == "/account?done=password"


async def test_a_link_signs_in_once(console: Stack) -> None:
    made = await link(console, Wanted(EMAIL))
    async with browser(root_of(console)) as first, browser(root_of(console)) as second:
        looked = await first.get(f"/link/{made.token}")
        looked_again = await first.get(f"/link/{made.token}")
        used = await first.post(f"/link/{made.token}")
        again = await second.post(f"/link/{made.token}")

        assert (looked.status, looked_again.status) == (200, 200)  # a mail filter looks as well
        assert (used.status, used.location) == (303, "/")
        assert again.status == 404
        assert (await first.get("/account")).status == 200
        assert (await second.get("/account")).location == "/sign-in?to=%2Faccount"


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "%00" * 43, "é" * 43])
async def test_a_link_that_was_never_made_is_dead(console: Stack, token: str) -> None:
    async with browser(root_of(console)) as opened:
        assert (await opened.post(f"/link/{token}")).status in (303, 404)
        assert (await opened.get("/account")).status == 303


async def test_a_link_ends_with_its_time(console: Stack) -> None:
    made = await link(console, Wanted(EMAIL))
    await console.rows("UPDATE console.sign_in_link SET expires = now()")
    async with browser(root_of(console)) as opened:
        assert (await opened.post(f"/link/{made.token}")).status == 404


async def test_only_digests_are_kept(console: Stack) -> None:
    made = await link(console, Wanted(EMAIL))
    async with browser(root_of(console)) as opened:
        await opened.post(f"/link/{made.token}")
        [cookie] = [each.value for each in opened.session.cookie_jar]
    kept = str(
        await console.rows("SELECT l::text FROM console.sign_in_link l")
        + await console.rows("SELECT s::text FROM console.session s")
    )
    log = console.running("console")[0].log.read_text()

    assert made.token not in kept + log
    assert cookie not in kept + log
    assert EMAIL not in log
    assert "account.signed_in_by_link" in log


async def test_a_password_lets_in_and_a_wrong_one_does_not(console: Stack) -> None:
    await with_password(console)
    async with browser(root_of(console)) as opened:
        wrong = await enter(opened, "not the password")
        stranger = await enter(opened, PASSWORD, "nobody@acme.example")
        right = await enter(opened, email=f" {EMAIL.upper()} ")

        assert (wrong.status, stranger.status) == (401, 401)
        assert wrong.text.replace(EMAIL, "x") == stranger.text.replace("nobody@acme.example", "x")
        assert (right.status, right.location) == (303, "/account")
        assert (await opened.get("/account")).status == 200


async def test_too_many_wrong_attempts_lock_the_address(console: Stack) -> None:
    await with_password(console)
    async with browser(root_of(console)) as opened:
        wrong = [(await enter(opened, "wrong")).status for _ in range(5)]
        locked = await enter(opened)

        assert wrong == [401] * 5
        assert locked.status == 429
        assert "1 minute" in locked.text

        await console.rows("UPDATE console.failed_sign_in SET locked_until = now()")
        assert (await enter(opened)).status == 303


async def test_an_address_without_an_account_is_locked_alike(console: Stack) -> None:
    async with browser(root_of(console)) as opened:
        found = [(await enter(opened, email="nobody@acme.example")).status for _ in range(6)]

    assert found == [401] * 5 + [429]


async def test_a_second_factor_is_asked_for_and_each_code_counts_once(console: Stack) -> None:
    await with_password(console)
    async with browser(root_of(console)) as opened:
        await enter(opened)
        begun = await opened.follow(await opened.post("/account/second-factor/begin"))
        typed = re.search(r"<code[^>]*>([A-Z2-7 ]+)</code>", begun.text)
        assert typed is not None
        secret = _from_base32(typed[1])
        picture = await opened.get("/account/second-factor.svg")
        assert picture.text.startswith("<?xml")
        await _next_step()
        shown = await opened.post("/account/second-factor", {"code": _code(secret)})
        recovery = re.findall(r"<li><code[^>]*>([^<]+)</code>", shown.text)
        assert len(recovery) == 10

    async with browser(root_of(console)) as opened:
        half = await enter(opened)
        assert half.location == "/sign-in/code?to=%2Faccount"
        assert (await opened.get("/account")).status == 303  # half a session opens nothing
        wrong = await opened.post("/sign-in/code", {"code": "000000"})
        used_before = await opened.post("/sign-in/code", {"code": _code(secret)})
        by_recovery = await opened.post("/sign-in/code", {"code": recovery[0].upper()})

        assert (wrong.status, used_before.status, by_recovery.status) == (401, 401, 303)
        assert (await opened.get("/account")).status == 200

    async with browser(root_of(console)) as opened:
        await enter(opened)
        assert (await opened.post("/sign-in/code", {"code": recovery[0]})).status == 401
        await _next_step()
        assert (await opened.post("/sign-in/code", {"code": _code(secret)})).status == 303


def _from_base32(text: str) -> bytes:
    plain = text.replace(" ", "")
    return base64.b32decode(plain + "=" * (-len(plain) % 8))


def _code(secret: bytes) -> str:
    return codes.code_at(secret, int(time.time() // codes.STEP_S))


async def _next_step() -> None:
    """Wait for a code that was not used yet, and that does not end while it is sent."""
    step = int(time.time() // codes.STEP_S)
    await until(lambda: int(time.time() // codes.STEP_S) > step, "the next step", 35)


async def test_sessions_end_by_time_and_by_hand(console: Stack) -> None:
    async with signed_in(console) as opened:
        await console.rows("UPDATE console.session SET last_seen = now() - interval '31 minutes'")
        assert (await opened.get("/account")).status == 303
    async with signed_in(console) as opened:
        await console.rows("UPDATE console.session SET made = now() - interval '13 hours'")
        assert (await opened.get("/account")).status == 303
    async with signed_in(console) as opened:
        await console.rows("UPDATE console.account SET disabled = now()")
        assert (await opened.get("/account")).status == 303
        await console.rows("UPDATE console.account SET disabled = NULL")
    async with signed_in(console) as first, signed_in(console) as second:
        assert (await second.post("/account/sessions")).status == 303
        assert (await first.get("/account")).status == 303
        assert (await second.get("/account")).status == 200
        assert (await second.post("/sign-out")).location == "/sign-in?done=signed_out"
        assert (await second.get("/account")).status == 303


async def test_a_form_of_another_origin_changes_nothing(console: Stack) -> None:
    async with signed_in(console) as opened:
        foreign = await opened.post(
            "/sign-out",
            headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        )
        assert foreign.status == 403
        assert (await opened.get("/account")).status == 200


async def test_the_answer_s_headers_are_strict(console: Stack) -> None:
    async with browser(root_of(console)) as opened:
        for path in ("/sign-in", "/nothing", "/static/x/y.js"):
            answer = await opened.get(path)
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Server"] == "rollcall"
        assert (await opened.get("/sign-in")).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"a=%ff", b"new=%00", b"&".join([b"a=1"] * 200), b"x" * 70_000],
    ids=["bytes", "no UTF-8", "U+0000", "many fields", "long"],
)
async def test_a_body_that_is_no_form_is_refused(console: Stack, body: bytes) -> None:
    async with signed_in(console) as opened:
        own = {
            "Origin": opened.root,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        async with opened.session.post(
            f"{opened.root}/account/password", data=body, headers=own
        ) as answer:
            assert answer.status in (400, 422)
