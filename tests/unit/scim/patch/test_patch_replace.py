"""RFC 7644 §3.5.2.3."""

import pytest

from rollcall.scim.errors import InvalidValue, Mutability, NoTarget
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ENTERPRISE_URN, USER_URN
from tests.unit.scim.patching import HOME, WORK, a_member, parsed, patched, remove, replace


def test_replace_of_an_absent_attribute_adds_it() -> None:
    assert patched(a_member(), replace("title", "Buyer")) == a_member(title="Buyer")


def test_replace_of_a_complex_value_keeps_what_is_not_named() -> None:
    before = a_member(name={"givenName": "Ana", "familyName": "Abe"})

    after = patched(before, replace("name", {"familyName": "Ito"}))

    assert after["name"] == {"givenName": "Ana", "familyName": "Ito"}


def test_interop_replaces_a_complex_value_whole() -> None:
    before = a_member(name={"givenName": "Ana", "familyName": "Abe"})

    after = patched(before, replace("name", {"familyName": "Ito"}), profile=Profile.INTEROP)

    assert after["name"] == {"familyName": "Ito"}


def test_null_in_a_complex_value_takes_it_away() -> None:
    before = a_member(name={"givenName": "Ana", "middleName": "R.", "familyName": "Ito"})

    after = patched(before, replace("name", {"middleName": None, "givenName": ""}))

    assert after["name"] == {"familyName": "Ito"}


def test_replace_of_a_list_replaces_all() -> None:
    assert patched(a_member(emails=[WORK]), replace("emails", [HOME]))["emails"] == [HOME]


@pytest.mark.parametrize("value", [None, ""])
def test_replace_by_nothing_unassigns(value: object) -> None:
    before = a_member(title="Buyer")

    assert patched(before, replace("title", value)) == a_member()


def test_replace_by_filter_writes_the_sub_attribute_of_those_that_match() -> None:
    after = patched(
        a_member(emails=[WORK, HOME]), replace('emails[type eq "work"].value', "new@x.example")
    )

    assert after["emails"] == [{**WORK, "value": "new@x.example"}, HOME]


def test_replace_by_filter_replaces_the_element_and_keeps_what_selected_it() -> None:
    after = patched(
        a_member(emails=[{**WORK, "display": "Ana"}]),
        replace('emails[type eq "work"]', {"value": "new@x.example"}),
    )

    assert after["emails"] == [{"type": "work", "value": "new@x.example"}]


def test_replace_by_boolean_filter() -> None:
    after = patched(
        a_member(emails=[HOME, WORK]), replace("emails[primary eq true].value", "new@x.example")
    )

    assert after["emails"] == [HOME, {**WORK, "value": "new@x.example"}]


def test_filter_that_matches_nothing_is_no_target_in_interop() -> None:
    with pytest.raises(NoTarget) as caught:
        patched(
            a_member(emails=[WORK]),
            replace('emails[type eq "home"].value', "a@x.example"),
            profile=Profile.INTEROP,
        )

    assert caught.value.attribute == "emails"


def test_filter_that_matches_nothing_creates_the_element() -> None:
    after = patched(
        a_member(emails=[WORK]), replace('emails[type eq "home"].value', "home@x.example")
    )

    assert after["emails"] == [WORK, HOME]


def test_value_that_changes_what_selected_it_can_be_sent_again() -> None:
    operation = replace('emails[value eq "work@x.example"].value', "new@x.example")

    once = patched(a_member(emails=[WORK]), operation)
    twice = patched(once, operation)

    assert once["emails"] == [{**WORK, "value": "new@x.example"}]
    assert twice == once


def test_element_that_never_was_cannot_be_renamed() -> None:
    with pytest.raises(NoTarget):
        patched(a_member(), replace('emails[value eq "old@x.example"].value', "new@x.example"))


def test_new_primary_takes_it_from_the_others() -> None:
    after = patched(a_member(emails=[WORK, HOME]), replace('emails[type eq "home"].primary', True))

    assert after["emails"] == [{**WORK, "primary": False}, {**HOME, "primary": True}]


