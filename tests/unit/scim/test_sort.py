"""RFC 7644 §3.4.2.3."""

from typing import Any

import pytest

from rollcall.scim.errors import InvalidValue
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, USER
from rollcall.scim.sort import Sort, in_order, parse_sort


def read(sort_by: str | None, order: str | None = None, profile: Profile = Profile.INTEROP) -> Sort:
    sort = parse_sort(sort_by, order, USER, Repairs(profile))
    assert sort is not None
    return sort


def sorted_ids(sort_by: str, order: str | None, *resources: dict[str, Any]) -> list[str]:
    numbered = [{"id": str(number), **item} for number, item in enumerate(resources)]
    return [item["id"] for item in in_order(numbered, read(sort_by, order))]


@pytest.mark.parametrize(("sort_by", "path"), [
    ("userName", "userName"), ("USERNAME", "userName"), (" name.familyName ", "name.familyName"),
    ("emails", "emails.value"), ("emails.type", "emails.type"), ("meta.created", "meta.created"),
    (f"{USER.urn}:title", "title"),
    (f"{ENTERPRISE_URN}:manager", f"{ENTERPRISE_URN}:manager.value"),
    (f"{ENTERPRISE_URN}:costCenter", f"{ENTERPRISE_URN}:costCenter"),
])  # fmt: skip
def test_what_can_be_sorted_by(sort_by: str, path: str) -> None:
    assert read(sort_by).path.target.path == path


@pytest.mark.parametrize(
    "sort_by",
    [
        "nobody",
        "name",
        ENTERPRISE_URN,
        'emails[type eq "work"].value',
        "a" * 5000,
        "id; DROP",
        "$1",
    ],
)
def test_nothing_to_sort_by_is_refused_or_in_the_compatible_profile_ignored(sort_by: str) -> None:
    repairs = Repairs(Profile.COMPATIBLE)
    with pytest.raises(InvalidValue) as refused:
        read(sort_by)

    ignored = parse_sort(sort_by, None, USER, repairs)

    assert refused.value.attribute == "sortBy"
    assert "DROP" not in refused.value.detail
    assert ignored is None
    assert repairs.fired == ("unknown-attribute",)


def test_an_extension_attribute_without_its_urn_is_a_repair() -> None:
    repairs = Repairs(Profile.COMPATIBLE)

    sort = parse_sort("department", None, USER, repairs)

    assert sort is not None
    assert sort.path.text == f"{ENTERPRISE_URN}:department"
    assert repairs.fired == ("extension-name-in-core",)


@pytest.mark.parametrize(("sort_by", "path"), [
    ("urn:scim:schemas:core:1.0:userName", "userName"),
    ("urn:scim:schemas:extension:enterprise:1.0:department", f"{ENTERPRISE_URN}:department"),
])  # fmt: skip
def test_an_old_urn_is_a_repair_here_too(sort_by: str, path: str) -> None:
    repairs = Repairs(Profile.COMPATIBLE)

    sort = parse_sort(sort_by, None, USER, repairs)

    assert sort is not None
    assert sort.path.text == path
    assert repairs.fired == ("old-urn",)


@pytest.mark.parametrize("order", ["up", "asc", "1", "ascending descending"])
@pytest.mark.parametrize("profile", list(Profile))
def test_another_order_is_refused_in_both_profiles(order: str, profile: Profile) -> None:
    with pytest.raises(InvalidValue) as refused:
        read("userName", order, profile)

    assert refused.value.attribute == "sortOrder"


@pytest.mark.parametrize("sort_by", [None, "", "  "])
def test_without_sort_by_there_is_no_sort(sort_by: str | None) -> None:
    assert parse_sort(sort_by, "descending", GROUP, Repairs(Profile.INTEROP)) is None


@pytest.mark.parametrize(("order", "expected"), [
    (None, ["1", "0", "2", "3"]), ("ascending", ["1", "0", "2", "3"]),
    ("Descending", ["3", "2", "0", "1"]),
])  # fmt: skip
def test_no_value_is_last_and_in_descending_order_first(
    order: str | None, expected: list[str]
) -> None:
    assert (
        sorted_ids("title", order, {"title": "b"}, {"title": "A"}, {"title": "B"}, {}) == expected
    )


def test_exact_texts_sort_by_their_letter_case() -> None:
    assert sorted_ids("externalId", None, {"externalId": "a"}, {"externalId": "B"}) == ["1", "0"]


def test_of_several_values_the_primary_counts_otherwise_the_first() -> None:
    ids = sorted_ids(
        "emails",
        None,
        {"emails": [{"value": "m@x"}, {"value": "a@x"}]},
        {"emails": [{"value": "z@x"}, {"value": "b@x", "primary": True}]},
        {"emails": [{"value": "c@x", "primary": False}]},
    )

    assert ids == ["1", "2", "0"]


def test_times_sort_by_when_they_are() -> None:
    ids = sorted_ids(
        "meta.created",
        "descending",
        {"meta": {"created": "2026-01-01T10:00:00Z"}},
        {"meta": {"created": "2026-01-01T10:30:00+01:00"}},
    )

    assert ids == ["0", "1"]
