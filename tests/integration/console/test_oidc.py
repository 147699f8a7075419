"""Sign-in of admins by an issuer: a real provider, and one that says what is not true."""

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from rollcall.control.console.issuers import NewIssuer, add_issuer, remove_issuer, set_secret
from rollcall.control.console_access import reseal
from rollcall.postgres.pool import Database, open_pool
from rollcall.runtime.sealed import Sealer
from tests.support.console import Answer, Browser, browser, root_of, signed_in
from tests.support.openid import provider as oidc
from tests.support.openid.issuer import (
    CLIENT,
    CLIENT_SECRET,
    Issuer,
    come_in,
    issuing,
    new_key,
    to_issuer,
)
from tests.support.stack import Organisation, Stack, until

TENANT = "0af8ba2c-6c1c-4f1b-8a6f-2f8f5f1d2c11"
OTHER_TENANT = "9c1b2f54-2f0e-4b7e-9e5b-6d1a7f0b3c22"
LOGOUT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}


@dataclass(slots=True)
class Set:
    """A console with an organisation, an issuer, and the owner's database."""

    stack: Stack
    organisation: Organisation
    issuer: Issuer
    database: Database
    issuer_id: str = ""

    @property
    def begin(self) -> str:
        """The path that leads to the issuer."""
        return f"/sign-in/with/{self.issuer_id}?to=/account"

    async def add(self, **options: Any) -> str:
        """Add the issuer; its id."""
        wanted = NewIssuer(
            **{
                "name": "Acme Sign-on",
                "url": self.issuer.url,
                "client_id": CLIENT,
                "secret": CLIENT_SECRET,
                "roles": [f"staff=admin@{self.organisation.id}", "ops=operator"],
                **options,
            }
        )
        made = await add_issuer(self.stack.settings, self.database, sealer(self.stack), wanted)
        self.issuer_id = made.id
        return made.id


def sealer(stack: Stack) -> Sealer:
    return Sealer.of(stack.environment["ROLLCALL_CONSOLE_SECRET"])


@pytest.fixture
async def here(stack: Stack) -> AsyncIterator[Set]:
    """A console alone, and an issuer that it does not know yet."""
    await stack.start("console")
    organisation = await stack.organisation("Acme")
    database = await open_pool(
        stack.database_url("owner"),
        role_hint="owner", max_size=1, statement_timeout_s=10, application_name="test",
    )  # fmt: skip
    try:
        async with issuing() as issuer:
            yield Set(stack, organisation, issuer, database)
    finally:
        await database.close()


def refused(answer: Answer, words: str) -> None:
    assert answer.status in (403, 503), answer
    assert words in answer.text


async def test_a_real_provider_signs_in_again_and_out(here: Set) -> None:
    """Code flow, PKCE, `iss`, roles; another key; shown again; signed out from the provider."""
    stack, root = here.stack, root_of(here.stack)
    async with oidc.provider(root) as probe:  # its port is its issuer: the id is needed before
        issuer_id = await here.add(url=probe, secret=oidc.CLIENT_SECRET)
        async with browser(root) as opened, browser(root) as other:
            listed = await opened.get("/sign-in")
            assert "Sign in with Acme Sign-on" in listed.text
            back = await at_provider(opened, here.begin, "ana+staff")
            assert "iss=" in back  # RFC 9207: it names itself
            assert (await opened.get(back)).location == "/account"
            assert "ana@acme.example" in (await opened.get("/account")).text
            assert (await opened.get(f"/o/{here.organisation.id}/scim/keys/new")).status == 200

            assert (await opened.get(back)).status == 403  # the same answer a second time
            async with other.session.post(f"{probe}/test/rotate"):
                pass
            back = await at_provider(other, here.begin, "bo+ops")
            assert (await other.get(back)).location == "/account"
            assert (await other.get(f"/o/{here.organisation.id}/scim")).status == 404

            await stack.rows("UPDATE console.session SET authenticated = now() - interval '1 hour'")
            new_key_page = f"/o/{here.organisation.id}/scim/keys/new"
            asked = await opened.get(new_key_page)
            assert asked.location is not None
            assert asked.location.startswith("/sign-in/again?to=")
            form = await opened.get(asked.location)
            assert "Confirm with Acme Sign-on" in form.text
            way = re.search(r'href="(/sign-in/again/issuer[^"]*)"', form.text)
            assert way is not None
            back = await at_provider(opened, way[1], "ana+staff")
            assert (await opened.get(back)).location == new_key_page
            assert (await opened.get(new_key_page)).status == 200
    accounts = await stack.rows("SELECT email, is_operator FROM console.account ORDER BY email")
    assert [tuple(row) for row in accounts] == [
        ("ana@acme.example", False),
        ("bo@acme.example", True),
    ]
    assert issuer_id not in stack.running("console")[0].log.read_text().replace("issuer_id", "")


