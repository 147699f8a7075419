"""Reads: by id and by filter, with groups and members, exact and within one organisation."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest

from shared.directory.changes import AddMembers, PutGroup, PutMember
from shared.directory.fold import collapse
from shared.directory.state import Group, Member
from shared.postgres import directory_search, directory_write
from shared.postgres.filter_sql import Condition, ResourceType, compile_filter
from shared.scim.errors import InvalidFilter
from shared.scim.filter import Comparison, parse_filter
from shared.scim.profile import Profile
from shared.scim.schema import GROUP, USER
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


def condition(text: str | None, resource_type: ResourceType = "User") -> Condition:
    if text is None:
        return compile_filter(None, resource_type)
    schema = USER if resource_type == "User" else GROUP
    return compile_filter(parse_filter(text, schema, Profile.COMPATIBLE), resource_type)


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
        (f'id eq "{BEN.id.upper()}"', [BEN]),
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
        total, found = await directory_search.search_members(
            connection, ORGANISATION, condition(text), Page()
        )

    assert total == len(expected)
    assert [item.member for item in found] == expected


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
        total, found = await directory_search.search_groups(
            connection, ORGANISATION, condition(text, "Group"), Page()
        )

    assert total == len(expected)
    assert [item.group for item in found] == expected
    assert all(item.members == () for item in found)


@pytest.mark.parametrize(
    ("text", "resource_type"),
    [
        ('userName co "a"', "User"),
        ('userName ne "a"', "User"),
        ("userName pr", "User"),
        ("externalId eq null", "User"),
        ("active eq true", "User"),
        ('userName eq "a" or userName eq "b"', "User"),
        ('not (userName eq "a")', "User"),
        ('emails[type eq "work"]', "User"),
        ('emails[value co "a"]', "User"),
        ('emails[type eq "a" and type eq "b"]', "User"),
        ('members[type eq "User"]', "Group"),
    ],
)
def test_other_filters_are_refused_with_what_is_supported(
    text: str, resource_type: ResourceType
) -> None:
    with pytest.raises(InvalidFilter) as refused:
        condition(text, resource_type)

    assert "externalId" in refused.value.detail


@pytest.mark.parametrize("hostile", ["'; DROP TABLE x; --", "$1", "\\", "a\ud800", "%_", "{}"])
@pytest.mark.parametrize("attribute", ["userName", "externalId", "displayName", "emails.value"])
async def test_hostile_values_match_nothing(
    filled: TestDatabase, attribute: str, hostile: str
) -> None:
    ast = parse_filter(f'{attribute} eq "x"', USER, Profile.COMPATIBLE)
    assert isinstance(ast, Comparison)
    hostile_ast = replace(ast, value=hostile)

    async with filled.connect("ingress") as connection:
        total, found = await directory_search.search_members(
            connection, ORGANISATION, compile_filter(hostile_ast, "User"), Page()
        )

    assert (total, found) == (0, [])


async def test_a_page_is_a_part_and_the_total_is_exact(filled: TestDatabase) -> None:
    async with filled.connect("ingress") as connection:
        second = await directory_search.search_members(
            connection, ORGANISATION, condition(None), Page(2, 1), with_groups=True
        )
        beyond = await directory_search.search_members(
            connection, ORGANISATION, condition(None), Page(9, 5)
        )
        only_total = await directory_search.search_groups(
            connection, ORGANISATION, condition(None, "Group"), Page(1, 0)
        )

    assert second[0] == 2
    assert [item.member for item in second[1]] == [BEN]
    assert [item.groups for item in second[1]] == [((SAILORS.id, "Sailors"),)]
    assert beyond == (2, [])
    assert only_total == (2, [])


async def test_related_resources_come_with_their_display(filled: TestDatabase) -> None:
    """A member's display is its displayName, otherwise its userName."""
    async with filled.connect("ingress") as connection:
        member = await directory_search.find_member(
            connection, ORGANISATION, ANA.id, with_groups=True
        )
        group = await directory_search.find_group(
            connection, ORGANISATION, SAILORS.id, with_members=True
        )
        _, groups = await directory_search.search_groups(
            connection, ORGANISATION, condition(None, "Group"), Page(), with_members=True
        )

    assert member is not None
    assert member.groups == ((SAILORS.id, "Sailors"), (COOKS.id, "Cooks"))
    assert group is not None
    assert group.members == ((ANA.id, "Ána  Sailor"), (BEN.id, "ben@example.org"))
    assert [len(item.members) for item in groups] == [2, 1]


async def test_an_unknown_id_is_nobody(filled: TestDatabase) -> None:
    async with filled.connect("ingress") as connection:
        found = [
            await directory_search.find_member(connection, ORGANISATION, identifier)
            for identifier in (an_id(9), "no-uuid", "", "\0", SAILORS.id)
        ]
        group = await directory_search.find_group(connection, ORGANISATION, "no-uuid")
        elsewhere = await directory_search.find_member(connection, an_id(77), ANA.id)
        upper_case = await directory_search.find_member(connection, ORGANISATION, ANA.id.upper())

    assert found == [None] * 5
    assert (group, elsewhere) == (None, None)
    assert upper_case is not None


async def test_the_notifier_finds_a_member(filled: TestDatabase) -> None:
    async with filled.connect("owner") as connection:
        counts = await directory_search.count_members(connection, ORGANISATION)
    async with filled.connect("notifier") as connection:
        found = await directory_search.find_member(connection, ORGANISATION, BEN.id)

    assert found is not None
    assert found.member == BEN
    assert counts == {"invited": 2}
