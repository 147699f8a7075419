"""One-time passwords and recovery codes."""

import secrets
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_console.door import codes

RFC_6238 = b"12345678901234567890"
MOMENTS = st.integers(min_value=0, max_value=4_000_000_000)


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(moment: int, code: str) -> None:
    """Appendix B has eight digits; six are the last six of them."""
    assert codes.code_at(RFC_6238, moment // 30) == code[-6:]


@given(MOMENTS, st.integers(min_value=-1, max_value=1))
def test_a_code_counts_one_step_to_either_side(moment: int, drift: int) -> None:
    step = moment // 30 + drift
    if step < 0:
        return
    found = codes.step_of(RFC_6238, codes.code_at(RFC_6238, step), moment)

    assert found is not None
    assert codes.code_at(RFC_6238, found) == codes.code_at(RFC_6238, step)


def test_an_older_code_does_not_count() -> None:
    old = codes.code_at(RFC_6238, 100)

    assert codes.step_of(RFC_6238, old, 102 * 30) is None


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "１２３４５６", "\ud800"])
def test_what_is_no_code_is_wrong_and_no_error(typed: str) -> None:
    assert codes.step_of(RFC_6238, typed.encode("utf-8", "replace").decode(), 59) is None


def test_blanks_in_a_code_are_no_matter() -> None:
    code = codes.code_at(RFC_6238, 1)

    assert codes.step_of(RFC_6238, f"{code[:3]} {code[3:]}", 59) == 1


def test_the_uri_is_what_apps_read() -> None:
    uri = urlsplit(codes.enrolment_uri(RFC_6238, "ana@acme.example", "Rollcall"))

    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Rollcall:ana%40acme.example")
    assert parse_qs(uri.query) == {
        "secret": ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"],
        "issuer": ["Rollcall"],
    }


@given(st.binary(min_size=16, max_size=32))
def test_a_recovery_code_is_found_however_it_is_typed(randomness: bytes) -> None:
    code = codes.recovery_code(randomness)

    assert len(code) == 19
    typed = f" {code.upper().replace('-', ' ')}"
    assert codes.recovery_digest(code) == codes.recovery_digest(typed)


def test_recovery_codes_differ() -> None:
    assert len({codes.recovery_code(secrets.token_bytes(16)) for _ in range(500)}) == 500


def test_too_little_randomness_makes_no_code() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        codes.recovery_code(b"short")
