"""Conditional writes, preferences, and PATCH answers with a body while nothing is decided."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rollcall.runtime.ids import new_id
from tests.support.databases import TestDatabase
from tests.support.door import Door, a_body, close_door, open_door
from tests.support.scim_client import GROUP, PATCH, USER, Answer, Client
from tests.support.servers import KafkaServer
from tests.support.stack import Stack, until

STALE = f'W/"{new_id()}"'


def titled(title: str) -> dict[str, Any]:
    return {
        "schemas": [PATCH],
        "Operations": [{"op": "replace", "path": "title", "value": title}],
    }


@pytest.fixture
async def brief_door(kafka_server: KafkaServer, database: TestDatabase) -> AsyncIterator[Door]:
    """An ingress without a provisioner that waits for no precondition longer than a second."""
    opened, _ = await open_door(
        kafka_server.bootstrap,
        database.url("ingress"),
        f"t{new_id().replace('-', '')}",
        ingress_accept_s=1.0,
    )
    yield opened
    await close_door(opened)


@pytest.fixture
async def blind_door(kafka_server: KafkaServer) -> AsyncIterator[Door]:
    """The same without Postgres: what is pending cannot be decided here."""
    opened, _ = await open_door(
        kafka_server.bootstrap,
        "postgresql://rollcall_ingress:x@127.0.0.1:1/none",
        f"t{new_id().replace('-', '')}",
        ingress_accept_s=1.0,
    )
    yield opened
    await close_door(opened)


async def test_a_precondition_is_decided_by_the_log_while_nobody_applies(door: Door) -> None:
    _, made, headers = await door.call("POST", "/Users", a_body())
    assert made is not None
    path, tag = f"/Users/{made['id']}", headers["ETag"]

    stale = await door.call("PATCH", path, titled("Captain"), headers={"If-Match": STALE})
    first = await door.call("PATCH", path, titled("Captain"), headers={"If-Match": tag})
    second = await door.call("PUT", path, a_body(), headers={"If-Match": tag})
    gone = await door.call("DELETE", path, headers={"If-Match": first[2]["ETag"]})
    unknown = await door.call("DELETE", path, headers={"If-Match": "*"})

    assert [each[0] for each in (stale, first, second, gone, unknown)] == [412, 200, 412, 204, 404]
    assert [r.promise for _, r in await door.log()] == ["decision"] * 6


async def test_a_precondition_that_is_not_decided_in_time_is_503_and_on_the_log(
    blind_door: Door,
) -> None:
    path = f"/Users/{new_id()}"

    status, body, headers = await blind_door.call(
        "PATCH", path, titled("Captain"), headers={"If-Match": STALE}
    )

    assert status == 503
    assert body is not None
    assert "read the resource" in body["detail"]
    assert int(headers["Retry-After"]) >= 1
    assert "Rollcall-Outcome" not in headers
    [(_, request)] = await blind_door.log()
    assert request.type == "io.rollcall.request.member.patch.v2"
    assert request.precondition is not None
    assert request.precondition.if_match == (STALE[3:-1],)
    assert request.answer_by_ms == request.accept_by_ms


async def test_behind_a_precondition_is_503_and_nothing_of_it_is_published(
    blind_door: Door,
) -> None:
    await asyncio.gather(
        *(blind_door.call("POST", "/Users", a_body(f"u{number}@example.org")) for number in "abc")
    )
    refused: list[str] = []
    published: list[str] = []
    for method in ("PATCH", "PUT", "DELETE") * 2:
        member_id = new_id()
        content = {"PATCH": titled("Captain"), "PUT": a_body()}.get(method)
        status, body, headers = await blind_door.call(
            method, f"/Users/{member_id}", content, headers={"If-Match": STALE}
        )
        assert status == 503
        assert body is not None
        assert int(headers["Retry-After"]) >= 1
        # One a second is the breaker's probe: it is published, and its answer says so.
        (refused if "nothing was done" in body["detail"] else published).append(member_id)

    on_the_log = {request.resource_id for _, request in await blind_door.log()}

    assert refused
    assert not on_the_log & set(refused)
    assert on_the_log >= set(published)


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_a_malformed_condition_is_400_and_nothing_is_published(
    brief_door: Door, header: str
) -> None:
    status, body, _ = await brief_door.call(
        "DELETE", f"/Users/{new_id()}", headers={header: "not-a-tag"}
    )

    assert status == 400
    assert body is not None
    assert (body["scimType"], body["detail"].partition(" ")[0]) == ("invalidValue", header)
    assert "not-a-tag" not in body["detail"]
    assert await brief_door.log() == []


async def test_a_condition_on_a_create_says_nothing(brief_door: Door) -> None:
    status, _, _ = await brief_door.call(
        "POST", "/Users", a_body(), headers={"If-None-Match": "*", "If-Match": STALE}
    )

    assert status == 201
    [(_, request)] = await brief_door.log()
    assert request.type == "io.rollcall.request.member.create.v1"


async def test_minimal_answers_have_no_body_and_say_so(brief_door: Door) -> None:
    prefer = {"Prefer": "return=minimal; x=y, handling=strict"}

    created = await brief_door.call("POST", "/Users", a_body(), headers=prefer)
    path = made = created[2]["Location"].removeprefix(brief_door.base)
    replaced = await brief_door.call("PUT", path, a_body(title="Captain"), headers=prefer)
    strict = await brief_door.call("PUT", path, a_body(colour="blue"), headers=prefer)
    shown = await brief_door.call("PUT", f"{made}?attributes=userName", a_body(), headers=prefer)

    assert (created[0], created[1], replaced[0], replaced[1]) == (201, None, 204, None)
    assert created[2]["Location"].startswith(f"{brief_door.base}/Users/")
    assert created[2]["Preference-Applied"] == "return=minimal, handling=strict"
    assert (strict[0], shown[0]) == (400, 200)
    assert shown[2]["Preference-Applied"] == "handling=strict"
    assert {r.settings.profile for _, r in await brief_door.log()} == {"interop"}


def tag_of(answer: Answer) -> str:
    """The entity tag; the client spells the header's name in its own way."""
    [tag] = [value for name, value in answer.headers.items() if name.lower() == "etag"]
    return tag


