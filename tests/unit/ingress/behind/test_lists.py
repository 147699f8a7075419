"""Which look-up a filter means, and what a page of its result is."""

from typing import Any

import pytest

from rollcall.postgres.directory_search import Resource
from rollcall.scim.filter import Filter, parse_filter
from rollcall.scim.page import Page
from rollcall.scim.profile import Profile
from rollcall.scim.schema import GROUP, USER
from rollcall_ingress.behind.lists import key_of, names_related, page_of
from tests.support.builders import a_group, a_member, an_id

BASE = "https://rollcall.example/v2/org"


def a_filter(text: str, schema: Any = USER) -> Filter:
    return parse_filter(text, schema, Profile.COMPATIBLE)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('userName eq "ANA@Example.org"', ("userName", "ana@example.org")),
        ("externalId eq Ana.X", ("externalId", "Ana.X")),
        (f'id eq "{an_id(1)}"', ("id", an_id(1))),
        ('active eq true and userName eq "ana"', ("userName", "ana")),
        ('displayName eq "Ana  B"', ("displayName", "ana b")),
        ('id eq "not-an-id"', None),
        ('userName sw "ana"', None),
        ('userName eq "ana" or userName eq "bo"', None),
        ('not (userName eq "ana")', None),
        ('emails.value eq "ana"', None),
        ('name.familyName eq "ana"', None),
    ],
)
def test_a_filter_is_a_look_up_where_one_key_must_be_equal(text: str, key: Any) -> None:
    assert key_of(a_filter(text), "Users") == key


def test_the_membership_probe_is_a_look_up_of_the_group_that_asks_for_its_members() -> None:
    probe = a_filter(f'id eq "{an_id(50)}" and members eq "{an_id(1)}"', GROUP)
    crew = a_group(50, "Crew")

    with_ana = Resource(crew, ((an_id(1), "Ana"), (an_id(2), None)))
    without = Resource(crew, ((an_id(2), None),))

    assert key_of(probe, "Groups") == ("id", an_id(50))
    assert names_related(probe)
    assert not names_related(a_filter('displayName eq "x"', GROUP))
    assert page_of([with_ana], probe, None, Page(1, 10), BASE) == (1, [with_ana])
    assert page_of([without], probe, None, Page(1, 10), BASE) == (0, [])


def test_a_page_counts_all_that_match_and_is_in_the_order_of_ids() -> None:
    found = [Resource(a_member(number, f"user{number}")) for number in (3, 1, 2, 4)]
    condition = a_filter('not (userName eq "user4")')

    total, page = page_of(found, condition, None, Page(2, 1), BASE)

    assert (total, [each.row.id for each in page]) == (3, [an_id(2)])
    assert page_of(found, condition, None, Page(4, 5), BASE) == (3, [])
