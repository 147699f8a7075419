"""While nobody applies anything: duplicates, look-ups, certain 404s, and what it all costs."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from rollcall.runtime.ids import new_id
from rollcall.scim.schema import GROUP
from tests.support.door import DEADLINE_S, Door, a_body
from tests.support.scim_client import PATCH

MANY = 2000
CLIENTS = 50
WITHIN_S = 60.0
"""Two thousand budgets of 0.3 s are 600 s; the machine may be busy."""


async def assert_decided(door: Door) -> None:
    """Each sender was promised its decision; so refusals are on the log as well."""
    assert {request.promise for _, request in await door.log()} == {"decision"}


async def behind(door: Door) -> None:
    """Open the breaker: three budgets are missed."""
    for number in range(3):
        await door.call("POST", "/Users", a_body(f"first{number}@example.org"))


async def test_a_user_name_that_a_pending_create_has_is_409(door: Door) -> None:
    await behind(door)
    created, document, headers = await door.call("POST", "/Users", a_body("ana@example.org"))

    again, error, _ = await door.call("POST", "/Users", a_body("ANA@example.org"))

    assert document is not None
    assert error is not None
    assert (created, headers["Rollcall-Outcome"]) == (201, "pending")
    assert (again, error["scimType"]) == (409, "uniqueness")
    await assert_decided(door)


async def test_of_creates_of_a_name_at_once_one_is_accepted(door: Door) -> None:
    await behind(door)

    answers = await asyncio.gather(
        *(door.call("POST", "/Users", a_body("ana@example.org")) for _ in range(8))
    )

    assert sorted(status for status, _, _ in answers) == [201] + [409] * 7
    await assert_decided(door)


async def test_a_look_up_after_a_lost_answer_finds_the_pending_create(door: Door) -> None:
    _, document, _ = await door.call("POST", "/Users", a_body("ana@example.org"))
    assert document is not None

    for query in ('userName eq "Ana@Example.org"', 'userName sw "ana@"'):
        status, found, _ = await door.call("GET", f"/Users?filter={query}")
        assert found is not None
        assert (status, found["totalResults"]) == (200, 1), query
        assert found["Resources"][0]["id"] == document["id"]
    status, found, _ = await door.call("GET", '/Users?filter=userName eq "bo@example.org"')
    assert found is not None
    assert (status, found["totalResults"]) == (200, 0)


@pytest.mark.parametrize("endpoint", ["Users", "Groups"])
async def test_all_pending_creates_of_one_external_id_are_found(door: Door, endpoint: str) -> None:
    """None of them hides another; a page of them is as of any list."""
    await behind(door)
    names = [f"n{number}" for number in range(5)]
    answers = [await door.call("POST", f"/{endpoint}", named(endpoint, name)) for name in names]
    order = "userName" if endpoint == "Users" else "displayName"
    query = f'filter=externalId eq "alice"&sortBy={order}'

    whole = await found_by(door, f"/{endpoint}?{query}")
    page = await found_by(door, f"/{endpoint}?{query}&startIndex=2&count=2")
    one = await found_by(door, f'/{endpoint}?filter=externalId eq "alice" and {order} eq "n3"')
    ids = {document[order]: document["id"] for _, document, _ in answers if document}
    removed, _, _ = await door.call("DELETE", f"/{endpoint}/{ids['n1']}")
    moved, _, _ = await door.call(
        "PUT", f"/{endpoint}/{ids['n2']}", {**named(endpoint, "n2"), "externalId": "bob"}
    )

    assert [(status, marks["Rollcall-Outcome"]) for status, _, marks in answers] == [
        (201, "pending")
    ] * 5
    assert whole == (5, names)
    assert page == (5, ["n1", "n2"])
    assert one == (1, ["n3"])
    assert (removed, moved) == (204, 200)
    assert await found_by(door, f"/{endpoint}?{query}") == (3, ["n0", "n3", "n4"])
    assert await found_by(door, f'/{endpoint}?filter=externalId eq "bob"') == (1, ["n2"])


@pytest.mark.parametrize("endpoint", ["Users", "Groups"])
async def test_a_pending_external_id_is_409_only_where_the_organisation_asks(
    door: Door, endpoint: str
) -> None:
    await behind(door)
    for name in ("one", "two"):
        status, _, _ = await door.call("POST", f"/{endpoint}", named(endpoint, name))
        assert status == 201
    asking = replace(door.organisation, unique_external_ids=True)
    await door.tell(asking)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            refused, error, _ = await door.call("POST", f"/{endpoint}", named(endpoint, new_id()))
            if refused == 409:
                break

    assert error is not None
    assert error["scimType"] == "uniqueness"
    assert "externalId" in error["detail"]
    await assert_decided(door)
    other = {**named(endpoint, "other"), "externalId": "other"}
    assert (await door.call("POST", f"/{endpoint}", other))[0] == 201


def named(endpoint: str, name: str) -> dict[str, Any]:
    if endpoint == "Users":
        return a_body(name, externalId="alice")
    return {"schemas": [GROUP.urn], "displayName": name, "externalId": "alice"}


async def found_by(door: Door, path: str) -> tuple[int, list[str]]:
    """How many there are, and the names on the page."""
    status, found, _ = await door.call("GET", path)
    assert found is not None
    assert status == 200, found
    return found["totalResults"], [
        each.get("userName") or each["displayName"] for each in found["Resources"]
    ]


async def test_a_change_of_what_certainly_is_not_there_is_404(
    door: Door,
) -> None:
    await behind(door)
    _, document, _ = await door.call("POST", "/Users", a_body("ana@example.org"))
    assert document is not None
    path = f"/Users/{document['id']}"
    removed, _, _ = await door.call("DELETE", path)
    patch = {"schemas": [PATCH], "Operations": [{"op": "remove", "path": "title"}]}

    statuses = [
        (await door.call("DELETE", path))[0],
        (await door.call("PATCH", path, patch))[0],
        (await door.call("GET", path))[0],
        (await door.call("GET", "/Users/0190a000-0000-7000-8000-000000000000"))[0],
    ]

    assert removed == 204
    assert statuses == [404] * 4
    await assert_decided(door)


async def test_what_no_replica_has_accepted_is_404_to_read_and_to_change(door: Door) -> None:
    await behind(door)
    path = f"/Users/{new_id()}"

    statuses = {503}
    async with asyncio.timeout(DEADLINE_S):  # until it has read the log that far, it is 503
        while 404 not in statuses:
            statuses.add((await door.call("GET", path))[0])
    removed, _, _ = await door.call("DELETE", path)

    assert statuses == {404, 503}
    assert removed == 404


async def test_a_patch_with_attributes_of_a_pending_create_shows_what_it_leaves(
    door: Door,
) -> None:
    await behind(door)
    _, document, _ = await door.call("POST", "/Users", a_body("ana@example.org"))
    assert document is not None
    patch = {
        "schemas": [PATCH],
        "Operations": [{"op": "replace", "path": "title", "value": "Cook"}],
    }

    status, shown, headers = await door.call(
        "PATCH", f"/Users/{document['id']}?attributes=title,userName", patch
    )

    assert shown is not None
    assert (status, headers["Rollcall-Outcome"]) == (200, "pending")
    assert (shown["title"], shown["userName"]) == ("Cook", "ana@example.org")


async def test_two_thousand_creates_without_a_provisioner_wait_for_no_budget_each(
    door: Door,
) -> None:
    began_s = time.monotonic()
    numbers = iter(range(MANY))
    answers: list[int] = []

    async def client() -> None:
        for number in numbers:
            status, _, _ = await door.call("POST", "/Users", a_body(f"u{number}@example.org"))
            answers.append(status)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))

    assert answers == [201] * MANY
    assert time.monotonic() - began_s < WITHIN_S