async def created(client: Client, user_name: str) -> Answer:
    made = await client.create_user(user_name)
    assert made.status == 201
    assert not made.is_pending
    return made


@pytest.mark.parametrize("is_at_once", [True, False])
async def test_of_two_with_the_same_version_one_wins(whole_stack: Stack, is_at_once: bool) -> None:
    organisation = await whole_stack.organisation()
    async with whole_stack.client(organisation) as one, whole_stack.client(organisation) as two:
        for number, pair in enumerate(((one, two), (two, one))):
            made = await created(one, f"ana{number}@example.org")
            path, tag = f"/Users/{made.body['id']}", made.body["meta"]["version"]
            calls = [
                client.call("PATCH", path, titled(title), If_Match=tag)
                for client, title in zip(pair, ("Captain", "Cook"), strict=True)
            ]
            answers = await asyncio.gather(*calls) if is_at_once else [await c for c in calls]

            winner = next(answer for answer in answers if answer.status == 200)
            loser = next(answer for answer in answers if answer.status == 412)
            assert is_at_once or answers[0] is winner
            assert "read it again" in loser.body["detail"]
            read = await one.call("GET", path)
            assert read.status == 200, read.body
            assert tag_of(read) == tag_of(winner) != tag
            assert read.body["title"] == winner.body["title"]
            assert (await two.call("DELETE", path, If_Match=tag)).status == 412
            assert (await two.call("DELETE", path, If_Match=f'{tag}, "x"')).status == 412
            assert (await two.call("DELETE", path, If_None_Match="*")).status == 412
            assert (await two.call("DELETE", path, If_Match="*")).status == 204
            assert (await two.call("DELETE", path, If_Match="*")).status == 404


