"""RFC 7644 §3.5.2.2."""

from typing import Any

import pytest

from rollcall.scim.errors import InvalidSyntax, InvalidValue, Mutability, NoTarget
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ENTERPRISE_URN, GROUP
from tests.unit.scim.patching import HOME, WORK, a_member, add, parsed, patched, remove


def test_remove_unassigns_an_attribute() -> None:
    assert patched(a_member(title="Buyer", active=True), remove("title"), remove("active")) == (
        a_member()
    )


def test_remove_of_a_sub_attribute_leaves_the_others() -> None:
    before = a_member(name={"givenName": "Ana", "familyName": "Ito"})

    assert patched(before, remove("name.givenName"))["name"] == {"familyName": "Ito"}


def test_last_sub_attribute_gone_is_unassigned() -> None:
    assert patched(a_member(name={"givenName": "Ana"}), remove("name.givenName")) == a_member()


def test_remove_by_filter_takes_the_elements_that_match() -> None:
    after = patched(a_member(emails=[WORK, HOME]), remove('emails[type eq "WORK"]'))

    assert after["emails"] == [HOME]


def test_last_element_gone_is_unassigned() -> None:
    assert patched(a_member(emails=[WORK]), remove("emails[primary eq true]")) == a_member()


def test_remove_of_an_elements_sub_attribute() -> None:
    before = a_member(emails=[{**WORK, "display": "Ana"}, {**HOME, "display": "Bo"}])

    after = patched(before, remove('emails[type eq "work"].display'))

    assert after["emails"] == [WORK, {**HOME, "display": "Bo"}]


def test_email_without_address_is_gone() -> None:
    assert patched(a_member(emails=[WORK]), remove('emails[type eq "work"].value')) == a_member()


def test_remove_of_a_sub_attribute_without_filter_means_all_elements() -> None:
    before = a_member(emails=[{**WORK, "display": "A"}, {**HOME, "display": "B"}])

    assert patched(before, remove("emails.display"))["emails"] == [WORK, HOME]


@pytest.mark.parametrize("path", [
    "title", "name.givenName", "emails", 'emails[type eq "other"]', f"{ENTERPRISE_URN}:department",
    ENTERPRISE_URN, 'emails[type eq "other"].value', "phoneNumbers.value",
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_removing_what_is_not_there_changes_nothing(path: str, profile: Profile) -> None:
    before = a_member(nickName="A")

    assert patched(before, remove(path), profile=profile) == before


@pytest.mark.parametrize("profile", Profile)
def test_remove_without_path_is_no_target(profile: Profile) -> None:
    with pytest.raises(NoTarget):
        patched(a_member(), remove(None), profile=profile)


def test_remove_of_a_required_attribute_is_mutability() -> None:
    with pytest.raises(Mutability) as caught:
        patched(a_member(), remove("userName"))

    assert caught.value.attribute == "userName"
    with pytest.raises(Mutability):
        patched({"displayName": "Crew"}, remove("displayName"), schema=GROUP)


@pytest.mark.parametrize("path", ["id", "groups", 'groups[value eq "g"]', "meta.created"])
def test_remove_of_a_read_only_attribute_is_mutability(path: str) -> None:
    with pytest.raises(Mutability):
        patched(a_member(), remove(path))


def test_extension_goes_with_its_last_attribute() -> None:
    before = a_member(**{ENTERPRISE_URN: {"department": "Sea"}})

    assert patched(before, remove(f"{ENTERPRISE_URN}:department")) == a_member()


def test_whole_extension_is_removed_by_its_urn() -> None:
    before = a_member(**{ENTERPRISE_URN: {"department": "Sea", "costCenter": "7"}})

    assert patched(before, remove(ENTERPRISE_URN)) == a_member()


@pytest.mark.parametrize("value", [[WORK], WORK, [{"value": "WORK@x.example"}]])
def test_value_list_beside_the_path_names_what_to_remove(value: Any) -> None:
    after = patched(a_member(emails=[WORK, HOME]), remove("emails", value=value))

    assert after["emails"] == [HOME]


def test_element_without_value_is_removed_by_all_that_it_has() -> None:
    before = a_member(addresses=[{"type": "work", "locality": "Lund"}, {"type": "work"}])

    after = patched(before, remove("addresses", value=[{"type": "work", "locality": "Lund"}]))

    assert after["addresses"] == [{"type": "work"}]


@pytest.mark.parametrize("formatted", [
    "1\u00a0rue de la Paix", "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
    "\N{IDEOGRAPHIC SPACE}1", "1 rue\nParis", "1 rue\u0085Paris", "1 rue\u2028Paris",
])  # fmt: skip
def test_element_with_unusual_spaces_is_removed_by_what_it_has(formatted: str) -> None:
    before = a_member(addresses=[{"formatted": formatted}, {"formatted": "other"}])
    kept = a_member(addresses=[{"formatted": "other"}])

    assert patched(before, remove("addresses", value=[{"formatted": formatted}])) == kept


@pytest.mark.parametrize("element", [
    {"formatted": "x" * 4096, "streetAddress": "y" * 4096}, {"formatted": "\u6f22" * 4000},
])  # fmt: skip
def test_element_too_long_to_be_selected_is_refused_before_it_is_accepted(element: Any) -> None:
    with pytest.raises(InvalidValue, match="short filter"):
        parsed(remove("addresses", value=[element]))


def test_empty_value_list_removes_nothing() -> None:
    before = a_member(emails=[WORK])

    assert patched(before, remove("emails", value=[])) == before


def test_interop_does_not_empty_a_list_by_mistake() -> None:
    with pytest.raises(InvalidSyntax):
        patched(a_member(emails=[WORK]), remove("emails", value=[HOME]), profile=Profile.INTEROP)


def test_removed_and_added_again_in_one_patch() -> None:
    after = patched(a_member(emails=[WORK]), remove("emails"), add("emails", [HOME]))

    assert after["emails"] == [HOME]