def test_two_elements_made_primary_at_once() -> None:
    before = a_member(emails=[{"value": f"{i}@x.example", "type": "work"} for i in range(2)])
    operation = replace('emails[type eq "work"].primary', True)

    after = patched(before, operation)

    assert [email["primary"] for email in after["emails"]] == [False, True]
    with pytest.raises(InvalidValue):
        patched(before, operation, profile=Profile.INTEROP)


def test_replace_without_path_replaces_each_attribute_named() -> None:
    after = patched(
        a_member(title="Buyer", emails=[WORK], nickName="A"),
        replace(None, {"title": "Cook", "emails": [HOME], "nickName": None}),
    )

    assert after == a_member(title="Cook", emails=[HOME])


@pytest.mark.parametrize("value", ["", None, " ", 5, ["x"]])
def test_required_attribute_keeps_a_value(value: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        patched(a_member(), replace("userName", value))

    assert caught.value.attribute == "userName"


def test_replace_of_a_whole_extension_keeps_what_is_not_named() -> None:
    before = a_member(**{ENTERPRISE_URN: {"department": "Sea", "costCenter": "7"}})
    operation = replace(ENTERPRISE_URN, {"department": "Land"})

    assert patched(before, operation)[ENTERPRISE_URN] == {"department": "Land", "costCenter": "7"}
    assert patched(before, operation, profile=Profile.INTEROP)[ENTERPRISE_URN] == {
        "department": "Land"
    }


@pytest.mark.parametrize(
    "path", ["id", "groups", "meta.location", f"{ENTERPRISE_URN}:manager.displayName"]
)
def test_replace_of_a_read_only_attribute_is_mutability(path: str) -> None:
    with pytest.raises(Mutability):
        patched(a_member(), replace(path, "x"))


def test_later_operations_see_what_earlier_ones_did() -> None:
    after = patched(
        a_member(),
        replace('emails[type eq "work"].value', "a@x.example"),
        replace('emails[value eq "a@x.example"].display', "Ana"),
    )

    assert after["emails"] == [{"type": "work", "value": "a@x.example", "display": "Ana"}]


def test_failure_of_a_later_operation_changes_nothing() -> None:
    """RFC 7644 §3.5.2: all or none."""
    before = a_member(title="Buyer", emails=[WORK])

    with pytest.raises(NoTarget):
        patched(
            before, replace("title", "Cook"), replace('emails[type ne "work"].value', "a@x.example")
        )

    assert before == a_member(title="Buyer", emails=[WORK])


@pytest.mark.parametrize("profile", Profile)
def test_path_with_urn_and_filter_means_the_attribute(profile: Profile) -> None:
    """RFC 7644 §3.10."""
    after = patched(
        a_member(emails=[WORK, HOME]),
        replace(f'{USER_URN}:emails[type eq "home"].value', "new@x.example"),
        remove(f"{USER_URN}:emails.primary"),
        profile=profile,
    )

    assert after["emails"] == [
        {"value": "work@x.example", "type": "work"},
        {**HOME, "value": "new@x.example"},
    ]


@pytest.mark.parametrize("profile", Profile)
def test_filter_selects_by_several_sub_attributes_at_once(profile: Profile) -> None:
    """One element must meet all of it (RFC 7644 §3.4.2.2)."""
    path = 'emails[type eq "work" and not (value sw "work")].display'
    with pytest.raises(NoTarget):
        patched(a_member(emails=[WORK, HOME]), replace(path, "Ana"), profile=Profile.INTEROP)

    after = patched(
        a_member(emails=[WORK, HOME]),
        replace('emails[type eq "work" or value ew "home@x.example"].display', "Ana"),
        profile=profile,
    )

    assert [email["display"] for email in after["emails"]] == ["Ana", "Ana"]


@pytest.mark.parametrize("profile", Profile)
def test_replace_by_what_is_there_in_another_order_of_names_changes_nothing(
    profile: Profile,
) -> None:
    before = a_member(emails=[WORK], name={"givenName": "Ana", "familyName": "Holm"})
    operation = replace("name", {"familyName": "Holm", "givenName": "Ana"})

    assert patched(before, operation, profile=profile) == before


def test_list_where_a_filter_selects_elements_is_refused_in_words_that_help() -> None:
    given = [{"value": "a@x.example"}, {"value": "b@x.example"}]

    with pytest.raises(InvalidValue, match="must be one object"):
        parsed(replace('emails[type eq "work"]', given))