async def test_a_group_has_a_new_version_when_its_members_change(whole_stack: Stack) -> None:
    async with whole_stack.client(await whole_stack.organisation()) as client:
        ana = (await created(client, "ana@example.org")).body["id"]
        made = await client.call("POST", "/Groups", {"schemas": [GROUP], "displayName": "Crew"})
        path, tag = f"/Groups/{made.body['id']}", tag_of(made)
        add = {"op": "add", "path": "members", "value": [{"value": ana}]}
        patch = {"schemas": [PATCH], "Operations": [add]}

        first = await client.call("PATCH", path, patch, If_Match=tag)
        second = await client.call("PATCH", path, patch, If_Match=tag)
        same = await client.call("PATCH", path, patch, If_Match=tag_of(first))
        shown = await client.call("PATCH", path, patch, Prefer="return=representation")
        await client.call("DELETE", f"/Users/{ana}")
        stale = await client.call("DELETE", path, If_Match=tag_of(first))
        now = tag_of(await client.call("GET", path))
        gone = await client.call("DELETE", path, If_Match=now)

    assert (first.status, second.status, same.status) == (204, 412, 204)
    assert tag_of(same) == tag_of(first) != tag
    assert (shown.status, shown.body["members"][0]["value"]) == (200, ana)
    assert shown.headers["Preference-Applied"] == "return=representation"
    assert (stale.status, gone.status) == (412, 204)


async def test_a_patch_is_answered_with_a_body_while_the_provisioner_is_away(stack: Stack) -> None:
    await stack.start("ingress", ROLLCALL_INGRESS_REPLY_BUDGET_S="1")
    provisioner = await stack.start("provisioner")
    async with stack.client(await stack.organisation()) as client:
        made = await client.create_user("ana@example.org")
        path = f"/Users/{made.body['id']}"
        crew = {"schemas": [GROUP], "displayName": "Crew"}
        group_path = f"/Groups/{(await client.call('POST', '/Groups', crew)).body['id']}"

        async def is_there() -> bool:
            return (await client.call("GET", group_path)).status == 200

        await until(is_there, "the group is applied")
        provisioner.pause()
        try:
            add = {"op": "add", "path": "members", "value": [{"value": made.body["id"]}]}
            patched = [
                await client.call("PATCH", f"{path}?attributes=title", titled("Captain"))
                for _ in range(4)
            ]
            group = await client.call(
                "PATCH",
                group_path,
                {"schemas": [PATCH], "Operations": [add]},
                Prefer="return=representation",
            )
            unknown = await client.call("PATCH", f"/Users/{new_id()}?attributes=id", titled("x"))
            replaced = await client.call("PUT", path, a_body("ana@example.org", title="Cook"))
        finally:
            provisioner.resume()

        assert [(answer.status, answer.is_pending) for answer in patched] == [(200, True)] * 4
        assert patched[-1].body["title"] == "Captain"
        assert patched[-1].body.keys() == {"schemas", "id", "meta", "title"}
        assert (group.status, group.is_pending) == (200, True)
        assert [member["value"] for member in group.body["members"]] == [made.body["id"]]
        assert group.headers["Preference-Applied"] == "return=representation"
        assert (unknown.status in (404, 503), replaced.status) == (True, 200)

        async def is_applied() -> bool:
            return bool((await client.call("GET", path)).body.get("title") == "Cook")

        await until(is_applied, "what was pending is applied")
        read = await client.call("GET", group_path)
        assert tag_of(read) == tag_of(group)
        assert read.body["meta"] == group.body["meta"]


async def test_without_postgres_a_patch_that_needs_a_body_is_not_published(
    kafka_server: KafkaServer,
) -> None:
    door, _ = await open_door(
        kafka_server.bootstrap,
        "postgresql://rollcall_ingress:x@127.0.0.1:1/none",
        f"t{new_id().replace('-', '')}",
    )
    path = f"/Users/{new_id()}"
    try:
        needs = await door.call("PATCH", f"{path}?attributes=id", titled("Captain"))
        prefers = await door.call(
            "PATCH", path, titled("Captain"), headers={"Prefer": "return=representation"}
        )
        before = await door.log()
        plain = await door.call("PATCH", path, titled("Captain"))
    finally:
        await close_door(door)

    assert (needs[0], prefers[0], plain[0]) == (503, 503, 204)
    assert before == []
    assert USER not in str(needs[1])
