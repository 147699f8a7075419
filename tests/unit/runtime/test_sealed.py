"""Sealed secrets: opened by what sealed them, for what they were sealed for, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.runtime.sealed import CannotOpen, Sealer

FIRST, SECOND = "a" * 32, "b" * 40


@given(st.binary(max_size=100), st.text(max_size=10), st.text(max_size=40))
def test_what_is_sealed_is_opened(secret: bytes, purpose: str, owner: str) -> None:
    sealer = Sealer.of(FIRST)

    assert sealer.open(sealer.seal(secret, purpose, owner), purpose, owner) == secret


def test_the_first_seals_and_any_opens() -> None:
    old = Sealer.of(FIRST).seal(b"secret", "totp", "ana")
    both = Sealer.of(f"{SECOND}\n{FIRST}\n")

    assert both.open(old, "totp", "ana") == b"secret"
    assert not both.is_current(old)
    assert both.is_current(both.seal(b"secret", "totp", "ana"))
    with pytest.raises(CannotOpen, match="not among those given"):
        Sealer.of(SECOND).open(old, "totp", "ana")


@pytest.mark.parametrize(("purpose", "owner"), [("totp", "bob"), ("webhook", "ana")])
def test_it_cannot_be_moved_to_another_row(purpose: str, owner: str) -> None:
    sealer = Sealer.of(FIRST)

    with pytest.raises(CannotOpen, match="another's"):
        sealer.open(sealer.seal(b"secret", "totp", "ana"), purpose, owner)


@given(st.integers(min_value=0, max_value=38), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(at: int, change: int) -> None:
    sealer = Sealer.of(FIRST)
    sealed = bytearray(sealer.seal(b"secret", "totp", "ana"))
    sealed[at] ^= change

    with pytest.raises(CannotOpen):
        sealer.open(bytes(sealed), "totp", "ana")


def test_two_seals_of_one_secret_differ() -> None:
    sealer = Sealer.of(FIRST)

    assert sealer.seal(b"secret", "totp", "ana") != sealer.seal(b"secret", "totp", "ana")


@pytest.mark.parametrize("text", ["", "\n \n", "short", f"{FIRST}\nshort"])
def test_a_short_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="32 characters"):
        Sealer.of(text)
