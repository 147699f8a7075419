"""RFC 7644 §3.5.2.1."""

from typing import Any

import pytest

from rollcall.scim.errors import InvalidSyntax, InvalidValue, Mutability, NoTarget
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ENTERPRISE_URN
from tests.unit.scim.patching import HOME, WORK, a_member, add, patched, replace


def test_add_sets_a_single_value() -> None:
    assert patched(a_member(), add("title", "Buyer")) == a_member(title="Buyer")


def test_add_replaces_an_existing_single_value() -> None:
    assert patched(a_member(title="Buyer"), add("title", "Cook")) == a_member(title="Cook")


def test_add_merges_into_a_complex_value() -> None:
    before = a_member(name={"givenName": "Ana", "familyName": "Abe"})

    after = patched(before, add("name", {"familyName": "Ito"}))

    assert after["name"] == {"givenName": "Ana", "familyName": "Ito"}


def test_add_of_a_sub_attribute_creates_the_complex_value() -> None:
    assert patched(a_member(), add("name.givenName", "Ana"))["name"] == {"givenName": "Ana"}


def test_add_appends_to_a_list() -> None:
    assert patched(a_member(emails=[WORK]), add("emails", [HOME]))["emails"] == [WORK, HOME]


def test_add_of_what_is_there_changes_nothing() -> None:
    before = a_member(emails=[WORK, HOME], title="Buyer")

    assert patched(before, add("emails", [WORK]), add("title", "Buyer")) == before


def test_add_completes_an_element_of_the_same_type_and_value() -> None:
    after = patched(a_member(emails=[HOME]), add("emails", [{**HOME, "display": "Ana"}]))

    assert after["emails"] == [{**HOME, "display": "Ana"}]


def test_added_primary_takes_it_from_the_others() -> None:
    after = patched(a_member(emails=[WORK]), add("emails", [{**HOME, "primary": True}]))

    assert after["emails"] == [{**WORK, "primary": False}, {**HOME, "primary": True}]


def test_add_by_filter_merges_into_the_elements_that_match() -> None:
    after = patched(
        a_member(emails=[WORK, HOME]), add('emails[type eq "home"]', {"display": "Ana"})
    )

    assert after["emails"] == [WORK, {**HOME, "display": "Ana"}]


def test_add_by_filter_that_matches_nothing_creates_the_element() -> None:
    after = patched(a_member(), add('phoneNumbers[type eq "mobile"].value', "+46 70"))

    assert after["phoneNumbers"] == [{"type": "mobile", "value": "+46 70"}]


def test_created_element_has_all_that_the_filter_says() -> None:
    path = 'addresses[type eq "work" and country eq "SE"].locality'

    after = patched(a_member(), add(path, "Lund"))

    assert after["addresses"] == [{"type": "work", "country": "SE", "locality": "Lund"}]


def test_nothing_is_created_from_a_filter_that_names_no_element() -> None:
    with pytest.raises(NoTarget):
        patched(a_member(), add('emails[type ne "work"].value', "a@x.example"))


def test_created_element_is_validated() -> None:
    """The address stands in the filter and not in the value."""
    with pytest.raises(InvalidValue):
        patched(a_member(), add('emails[value eq "a@x, b@y"].type', "work"))


def test_interop_creates_nothing_from_a_filter() -> None:
    with pytest.raises(NoTarget):
        patched(
            a_member(), add('emails[type eq "work"].value', "a@x.example"), profile=Profile.INTEROP
        )


def test_created_primary_takes_it_from_the_others() -> None:
    after = patched(
        a_member(emails=[{**HOME, "primary": True}]),
        add('emails[type eq "work" and primary eq true].value', "work@x.example"),
    )

    assert after["emails"] == [
        {**HOME, "primary": False},
        {"type": "work", "primary": True, "value": "work@x.example"},
    ]


def test_add_without_path_merges_the_value() -> None:
    after = patched(
        a_member(name={"givenName": "Ana"}, emails=[WORK]),
        add(None, {"name": {"familyName": "Ito"}, "emails": [HOME], "title": "Buyer"}),
    )

    assert after == a_member(
        name={"givenName": "Ana", "familyName": "Ito"}, emails=[WORK, HOME], title="Buyer"
    )


def test_add_by_extension_urn() -> None:
    after = patched(a_member(), add(ENTERPRISE_URN, {"department": "Sea", "costCenter": "7"}))

    assert after[ENTERPRISE_URN] == {"department": "Sea", "costCenter": "7"}


def test_add_without_path_reaches_the_extension() -> None:
    after = patched(
        a_member(**{ENTERPRISE_URN: {"costCenter": "7"}}),
        add(None, {ENTERPRISE_URN: {"department": "Sea"}}),
    )

    assert after[ENTERPRISE_URN] == {"costCenter": "7", "department": "Sea"}


@pytest.mark.parametrize("value", [None, ""])
def test_add_of_nothing_changes_nothing(value: object) -> None:
    before = a_member(title="Buyer")

    assert patched(before, add("title", value)) == before


@pytest.mark.parametrize("path", ["id", "meta", "groups", "meta.version", "groups.value"])
def test_add_to_a_read_only_attribute_is_mutability(path: str) -> None:
    with pytest.raises(Mutability):
        patched(a_member(), add(path, "x"))


def test_add_needs_a_value() -> None:
    with pytest.raises(InvalidValue):
        patched(a_member(), {"op": "add", "path": "title"})


def test_more_elements_than_fit_are_refused() -> None:
    full = [{"value": f"{i}@x.example"} for i in range(100)]

    with pytest.raises(InvalidValue) as caught:
        patched(a_member(emails=full), add("emails", [WORK]))

    assert caught.value.attribute == "emails"


def test_add_without_path_is_refused_in_interop() -> None:
    with pytest.raises(InvalidSyntax):
        patched(a_member(), add(None, {"title": "Buyer"}), profile=Profile.INTEROP)


@pytest.mark.parametrize("value", [
    "", " ", {"value": ""}, {"Value": " "}, [{"value": ""}], [""], '{"value": ""}',
])  # fmt: skip
@pytest.mark.parametrize("op", [add, replace])
def test_a_blank_manager_in_any_shape_unassigns(op: Any, value: Any) -> None:
    before = a_member(**{ENTERPRISE_URN: {"manager": {"value": "m"}, "division": "D"}})
    after = a_member(**{ENTERPRISE_URN: {"division": "D"}})

    assert patched(before, op(f"{ENTERPRISE_URN}:manager", value)) == after
    assert patched(before, op(None, {ENTERPRISE_URN: {"manager": value}})) == after


def test_a_blank_manager_value_unassigns_and_what_is_no_blank_value_does_not() -> None:
    before = a_member(**{ENTERPRISE_URN: {"manager": {"value": "m"}}})

    assert patched(before, add(f"{ENTERPRISE_URN}:manager.value", "")) == a_member()
    for value in (None, {"value": None}):
        assert patched(before, add(f"{ENTERPRISE_URN}:manager", value)) == before
    for unread in ({}, {"displayName": "Bo"}):
        with pytest.raises(InvalidValue):
            patched(before, add(f"{ENTERPRISE_URN}:manager", unread))
