"""The page SCIM provisioning: keys, the switch, the light, what an admin may and may not do."""

import contextlib
import re
from html import unescape

import aiohttp
import pytest

from tests.support.console import FORM, Browser, keys_of, signed_in, tenancy_events
from tests.support.stack import Organisation, Stack, until


@pytest.fixture
async def console(stack: Stack) -> Stack:
    """A deployment with the console and no other service."""
    await stack.start("console")
    return stack


async def make_key(opened: Browser, organisation: Organisation, name: str = "Entra ID") -> str:
    form = await opened.get(f"/o/{organisation.id}/scim/keys/new")
    shown = await opened.post(
        f"/o/{organisation.id}/scim/keys/new",
        {"name": name, "expires": "never", "form": form.field("form")},
    )
    assert shown.status == 200, shown
    return shown.field("new-key")


async def test_before_anything_happened_it_says_so(console: Stack) -> None:
    organisation = await console.organisation()
    async with signed_in(console, organisation.id) as opened:
        page = await opened.follow(await opened.get("/"))

    assert page.status == 200
    assert "Waiting for first contact" in page.text
    assert "Never used" in page.text
    assert page.field("scim-url") == f"{console.environment['ROLLCALL_PUBLIC_URL']}/v2/" + (
        organisation.id
    )


async def test_a_key_is_shown_once_and_works(console: Stack) -> None:
    organisation = await console.organisation()
    async with signed_in(console, organisation.id) as opened:
        key = await make_key(opened, organisation)
        page = await opened.get(f"/o/{organisation.id}/scim")
        log = console.running("console")[0].log.read_text()

        assert key not in page.text + log
        assert f"rc_{key[3:15]}_…" in page.text
        await console.start("ingress")
        async with console.client(
            Organisation(organisation.id, organisation.partition, key, organisation.base)
        ) as client:
            assert (await client.call("GET", "/Users")).status == 200


async def test_a_form_that_is_sent_twice_makes_one_key(console: Stack) -> None:
    organisation = await console.organisation()
    fields = {"name": "Okta", "expires": "90", "form": FORM % 1}
    async with signed_in(console, organisation.id) as opened:
        path = f"/o/{organisation.id}/scim/keys/new"
        first, second = await opened.post(path, fields), await opened.post(path, fields)

    assert (first.status, second.status) == (200, 422)
    assert "sent before" in second.text
    assert len(await keys_of(console, organisation)) == 2  # with the organisation's first


async def test_a_key_is_replaced_with_an_overlap_and_then_revoked(console: Stack) -> None:
    organisation = await console.organisation()
    old = organisation.key[3:15]
    async with signed_in(console, organisation.id) as opened:
        path = f"/o/{organisation.id}/scim/keys/{old}"
        asked = await opened.get(f"{path}/replace")
        shown = await opened.post(f"{path}/replace", {"overlap": "24", "form": asked.field("form")})
        new = shown.field("new-key")[3:15]
        assert await keys_of(console, organisation) == {old: (False, True), new: (False, False)}

        revoked = await opened.post(f"{path}/revoke")
        page = await opened.follow(revoked)
        assert await keys_of(console, organisation) == {old: (True, True), new: (False, False)}
        assert "1 key that works no longer" in page.text
        assert (await opened.get(f"{path}/revoke")).status == 404  # it is revoked


async def test_the_switch_is_an_event_with_who_did_it(console: Stack) -> None:
    organisation = await console.organisation()
    async with signed_in(console, organisation.id) as opened:
        off = await opened.follow(await opened.post(f"/o/{organisation.id}/scim/off"))
        on = await opened.follow(await opened.post(f"/o/{organisation.id}/scim/on"))

    assert "Provisioning is off" in off.text
    assert "Switched off" in off.text
    assert "Provisioning is on" in on.text
    [account] = await console.rows("SELECT id::text FROM console.account")
    acts = await console.rows("SELECT kind, organisation_id::text FROM console.act ORDER BY id")
    assert [(row["kind"], row["organisation_id"]) for row in acts if row["organisation_id"]] == [
        ("scim.off", organisation.id),
        ("scim.on", organisation.id),
    ]
    written = await tenancy_events(console)
    assert [(event.source, event.extensions.get("by")) for event in written][-2:] == [
        ("/rollcall/console", f"account:{account['id']}")
    ] * 2
    assert written[0].source == "/rollcall/operator"
    assert written[0].extensions == {}


