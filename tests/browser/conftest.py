"""A deployment with a console, and a browser; both named loudly where the browser is missing."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.browser.chromium import ARGUMENTS, chromium


@pytest.fixture
async def chrome() -> AsyncIterator[Browser]:
    """Chromium, without a window. Skipped where it is missing; in CI that is a failure."""
    path = chromium()
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield opened
        finally:
            await opened.close()
