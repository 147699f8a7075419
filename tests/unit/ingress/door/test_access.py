"""What the line of a request may say, and which client's ids it repeats."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rollcall.runtime.ids import parse_id
from rollcall_ingress.door import access
from rollcall_ingress.door.access import (
    MAX_CLIENT_REQUEST_ID,
    AccessLine,
    read_client_request_id,
)
from tests.unit.ingress.tenants import a_key_text

OF_IDS = set(string.ascii_letters + string.digits + "._:+/=-")
FIELDS = {
    "method",
    "route",
    "status",
    "ms",
    "organisation_id",
    "key_id",
    "pending",
    "reason",
    "what",
    "client_request_id",
}


@given(st.lists(st.binary(max_size=300), max_size=3))
@example([b"a" * MAX_CLIENT_REQUEST_ID])
@example([b"a" * (MAX_CLIENT_REQUEST_ID + 1)])
@example([b"a\n"])
@example([b"a\r\nSet-Cookie: b"])
@example(["٣".encode()])
def test_a_client_s_id_is_bounded_whatever_its_bytes(values: list[bytes]) -> None:
    """As aiohttp gives them: bytes beyond UTF-8 are surrogates."""
    texts = [value.decode("utf-8", "surrogateescape") for value in values]

    found = read_client_request_id(texts)

    if found is not None:
        assert [found] == texts
        assert 0 < len(found) <= MAX_CLIENT_REQUEST_ID
        assert set(found) <= OF_IDS | {"_"}
        assert found.isascii()
        assert found.isprintable()


@given(st.text(st.sampled_from(sorted(OF_IDS)), max_size=MAX_CLIENT_REQUEST_ID - 1))
def test_what_ids_are_made_of_is_repeated(rest: str) -> None:
    assert read_client_request_id([f"a{rest}"]) == f"a{rest}"


@pytest.mark.parametrize(
    "value",
    ["", "-", "ana@example.org", "Ana Silva", "a,b", "a;b", "<a>", '"a"', "a\tb", "a%20b", "ä"],
)
def test_what_no_id_looks_like_is_ignored(value: str) -> None:
    assert read_client_request_id([value]) is None


@pytest.mark.parametrize("value", [a_key_text(), f"a-{a_key_text()}", f"{a_key_text()}=="])
def test_an_api_key_is_no_id(value: str) -> None:
    assert read_client_request_id([value]) is None


def test_two_ids_are_none() -> None:
    assert read_client_request_id(["a", "a"]) is None
    assert read_client_request_id([]) is None


def test_a_line_has_these_fields_and_no_others() -> None:
    full = AccessLine(
        client_request_id="a",
        route="/v2/{organisation}/Users",
        organisation_id="b",
        key_id="c",
        reason="uniqueness",
        what="Kafka",
    )

    assert set(full.values(200)) == FIELDS
    assert set(AccessLine().values(None)) == {"method", "ms", "pending"}


def test_the_first_reason_stays() -> None:
    line = AccessLine()

    line.refuse("media_type")
    line.refuse("unsupportedMediaType")

    assert line.reason == "media_type"


def test_outside_a_request_there_is_a_line_that_nobody_logs() -> None:
    first, second = access.line(), access.line()

    assert first.request_id != second.request_id
    assert parse_id(first.request_id) == first.request_id
