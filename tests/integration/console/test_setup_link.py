"""Set-up links: what they show, what they make, when they end, and that they open nothing else."""

import re

import pytest
from pydantic import SecretStr
from yarl import URL

from rollcall.postgres.pool import open_pool
from rollcall_console.app import Console
from rollcall_console.config import ConsoleSettings
from rollcall_console.web.rights import RIGHTS, Need
from tests.support.console import (
    FORM,
    Browser,
    browser,
    keys_of,
    root_of,
    signed_in,
    tenancy_events,
)
from tests.support.stack import Organisation, Stack


@pytest.fixture
async def console(stack: Stack) -> Stack:
    await stack.start("console")
    return stack


async def make_link(opened: Browser, organisation: Organisation, **fields: str) -> str:
    """The path of a new link."""
    path = f"/o/{organisation.id}/scim/links/new"
    form = await opened.get(path)
    sent = {"name": "Jan, IT", "lasts": "7", "form": form.field("form"), **fields}
    shown = await opened.post(path, sent)
    assert shown.status == 200, shown
    url = shown.field("setup-link")
    assert url.startswith(f"{opened.root}/setup/")
    return url.removeprefix(opened.root)


async def make_key(guest: Browser, path: str, name: str = "Okta") -> str:
    form = await guest.get(f"{path}/keys/new")
    fields = {"name": name, "expires": "never", "form": form.field("form")}
    shown = await guest.post(f"{path}/keys/new", fields)
    assert shown.status == 200, shown
    return shown.field("new-key")


async def test_a_link_makes_keys_without_an_account(console: Stack) -> None:
    organisation = await console.organisation("Zeeburg <b>")
    async with signed_in(console, organisation.id) as opened:
        path = await make_link(opened, organisation)
        page = await opened.get(f"/o/{organisation.id}/scim")
        assert "Never opened" in page.text
        assert path not in page.text  # it is shown once
    async with browser(root_of(console)) as guest:
        shown = await guest.get(path)
        assert shown.status == 200
        assert shown.field("scim-url").endswith(f"/v2/{organisation.id}")
        assert "Zeeburg &lt;b&gt;" in shown.text
        assert organisation.key[3:15] not in shown.text  # the keys of others
        key = await make_key(guest, path)
        assert f"rc_{key[3:15]}_…" in (await guest.get(path)).text
        assert not guest.session.cookie_jar.filter_cookies(URL(guest.root))  # no session
    assert set(await keys_of(console, organisation)) == {organisation.key[3:15], key[3:15]}
    [link] = await console.rows("SELECT id::text, keys, keys_left FROM console.setup_link")
    assert (link["keys"], link["keys_left"]) == ([key[3:15]], 4)
    assert (await tenancy_events(console))[-1].extensions == {"by": f"setup-link:{link['id']}"}
    acts = await console.rows(
        "SELECT kind, account_id IS NULL AS nobody, subject FROM console.act "
        "WHERE kind LIKE 'setup_link.%' ORDER BY at"
    )
    assert [tuple(act.values()) for act in acts] == [
        ("setup_link.made", False, link["id"]),
        ("setup_link.key", True, key[3:15]),
    ]
    log = console.running("console")[0].log.read_text()
    assert path.removeprefix("/setup/") not in log
    assert key not in log


async def test_a_link_makes_five_keys_and_no_form_counts_twice(console: Stack) -> None:
    organisation = await console.organisation()
    async with signed_in(console, organisation.id) as opened:
        path = await make_link(opened, organisation)
    fields = {"name": "Okta", "expires": "never"}
    async with browser(root_of(console)) as guest:
        for number in range(5):
            sent = {**fields, "form": FORM % number}
            assert (await guest.post(f"{path}/keys/new", sent)).status == 200
        assert (await guest.post(f"{path}/keys/new", {**fields, "form": FORM % 0})).status == 422
        refused = await guest.post(f"{path}/keys/new", {**fields, "form": FORM % 6})
        assert refused.status == 422
        assert "No more keys" in refused.text
        assert "keys/new" not in (await guest.get(path)).text
    assert len(await keys_of(console, organisation)) == 6


async def over(guest: Browser, path: str) -> bool:
    """Whether all of a link's pages say that it is over, alike."""
    answers = [
        await guest.get(path),
        await guest.get(f"{path}/keys/new"),
        await guest.get(f"{path}/with/okta"),
        await guest.post(f"{path}/keys/new", {"name": "x", "expires": "never", "form": FORM % 9}),
    ]
    if {answer.status for answer in answers} == {200}:
        return False
    assert [answer.status for answer in answers] == [404] * 4
    return all("does not work any more" in answer.text for answer in answers)