ROUTES = [
    ("GET", ""),
    ("GET", "/live"),
    ("POST", "/on"),
    ("GET", "/off"),
    ("POST", "/off"),
    ("GET", "/keys/new"),
    ("POST", "/keys/new"),
    ("GET", "/keys/{key}/replace"),
    ("POST", "/keys/{key}/replace"),
    ("GET", "/keys/{key}/revoke"),
    ("POST", "/keys/{key}/revoke"),
]


async def test_another_organisation_is_not_there_on_any_route(console: Stack) -> None:
    mine, other = await console.organisation("Mine"), await console.organisation("Other")
    nothing = "01a22e88-6651-77cc-802a-34181f6f6073"
    before = await keys_of(console, other)
    async with signed_in(console, mine.id) as opened:
        for method, path in ROUTES:
            answers = []
            for organisation_id, key in ((other.id, other.key), (nothing, other.key)):
                asked = f"/o/{organisation_id}/scim{path.format(key=key[3:15])}"
                send = opened.get if method == "GET" else opened.post
                answers.append(await send(asked))
            assert [answer.status for answer in answers] == [404, 404], path
            shown = [re.sub(r'value="/o/[^"]*"', "", answer.text) for answer in answers]
            assert shown[0] == shown[1], path
            assert "Other" not in shown[0]
        # Nor is another one's key below one's own organisation.
        assert (await opened.get(f"/o/{mine.id}/scim/keys/{other.key[3:15]}/revoke")).status == 404
        assert (await opened.post(f"/o/{mine.id}/scim/keys/{other.key[3:15]}/revoke")).status == 404

    assert await keys_of(console, other) == before


async def test_an_auditor_looks_and_changes_nothing(console: Stack) -> None:
    organisation = await console.organisation()
    before = await keys_of(console, organisation)
    async with signed_in(console, organisation.id, role="auditor") as opened:
        page = await opened.get(f"/o/{organisation.id}/scim")
        assert page.status == 200
        assert "/keys/new" not in page.text
        for method, path in ROUTES[2:]:
            asked = f"/o/{organisation.id}/scim{path.format(key=organisation.key[3:15])}"
            answer = await (opened.get(asked) if method == "GET" else opened.post(asked))
            assert answer.status == 403, path
            assert "admin" in answer.text

    assert await keys_of(console, organisation) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "", "expires": "never"},
        {"name": " ", "expires": "never"},
        {"name": "x" * 81, "expires": "never"},
        {"name": "a\u202eb", "expires": "never"},
        {"name": "Entra"},
        {"name": "Entra", "expires": "soon"},
        {"name": "Entra", "expires": "never", "form": "no id"},
    ],
)
async def test_a_wrong_form_makes_no_key(console: Stack, fields: dict[str, str]) -> None:
    organisation = await console.organisation()
    async with signed_in(console, organisation.id) as opened:
        path = f"/o/{organisation.id}/scim/keys/new"
        answer = await opened.post(path, {"form": FORM % 2, **fields})

    assert answer.status == 422
    assert len(await keys_of(console, organisation)) == 1


async def test_what_the_provider_does_is_seen(console: Stack) -> None:
    await console.start_all()
    organisation = await console.organisation("Zeeburg <b>& Co</b>")
    async with console.client(organisation) as client:
        made = await client.create_user("ana@zee.example", displayName="<i>Ana</i>")
        revoking = {"op": "replace", "path": "active", "value": False}
        await client.patch(f"/Users/{made.body['id']}", revoking)
    async with signed_in(console, organisation.id) as opened:

        async def is_seen() -> bool:
            page = await opened.get(f"/o/{organisation.id}/scim")
            return "access ended" in page.text and "Live" in page.text

        await until(is_seen, "the page shows the contact and the revocation")
        page = await opened.get(f"/o/{organisation.id}/scim")

    assert "<i>Ana</i>" not in page.text
    assert "<i>Ana</i> joined" in unescape(page.text)
    assert "<i>Ana</i> left: access ended" in unescape(page.text)
    assert "everything applied" in page.text


async def test_without_kafka_it_is_not_ready(console: Stack) -> None:
    """A console whose Kafka is away from the start has no organisations: it is not ready."""
    process = await console.start("console", ready=False, ROLLCALL_KAFKA_BOOTSTRAP="127.0.0.1:1")
    async with aiohttp.ClientSession() as session:

        async def says_why() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{process.admin_port}/readyz") as answer:
                    found = await answer.json()
                    return answer.status == 503 and found["reasons"] == [
                        "organisations and keys are not loaded (Kafka)"
                    ]
            return False

        await until(says_why, "the probe says what is missing")
