"""Reads: by id and by filter, with groups and members, exact and within one organisation."""

import asyncio
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rollcall.directory.changes import AddMembers, PutGroup, PutMember, RemoveGroup, RemoveMember
from rollcall.directory.fold import collapse
from rollcall.directory.state import Group, Member
from rollcall.postgres import directory_search, directory_write
from rollcall.postgres.attribute_sql import ResourceType
from rollcall.postgres.directory_search import Search
from rollcall.postgres.filter_sql import compile_filter, compile_sort
from rollcall.scim.errors import InvalidFilter
from rollcall.scim.filter import Comparison, parse_filter
from rollcall.scim.path import AttributePath, resolve_path
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, USER, USER_URN
from rollcall.scim.sort import Sort
from tests.support.builders import (
    ORGANISATION,
    OTHER_ORGANISATION,
    a_group,
    a_member,
    a_user,
    an_id,
)
from tests.support.databases import Connection, TestDatabase


@dataclass(frozen=True, slots=True)
class Page:
    start_index: int = 1
    count: int = 100


ANA = a_member(
    1,
    resource={
        **a_user("Ana@Example.org", externalId="Ext-1", displayName="Ána  Sailor"),
        "emails": [
            {"value": "Ana@Work.example", "type": "work"},
            {"value": "ana@home.example", "type": "home"},
            {"value": "ana@untyped.example"},
        ],
    },
)
BEN = a_member(2, "ben@example.org")
SAILORS = replace(a_group(50, "Sailors"), external_id="g-1")
COOKS = a_group(51, "Cooks")


BASE = "https://scim.example/v2/o"


def searching(
    text: str | None, resource_type: ResourceType = "User", sort: Sort | None = None
) -> Search:
    schema = USER if resource_type == "User" else GROUP
    parsed = None if text is None else parse_filter(text, schema, Profile.COMPATIBLE)
    return Search(
        compile_filter(parsed, resource_type), compile_sort(sort, resource_type), base_url=BASE
    )


async def fill(connection: Connection) -> None:
    """Ana and Ben are sailors, Ana is a cook; another organisation has the same rows."""
    changes: list[Any] = [
        PutMember(ANA),
        PutMember(BEN),
        PutGroup(SAILORS),
        PutGroup(COOKS),
        AddMembers(SAILORS.id, (ANA.id, BEN.id)),
        AddMembers(COOKS.id, (ANA.id,)),
    ]
    async with connection.transaction():
        for organisation in (ORGANISATION, OTHER_ORGANISATION):
            net = collapse((organisation, change) for change in changes)
            await directory_write.write_changes(connection, net)


@pytest.fixture(scope="module")
def filled(module_database: TestDatabase) -> TestDatabase:
    """The rows of `fill`, for tests that only read."""

    async def fill_it() -> None:
        async with module_database.connect("owner") as connection:
            await fill(connection)

    asyncio.run(fill_it())
    return module_database


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [ANA, BEN]),
        ('userName eq "ANA@EXAMPLE.ORG"', [ANA]),
        ("userName eq ben@example.org", [BEN]),
        ('userName eq " "', []),
        ('externalId eq "Ext-1"', [ANA]),
        ('externalId eq "ext-1"', []),
        ('displayName eq "ÁNA sailor"', [ANA]),
        (f'id eq "{BEN.id}"', [BEN]),
        (f'id eq "{BEN.id.upper()}"', []),
        ('id eq "no-uuid"', []),
        ('emails.value eq "ana@work.EXAMPLE"', [ANA]),
        ('emails eq "ana@untyped.example"', [ANA]),
        ('emails[type eq "work"].value eq "ana@work.example"', [ANA]),
        ('emails[type eq "WORK" and value eq "ana@work.example"]', [ANA]),
        ('emails[value eq "ana@home.example"]', [ANA]),
        ('emails[type eq "work"].value eq "ana@home.example"', []),
        ('emails[type eq "work"].value eq "ana@untyped.example"', []),
        ('emails.value eq "work\\u001fana@work.example"', []),
        ('emails[type eq "work\\u001fana@work.example" and value eq "x"]', []),
        ('userName eq "ana@example.org" and externalId eq "Ext-1"', [ANA]),
        ('userName eq "ana@example.org" and externalId eq "other"', []),
        (f'userName eq "ana@example.org" and (id eq "{ANA.id}")', [ANA]),
    ],
)
async def test_members_are_found_by_what_identity_providers_ask(
    filled: TestDatabase, text: str | None, expected: list[Member]
) -> None:
    async with filled.connect("ingress") as connection:
        total, found = await directory_search.search(
            connection, "Users", ORGANISATION, searching(text), Page()
        )

    assert total == len(expected)
    assert [item.row for item in found] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [SAILORS, COOKS]),
        ('displayName eq "SAILORS"', [SAILORS]),
        ('externalId eq "g-1"', [SAILORS]),
        (f'id eq "{COOKS.id}"', [COOKS]),
        (f'members eq "{BEN.id}"', [SAILORS]),
        (f'members.value eq "{ANA.id}"', [SAILORS, COOKS]),
        (f'members[value eq "{ANA.id}"]', [SAILORS, COOKS]),
        ('members eq "no-uuid"', []),
        (f'displayName eq "Cooks" and members eq "{BEN.id}"', []),
        (f'id eq "{COOKS.id}" and members eq "{ANA.id}"', [COOKS]),
    ],
)
async def test_groups_are_found_by_what_identity_providers_ask(
    filled: TestDatabase, text: str | None, expected: list[Group]
) -> None:
    async with filled.connect("ingress") as connection:
        total, found = await directory_search.search(
            connection, "Groups", ORGANISATION, searching(text, "Group"), Page()
        )

    assert total == len(expected)
    assert [item.row for item in found] == expected
    assert all(item.related == () for item in found)