@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE console.setup_link SET expires = now()",
        "UPDATE console.account SET disabled = now()",
        "DELETE FROM console.account_role",
        "UPDATE console.account_role SET role = 'auditor'",
        "DELETE FROM console.account",
    ],
)
async def test_a_link_ends_with_its_time_and_with_its_maker_s_right(
    console: Stack, ending: str
) -> None:
    organisation = await console.organisation()
    async with signed_in(console, organisation.id) as opened:
        path = await make_link(opened, organisation)
    async with browser(root_of(console)) as guest:
        assert (await guest.get(path)).status == 200
        await console.rows(f"{ending} RETURNING 1")
        assert await over(guest, path)
        assert await over(guest, "/setup/" + "A" * 43)
        assert await over(guest, "/setup/nonsense")
    assert len(await keys_of(console, organisation)) == 1


async def test_a_link_is_revoked_by_an_admin_of_its_organisation_alone(console: Stack) -> None:
    mine, other = await console.organisation("Mine"), await console.organisation("Other")
    async with signed_in(console, mine.id) as opened:
        path = await make_link(opened, mine)
        [link] = await console.rows("SELECT id::text FROM console.setup_link")
        async with signed_in(console, other.id, email="eve@other.example") as stranger:
            for organisation in (mine, other):
                asked = f"/o/{organisation.id}/scim/links/{link['id']}/revoke"
                assert (await stranger.get(asked)).status == 404
                assert (await stranger.post(asked)).status == 404
        async with (
            signed_in(console, mine.id, email="au@x.example", role="auditor") as auditor,
            browser(root_of(console)) as guest,
        ):
            asked = f"/o/{mine.id}/scim/links/{link['id']}/revoke"
            assert (await auditor.post(asked)).status == 403
            assert (await auditor.get(f"/o/{mine.id}/scim/links/new")).status == 403
            assert (await guest.get(path)).status == 200
            page = await opened.follow(await opened.post(asked))
            assert "The link is revoked" in page.text
            assert await over(guest, path)
            assert (await opened.post(asked)).status == 404


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"name": "x" * 81}, {"name": "a\u202eb"}, {"lasts": "365"}, {"lasts": ""}],
)
async def test_a_wrong_form_makes_no_link(console: Stack, fields: dict[str, str]) -> None:
    organisation = await console.organisation()
    async with signed_in(console, organisation.id) as opened:
        path = f"/o/{organisation.id}/scim/links/new"
        sent = {"name": "Jan", "lasts": "7", "form": FORM % 1, **fields}
        assert (await opened.post(path, sent)).status == 422
    assert await console.rows("SELECT FROM console.setup_link") == []


async def test_a_link_opens_nothing_else(console: Stack) -> None:
    """Every route that the console has, asked by somebody who has a link and no more."""
    organisation, other = await console.organisation("Mine"), await console.organisation("Other")
    async with signed_in(console, organisation.id) as opened:
        path = await make_link(opened, organisation)
    token = path.removeprefix("/setup/")
    public = {name for name, right in RIGHTS.items() if right.need is Need.ANYBODY}
    public.add("GET /admin/v1/openapi.json")
    seen = 0
    async with browser(root_of(console)) as guest:
        assert (await guest.get(path)).status == 200
        for method, template in await routes(console):
            if template.startswith("/{anything") or f"{method} {template}" in public:
                continue
            for each in (organisation, other):
                asked = template.replace("{organisation}", each.id)
                asked = re.sub(r"\{key\}", each.key[3:15], asked)
                asked = re.sub(r"\{[^}]*\}", "01a22e88-6651-77cc-802a-34181f6f6073", asked)
                answer = await (guest.get(asked) if method == "GET" else guest.post(asked))
                assert answer.status in (303, 401), (method, asked, answer.status)
                assert answer.location is None or answer.location.startswith("/sign-in?"), asked
                seen += 1
        assert (await guest.get(f"/link/{token}")).status == 404
        assert (await guest.post(f"/link/{token}")).status == 404
        for below in ("/scim", "/members", "/keys", "/with/nothing", f"/../../o/{organisation.id}"):
            assert (await guest.get(f"{path}{below}")).status in (303, 404), below
    assert seen > 60


async def routes(stack: Stack) -> list[tuple[str, str]]:
    """(method, template) of every route of the console."""
    settings = ConsoleSettings(
        kafka_bootstrap=stack.bootstrap,
        database_url=SecretStr(stack.database_url("console")),
        console_secret=SecretStr("x" * 32),
    )
    database = await open_pool(
        stack.database_url("console"),
        role_hint="console",
        max_size=1,
        statement_timeout_s=5,
        application_name="test",
    )
    try:
        app = Console(settings, database).pages_app()
        return [
            (route.method, route.resource.canonical)
            for route in app.router.routes()
            if route.resource is not None and route.method in ("GET", "POST")
        ]
    finally:
        await database.close()
