"""Reads through the door: lists, searches, current copies; and what may be asked at once."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from rollcall.directory.changes import AddMembers, Change, PutGroup, PutMember
from rollcall.directory.fold import collapse
from rollcall.observability.metrics import INGRESS_REPAIRS
from rollcall.postgres import directory_write
from rollcall.postgres.directory_search import Search
from rollcall.postgres.filter_sql import compile_filter
from rollcall.postgres.pool import open_pool
from rollcall.runtime.errors import Unavailable
from rollcall.scim.filter import parse_filter
from rollcall.scim.page import Page
from rollcall.scim.profile import Profile
from rollcall.scim.schema import USER
from rollcall_ingress.read.directory_reads import DirectoryReads
from rollcall_ingress.read.listing import SEARCH_REQUEST_URN
from tests.support.builders import (
    ORGANISATION,
    OTHER_ORGANISATION,
    a_group,
    a_member,
    a_user,
    an_id,
)
from tests.support.databases import Connection, TestDatabase
from tests.support.door import Door

NAMES = ("ana", "Ben", "cy", "Dee", "eve")
MEMBERS = [
    a_member(number, resource=a_user(f"{name}@example.org", displayName=name))
    for number, name in enumerate(NAMES, 1)
]
SAILORS = a_group(50, "Sailors")


@pytest.fixture
async def full(door: Door, database: TestDatabase) -> Door:
    """The door of an organisation with five members and one group of two."""
    changes: list[Change] = [
        *map(PutMember, MEMBERS),
        PutGroup(SAILORS),
        AddMembers(SAILORS.id, (MEMBERS[0].id, MEMBERS[1].id)),
    ]
    async with database.connect("owner") as connection, connection.transaction():
        net = collapse((door.organisation.id, change) for change in changes)
        await directory_write.write_changes(connection, net)
    return door


def names_in(body: dict[str, Any] | None) -> list[str]:
    assert body is not None
    return [item["userName"].partition("@")[0] for item in body["Resources"]]


async def test_a_list_is_filtered_sorted_and_paged(full: Door) -> None:
    text = quote('userName co "e" and not (userName eq "ben@example.org")')

    status, body, _ = await full.call(
        "GET", f"/Users?filter={text}&sortBy=userName&sortOrder=descending&startIndex=2&count=2"
    )

    assert status == 200
    assert body is not None
    assert (body["totalResults"], body["startIndex"], body["itemsPerPage"]) == (4, 2, 2)
    assert names_in(body) == ["Dee", "cy"]


async def test_a_search_by_post_answers_as_the_list_does(full: Door) -> None:
    query = "filter=userName+sw+%22d%22&attributes=userName,groups&sortBy=meta.created&count=5"
    request = {
        "schemas": [SEARCH_REQUEST_URN],
        "filter": 'userName sw "d"',
        "attributes": ["userName", "groups"],
        "sortBy": "meta.created",
        "count": 5,
    }

    by_get = await full.call("GET", f"/Users?{query}")
    by_post = await full.call("POST", "/Users/.search", request)

    assert by_get[0] == by_post[0] == 200
    assert by_get[1] == by_post[1]
    assert names_in(by_post[1]) == ["Dee"]


async def test_groups_are_searched_by_their_members(full: Door) -> None:
    request = {
        "schemas": [SEARCH_REQUEST_URN],
        "filter": f'members[value eq "{MEMBERS[0].id}" and display sw "ANA"]',
        "excludedAttributes": "members",
    }

    status, body, _ = await full.call("POST", "/Groups/.search", request)

    assert status == 200
    assert body is not None
    assert [item["id"] for item in body["Resources"]] == [SAILORS.id]
    assert "members" not in body["Resources"][0]


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        (b"{", "invalidSyntax"),
        ({"schemas": ["urn:other"]}, "invalidSyntax"),
        ({"schemas": [SEARCH_REQUEST_URN], "count": "many"}, "invalidValue"),
        ({"schemas": [SEARCH_REQUEST_URN], "filter": "userName xx 1"}, "invalidFilter"),
        ({"schemas": [SEARCH_REQUEST_URN], "sortOrder": "up"}, "invalidValue"),
    ],
)
async def test_a_search_that_cannot_be_read_is_400(full: Door, body: Any, scim_type: str) -> None:
    status, error, _ = await full.call("POST", "/Users/.search", body)

    assert status == 400
    assert error is not None
    assert error["scimType"] == scim_type


async def test_a_search_knows_no_other_method(full: Door) -> None:
    status, _, headers = await full.call("GET", "/Users/.search")

    assert status == 405
    assert headers["Allow"] == "POST"


@pytest.mark.parametrize("path", [f"/Users/{MEMBERS[0].id}", f"/Groups/{SAILORS.id}"])
async def test_a_current_copy_is_not_sent_again(full: Door, path: str) -> None:
    _, _, headers = await full.call("GET", path)
    tag = headers["ETag"]

    for given, expected in (
        (tag, 304),
        (f'"other", {tag}', 304),
        ("*", 304),
        (f'W/"{an_id(5)}"', 200),
    ):
        status, body, again = await full.call("GET", path, headers={"If-None-Match": given})
        assert status == expected
        assert (body is None) == (status == 304)
        assert again["ETag"] == tag

    status, _, _ = await full.call("GET", path, headers={"If-None-Match": "nonsense"})
    assert status == 400


async def test_repairs_of_a_filter_are_counted_and_refused_where_asked_for(full: Door) -> None:
    counter = INGRESS_REPAIRS.labels("unquoted-filter-value")
    before = counter._value.get()
    path = "/Users?filter=userName+eq+ana@example.org"

    lenient = await full.call("GET", path)
    strict = await full.call("GET", path, headers={"Prefer": "handling=strict"})

    assert lenient[0] == 200
    assert names_in(lenient[1]) == ["ana"]
    assert counter._value.get() == before + 1
    assert strict[0] == 400


async def test_the_preference_that_was_followed_is_in_the_answer(full: Door) -> None:
    _, _, headers = await full.call("GET", "/Users?count=0", headers={"Prefer": "handling=strict"})

    assert headers["Preference-Applied"] == "handling=strict"


async def test_an_organisation_has_one_read_without_an_index_at_a_time(
    database: TestDatabase,
) -> None:
    """The second waits for its turn without a connection; another organisation's does not wait."""
    opened = await open_pool(
        database.url("ingress"),
        role_hint="ingress",
        max_size=8,
        statement_timeout_s=30,
        application_name="reads",
    )
    reads = DirectoryReads(opened, pool_size=8, wait_s=0.5)
    search = Search(compile_filter(parse_filter('title co "a"', USER, Profile.INTEROP), "User"))

    def read(organisation_id: str) -> "asyncio.Task[Any]":
        return asyncio.create_task(
            reads.search("Users", organisation_id, search, Page(1, 10), with_related=False)
        )

    async with database.connect("owner") as owner:
        lock = owner.transaction()
        await lock.start()
        await owner.execute("LOCK TABLE directory.member IN ACCESS EXCLUSIVE MODE")
        first = read(ORGANISATION)
        await statements(owner, 1)
        second = read(ORGANISATION)
        other = read(OTHER_ORGANISATION)
        await statements(owner, 2)
        with pytest.raises(Unavailable):
            await second
        await statements(owner, 2)
        await lock.rollback()
        found = await asyncio.gather(first, other)
    after = await read(ORGANISATION)
    await opened.close()

    assert list(found) == [(0, []), (0, [])]
    assert after == (0, [])


async def statements(owner: Connection, number: int) -> None:
    """Wait until so many statements of the reads wait for the lock."""
    async with asyncio.timeout(20):
        while True:
            waiting = await owner.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            if waiting == number:
                return
            await asyncio.sleep(0.01)