@pytest.mark.parametrize("operator", ["eq", "ne", "co", "pr"])
def test_the_address_of_a_manager_is_refused_with_what_to_use(operator: str) -> None:
    """It is made from `value` when it is shown."""
    value = "" if operator == "pr" else ' "x"'

    with pytest.raises(InvalidFilter) as refused:
        searching(f"{ENTERPRISE_URN}:manager.$ref {operator}{value}")

    assert f"{ENTERPRISE_URN}:manager.value" in refused.value.detail


@pytest.mark.parametrize("hostile", ["'; DROP TABLE x; --", "$1", "\\", "a\ud800", "%_", "{}"])
@pytest.mark.parametrize("attribute", ["userName", "externalId", "displayName", "emails.value"])
async def test_hostile_values_match_nothing(
    filled: TestDatabase, attribute: str, hostile: str
) -> None:
    ast = parse_filter(f'{attribute} eq "x"', USER, Profile.COMPATIBLE)
    assert isinstance(ast, Comparison)
    hostile_ast = replace(ast, value=hostile)

    async with filled.connect("ingress") as connection:
        total, found = await directory_search.search(
            connection, "Users", ORGANISATION, Search(compile_filter(hostile_ast, "User")), Page()
        )

    assert (total, found) == (0, [])


async def test_a_page_is_a_part_and_the_total_is_exact(filled: TestDatabase) -> None:
    async with filled.connect("ingress") as connection:
        second = await directory_search.search(
            connection, "Users", ORGANISATION, searching(None), Page(2, 1), with_related=True
        )
        beyond = await directory_search.search(
            connection, "Users", ORGANISATION, searching(None), Page(9, 5)
        )
        only_total = await directory_search.search(
            connection, "Groups", ORGANISATION, searching(None, "Group"), Page(1, 0)
        )

    assert second[0] == 2
    assert [item.row for item in second[1]] == [BEN]
    assert [item.related for item in second[1]] == [((SAILORS.id, "Sailors"),)]
    assert beyond == (2, [])
    assert only_total == (2, [])


async def test_related_resources_come_with_their_display(filled: TestDatabase) -> None:
    """A member's display is its displayName; without one it has none."""
    async with filled.connect("ingress") as connection:
        member = await directory_search.find(
            connection, "Users", ORGANISATION, ANA.id, with_related=True
        )
        group = await directory_search.find(
            connection, "Groups", ORGANISATION, SAILORS.id, with_related=True
        )
        _, groups = await directory_search.search(
            connection, "Groups", ORGANISATION, searching(None, "Group"), Page(), with_related=True
        )

    assert member is not None
    assert member.related == ((SAILORS.id, "Sailors"), (COOKS.id, "Cooks"))
    assert group is not None
    assert group.related == ((ANA.id, "Ána  Sailor"), (BEN.id, None))
    assert [len(item.related) for item in groups] == [2, 1]


