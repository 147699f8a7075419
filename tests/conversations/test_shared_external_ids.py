"""Several who have one `externalId`, end to end (docs/decisions/0047).

Entra's default mapping gives two people of one tenant the same mailNickname; Microsoft's own test
collection gives five users and three groups one literal. Neither may be refused.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from rollcall.control.organisations import change_organisation
from rollcall.control.tenancy_log import open_log
from tests.support.scim_client import GROUP, USER, Client
from tests.support.stack import Organisation, Stack, until

LITERAL: Final = "${__UUID}"
BY_LITERAL: Final = f"filter=externalId eq %22{LITERAL}%22"
NUMBERS: Final = range(1, 6)


@pytest.fixture
async def zeeburg(whole_stack: Stack) -> Organisation:
    return await whole_stack.organisation()


@pytest.fixture
async def client(whole_stack: Stack, zeeburg: Organisation) -> AsyncIterator[Client]:
    async with whole_stack.client(zeeburg) as client:
        yield client


def replacing(path: str, value: Any) -> dict[str, Any]:
    return {"op": "Replace", "path": path, "value": value}


async def names(client: Client, query: str) -> list[str]:
    """The user names of a page, in their order."""
    answer = await client.call("GET", f"/Users?{query}")
    assert answer.status == 200, answer.body
    return [each["userName"] for each in answer.body["Resources"]]


async def total(client: Client, endpoint: str, external_id: str) -> int:
    answer = await client.call("GET", f"/{endpoint}?filter=externalId eq %22{external_id}%22")
    assert answer.status == 200, answer.body
    return int(answer.body["totalResults"])


async def test_five_users_of_one_literal_are_created_found_changed_and_removed(
    client: Client,
) -> None:
    users = {
        number: await client.create_user(f"user{number}@a.example", externalId=LITERAL)
        for number in NUMBERS
    }
    ids = {number: answer.body["id"] for number, answer in users.items()}

    assert [answer.status for answer in users.values()] == [201] * 5
    assert {answer.body["externalId"] for answer in users.values()} == {LITERAL}
    assert await total(client, "Users", LITERAL) == 5
    in_order = [f"user{number}@a.example" for number in NUMBERS]
    assert await names(client, f"{BY_LITERAL}&sortBy=userName") == in_order
    assert await names(client, f"{BY_LITERAL}&sortBy=userName&startIndex=4&count=1") == [
        "user4@a.example"
    ]
    assert await names(client, f"{BY_LITERAL}&sortBy=userName&sortOrder=descending&count=2") == [
        "user5@a.example",
        "user4@a.example",
    ]
    both = f"{BY_LITERAL} and userName eq %22user2@a.example%22"
    assert await names(client, both) == ["user2@a.example"]

    patched = await client.patch(f"/Users/{ids[1]}", replacing("title", "Captain"))
    same = await client.patch(f"/Users/{ids[1]}", replacing("externalId", LITERAL))
    moved = await client.patch(f"/Users/{ids[2]}", replacing("externalId", "its own"))
    back = await client.patch(f"/Users/{ids[2]}", replacing("externalId", LITERAL))
    put = await client.call(
        "PUT",
        f"/Users/{ids[3]}",
        {"schemas": [USER], "userName": "user3@a.example", "externalId": LITERAL, "title": "Cook"},
    )

    assert [each.status for each in (patched, same, moved, back, put)] == [200] * 5
    assert await total(client, "Users", "its own") == 0
    for left, number in zip(range(4, -1, -1), NUMBERS, strict=True):
        removed = await client.call("DELETE", f"/Users/{ids[number]}")
        assert removed.status == 204
        assert await total(client, "Users", LITERAL) == left


async def test_groups_share_one_as_users_do_and_their_members_stay_apart(client: Client) -> None:
    ana = await client.create_user("ana@a.example", externalId=LITERAL)
    groups = []
    for number in (1, 2, 3):
        body: dict[str, Any] = {
            "schemas": [GROUP],
            "displayName": f"Group {number}",
            "externalId": LITERAL,
        }
        if number == 2:
            body["members"] = [{"value": ana.body["id"]}]
        groups.append(await client.call("POST", "/Groups", body))
    found = await client.call("GET", f"/Groups?{BY_LITERAL}&sortBy=displayName")

    assert [each.status for each in groups] == [201] * 3
    assert found.body["totalResults"] == 3
    assert [len(each.get("members", ())) for each in found.body["Resources"]] == [0, 1, 0]
    assert await total(client, "Users", LITERAL) == 1


async def test_entras_default_mapping_creates_both_alices_of_a_tenant(client: Client) -> None:
    """`mailNickname` → `externalId`: what stands before the @. Once 409 in every cycle."""
    for _ in range(2):  # the second cycle matches by userName, and finds each
        for domain in ("a.example", "b.example"):
            name = f"alice@{domain}"
            found = await names(client, f"filter=userName eq %22{name}%22")
            if not found:
                created = await client.create_user(name, externalId="alice")
                assert created.status == 201, created.body
            else:
                assert found == [name]

    assert await total(client, "Users", "alice") == 2


async def test_another_tenants_holders_are_neither_found_nor_counted(
    whole_stack: Stack, client: Client
) -> None:
    other = await whole_stack.organisation("Noord")
    async with whole_stack.client(other) as theirs:
        for number in NUMBERS:
            await theirs.create_user(f"user{number}@b.example", externalId=LITERAL)
        await client.create_user("ana@a.example", externalId=LITERAL)

        assert await names(client, BY_LITERAL) == ["ana@a.example"]
        assert await total(theirs, "Users", LITERAL) == 5


async def test_an_organisation_can_ask_for_unique_ones_and_who_shared_may_stay(
    whole_stack: Stack, zeeburg: Organisation, client: Client
) -> None:
    """Switched on over five who share: each can be changed, nobody joins them."""
    ids = [
        (await client.create_user(f"user{number}@a.example", externalId=LITERAL)).body["id"]
        for number in NUMBERS
    ]
    group = {"schemas": [GROUP], "displayName": "Crew", "externalId": LITERAL}
    assert (await client.call("POST", "/Groups", group)).status == 201
    async with open_log(whole_stack.settings) as log:
        changed = await change_organisation(log, zeeburg.id, ["unique_external_ids=on"])
    assert changed.unique_external_ids
    other = await client.create_user("other@a.example", externalId="other")

    async def is_refused() -> bool:
        again = await client.create_user(f"new{len(tried)}@a.example", externalId="other")
        tried.append(again.status)
        return again.status == 409

    tried: list[int] = []
    await until(is_refused, "the door has read the setting")

    refused = [
        await client.create_user("more@a.example", externalId=LITERAL),
        await client.patch(f"/Users/{other.body['id']}", replacing("externalId", LITERAL)),
        await client.call("POST", "/Groups", {**group, "displayName": "Crew 2"}),
    ]
    kept = [
        await client.patch(f"/Users/{ids[0]}", replacing("title", "Captain")),
        await client.call(
            "PUT",
            f"/Users/{ids[1]}",
            {"schemas": [USER], "userName": "renamed@a.example", "externalId": LITERAL},
        ),
        await client.patch(f"/Users/{ids[2]}", {"op": "remove", "path": "externalId"}),
    ]

    assert [each.status for each in kept] == [200] * 3
    assert [(each.status, each.body["scimType"]) for each in refused] == [(409, "uniqueness")] * 3
    assert all("externalId" in each.body["detail"] for each in refused)
    assert await total(client, "Users", LITERAL) == 4
