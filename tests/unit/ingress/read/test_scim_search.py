"""SearchRequest bodies (RFC 7644 §3.4.3) and what lists ask for."""

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.errors import InvalidFilter, InvalidSyntax, InvalidValue, ScimError
from rollcall.scim.limits import DEFAULT_PAGE
from rollcall.scim.page import Page
from rollcall.scim.profile import Profile
from rollcall.scim.schema import USER
from rollcall_ingress.read.listing import (
    SEARCH_REQUEST_URN,
    Listing,
    read_listing,
    read_search_request,
)

STRICT, LENIENT = Profile.INTEROP, Profile.COMPATIBLE


def read(profile: Profile = STRICT, **fields: Any) -> dict[str, str]:
    body = {"schemas": [SEARCH_REQUEST_URN], **fields}
    return dict(read_search_request(orjson.dumps(body), profile))


def listing(profile: Profile = STRICT, **query: str) -> Listing:
    return read_listing(query, USER, profile, "https://scim.example/v2/o")


def test_a_body_says_what_a_query_says() -> None:
    assert read(
        attributes=["userName", "emails.value"],
        filter='userName sw "a"',
        sortBy="userName",
        sortOrder="descending",
        startIndex=3,
        count=10,
    ) == {
        "attributes": "userName,emails.value",
        "filter": 'userName sw "a"',
        "sortBy": "userName",
        "sortOrder": "descending",
        "startIndex": "3",
        "count": "10",
    }


def test_names_have_no_letter_case_and_null_is_nothing() -> None:
    assert read(EXCLUDEDattributes="groups", FILTER=None) == {"excludedAttributes": "groups"}


@pytest.mark.parametrize(("fields", "attribute"), [
    ({"filter": 5}, "filter"), ({"filter": ["a"]}, "filter"), ({"sortBy": True}, "sortBy"),
    ({"attributes": [1]}, "attributes"), ({"attributes": {}}, "attributes"),
    ({"excludedAttributes": 1}, "excludedAttributes"), ({"startIndex": 1.5}, "startIndex"),
    ({"count": True}, "count"), ({"count": "ten"}, "count"), ({"count": "10"}, "count"),
    ({"sortOrder": "a\nb"}, "sortOrder"), ({"attributes": ["a\u2028"]}, "attributes"),
])  # fmt: skip
def test_a_value_of_another_kind_is_refused_by_name(fields: dict[str, Any], attribute: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read(**fields)

    assert refused.value.attribute == attribute


def test_control_characters_in_a_filter_are_refused_as_in_a_query() -> None:
    with pytest.raises(InvalidFilter):
        read(filter='userName eq "a\u0001"')


def test_the_compatible_profile_takes_numbers_as_text_and_ignores_the_unknown() -> None:
    assert read(LENIENT, count="10", cursor="abc") == {"count": "10"}
    assert dict(read_search_request(b'{"count": 1}', LENIENT)) == {"count": "1"}


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", b'{"count": 1}', b'{"schemas": []}', b'{"schemas": ["urn:other"]}',
    b'{"schemas": "x"}', b'{"schemas": [1]}', b'{"count":1,"COUNT":2}',
])  # fmt: skip
def test_what_is_no_search_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidSyntax):
        read_search_request(body, STRICT)


def test_schemas_as_a_text_are_a_list_of_one_in_the_compatible_profile_as_in_a_post() -> None:
    assert read(LENIENT, schemas=SEARCH_REQUEST_URN, count=1) == {"count": "1"}
    with pytest.raises(InvalidSyntax):
        read(STRICT, schemas=SEARCH_REQUEST_URN)


@pytest.mark.parametrize("schemas", [["urn:other"], "x", [1]])
def test_another_message_is_refused_in_both_profiles(schemas: Any) -> None:
    with pytest.raises(InvalidSyntax):
        read(LENIENT, schemas=schemas)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_raise_anything_but_scim_errors(raw: bytes) -> None:
    with suppress(ScimError):
        read_search_request(raw, LENIENT)


def test_without_parameters_the_first_page_of_all_in_order_of_creation() -> None:
    asked = listing()

    assert asked.page == Page(1, DEFAULT_PAGE)
    assert asked.search.is_indexed
    assert asked.search.condition.sql == "true"


def test_an_unknown_attribute_is_refused_in_a_filter_and_by_profile_in_a_sort() -> None:
    with pytest.raises(InvalidFilter):
        listing(LENIENT, filter='nobody eq "x"')
    with pytest.raises(InvalidValue):
        listing(sortBy="nobody")

    assert listing(LENIENT, sortBy="nobody").search.order == listing().search.order


def test_a_sort_that_no_index_gives_reads_every_document() -> None:
    assert listing(sortBy="userName").search.is_indexed
    assert not listing(sortBy="title").search.is_indexed
    assert not listing(filter='title co "a"').search.is_indexed
