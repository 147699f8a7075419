"""What a new admin does first: a link, a key, the identity provider, what is to be seen of it."""

from playwright.async_api import Browser, expect

from rollcall.control.console_access import Wanted
from tests.browser.chromium import visiting
from tests.support.console import link, root_of
from tests.support.stack import Organisation, Stack


async def test_first_visit_key_run_members(stack: Stack, chrome: Browser) -> None:
    """The key is read from the page, and what it provisions appears on the page by itself."""
    await stack.start_all()
    await stack.start("console")
    organisation = await stack.organisation("Acme")
    async with visiting(stack, chrome, organisation.id) as visit:
        page = visit.page
        await expect(page.get_by_text("Waiting for first contact")).to_be_visible()
        await page.get_by_role("link", name="New key").click()
        await page.get_by_label("Name").fill("Okta")
        await page.get_by_role("button", name="Make the key").click()
        key = await page.get_by_label("API key: Okta").input_value()
        url = await page.get_by_label("SCIM URL").input_value()
        await visit.check("the new key")
        await page.get_by_role("link", name="I have copied it").click()

        run = Organisation(organisation.id, organisation.partition, key, url)
        async with stack.client(run) as client:
            for name in ("Anna de Wit", "Grace Hopper"):
                address = f"{name.split()[0].lower()}@acme.example"
                made = await client.create_user(address, displayName=name)
                assert made.status == 201

        latest = page.get_by_role("region", name="Latest")
        await expect(latest).to_contain_text("Grace Hopper joined", timeout=25_000)
        await expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=25_000)
        await expect(page.locator("#light")).to_contain_text("Okta")
        await visit.check("live")


async def test_everything_works_by_keyboard(stack: Stack, chrome: Browser) -> None:
    await stack.start("console")
    organisation = await stack.organisation("Acme")
    async with visiting(stack, chrome, organisation.id) as visit:
        page = visit.page
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        reached = []
        for _ in range(20):
            await page.keyboard.press("Tab")
            focused = page.locator(":focus")
            reached.append((await focused.inner_text() or await focused.input_value()).strip())
            ring = await focused.evaluate("e => getComputedStyle(e).outlineStyle")
            assert ring != "none", f"no focus to be seen on {reached[-1]}"
            if reached[-1].startswith("Revoke"):
                break
        assert any(each.startswith("Copy") for each in reached)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Revoke a key")).to_be_visible()


async def test_without_a_script_all_but_live_parts_works(stack: Stack, chrome: Browser) -> None:
    await stack.start("console")
    organisation = await stack.organisation("Acme")
    async with visiting(stack, chrome, organisation.id, java_script_enabled=False) as visit:
        page = visit.page
        await page.get_by_role("link", name="New key").click()
        await page.get_by_label("Name").fill("Entra ID")
        await page.get_by_role("button", name="Make the key").click()
        assert (await page.get_by_label("API key: Entra ID").input_value()).startswith("rc_")
        await page.get_by_role("link", name="I have copied it").click()
        await page.get_by_role("button", name="Nederlands").click()
        await expect(page.get_by_role("link", name="Nieuwe sleutel")).to_be_visible()
        await page.get_by_role("link", name="Uitzetten").click()
        await page.get_by_role("button", name="Uitzetten").click()
        await expect(page.get_by_role("status")).to_contain_text("Provisioning staat uit")


async def test_the_system_s_theme_is_taken_without_a_script(stack: Stack, chrome: Browser) -> None:
    await stack.start("console")
    made = await link(stack, Wanted("ana@acme.example"))
    shades = {}
    for scheme in ("light", "dark"):
        context = await chrome.new_context(color_scheme=scheme, java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{root_of(stack)}/link/{made.token}")
        pixel = await page.screenshot(clip={"x": 2, "y": 400, "width": 1, "height": 1})
        shades[scheme] = pixel
        await context.close()

    assert shades["light"] != shades["dark"]
