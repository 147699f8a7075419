"""Every page and state, in both languages, light and dark, on a desk and on a phone: axe-core
finds nothing of WCAG 2.2 AA, nothing is wider than the window, nothing comes from elsewhere."""

from itertools import product
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.browser.chromium import DESK, PHONE, visiting
from tests.support.scim_client import GROUP
from tests.support.stack import Stack

LONG = "Bartholomeus-Emmanuel " * 11
NAMES = ("Anna de Wit", LONG, "محمد عبد الله", "Zoë")
LOOKS = [
    pytest.param("en", "light", DESK, id="en-light-desk"),
    pytest.param("nl", "dark", PHONE, id="nl-dark-phone"),
    *(
        pytest.param(*look, id="-".join(look[:2]) + str(look[2]["width"]), marks=pytest.mark.long)
        for look in product(("en", "nl"), ("light", "dark"), (DESK, PHONE))
        if look not in (("en", "light", DESK), ("nl", "dark", PHONE))
    ),
]


@pytest.mark.parametrize(("language", "theme", "window"), LOOKS)
async def test_every_page_is_for_everybody(
    stack: Stack, chrome: Browser, language: str, theme: str, window: dict[str, int]
) -> None:
    await stack.start_all()
    await stack.start("console")
    empty, full = await stack.organisation("Empty"), await stack.organisation(LONG.strip()[:200])
    async with stack.client(full) as client:
        ids = [
            (await client.create_user(f"u{n}@acme.example", displayName=each[:256])).body["id"]
            for n, each in enumerate(NAMES)
        ]
        members = [{"value": each} for each in ids]
        group = {"schemas": [GROUP], "displayName": LONG[:200], "members": members}
        made = await client.call("POST", "/Groups", group)
        await client.create_user("u0@acme.example")
        await client.patch(f"/Users/{ids[0]}", {"op": "replace", "path": "active", "value": False})
    key = full.key[3:15]
    pages = [
        *(f"/o/{empty.id}/{each}" for each in ("scim", "members", "groups", "refused")),
        "/o",
        "/account",
        "/account/password",
        "/nothing",
        "/operations",
        "/sign-in/again?to=/account",
        "/sign-in/answer?state=none",
        *(
            f"/o/{full.id}/{each}"
            for each in (
                "scim",
                "scim/keys/new",
                f"scim/keys/{key}/replace",
                f"scim/keys/{key}/revoke",
                f"scim/keys/{key}/limits",
                "scim/off",
                "members",
                "members?q=nobody",
                "members?status=waiting",
                f"members/{ids[0]}",
                f"members/{ids[1]}/revoke",
                f"members/{ids[1]}/remove",
                f"members/{ids[0]}/restore",
                "groups",
                f"groups/{made.body['id']}",
                "organisation",
                "organisation/admins/new",
                "organisation/api-keys/new",
            )
        ),
    ]
    options: dict[str, Any] = {
        "language": language, "theme": theme, "viewport": window, "is_operator": True,
    }  # fmt: skip
    async with visiting(stack, chrome, empty.id, full.id, **options) as visit:
        for path in pages:
            await visit.go(path)
            html = visit.page.locator("html")
            assert await html.get_attribute("lang") == language
            await visit.check(path)
        await visit.page.locator("form[action='/sign-out'] button").first.evaluate("b => b.click()")
        await visit.page.wait_for_url("**/sign-in**")
        await visit.check("signed out")
        await visit.page.locator("#email").fill("ana@acme.example")
        await visit.page.locator("#password").fill("wrong")
        await visit.page.get_by_role("main").get_by_role("button").click()
        await visit.page.get_by_role("alert").wait_for()
        await visit.check("a wrong password")
