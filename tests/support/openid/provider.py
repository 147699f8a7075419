"""A real OpenID provider (npm's `oidc-provider`), started by a test. No test in here."""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

HERE: Final = Path(__file__).parents[2] / "oidc"
CLIENT: Final = "rollcall-console"
CLIENT_SECRET: Final = "a-secret-of-the-client-that-only-tests-use"
START_S: Final = 60.0
_ACTION: Final = re.compile(r'action="([^"]+)"')
_PROMPT: Final = re.compile(r'name="prompt" value="([^"]+)"')


def node() -> str:
    """Node's path. Skips where it, or the provider, is missing; in CI that is a failure."""
    path = shutil.which("node")
    if path is not None and (HERE / "node_modules/oidc-provider").is_dir():
        return path
    why = "no OpenID provider: `make node-tools` installs it; a real sign-in is not tried"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@contextlib.asynccontextmanager
async def provider(console_root: str, *more: str) -> AsyncIterator[str]:
    """The root of a provider for the console at `console_root`."""
    started = await asyncio.create_subprocess_exec(
        node(), "provider.mjs", console_root, *more,
        cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert started.stdout is not None
        async with asyncio.timeout(START_S):
            root = (await started.stdout.readline()).decode().strip()
        assert root.startswith("http://127.0.0.1:"), "the provider did not start"
        yield root
    finally:
        if started.returncode is None:
            started.terminate()
        await started.wait()


async def sign_in(session: aiohttp.ClientSession, url: str, login: str) -> str:
    """Go through the provider's pages as `login`; the address that it sends back to."""
    root = re.match(r"https?://[^/]+", url)
    assert root is not None
    fields: dict[str, str] | None = None
    for _ in range(20):
        method = "GET" if fields is None else "POST"
        async with session.request(method, url, data=fields, allow_redirects=False) as answer:
            location, text = answer.headers.get("Location"), await answer.text()
        fields = None
        if location is None:
            action, prompt = _ACTION.search(text), _PROMPT.search(text)
            assert action is not None, text
            assert prompt is not None, text
            url, fields = action[1], {"prompt": prompt[1], "login": login, "password": "any"}
        elif not location.startswith(("/", root[0])):
            return location
        else:
            url = location if location.startswith("http") else root[0] + location
    raise AssertionError("the provider goes round in a circle")