async def test_an_unknown_id_finds_no_member(filled: TestDatabase) -> None:
    async with filled.connect("ingress") as connection:
        found = [
            await directory_search.find(connection, "Users", ORGANISATION, identifier)
            for identifier in (an_id(9), "no-uuid", "", "\0", SAILORS.id)
        ]
        group = await directory_search.find(connection, "Groups", ORGANISATION, "no-uuid")
        elsewhere = await directory_search.find(connection, "Users", an_id(77), ANA.id)
        upper_case = await directory_search.find(connection, "Users", ORGANISATION, ANA.id.upper())

    assert found == [None] * 5
    assert (group, elsewhere) == (None, None)
    assert upper_case is not None


async def test_the_notifier_finds_a_member(filled: TestDatabase) -> None:
    async with filled.connect("owner") as connection:
        counts = await directory_search.count_members(connection, ORGANISATION)
    async with filled.connect("notifier") as connection:
        found = await directory_search.find_member(connection, ORGANISATION, BEN.id)

    assert found == BEN
    assert counts == {"invited": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("active eq true", [ANA, BEN]),
        ("active ne true", []),
        ('userName sw "ANA@"', [ANA]),
        ('userName sw "a_a"', []),
        ('userName co "%"', []),
        ('not (userName eq "ana@example.org")', [BEN]),
        ("displayName pr", [ANA]),
        ("displayName eq null", [BEN]),
        ('displayName ne "x"', [ANA, BEN]),
        ('emails[type eq "home" and value ew "home.example"]', [ANA]),
        ('emails[type eq "work" and value eq "ana@work.example" and primary eq true]', []),
        (f'groups.value eq "{COOKS.id}"', [ANA]),
        (f'groups[value eq "{SAILORS.id}" and display sw "SAIL"]', [ANA, BEN]),
        ('groups.display eq "cooks"', [ANA]),
        ('not (groups.display eq "cooks")', [BEN]),
        (f'groups.$ref eq "{BASE}/Groups/{COOKS.id}"', [ANA]),
        (f'meta.location eq "{BASE}/Users/{BEN.id}"', [BEN]),
        (f'meta.version eq "W/\\"{ANA.version}\\""', [ANA]),
        ('meta.resourceType eq "Group"', []),
        ('meta.created ge "2026-11-25T09:00:00+01:00"', [ANA, BEN]),
        ('meta.lastModified lt "2026-11-25T08:00:00.000001Z"', [ANA, BEN]),
        ('meta.lastModified lt "0001-01-01T00:00:00+14:00"', []),
        ('meta.lastModified lt "9999-12-31T23:59:59-14:00"', [ANA, BEN]),
        (f'schemas eq "{USER_URN}"', [ANA, BEN]),
        (f'schemas eq "{ENTERPRISE_URN}"', []),
    ],
)
async def test_members_are_found_by_everything_else(
    filled: TestDatabase, text: str, expected: list[Member]
) -> None:
    async with filled.connect("ingress") as connection:
        total, found = await directory_search.search(
            connection, "Users", ORGANISATION, searching(text), Page()
        )

    assert total == len(expected)
    assert [item.row for item in found] == expected


@pytest.mark.parametrize(
    ("text", "is_indexed"),
    [
        ('userName eq "a"', True),
        ('userName sw "a"', True),
        ('userName co "a"', False),
        ('title eq "a" and id eq "a"', True),
        ('userName eq "a" or externalId eq "b"', True),
        ('userName eq "a" or title eq "b"', False),
        ('not (userName eq "a")', False),
        ("active eq true", True),
        ('emails[value eq "a" and display co "b"]', True),
        ('emails[display co "b"]', False),
        (f'groups[value eq "{COOKS.id}"]', True),
        ('meta.lastModified gt "2026-11-25T08:00:00Z"', True),
        ('meta.version eq "x"', False),
    ],
)
def test_what_reads_every_document_is_known_before(text: str, is_indexed: bool) -> None:
    assert searching(text).is_indexed is is_indexed


def test_a_filter_that_was_seen_before_is_not_compiled_again() -> None:
    first = searching('title co "seen before" and not (active eq true)')
    again = searching('title co "seen before" and not (active eq true)')

    assert again.condition is first.condition


