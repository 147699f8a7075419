"""While nobody applies anything: duplicates, look-ups, certain 404s, and what it all costs."""

import asyncio
import time

from shared.runtime.ids import new_id
from tests.integration.ingress.conftest import Door
from tests.integration.ingress.test_door import PATCH_URN, a_body

MANY = 2000
CLIENTS = 50
WITHIN_S = 60.0
"""Two thousand budgets of 0.3 s are 600 s; the machine may be busy."""


async def behind(door: Door) -> None:
    """Open the breaker: three budgets are missed."""
    for number in range(3):
        await door.call("POST", "/Users", a_body(f"first{number}@example.org"))


async def test_a_user_name_that_a_pending_create_has_is_409_and_not_published(door: Door) -> None:
    await behind(door)
    created, document, headers = await door.call("POST", "/Users", a_body("ana@example.org"))
    before = len(await door.log())

    again, error, _ = await door.call("POST", "/Users", a_body("ANA@example.org"))

    assert document is not None
    assert error is not None
    assert (created, headers["Rollcall-Outcome"]) == (201, "pending")
    assert (again, error["scimType"]) == (409, "uniqueness")
    assert len(await door.log()) == before


async def test_of_two_creates_of_a_name_at_once_one_is_published(door: Door) -> None:
    await behind(door)
    before = len(await door.log())

    answers = await asyncio.gather(
        *(door.call("POST", "/Users", a_body("ana@example.org")) for _ in range(8))
    )

    assert sorted(status for status, _, _ in answers) == [201] + [409] * 7
    assert len(await door.log()) == before + 1


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


async def test_a_change_of_what_certainly_is_not_there_is_404_and_not_published(
    door: Door,
) -> None:
    await behind(door)
    _, document, _ = await door.call("POST", "/Users", a_body("ana@example.org"))
    assert document is not None
    path = f"/Users/{document['id']}"
    removed, _, _ = await door.call("DELETE", path)
    before = len(await door.log())
    patch = {"schemas": [PATCH_URN], "Operations": [{"op": "remove", "path": "title"}]}

    statuses = [
        (await door.call("DELETE", path))[0],
        (await door.call("PATCH", path, patch))[0],
        (await door.call("GET", path))[0],
        (await door.call("GET", "/Users/0190a000-0000-7000-8000-000000000000"))[0],
    ]

    assert removed == 204
    assert statuses == [404] * 4
    assert len(await door.log()) == before


async def test_what_another_replica_may_have_accepted_is_503_to_read_and_pending_to_change(
    door: Door,
) -> None:
    await behind(door)
    path = f"/Users/{new_id()}"

    read, _, headers = await door.call("GET", path)
    removed, _, marks = await door.call("DELETE", path)

    assert read == 503
    assert int(headers["Retry-After"]) >= 1
    assert (removed, marks["Rollcall-Outcome"]) == (204, "pending")


async def test_a_patch_with_attributes_of_a_pending_create_shows_what_it_leaves(
    door: Door,
) -> None:
    await behind(door)
    _, document, _ = await door.call("POST", "/Users", a_body("ana@example.org"))
    assert document is not None
    patch = {
        "schemas": [PATCH_URN],
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
