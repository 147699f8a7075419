"""What one request may cost: bounds that keep a hostile body from costing everybody."""

from typing import Any

import orjson
import pytest

from rollcall.postgres.search_keys import typed_email_key
from rollcall.scim import filter as filters
from rollcall.scim import username
from rollcall.scim.body.json_body import parse_object
from rollcall.scim.errors import InvalidValue, PayloadTooLarge
from rollcall.scim.filter import read_filter
from rollcall.scim.limits import (
    MAX_ADDRESS,
    MAX_CONTAINERS,
    MAX_MEMBERS,
    MAX_NAMES,
    MAX_OPERATIONS,
    MAX_RESOURCE_BYTES,
    MAX_STEPS,
    MAX_TYPE,
    MAX_VALUES,
)
from rollcall.scim.patch import path
from rollcall.scim.patch.patch import PATCH_URN, apply_patch, parse_patch
from rollcall.scim.patch.path import read_path
from rollcall.scim.profile import Profile
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import GROUP, USER
from rollcall.scim.username import user_name_key

LENIENT = Profile.COMPATIBLE
GIN_ITEM_BYTES = 2_712
"""The largest entry of a GIN index of Postgres with pages of 8 KiB."""


def user(**attributes: Any) -> dict[str, Any]:
    return {"schemas": [USER.urn], "userName": "ana@example.org", **attributes}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def test_the_type_of_an_address_that_no_index_holds_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"emails\.type") as refused:
        canonicalise(
            user(emails=[{"value": "ana@example.org", "type": "x" * (MAX_TYPE + 1)}]), USER, LENIENT
        )

    assert refused.value.attribute == "emails.type"


@pytest.mark.parametrize("character", ["ΐ", "ﬃ", "ᾷ", "\U00010428", "\U0001f600", "İ"])
def test_the_longest_keys_of_an_address_fit_into_the_index(character: str) -> None:
    key = typed_email_key(character * MAX_TYPE, character * MAX_ADDRESS)

    assert len(key.encode()) < GIN_ITEM_BYTES - 100


@pytest.mark.parametrize("part", [b"{},", b"[],", b'{"value":"x"},'])
def test_a_body_of_more_objects_than_any_group_has_members_is_too_large(part: bytes) -> None:
    raw = b'{"members":[' + part * MAX_CONTAINERS + b"{}]}"

    with pytest.raises(PayloadTooLarge, match=str(MAX_CONTAINERS)):
        parse_object(raw)


def test_a_body_of_too_many_values_is_too_large() -> None:
    raw = b'{"members":[' + b"0," * MAX_VALUES + b"0]}"

    with pytest.raises(PayloadTooLarge, match=str(MAX_VALUES)):
        parse_object(raw)


@pytest.mark.parametrize("value", [b"1", b'"a"', b"null", b"[]", b'"a:b:c"'])
def test_too_many_names_are_refused_before_they_are_read(value: bytes) -> None:
    names = b",".join(b'"x%d":' % number + value for number in range(MAX_NAMES + 20))

    with pytest.raises(PayloadTooLarge, match=str(MAX_NAMES)):
        parse_object(b"{" + names + b"}")


def test_names_of_a_large_group_with_all_that_an_element_has_are_not_too_many() -> None:
    url = b"https://scim.example:8443/v2/5b1f9a0e-0000-4000-8000-000000000000/Users/1"
    element = b'{"value":"1","$ref":"%b","display":"a:b","type":"User"}' % url
    raw = b'{"members":[' + b",".join([element] * 50_000) + b"]}"

    assert len(parse_object(raw)["members"]) == 50_000


def test_the_largest_group_that_is_allowed_can_be_read() -> None:
    members = [{"value": f"{number:036}", "display": "x"} for number in range(MAX_MEMBERS)]
    raw = orjson.dumps({"schemas": [GROUP.urn], "displayName": "All", "members": members})

    canonical = canonicalise(parse_object(raw), GROUP, LENIENT)

    assert canonical.members is not None
    assert len(canonical.members) == MAX_MEMBERS


def test_a_resource_that_is_too_large_to_be_listed_is_refused() -> None:
    certificates = [{"value": f"{number:04}" * 4000} for number in range(100)]

    with pytest.raises(InvalidValue, match=str(MAX_RESOURCE_BYTES)):
        canonicalise(user(x509Certificates=certificates), USER, LENIENT)


def test_a_resource_cannot_be_patched_to_more_than_it_could_be_created_with() -> None:
    resource = canonicalise(user(), USER, LENIENT).resource
    parts = 0
    with pytest.raises(InvalidValue, match=str(MAX_RESOURCE_BYTES)):  # noqa: PT012 - a few rounds
        for name in ("ims", "photos", "roles", "entitlements", "phoneNumbers", "addresses"):
            sub = "formatted" if name == "addresses" else "display"
            elements = [{sub: "x" * 1000, "type": str(number)} for number in range(100)]
            operation = {"op": "add", "path": name, "value": elements}
            operations = parse_patch(patch(operation), USER, LENIENT).operations
            resource = apply_patch(resource, operations, USER, LENIENT)
            parts += 1

    assert parts > 0


def test_filters_that_would_cost_seconds_to_apply_are_refused() -> None:
    terms = " or ".join(f'value eq "{number}"' for number in range(100))
    operations = [
        {"op": "replace", "path": f"phoneNumbers[{terms}].display", "value": str(number)}
        for number in range(100)
    ]

    with pytest.raises(InvalidValue, match=str(MAX_STEPS)):
        parse_patch(patch(*operations), USER, LENIENT)


@pytest.mark.parametrize(
    "value",
    [
        {f'phoneNumbers[type eq "{number}"].display': "x" for number in range(30)},
        {f"unknown{number}": "x" for number in range(30)},
    ],
)
def test_a_path_less_patch_unfolds_to_a_bounded_number_of_steps(value: dict[str, str]) -> None:
    operations = [{"op": "add", "value": value}] * MAX_OPERATIONS

    with pytest.raises(InvalidValue, match=str(MAX_STEPS)):
        parse_patch(patch(*operations), USER, LENIENT)


def test_removes_by_value_unfold_to_a_bounded_number_of_steps() -> None:
    values = [{"value": str(number)} for number in range(100)]
    operation = {"op": "remove", "path": "phoneNumbers", "value": values}

    with pytest.raises(InvalidValue, match=str(MAX_STEPS)):
        parse_patch(patch(*[operation] * 100), USER, LENIENT)


def test_as_many_plain_operations_as_are_allowed_are_taken() -> None:
    operations = [
        {"op": "replace", "path": f'phoneNumbers[type eq "{number}"].value', "value": "1"}
        for number in range(MAX_OPERATIONS)
    ]

    parsed = parse_patch(patch(*operations), USER, LENIENT)

    assert len(parsed.operations) == MAX_OPERATIONS


def test_long_texts_do_not_fill_the_caches() -> None:
    long_name = "é" * 1000
    caches = (
        filters._read_filter,
        path._read_path,
        username._slow_user_name_key,
    )
    sizes = [cache.cache_info().currsize for cache in caches]

    read_filter(f'userName eq "{long_name}"', USER, LENIENT)
    read_path(f'emails[value eq "{long_name}"]', USER, LENIENT)
    user_name_key(long_name)

    assert [cache.cache_info().currsize for cache in caches] == sizes
