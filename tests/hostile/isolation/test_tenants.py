"""Every route × method × kind of foreign id, key, version and filter value.

Two organisations hold content. Whatever the one says of the other is answered to the byte as if
the other's ids, keys and values were nobody's, and the other's rows stay as they are.
"""

import itertools
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.hostile.attacked_stack import AttackedStack, opened
from tests.hostile.entry import ENTERPRISE, GROUP, PATCH, SEARCH, USER, Profile
from tests.support.databases import TestDatabase
from tests.support.servers import KafkaServer
from tests.support.stack import running
from tests.support.wire import Reply, exchange

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

ROUTES = (
    ("Users", "GET POST"),
    ("Groups", "GET POST"),
    ("Users/ID", "GET PUT PATCH DELETE"),
    ("Groups/ID", "GET PUT PATCH DELETE"),
    ("Users/.search", "POST"),
    ("Groups/.search", "POST"),
    ("Me", "GET POST PUT PATCH DELETE"),
    ("Bulk", "POST"),
    ("ServiceProviderConfig", "GET"),
    ("ResourceTypes", "GET"),
    ("ResourceTypes/User", "GET"),
    ("Schemas", "GET"),
    (f"Schemas/{USER}", "GET"),
    ("nothing", "GET POST"),
    ("", "GET POST"),
)
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
OWN_TO_EACH_ANSWER = ("location", "etag", "rollcall-request-id")
TIME = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z")