async def at_provider(opened: Browser, path: str, login: str) -> str:
    begun = await opened.get(path)
    assert begun.location is not None, begun
    back = await oidc.sign_in(opened.session, begun.location, login)
    return back.removeprefix(opened.root)


def seconds(offset: int) -> int:
    return int(time.time()) + offset


FALSE: list[tuple[str, dict[str, Any], str]] = [
    ("audience", {"aud": "another-client"}, "another application"),
    ("audiences", {"aud": [CLIENT, "another"]}, "another application"),
    ("azp", {"aud": [CLIENT, "another"], "azp": "another"}, "another application"),
    ("issuer", {"iss": "https://evil.example"}, "another identity provider"),
    ("no issuer", {"iss": None}, "another identity provider"),
    ("over", {"exp": seconds(-3600)}, "too old"),
    ("no end", {"exp": None}, "too old"),
    ("text as time", {"exp": "9999999999"}, "too old"),
    ("from tomorrow", {"iat": seconds(86400)}, "too old"),
    ("not yet", {"nbf": seconds(3600)}, "too old"),
    ("nonce", {"nonce": "another"}, "another sign-in"),
    ("no nonce", {"nonce": None}, "another sign-in"),
    ("nobody", {"sub": None}, "does not say who you are"),
    ("a number", {"sub": 7}, "does not say who you are"),
    ("no roles", {"groups": None}, "no role here"),
    ("other roles", {"groups": ["strangers"]}, "no role here"),
    ("roles as number", {"groups": 7}, "form that can be read"),
    ("too many groups", {"groups": None, "_claim_names": {"groups": "src1"}}, "app roles"),
]


async def test_what_is_not_true_is_refused_in_words(here: Set) -> None:
    await here.add()
    issuer = here.issuer
    async with browser(root_of(here.stack)) as opened:
        for what, claims, words in FALSE:
            issuer.claims = claims
            answer = await come_in(opened, here.begin)
            assert words in answer.text, (what, answer)
            assert answer.status == 403
            assert (await opened.get("/account")).status == 303, what
        issuer.claims = {}
        for algorithm in ("none", "HS256"):
            issuer.algorithm = algorithm
            refused(await come_in(opened, here.begin), "not signed with one of its keys")
        issuer.algorithm = "RS256"
        stolen = issuer.key
        issuer.published, issuer.key = [stolen], new_key("one")  # the same id, another key
        refused(await come_in(opened, here.begin), "not signed with one of its keys")
        issuer.published, issuer.key = None, stolen
        issuer.answers = {"iss": "https://evil.example"}
        refused(await come_in(opened, here.begin), "another identity provider")
        issuer.answers = {"error": "access_denied"}
        refused(await come_in(opened, here.begin), "did not let you in")
        issuer.answers = {"code": "guessed"}
        refused(await come_in(opened, here.begin), "did not accept the sign-in code")
        issuer.answers = {}
        assert (await here.stack.rows("SELECT count(*) FROM console.session"))[0][0] == 0

        assert (await come_in(opened, here.begin)).location == "/account"


