"""Every route of the console × every role, and every route with the ids of others."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from rollcall.control.console.api_keys import NewAdminKey, make_admin_key
from rollcall.control.console_access import Wanted
from rollcall.postgres.console.console_api_keys import SCOPES
from rollcall.postgres.pool import open_pool
from rollcall_console.api.routes import operations
from rollcall_console.web.rights import RIGHTS, Need
from tests.support.console import Browser, browser, link, root_of, signed_in
from tests.support.stack import Organisation, Stack

NOBODY_S = "01a22e88-6651-77cc-802a-34181f6f6073"
ROLES = ("nobody", "stranger", "auditor", "admin", "owner", "operator", "break glass")
LADDER = {Need.SEE: 0, Need.ACT: 1, Need.OWN: 2}
STANDING = {"auditor": 0, "admin": 1, "owner": 2, "break glass": 2}
ENDS = ("POST /sign-out", "POST /account/sessions")
"""They would end the walk."""


@dataclass(slots=True)
class Cast:
    """A console, two organisations, and a browser of everybody."""

    stack: Stack
    mine: Organisation
    other: Organisation
    browsers: dict[str, Browser]

    async def ask(self, role: str, name: str, organisation: str, key: str) -> tuple[int, str, str]:
        """Status, text, and where it leads, for a route as the table names it."""
        method, path = name.split(" ", 1)
        path = path.replace("{organisation}", organisation).replace("{key}", key)
        path = path.replace("{act}", "revoke").replace("{action}", "redrive")
        path = re.sub(r"{\w+}", NOBODY_S, path)
        opened = self.browsers[role]
        answer = await (opened.get(path) if method == "GET" else opened.post(path))
        return answer.status, answer.text, answer.location or ""


@pytest.fixture
async def cast(stack: Stack) -> AsyncIterator[Cast]:
    """Everybody, signed in."""
    await stack.start("console")
    mine, other = await stack.organisation("Mine"), await stack.organisation("Other")
    async with AsyncExitStack() as held:
        browsers = {"nobody": await held.enter_async_context(browser(root_of(stack)))}
        for role in ("auditor", "admin", "owner"):
            browsers[role] = await held.enter_async_context(
                signed_in(stack, mine.id, email=f"{role}@acme.example", role=role)
            )
        browsers["stranger"] = await held.enter_async_context(
            signed_in(stack, other.id, email="stranger@other.example")
        )
        for role, wanted in (
            ("operator", Wanted("operator@example.org", is_operator=True)),
            ("break glass", Wanted("emergency@example.org", is_break_glass=True)),
        ):
            made = await link(stack, wanted)
            browsers[role] = await held.enter_async_context(browser(root_of(stack)))
            assert (await browsers[role].post(f"/link/{made.token}")).status == 303
        yield Cast(stack, mine, other, browsers)


async def test_every_route_asks_for_its_right(cast: Cast) -> None:
    """Who lacks the right is sent to sign in (nobody), finds nothing, or may not."""
    faults: list[tuple[str, str, object]] = []
    key = cast.mine.key[3:15]
    for name, right in RIGHTS.items():
        if right.need is Need.ANYBODY or name in ENDS:
            continue
        for role in ROLES:
            if name.startswith("POST") and role in ("owner", "break glass"):
                continue  # they may: what it does is tested elsewhere
            status, text, to = await cast.ask(role, name, cast.mine.id, key)
            wanted: set[int]
            if role == "nobody":
                wanted = {303} if name.startswith("GET") else {401}
                if status == 303 and not to.startswith("/sign-in?to="):
                    faults.append((name, role, to))
            elif right.need is Need.OPERATE:
                wanted = {200} if role in ("operator", "break glass") else {404}
            elif right.need is Need.SIGNED_IN:
                wanted = {200, 303, 401, 404, 422}
            elif role not in STANDING:
                wanted = {404}
            elif STANDING[role] < LADDER[right.need]:
                wanted = {403}
            else:
                wanted = {200, 303, 400, 404, 422}
            if status not in wanted:
                faults.append((name, role, status))
            if "went wrong" in text:
                faults.append((name, role, "a fault"))
    assert faults == []


async def test_other_organisations_are_not_there_on_any_route(cast: Cast) -> None:
    """Exactly as those that do not exist; nor is another one's key below one's own."""
    keys = {each.id: each.key[3:15] for each in (cast.mine, cast.other)}
    for name in (each for each in RIGHTS if "{organisation}" in each):
        found = []
        for organisation in (cast.other.id, NOBODY_S):
            status, text, _ = await cast.ask("owner", name, organisation, keys[cast.other.id])
            assert status == 404, name
            found.append(re.sub(r'value="/o/[^"]*"', "", text))
        assert found[0] == found[1], name
        if "{key}" in name:
            status, text, _ = await cast.ask("owner", name, cast.mine.id, keys[cast.other.id])
            assert status == 404, name
    assert keys[cast.other.id] not in cast.stack.running("console")[0].log.read_text()


async def test_a_key_of_the_api_finds_its_organisation_alone(cast: Cast) -> None:
    stack = cast.stack
    database = await open_pool(
        stack.database_url("owner"),
        role_hint="owner", max_size=1, statement_timeout_s=10, application_name="test",
    )  # fmt: skip
    try:
        _, bound = await make_admin_key(database, NewAdminKey("bound", SCOPES, cast.mine.id))
        _, narrow = await make_admin_key(database, NewAdminKey("narrow", ["members:read"]))
    finally:
        await database.close()
    nothing: object = None
    listed = operations(nothing, nothing, nothing)  # type: ignore[arg-type]
    session, root = cast.browsers["nobody"].session, root_of(stack)

    async def ask(operation: object, key: str | None, organisation: str) -> int:
        method, path = operation.name.split(" ", 1)  # type: ignore[attr-defined]
        path = path.replace("{organisation}", organisation)
        path = path.replace("{key}", cast.other.key[3:15])
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with session.request(
            method, root + re.sub(r"{\w+}", NOBODY_S, path), headers=headers, json={"name": "x"}
        ) as answer:
            if answer.status >= 400:
                assert answer.content_type == "application/problem+json"
                assert (await answer.json())["status"] == answer.status
            return answer.status

    for operation in listed:
        assert await ask(operation, None, cast.mine.id) == 401
        assert await ask(operation, cast.mine.key, cast.mine.id) == 401  # a SCIM key is none
        assert await ask(operation, bound[:-1] + "x", cast.mine.id) == 401
        if "{organisation}" in operation.path:
            assert await ask(operation, bound, cast.other.id) == 404, operation.name
            assert await ask(operation, bound, NOBODY_S) == 404, operation.name
        if operation.scope != "members:read":
            assert await ask(operation, narrow, cast.mine.id) == 403, operation.name
        if "{key}" in operation.path and operation.body is None:
            assert await ask(operation, bound, cast.mine.id) == 404, operation.name