@dataclass(frozen=True, slots=True)
class Try:
    """A request with `FOREIGN` where another organisation's id, or nobody's, is put."""

    name: str
    method: str
    path: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()

    def filled(self, foreign: str) -> "Try":
        """The same with an id, a version or a value in its place."""
        text = json.dumps(self.body).replace("FOREIGN", foreign)
        headers = tuple((name, value.replace("FOREIGN", foreign)) for name, value in self.headers)
        return Try(
            self.name,
            self.method,
            self.path.replace("FOREIGN", quote(foreign)),
            json.loads(text),
            headers,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(
    tmp_path_factory: pytest.TempPathFactory,
    kafka_server: KafkaServer,
    module_database: TestDatabase,
) -> AsyncIterator[AttackedStack]:
    folder: Path = tmp_path_factory.mktemp("isolation")
    prefix = f"t{uuid.uuid4().hex[:12]}"
    async with (
        running(folder, kafka_server.bootstrap, prefix, module_database.url) as stack,
        opened(stack) as made,
    ):
        yield made


async def ask(
    attacked: AttackedStack, base: str, key: str | None, attempt: Try, replace: Mapping[str, str]
) -> tuple[Any, ...]:
    """Status, headers (of some only the name), and body, with the texts in `replace` made one."""
    body = None if attempt.body is None else json.dumps(attempt.body).encode()
    lines = [f"{attempt.method} {base}{attempt.path} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in attempt.headers]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if body is not None:
        lines += ["Content-Type: application/scim+json", f"Content-Length: {len(body)}"]
    head = "\r\n".join([*lines, "", ""]).encode()
    reply: Reply = await exchange(
        attacked.stack.door_port, head + (body or b""), method=attempt.method
    )
    text = reply.body
    for old, new in replace.items():
        for spelling in (old, old.lower()):
            text = text.replace(spelling.encode(), new.encode())
    headers = [
        (name, "" if name in OWN_TO_EACH_ANSWER else value)
        for name, value in reply.headers
        if name not in ("date", "content-length")
    ]
    return reply.status, headers, text


def resources(kind: str) -> dict[str, Any]:
    """A body for each method."""
    name = "userName" if kind == "Users" else "displayName"
    urn = USER if kind == "Users" else GROUP
    change = {"op": "replace", "path": "displayName", "value": "Taken over"}
    return {
        "GET": None,
        "DELETE": None,
        "POST": {"schemas": [urn], name: f"new-{uuid.uuid4().hex}"},
        "PUT": {"schemas": [urn], name: f"new-{uuid.uuid4().hex}"},
        "PATCH": {"schemas": [PATCH], "Operations": [change]},
    }


def by_id() -> Iterator[Try]:
    """Every method of a resource's own address, alone and with conditions and projections."""
    extras: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
        ("", "", ()),
        (" attributes", "?attributes=userName,displayName,members,groups", ()),
        (" excluded", "?excludedAttributes=emails", ()),
        (" If-Match", "", (("If-Match", 'W/"VERSION"'),)),
        (" If-Match star", "", (("If-Match", "*"),)),
        (" If-None-Match", "", (("If-None-Match", 'W/"VERSION"'),)),
        (" minimal", "", (("Prefer", "return=minimal"),)),
        (" representation", "", (("Prefer", "return=representation"),)),
    )
    for kind in ("Users", "Groups"):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            for name, query, headers in extras:
                body = resources(kind)[method]
                yield Try(
                    f"{method} {kind}{name}", method, f"/{kind}/FOREIGN{query}", body, headers
                )
    accept = {"op": "add", "path": "members", "value": [{"value": "FOREIGN"}]}
    yield Try(
        "PATCH members of a foreign group",
        "PATCH",
        "/Groups/FOREIGN",
        {"schemas": [PATCH], "Operations": [accept]},
    )


def with_version(attempt: Try, version: str) -> Try:
    headers = tuple((name, value.replace("VERSION", version)) for name, value in attempt.headers)
    return Try(attempt.name, attempt.method, attempt.path, attempt.body, headers)


async def test_a_foreign_id_is_answered_to_the_byte_like_an_absent_one(
    attacked: AttackedStack,
) -> None:
    victim, asker = attacked.victim, attacked.askers["compatible"]
    base, key = f"/v2/{asker.organisation.id}", asker.organisation.key
    before = await attacked.victims_rows()
    differences: list[str] = []

    tried = 0
    for attempt in by_id():
        mine = with_version(attempt, victim.version)
        for foreign in (victim.member, victim.group, victim.member.upper()):
            absent = str(uuid.uuid4())
            if foreign.isupper():
                absent = absent.upper()
            answers = [
                await ask(attacked, base, key, mine.filled(each), {each: "FOREIGN"})
                for each in (foreign, absent)
            ]
            tried += 1
            if answers[0] != answers[1]:
                differences.append(f"{attempt.name}: {answers}")
            if answers[0][0] not in (404, 412):
                differences.append(f"{attempt.name}: {answers[0][0]}")

    assert differences == []
    assert tried == 195
    assert await attacked.victims_rows() == before


@pytest.mark.parametrize("profile", ["compatible", "interop"])
async def test_a_foreign_key_or_organisation_opens_nothing_on_any_route(
    profile: Profile, attacked: AttackedStack
) -> None:
    victim, asker = attacked.victim, attacked.askers[profile]
    mine, theirs = f"/v2/{asker.organisation.id}", f"/v2/{victim.organisation.id}"
    unknown_organisation = f"/v2/{uuid.uuid4()}"
    key, foreign = asker.organisation.key, victim.organisation.key
    unknown = asker.organisation.key[:-1] + ("x" if key[-1] != "x" else "y")
    before = await attacked.victims_rows()
    state = await attacked.askers_state()
    differences: list[str] = []

    for route, methods in ROUTES:
        for method in methods.split():
            kind = "Groups" if route.startswith("Groups") else "Users"
            body = resources(kind)[method]
            for resource in (victim.member, victim.group, asker.member, asker.group):
                path = f"/{route}".replace("ID", resource)
                attempt = Try(f"{method} {route}", method, path, body)
                reference = await ask(attacked, mine, None, attempt, {})
                answers = {
                    "own key at theirs": await ask(attacked, theirs, key, attempt, {}),
                    "own key at nobody's": await ask(
                        attacked, unknown_organisation, key, attempt, {}
                    ),
                    "their key at mine": await ask(attacked, mine, foreign, attempt, {}),
                    "an unknown key at mine": await ask(attacked, mine, unknown, attempt, {}),
                    "no key at theirs": await ask(attacked, theirs, None, attempt, {}),
                }
                differences += [
                    f"{attempt.name}, {name}: {answer} instead of {reference}"
                    for name, answer in answers.items()
                    if answer != reference
                ]
                if reference[0] != 401:
                    differences.append(f"{attempt.name}: {reference[0]}")
                if "ID" not in route:
                    break

    assert differences == []
    assert await attacked.victims_rows() == before
    assert await attacked.askers_state() == state


def filters() -> Iterator[tuple[str, str, str]]:
    """Type, filter with `FOREIGN`, and what of the victim's goes there."""
    for kind in ("Users", "Groups"):
        yield kind, 'id eq "FOREIGN"', "id"
        yield kind, 'externalId eq "FOREIGN"', "external"
        yield kind, 'displayName eq "FOREIGN"', "display"
        yield kind, 'displayName sw "FOREIGN"', "display"
        yield kind, 'meta.version eq "FOREIGN"', "version"
        yield kind, 'meta.location co "FOREIGN"', "id"
        yield kind, 'not (id ne "FOREIGN")', "id"
        yield kind, 'id eq "FOREIGN" or externalId eq "FOREIGN"', "id"
        yield kind, 'id sw "FOREIGN"', "id"
    for name in ("userName eq", "userName sw", "userName co", "userName ew", "emails.value eq"):
        yield "Users", f'{name} "FOREIGN"', "name"
    yield "Users", 'emails[type eq "work" and value eq "FOREIGN"]', "name"
    yield "Users", 'groups.value eq "FOREIGN"', "group"
    yield "Users", 'groups eq "FOREIGN"', "group"
    yield "Users", 'groups[value eq "FOREIGN"]', "group"
    yield "Users", 'groups.display eq "FOREIGN"', "group display"
    yield "Users", f'{ENTERPRISE}:manager.value eq "FOREIGN"', "id"
    yield "Users", f'{ENTERPRISE}:manager eq "FOREIGN"', "id"
    yield "Groups", 'members.value eq "FOREIGN"', "id"
    yield "Groups", 'members eq "FOREIGN"', "id"
    yield "Groups", 'members[value eq "FOREIGN"]', "id"
    yield "Groups", 'members.display eq "FOREIGN"', "display"


async def test_a_foreign_value_in_a_filter_finds_nothing(attacked: AttackedStack) -> None:
    asker = attacked.askers["compatible"]
    base, key = f"/v2/{asker.organisation.id}", asker.organisation.key
    values = {
        "id": (attacked.victim.member, str(uuid.uuid4())),
        "group": (attacked.victim.group, str(uuid.uuid4())),
        "version": (f'W/\\"{attacked.victim.version}\\"', f'W/\\"{uuid.uuid4()}\\"'),
        "external": ("external-of-victim", "external-of-nobody"),
        "display": ("Victoria", "Nobody22"),
        "group display": ("Crew of victim", "Crew of nobody"),
        "name": ("victoria@victim.example", "nobody22@nobody.example"),
    }
    differences: list[str] = []
    found = 0

    for kind, text, what in filters():
        for value in values[what]:
            expression = text.replace("FOREIGN", value)
            query = Try(text, "GET", f"/{kind}?filter={quote(expression)}")
            message = {"schemas": [SEARCH], "filter": expression}
            posted = Try(text, "POST", f"/{kind}/.search", message)
            answers = [
                await ask(attacked, base, key, attempt, {value: "FOREIGN"})
                for attempt in (query, posted)
            ]
            for status, _, body in answers:
                found += status == 200
                if status == 200 and json.loads(body)["totalResults"] != 0:
                    differences.append(f"{kind} {text}: {body[:300]!r}")
                if status not in (200, 400):
                    differences.append(f"{kind} {text}: {status} {body[:300]!r}")
            if value == values[what][0]:
                reference = answers
            elif answers != reference:
                differences.append(f"{kind} {text}: {answers} instead of {reference}")

    assert differences == []
    assert found > 100, "most of these filters are served, so that they could have found something"


async def test_lists_hold_nothing_of_another_organisation(attacked: AttackedStack) -> None:
    asker = attacked.askers["compatible"]
    base, key = f"/v2/{asker.organisation.id}", asker.organisation.key
    theirs = {
        attacked.victim.member,
        attacked.victim.group,
        attacked.victim.organisation.id,
        "victim",
    }
    theirs |= set(attacked.victim.names.values())

    for kind, query in itertools.product(
        ("Users", "Groups"),
        (
            "",
            "?count=1000",
            "?startIndex=2",
            "?sortBy=displayName&sortOrder=descending",
            "?sortBy=meta.created",
            "?filter=id%20pr",
            "?filter=not%20(id%20eq%20%22x%22)",
            "?attributes=members,groups,displayName",
        ),
    ):
        status, _, body = await ask(attacked, base, key, Try(kind, "GET", f"/{kind}{query}"), {})
        assert status in (200, 400), (kind, query, body)
        assert not [text for text in theirs if text.encode() in body], (kind, query)


def references() -> Iterator[Try]:
    """Bodies that name another resource."""
    user = {"schemas": [USER, ENTERPRISE], "userName": "UNIQUE@asker.example"}
    group = {"schemas": [GROUP], "displayName": "UNIQUE"}
    member = [{"value": "FOREIGN"}]
    yield Try("manager", "POST", "/Users", {**user, ENTERPRISE: {"manager": {"value": "FOREIGN"}}})
    yield Try("manager text", "POST", "/Users", {**user, ENTERPRISE: {"manager": "FOREIGN"}})
    yield Try("groups", "POST", "/Users", {**user, "groups": member})
    yield Try("id", "POST", "/Users", {**user, "id": "FOREIGN"})
    yield Try("externalId", "POST", "/Users", {**user, "externalId": "FOREIGN"})
    yield Try("members", "POST", "/Groups", {**group, "members": member})
    yield Try("members text", "POST", "/Groups", {**group, "members": ["FOREIGN"]})
    yield Try("group id", "POST", "/Groups", {**group, "id": "FOREIGN"})
    yield Try("group externalId", "POST", "/Groups", {**group, "externalId": "FOREIGN"})
    yield Try("PUT members", "PUT", "/Groups/GROUP", {**group, "members": member})
    for operation in (
        {"op": "add", "path": "members", "value": member},
        {"op": "replace", "path": "members", "value": member},
        {"op": "remove", "path": "members", "value": member},
        {"op": "remove", "path": 'members[value eq "FOREIGN"]'},
        {"op": "add", "value": {"members": member}},
        {"op": "replace", "path": 'members[value eq "FOREIGN"].value', "value": "FOREIGN"},
    ):
        body = {"schemas": [PATCH], "Operations": [operation]}
        yield Try(f"PATCH {operation}", "PATCH", "/Groups/GROUP", body)
        yield Try(f"PATCH shown {operation}", "PATCH", "/Groups/GROUP?attributes=members", body)


@pytest.mark.parametrize(
    ("profile", "right"), [("compatible", {200, 201, 204, 400}), ("interop", {200, 201, 204, 400})]
)
async def test_a_foreign_id_in_a_body_is_treated_like_an_absent_one(
    profile: Profile, right: set[int], attacked: AttackedStack
) -> None:
    """Skipped as a member (interop: 400), kept as a text that leads nowhere elsewhere."""
    asker, victim = attacked.askers[profile], attacked.victim
    base, key = f"/v2/{asker.organisation.id}", asker.organisation.key
    before = await attacked.victims_rows()
    differences: list[str] = []
    statuses: dict[str, int] = {}

    for attempt in references():
        answers = []
        for foreign in (victim.member, victim.group, str(uuid.uuid4())):
            unique = f"u{uuid.uuid4().hex}"
            text = json.dumps(attempt.body).replace("UNIQUE", unique)
            path = attempt.path.replace("GROUP", asker.group)
            mine = Try(attempt.name, attempt.method, path, json.loads(text)).filled(foreign)
            status, headers, body = await ask(
                attacked, base, key, mine, {foreign: "FOREIGN", unique: "UNIQUE"}
            )
            body = TIME.sub(b"TIME", UUID.sub(b"UUID", body))
            answers.append((status, headers, body))
            statuses[attempt.name] = status
            if victim.member.encode() in body or b"ictoria" in body:
                differences.append(f"{attempt.name}: {body!r}")
        if answers[0] != answers[2] or answers[1] != answers[2]:
            differences.append(f"{attempt.name}: {answers}")

    assert differences == []
    assert set(statuses.values()) <= right, statuses
    for name in ("members", "members text", "PUT members"):
        assert statuses[name] < 300 if profile == "compatible" else statuses[name] == 400
    assert await attacked.victims_rows() == before
    strays = await attacked.connection.fetch(
        "SELECT g.* FROM directory.group_member g WHERE NOT EXISTS ("
        "  SELECT FROM directory.member m"
        "  WHERE m.organisation_id = g.organisation_id AND m.id = g.member_id)"
    )
    assert strays == []


async def test_a_name_that_another_organisation_has_is_free(attacked: AttackedStack) -> None:
    """Uniqueness within the organisation only, or a 409 would tell who is elsewhere."""
    asker = attacked.askers["compatible"]
    base, key = f"/v2/{asker.organisation.id}", asker.organisation.key
    before = await attacked.victims_rows()
    user = {
        "schemas": [USER],
        "userName": "victoria@victim.example",
        "externalId": "external-of-victim",
    }
    group = {
        "schemas": [GROUP],
        "displayName": "Crew of victim",
        "externalId": "group-of-victim",
    }

    answers = [
        await ask(attacked, base, key, Try("", "POST", f"/{kind}", body), {})
        for kind, body in (("Users", user), ("Groups", group))
    ]
    ids = [json.loads(body)["id"] for _, _, body in answers]
    removed = [
        await ask(attacked, base, key, Try("", "DELETE", f"/{kind}/{each}"), {})
        for kind, each in zip(("Users", "Groups"), ids, strict=True)
    ]

    assert [status for status, _, _ in answers] == [201, 201]
    assert [status for status, _, _ in removed] == [204, 204]
    assert await attacked.victims_rows() == before


async def test_a_foreign_version_is_never_the_current_one(attacked: AttackedStack) -> None:
    """The version of another organisation's resource, and that of another resource of one's own."""
    asker, victim = attacked.askers["compatible"], attacked.victim
    base, key = f"/v2/{asker.organisation.id}", asker.organisation.key
    group = await attacked.connection.fetchval(
        'SELECT version::text FROM directory."group" WHERE organisation_id = $1 LIMIT 1',
        asker.organisation.id,
    )
    state = await attacked.askers_state()
    change = {"op": "replace", "path": "title", "value": "Never"}
    bodies = {
        "PATCH": {"schemas": [PATCH], "Operations": [change]},
        "PUT": {"schemas": [USER], "userName": "target@asker.example"},
        "DELETE": None,
    }

    for method, version in itertools.product(bodies, (victim.version, str(uuid.uuid4()), group)):
        headers = (("If-Match", f'W/"{version}"'),)
        attempt = Try("", method, f"/Users/{asker.member}", bodies[method], headers)
        status, _, body = await ask(attacked, base, key, attempt, {})
        assert status == 412, (method, body)

    assert await attacked.askers_state() == state
