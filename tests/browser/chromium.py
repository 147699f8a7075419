"""Where Chromium is, and what a page is asked after each step. No test in here."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page

from rollcall.control.console_access import Wanted
from tests.support.console import link, root_of
from tests.support.stack import Stack

ARGUMENTS: Final = ["--no-sandbox", "--disable-gpu"]
NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
AXE: Final = (Path(__file__).parent / "vendor/axe.min.js").read_text(encoding="utf-8")
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE: Final = {"width": 360, "height": 780}
DESK: Final = {"width": 1440, "height": 900}


def chromium() -> str:
    """The browser's path. Skips the test where there is none, and fails it in CI."""
    for name in NAMES:
        if (path := shutil.which(name)) is not None:
            return path
    why = "no Chromium: `make browser-tools` installs it; the console is not tried in a browser"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@dataclass(slots=True)
class Watched:
    """A page of the console, and what it did that it must not do."""

    page: Page
    root: str
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note errors of the console and requests to elsewhere."""
        host = urlsplit(self.root).netloc

        def said(kind: str, text: str, at: str = "") -> None:
            # An error page is answered with its status, which Chromium calls an error.
            is_status = text.startswith("Failed to load resource: the server responded")
            if kind in ("error", "warning") and not is_status:
                self.faults.append(f"{kind}: {text} {at}")

        def asked(url: str) -> None:
            if urlsplit(url).netloc != host and not url.startswith("data:"):
                self.faults.append(f"request to {url}")

        self.page.on("console", lambda message: said(message.type, message.text))
        self.page.on("pageerror", lambda error: said("error", str(error)))
        self.page.on("request", lambda request: asked(request.url))

    async def go(self, path: str) -> None:
        """Open a page of the console."""
        await self.page.goto(f"{self.root}{path}", wait_until="networkidle")

    async def check(self, where: str = "") -> None:
        """axe-core finds nothing, nothing is wider than the window, nothing was said."""
        await self.page.evaluate(AXE)
        found: dict[str, Any] = await self.page.evaluate(
            "rules => axe.run({runOnly: rules})", RULES
        )
        broken = [
            (each["id"], [node["target"] for node in each["nodes"]]) for each in found["violations"]
        ]
        assert broken == [], f"{where or self.page.url}: {broken}"
        is_wide = await self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not is_wide, f"{where or self.page.url} is wider than its window"
        assert self.faults == [], where or self.page.url


@asynccontextmanager
async def visiting(
    stack: Stack,
    chrome: Browser,
    *organisations: str,
    role: str = "owner",
    is_operator: bool = False,
    language: str = "en",
    theme: str = "auto",
    **options: Any,
) -> AsyncIterator[Watched]:
    """A page that is signed in; `options` are of Playwright's context."""
    root = root_of(stack)
    made = await link(
        stack, Wanted("ana@acme.example", "Ana Silva", organisations, role, is_operator)
    )
    context = await chrome.new_context(
        locale={"en": "en-GB", "nl": "nl-NL"}[language], timezone_id="Europe/Amsterdam", **options
    )
    await context.add_cookies(
        [
            {"name": "theme", "value": theme, "url": root},
            {"name": "lang", "value": language, "url": root},
        ]
    )
    try:
        page = await context.new_page()
        watched = Watched(page, root)
        watched.watch()
        await watched.go(f"/link/{made.token}")
        await page.get_by_role("main").get_by_role("button").click()
        await page.wait_for_url(f"{root}/**")
        yield watched
    finally:
        await context.close()