async def test_an_answer_counts_once_in_its_own_browser_and_in_time(here: Set) -> None:
    await here.add()
    root = root_of(here.stack)
    async with browser(root) as opened, browser(root) as other:
        back = await to_issuer(opened, here.begin)
        refused(await other.get(back), "not begun in this browser")  # a victim is sent an answer
        other_back = await to_issuer(other, here.begin)
        refused(await opened.get(other_back), "not begun in this browser")
        back = await to_issuer(opened, here.begin)
        await here.stack.rows("UPDATE console.sign_in_flow SET expires = now()")
        refused(await opened.get(back), "ten minutes")
        for query in ("", "?code=a&state=b", "?state=" + "a" * 43, "?state=a&state=b&code=c"):
            refused(await opened.get(f"/sign-in/answer{query}"), "not begun in this browser")
        # Where it goes on is always a page of ours.
        back = await to_issuer(opened, f"/sign-in/with/{here.issuer_id}?to=//evil.example")
        assert (await opened.get(back)).location == "/"
        kept = str(await here.stack.rows("SELECT f::text FROM console.sign_in_flow f"))
        assert CLIENT_SECRET not in kept
    [sealed] = await here.stack.rows("SELECT secret_sealed FROM console.issuer")
    assert CLIENT_SECRET.encode() not in sealed[0]


async def test_keys_rotate_and_an_unknown_one_costs_one_question(here: Set) -> None:
    await here.add()
    async with browser(root_of(here.stack)) as opened:
        assert (await come_in(opened, here.begin)).location == "/account"
        here.issuer.key = new_key("two")
        assert (await come_in(opened, here.begin)).location == "/account"
        here.issuer.published, here.issuer.key = [here.issuer.key], new_key("forged")
        asked = here.issuer.asked.count("keys")
        for _ in range(3):
            refused(await come_in(opened, here.begin), "not signed")
        assert here.issuer.asked.count("keys") - asked <= 1


async def test_roles_follow_the_claim_and_are_the_issuer_s(here: Set) -> None:
    other = await here.stack.organisation("Other")
    await here.add(
        roles_claim="realm_access.roles",
        roles=[
            f"reader=auditor@{here.organisation.id}",
            f"boss=owner@{here.organisation.id}",
            f"boss=auditor@{other.id}",
        ],
    )
    scim = f"/o/{here.organisation.id}/organisation"
    async with browser(root_of(here.stack)) as opened:
        here.issuer.claims = {"realm_access": {"roles": ["reader", "boss"]}}
        await come_in(opened, here.begin)
        assert (await opened.get(f"{scim}/admins/new")).status == 200  # the strongest counts
        assert (await opened.get(f"/o/{other.id}/scim")).status == 200
        here.issuer.claims = {"realm_access": {"roles": ["reader"]}}
        await come_in(opened, here.begin)
        assert (await opened.get(f"{scim}/admins/new")).status == 403
        assert (await opened.get(f"/o/{other.id}/scim")).status == 404
    # A person who has the same address as a local account is another person.
    async with signed_in(here.stack, here.organisation.id) as owner:
        [account] = await here.stack.rows("SELECT account_id::text FROM console.identity")
        assert len(await here.stack.rows("SELECT FROM console.account")) == 2
        change = await owner.post(f"{scim}/admins/{account[0]}", {"role": "owner"})
        assert change.status == 422
        assert "identity provider" in change.text
    await remove_issuer(here.database, "Acme Sign-on")
    async with browser(root_of(here.stack)) as opened:
        assert (await opened.get(here.begin)).status == 404
    assert len(await here.stack.rows("SELECT FROM console.account")) == 1


async def test_of_several_tenants_only_those_named_come_in(here: Set) -> None:
    here.issuer.path = "/{tenantid}/v2.0"
    await here.add(tenants=[TENANT])
    mine, other = (here.issuer.url.replace("{tenantid}", each) for each in (TENANT, OTHER_TENANT))
    async with browser(root_of(here.stack)) as opened:
        for claims, words in (
            ({"iss": other, "tid": OTHER_TENANT}, "tenant"),
            ({"iss": other, "tid": TENANT}, "another identity provider"),  # says it is another's
            ({"iss": mine, "tid": OTHER_TENANT}, "tenant"),
            ({"iss": mine, "tid": None}, "tenant"),
        ):
            here.issuer.claims = claims
            refused(await come_in(opened, here.begin), words)
        here.issuer.claims = {"iss": mine, "tid": TENANT}
        assert (await come_in(opened, here.begin)).location == "/account"


