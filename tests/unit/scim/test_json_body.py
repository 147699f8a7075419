"""A request body as a strict JSON object."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.body.json_body import parse_object
from rollcall.scim.errors import InvalidSyntax, InvalidValue, ScimError
from rollcall.scim.limits import MAX_DEPTH
from rollcall.scim.patch.patch import parse_patch
from rollcall.scim.profile import Profile
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import GROUP, USER


def test_object_comes_back() -> None:
    assert parse_object(b'{"a": [1, {"b": "x:y"}], "c": null}') == {
        "a": [1, {"b": "x:y"}],
        "c": None,
    }


def test_byte_order_mark_is_tolerated() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("raw", [
    b"", b" ", b"null", b"[]", b'"x"', b"1", b"{", b"{}x", b"{'a': 1}", b'{"a": NaN}',
    b'{"a": -Infinity}',
    b'{"a": 1e400}', b'\xff\xfe{\x00}\x00', b'{"a": "\xff"}', b'{"a": "\\ud800"}',
    b'{"\\udc00": 1}',
    b'{"a": "\x00"}', b"\x00", b"[" * 100_000, b'{"a":' * 100_000, b'{"a": 1,}',
])  # fmt: skip
def test_what_is_no_json_object_is_invalid_syntax(raw: bytes) -> None:
    with pytest.raises(InvalidSyntax):
        parse_object(raw)


@pytest.mark.parametrize("raw", [
    b'{"a": 1, "a": 1}',
    b'{"x": [{"value": 1, "value": 2}]}',
    b'{"a": 1, "\\u0061": 2}',
    b'{"a": {"b": 1}, "a": {}}',
    b'{"t": "a\\u003ab", "a": 1, "a": 1}',
    b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b', "a": 1}',
])  # fmt: skip
def test_name_twice_is_refused(raw: bytes) -> None:
    """orjson keeps the last of two equal names in silence."""
    with pytest.raises(InvalidSyntax, match="twice"):
        parse_object(raw)


@pytest.mark.parametrize("raw", [
    b'{"a": "x:y:z", "b:c": ":"}', b'{"a": "\\u003a"}', b'{"a": "\\u003A", "b": {"a": 1}}',
])  # fmt: skip
def test_colons_in_texts_are_no_names(raw: bytes) -> None:
    assert parse_object(raw)


@pytest.mark.parametrize("raw", [b'{"a": "x\\u0000"}', b'{"\\u0000": 1}', b'{"a": ["\\u0000"]}'])
def test_nul_is_refused_anywhere(raw: bytes) -> None:
    with pytest.raises(InvalidValue, match="U\\+0000"):
        parse_object(raw)


def test_backslash_before_u0000_is_no_nul() -> None:
    assert parse_object(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


@pytest.mark.parametrize("number", [str(2**64), str(-(2**63) - 1), "9" * 30, "1e19", "9" * 5000])
def test_number_beyond_64_bits_is_refused(number: str) -> None:
    with pytest.raises(ScimError):
        parse_object(f'{{"a": [{number}]}}'.encode())


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0])
def test_number_of_64_bits_keeps_its_value(number: int) -> None:
    assert parse_object(f'{{"a": {number}}}'.encode()) == {"a": number}


def test_depth_has_a_limit() -> None:
    fits = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    too_deep = b'{"a":' * MAX_DEPTH + b"[]" + b"}" * MAX_DEPTH

    assert parse_object(fits)
    with pytest.raises(InvalidSyntax, match="deeper"):
        parse_object(too_deep)


def _understand(raw: bytes) -> None:
    """Everything that ingress does with a body."""
    for schema in (USER, GROUP):
        for profile in Profile:
            try:
                body = parse_object(raw)
            except ScimError:
                return
            for read in (canonicalise, parse_patch):
                with contextlib.suppress(ScimError):
                    read(body, schema, profile)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_scim_errors(raw: bytes) -> None:
    _understand(raw)


@given(st.text(alphabet='{}[]":,\\u0ad1e-. tfn\n\ud800é', max_size=60))
def test_nothing_that_looks_like_json_raises_anything_but_scim_errors(text: str) -> None:
    _understand(text.encode("utf-8", "surrogatepass"))
