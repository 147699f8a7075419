"""The admin API: what scripts do with it, what it refuses, and that nothing makes it fail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from docs.admin_api import admin_api
from rollcall.control.console.api_keys import NewAdminKey, make_admin_key
from rollcall.postgres.console.console_api_keys import SCOPES
from rollcall.postgres.pool import Database, open_pool
from tests.support.console import root_of, signed_in
from tests.support.stack import Organisation, Stack, until

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FEW, MANY = 3, 60


@contextlib.asynccontextmanager
async def owned(stack: Stack) -> AsyncIterator[Database]:
    database = await open_pool(
        stack.database_url("owner"),
        role_hint="owner", max_size=1, statement_timeout_s=10, application_name="test",
    )  # fmt: skip
    try:
        yield database
    finally:
        await database.close()


@dataclass(slots=True)
class Api:
    """A client of the API with a key of the whole deployment."""

    session: aiohttp.ClientSession
    root: str
    key: str

    async def __call__(
        self, method: str, path: str, body: Any = None, **options: Any
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            options["json"] = body
        async with self.session.request(
            method, f"{self.root}/admin/v1{path}", headers=headers, **options
        ) as answer:
            found = None if answer.status == 204 else await answer.json(content_type=None)
            return answer.status, found


@pytest.fixture
async def api(stack: Stack) -> AsyncIterator[Api]:
    """A console, and a key that may do everything."""
    await stack.start("console")
    async with owned(stack) as database:
        _, key = await make_admin_key(database, NewAdminKey("all", SCOPES))
    async with aiohttp.ClientSession() as session:
        yield Api(session, root_of(stack), key)


async def test_organisations_and_keys(stack: Stack, api: Api) -> None:
    """A product makes a customer, its key, limits it, replaces it, revokes it."""
    status, made = await api("POST", "/organisations", {"name": "Acme", "language": "nl"})
    assert status == 201
    acme = made["organisation"]["id"]
    assert made["api_key"].startswith("rc_")
    for name in ("Beta", "Gamma"):
        await api("POST", "/organisations", {"name": name})
    seen, after = [], ""
    while True:
        query = f"?limit=1{'&after=' + after if after else ''}"
        _, page = await api("GET", f"/organisations{query}")
        seen += [each["name"] for each in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == ["Acme", "Beta", "Gamma"]

    one = f"/organisations/{acme}"
    _, changed = await api("PATCH", one, {"scim_enabled": False, "rate": 50})
    assert (changed["scim_enabled"], changed["rate"], changed["language"]) == (False, 50, "nl")
    _, changed = await api("PATCH", one, {"rate": None})
    assert changed["rate"] is None

    _, key = await api("POST", f"{one}/keys", {"name": "Okta", "networks": ["192.0.2.0/24"]})
    assert key["key"]["networks"] == ["192.0.2.0/24"]
    public_id = key["key"]["public_id"]
    _, limited = await api(
        "PUT", f"{one}/keys/{public_id}/limits", {"networks": [], "scopes": ["users:read"]}
    )
    assert (limited["networks"], limited["scopes"]) == ([], ["users:read"])
    status, replaced = await api("POST", f"{one}/keys/{public_id}/replace", {"overlap_hours": 1})
    assert (status, replaced["key"]["scopes"]) == (201, ["users:read"])
    assert (await api("DELETE", f"{one}/keys/{public_id}"))[0] == 204
    _, listed = await api("GET", f"{one}/keys")
    assert [each["revoked"] is not None for each in listed["items"]].count(True) == 1
    assert "sha256" not in str(listed)
    acts = await stack.rows(
        "SELECT kind FROM console.act WHERE organisation_id = $1 AND api_key IS NOT NULL"
        " ORDER BY id",
        acme,
    )
    assert [row["kind"] for row in acts] == [
        "organisation.made", "settings", "settings", "key.made", "key.limited", "key.replaced",
        "key.revoked",
    ]  # fmt: skip


async def test_members_by_page_and_acts(stack: Stack, api: Api) -> None:
    await stack.start_all()
    organisation = await stack.organisation("Acme")
    async with stack.client(organisation) as client:
        made = [await client.create_user(f"{name}@acme.example") for name in ("ana", "bo", "cas")]
    ids = [each.body["id"] for each in made]
    members = f"/organisations/{organisation.id}/members"
    _, first = await api("GET", f"{members}?limit=2")
    _, second = await api("GET", f"{members}?limit=2&after={first['next']}")
    assert [each["id"] for each in first["items"] + second["items"]] == ids
    assert second["next"] is None
    _, found = await api("GET", f"{members}?q=bo@")
    assert [each["id"] for each in found["items"]] == ids[1:2]

    _, acted = await api("POST", f"{members}/{ids[0]}/revoke")
    assert acted["state"] in ("done", "pending")

    async def is_revoked() -> bool:
        return bool((await api("GET", f"{members}/{ids[0]}"))[1]["status"] == "revoked")

    await until(is_revoked, "the member is revoked")
    status, problem = await api("POST", f"{members}/{ids[0]}/revoke")
    assert (status, problem["code"]) == (409, "status")
    assert (await api("DELETE", f"{members}/{ids[2]}"))[0] == 200
    _, refused = await api("GET", f"/organisations/{organisation.id}/refused")
    assert refused == {"refused": [], "dead_letters": []}


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "not_found"),
        ("DELETE", "/organisations", {}, 405, "method"),
        ("GET", "/organisations?limit=0", {}, 400, "limit"),
        ("GET", "/organisations?limit=1e9", {}, 400, "limit"),
        ("GET", "/organisations?after=%21", {}, 400, "after"),
        ("GET", "/organisations?after=WyJcdTAwMDAiXQ", {}, 400, "after"),
        ("GET", "/organisations?page=2", {}, 400, "parameter"),
        ("GET", "/organisations/%00", {}, 404, "not_found"),
        ("POST", "/organisations", {"data": b"{"}, 415, "media_type"),
        ("POST", "/organisations", {"json": []}, 400, "body"),
        ("POST", "/organisations", {"json": {"name": ""}}, 400, "body"),
        ("POST", "/organisations", {"json": {"name": "a\0b"}}, 422, "not_possible"),
        ("POST", "/organisations", {"json": {"name": "a", "beside": 1}}, 400, "body"),
        ("POST", "/organisations", {"json": {"name": "x" * 70000}}, 413, "body"),
        ("PATCH", "/organisations/{id}", {"json": {"rate": "50"}}, 400, "body"),
        ("PATCH", "/organisations/{id}", {"json": {"name": None}}, 400, "body"),
        ("POST", "/organisations/{id}/keys", {"json": {"name": "a", "networks": ["1"]}}, 422,
         "not_possible"),
        ("POST", "/organisations/{id}/keys",
         {"json": {"name": "a", "expires": "2020-01-01T00:00:00Z"}}, 400, "body"),
        ("POST", "/organisations/{id}/keys", {"json": {"name": "a", "scopes": ["all"]}}, 400,
         "body"),
        ("GET", "/organisations/{id}/members?status=gone", {}, 400, "status"),
        ("GET", "/organisations/{id}/members?q=%00", {}, 400, "parameter"),
    ],
)  # fmt: skip
async def test_errors_are_problems(
    api: Api, shared: Organisation, method: str, path: str, options: Any, status: int, code: str
) -> None:
    found, problem = await api(method, path.replace("{id}", shared.id), **options)

    assert (found, problem["code"]) == (status, code), problem
    assert set(problem) == {"type", "title", "status", "detail", "code"}


@pytest.fixture
async def shared(stack: Stack) -> Organisation:
    return await stack.organisation("Shared")


async def test_an_owner_makes_a_key_for_one_organisation(stack: Stack, api: Api) -> None:
    organisation = await stack.organisation("Acme")
    async with signed_in(stack, organisation.id) as opened:
        path = f"/o/{organisation.id}/organisation/api-keys/new"
        form = (await opened.get(path)).field("form")
        fields = {"name": "CI", "expires": "90", "form": form, "members:read": "on"}
        assert (await opened.post(path, {**fields, "members:read": ""})).status == 422
        shown = await opened.post(path, fields)
        key = shown.field("new-api-key")
        assert (await opened.post(path, fields)).status == 422  # sent before
        own = Api(api.session, api.root, key)
        assert (await own("GET", f"/organisations/{organisation.id}/members"))[0] == 200
        assert (await own("GET", "/organisations"))[0] == 403
        public_id = key[3:15]
        revoke = f"/o/{organisation.id}/organisation/api-keys/{public_id}/revoke"
        assert (await opened.post(revoke)).status == 303
        assert (await own("GET", f"/organisations/{organisation.id}/members"))[0] == 401
    kept = str(await stack.rows("SELECT k::text FROM console.api_key k"))
    assert key not in kept + stack.running("console")[0].log.read_text()


async def fuzzed(stack: Stack, api: Api, count: int) -> int:
    """Every operation, kept to and broken; how many cases were sent."""
    organisation = await stack.organisation("Fuzzed")
    sent = 0
    client = requests.Session()
    client.headers["Authorization"] = f"Bearer {api.key}"
    for result in schemathesis.openapi.from_dict(admin_api()).get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=count,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def send(case: Case[Any]) -> None:
                nonlocal sent
                sent += 1
                if sent % 2 and "organisation" in (case.path_parameters or {}):
                    case.path_parameters["organisation"] = organisation.id
                response = case.call(base_url=api.root, session=client, timeout=30)
                case.validate_response(response, checks=CHECKS)

            await asyncio.to_thread(send)
    return sent


async def test_nothing_makes_it_fail(stack: Stack, api: Api) -> None:
    assert await fuzzed(stack, api, FEW) > 50


@pytest.mark.long
async def test_nothing_makes_it_fail_for_long(stack: Stack, api: Api) -> None:
    await stack.start_all()
    assert await fuzzed(stack, api, MANY) > 1000