async def test_an_issuer_ends_sessions_once(here: Set) -> None:
    issuer_id = await here.add()
    root = root_of(here.stack)
    async with browser(root) as opened, browser(root) as elsewhere:
        await come_in(opened, here.begin)
        here.issuer.claims = {"sid": "session-2"}
        await come_in(elsewhere, here.begin)

        async def announce(key: RSAKey | None = None, **claims: Any) -> int:
            said = {
                "iss": here.issuer.url, "aud": CLIENT, "iat": seconds(0), "exp": seconds(120),
                "jti": "once", "events": LOGOUT, "sid": "session-1", **claims,
            }  # fmt: skip
            before, here.issuer.key = here.issuer.key, key or here.issuer.key
            token = here.issuer.token(said)
            here.issuer.key = before
            async with opened.session.post(
                f"{root}/sign-in/issuers/{issuer_id}/logout", data={"logout_token": token}
            ) as answer:
                return answer.status

        wrongs: list[dict[str, Any]] = [
            {"aud": "another"}, {"iss": "https://evil.example"}, {"exp": seconds(-600)},
            {"events": {}}, {"events": None}, {"nonce": "n"}, {"jti": None},
            {"sid": None}, {"exp": seconds(10**6)},
        ]  # fmt: skip
        for wrong in wrongs:
            assert await announce(**wrong) == 400, wrong
        assert await announce(new_key("one")) == 400
        assert (await opened.get("/account")).status == 200

        assert await announce() == 200
        assert (await opened.get("/account")).status == 303
        assert (await elsewhere.get("/account")).status == 200
        assert await announce() == 400  # the same token again
        assert await announce(jti="two", sid=None, sub="ana") == 200
        assert (await elsewhere.get("/account")).status == 303


async def test_secrets_are_rotated_and_an_issuer_may_be_away(here: Set) -> None:
    await here.add(secret="wrong")
    async with browser(root_of(here.stack)) as opened:
        refused(await come_in(opened, here.begin), "secret is wrong")
        await set_secret(here.database, sealer(here.stack), "Acme Sign-on", CLIENT_SECRET)
        assert (await come_in(opened, here.begin)).location == "/account"
        newer = Sealer.of(
            "another secret of 32 characters at least\n"
            + here.stack.environment["ROLLCALL_CONSOLE_SECRET"]
        )
        assert await reseal(here.database, newer) == 1
        assert await reseal(here.database, newer) == 0
    await here.add(name="Away", url="http://127.0.0.1:1")
    async with browser(root_of(here.stack)) as opened:
        refused(await opened.get(here.begin), "does not answer")
        here.issuer.says = {"issuer": "https://evil.example"}
        here.issuer.path = "/other"
        await here.add(name="Other")
        refused(await opened.get(here.begin), "another identity provider")


async def test_local_accounts_switched_off_but_for_an_emergency(here: Set) -> None:
    """Its use is audited, counted and logged; it has every role."""
    stack = here.stack
    password = {"new": "correct horse battery staple"}
    for email in ("ana@acme.example", "emergency@acme.example"):
        async with signed_in(stack, email=email) as opened:
            assert (await opened.post("/account/password", password)).status == 303
    await stack.rows(
        "UPDATE console.account SET is_break_glass = true WHERE email LIKE 'emergency%'"
    )
    process = await stack.start("console", ROLLCALL_CONSOLE_LOCAL_ACCOUNTS="false")
    root = f"http://127.0.0.1:{process.door_port}"

    async def enter(opened: Browser, email: str) -> int:
        fields = {"email": email, "password": password["new"], "to": "/"}
        return (await opened.post("/sign-in", fields)).status

    async with browser(root) as opened:
        assert await enter(opened, "ana@acme.example") == 401
        assert await enter(opened, "emergency@acme.example") == 303
        assert (
            await opened.get(f"/o/{here.organisation.id}/organisation/admins/new")
        ).status == 200
        async with opened.session.get(f"http://127.0.0.1:{process.admin_port}/metrics") as answer:
            assert "rollcall_console_break_glass_total 1.0" in await answer.text()
    acts = await stack.rows("SELECT FROM console.act WHERE kind = 'signed_in.break_glass'")
    assert len(acts) == 1
    await until(lambda: "account.break_glass_used" in process.log.read_text(), "the log has it", 10)
