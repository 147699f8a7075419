"""The console as a browser meets it over HTTP: cookies, forms, the headers that browsers set.

`signed_in` makes an account as `rollcall console link` does, and opens its link.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from html import unescape

import aiohttp
from pydantic import SecretStr

from rollcall.control.console_access import Link, Wanted, make_link
from rollcall.control.settings import OperatorSettings
from rollcall.control.tenancy_log import open_log
from rollcall.events.envelope import Event, decode
from rollcall.kafka.reading import open_reader
from rollcall.postgres.pool import open_pool
from tests.support.stack import Organisation, Stack

FORM = "01a22e88-6651-77cc-802a-34181f6f60%02d"
"""Ids of forms, by number: what is sent twice with one id is done once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, where to go on, the page."""

    status: int
    location: str | None
    text: str
    headers: Mapping[str, str]

    def field(self, name: str) -> str:
        """The value of a hidden field of a form, or of a read-only one, by its name or id."""
        found = re.search(rf'<input[^>]*(?:name|id)="{re.escape(name)}"[^>]*>', self.text)
        assert found is not None, f"no field {name} in {self.text}"
        value = re.search(r'value="([^"]*)"', found[0])
        assert value is not None
        return unescape(value[1])


@dataclass(slots=True)
class Browser:
    """A visitor's browser. `path` is below the console's root."""

    session: aiohttp.ClientSession
    root: str

    async def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page."""
        return await self._ask("GET", path, headers=headers)

    async def post(
        self,
        path: str,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a form, as a page of the console does."""
        own = {"Origin": self.root, "Sec-Fetch-Site": "same-origin"}
        return await self._ask(
            "POST", path, headers={**own, **(headers or {})}, data=dict(fields or {})
        )

    async def follow(self, answer: Answer) -> Answer:
        """Go where an answer leads."""
        assert answer.location is not None, answer
        return await self.get(answer.location)

    async def _ask(self, method: str, path: str, **options: object) -> Answer:
        url = f"{self.root}{path}"
        async with self.session.request(method, url, allow_redirects=False, **options) as found:  # type: ignore[arg-type]
            return Answer(
                found.status, found.headers.get("Location"), await found.text(), found.headers
            )


@contextlib.asynccontextmanager
async def browser(root: str) -> AsyncIterator[Browser]:
    """A browser without any cookie."""
    jar = aiohttp.CookieJar(unsafe=True)  # of an address, too
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(session, root)


async def link(stack: Stack, wanted: Wanted) -> Link:
    """A link, as `rollcall console link` makes it."""
    url = stack.database_url("owner")
    settings = OperatorSettings(
        kafka_bootstrap=stack.bootstrap, topic_prefix=stack.prefix, database_url=SecretStr(url)
    )
    database = await open_pool(
        url, role_hint="owner", max_size=1, statement_timeout_s=10, application_name="test"
    )
    try:
        return await make_link(settings, database, wanted)
    finally:
        await database.close()


def root_of(stack: Stack) -> str:
    """The root of the console that runs."""
    [process] = stack.running("console")
    return f"http://127.0.0.1:{process.door_port}"


@contextlib.asynccontextmanager
async def signed_in(
    stack: Stack, *organisations: str, email: str = "ana@acme.example", role: str = "owner"
) -> AsyncIterator[Browser]:
    """A browser that is signed in with a role in these organisations (ids)."""
    made = await link(stack, Wanted(email, "Ana Silva", organisations, role))
    async with browser(root_of(stack)) as opened:
        answer = await opened.post(f"/link/{made.token}")
        assert answer.status == 303, answer
        yield opened


async def keys_of(stack: Stack, organisation: Organisation) -> dict[str, tuple[bool, bool]]:
    """Public id → (revoked, expires), of the log."""
    async with open_log(stack.settings) as log:
        tenancy = await log.read()
    return {
        key.public_id: (key.revoked is not None, key.expires is not None)
        for key in tenancy.keys_of(organisation.id)
    }


async def tenancy_events(stack: Stack) -> list[Event]:
    """The records of the tenancy topic, in order."""
    found: list[Event] = []
    async with open_reader(stack.settings, stack.topics.tenancy, 0, fetch_wait_ms=20) as reader:
        first, end = await reader.held()
        async for batch in reader.read(first, end):
            found += [decode(record.headers, record.value) for record in batch]
    return found