async def test_a_page_ends_early_where_its_documents_are_large(database: TestDatabase) -> None:
    """Compressed or not; and there is always one."""
    large = [
        a_member(number, resource=a_user(f"u{number}@example.org", nickName="x" * 40_000))
        for number in range(1, 8)
    ]
    async with database.connect("owner") as connection, connection.transaction():
        net = collapse((ORGANISATION, PutMember(member)) for member in large)
        await directory_write.write_changes(connection, net)

    async with database.connect("ingress") as connection:
        total, some = await directory_search.search(
            connection, "Users", ORGANISATION, Search(page_bytes=100_000), Page(2, 100)
        )
        _, one = await directory_search.search(
            connection, "Users", ORGANISATION, replace(searching("id pr"), page_bytes=1), Page()
        )

    assert total == 7
    assert [item.row for item in some] == large[1:4]
    assert [item.row for item in one] == large[:1]


async def test_a_page_of_groups_ends_early_where_their_members_are_many(
    filled: TestDatabase,
) -> None:
    search = Search(page_bytes=300)

    async with filled.connect("ingress") as connection:
        total, shown = await directory_search.search(
            connection, "Groups", ORGANISATION, search, Page(), with_related=True
        )
        _, bare = await directory_search.search(
            connection, "Groups", ORGANISATION, search, Page(), with_related=False
        )

    assert total == 2
    assert [item.row for item in shown] == [SAILORS]
    assert [item.row for item in bare] == [SAILORS, COOKS]


async def test_totals_are_those_of_the_rows_after_any_batches(database: TestDatabase) -> None:
    """Creates, changes and removals of two organisations in one statement each."""
    chance = random.Random(11)
    async with database.connect("provisioner") as connection:
        for _ in range(40):
            changes: dict[tuple[str, str], Any] = {}
            for _ in range(chance.randrange(1, 12)):
                organisation = chance.choice((ORGANISATION, OTHER_ORGANISATION))
                number = chance.randrange(1, 30)
                name = f"{number}@example.org"
                member, group = a_member(number, name), a_group(number, name)
                change = chance.choice(
                    (
                        PutMember(member),
                        RemoveMember(member.id),
                        PutGroup(group),
                        RemoveGroup(group.id),
                    )
                )
                kind = "member" if isinstance(change, PutMember | RemoveMember) else "group"
                changes[organisation, f"{kind} {number}"] = change
            async with connection.transaction():
                net = collapse((key[0], change) for key, change in changes.items())
                await directory_write.write_changes(connection, net)
            await assert_totals(database)

        undone = connection.transaction()
        await undone.start()
        net = collapse([(ORGANISATION, PutMember(a_member(99, "undone@example.org")))])
        await directory_write.write_changes(connection, net)
        await undone.rollback()
    await assert_totals(database)


async def assert_totals(database: TestDatabase) -> None:
    async with database.connect("ingress") as connection:
        for organisation in (ORGANISATION, OTHER_ORGANISATION, an_id(3)):
            members, _ = await directory_search.search(
                connection, "Users", organisation, Search(), Page(1, 0)
            )
            groups, _ = await directory_search.search(
                connection, "Groups", organisation, Search(), Page(1, 0)
            )
            rows = [
                await connection.fetchval(
                    f"SELECT count(*) FROM directory.{table} WHERE organisation_id = $1",
                    organisation,
                )
                for table in ("member", '"group"')
            ]
            assert [members, groups] == rows


async def test_totals_follow_a_truncated_table(database: TestDatabase) -> None:
    async with database.connect("owner") as connection:
        await fill(connection)
        await connection.execute("TRUNCATE directory.member")

    await assert_totals(database)


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_of_a_sorted_list_make_the_whole(
    database: TestDatabase, descending: bool
) -> None:
    """Equals are in the order of their ids, so that no page shows one twice."""
    members = [
        a_member(
            number,
            resource=a_user(f"u{number}@example.org", **({"title": "same"} if number % 3 else {})),
        )
        for number in range(1, 12)
    ]
    path = resolve_path("title", USER)
    assert isinstance(path, AttributePath)
    search = searching(None, sort=Sort(path, descending))
    async with database.connect("owner") as connection, connection.transaction():
        net = collapse((ORGANISATION, PutMember(member)) for member in members)
        await directory_write.write_changes(connection, net)

    seen = []
    async with database.connect("ingress") as connection:
        for start in range(1, 12, 2):
            _, found = await directory_search.search(
                connection, "Users", ORGANISATION, search, Page(start, 2)
            )
            seen += [item.row.id for item in found]

    with_title = [member.id for member in members if "title" in member.resource]
    without = [member.id for member in members if "title" not in member.resource]
    ascending = [*with_title, *without]
    assert seen == (ascending[::-1] if descending else ascending)
