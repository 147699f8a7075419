"""The token of an invitation's link."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.directory.invitation_link import (
    TOKEN_LENGTH,
    InvalidToken,
    Invitation,
    expires_at,
    make_token,
    message_id,
    read_token,
)
from tests.support.builders import ORGANISATION, OTHER_ORGANISATION, an_id

SECRET = b"0123456789abcdef0123456789abcdef"
EXPIRES = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
INVITATION = Invitation(ORGANISATION, an_id(1), an_id(101))
TOKEN = make_token(SECRET, INVITATION, EXPIRES)


def test_a_token_says_what_went_into_it() -> None:
    assert read_token(SECRET, TOKEN, ORGANISATION) == (an_id(1), an_id(101), EXPIRES)


def test_the_same_invitation_gives_the_same_token() -> None:
    assert make_token(SECRET, INVITATION, EXPIRES) == TOKEN


def test_a_token_is_safe_in_an_address_and_has_no_padding() -> None:
    assert len(TOKEN) == TOKEN_LENGTH
    assert set(TOKEN) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("place", range(72))
def test_a_token_with_one_other_byte_is_refused(place: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(TOKEN))
    raw[place] ^= 1

    with pytest.raises(InvalidToken):
        read_token(SECRET, base64.urlsafe_b64encode(raw).decode(), ORGANISATION)


def test_another_organisation_cannot_use_a_token() -> None:
    with pytest.raises(InvalidToken):
        read_token(SECRET, TOKEN, OTHER_ORGANISATION)


def test_another_secret_makes_another_token() -> None:
    with pytest.raises(InvalidToken):
        read_token(SECRET[::-1], TOKEN, ORGANISATION)


@pytest.mark.parametrize("other", ["", "x", TOKEN[:-1], TOKEN + "A", TOKEN[:-1] + "é", "=" * 96])
def test_what_has_not_the_form_of_a_token_is_refused(other: str) -> None:
    with pytest.raises(InvalidToken):
        read_token(SECRET, other, ORGANISATION)


@given(
    st.text(max_size=200)
    | st.binary(min_size=72, max_size=72).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_no_text_makes_reading_fail_in_another_way(text: str) -> None:
    with pytest.raises(InvalidToken):
        read_token(SECRET, text, ORGANISATION)


def test_the_expiry_follows_from_the_invitations_own_id() -> None:
    minted = datetime.fromtimestamp(0x0190_0000_0000 / 1000, UTC)

    assert expires_at(an_id(101), 432_000) == minted + timedelta(days=5)


def test_only_a_uuid7_has_an_expiry() -> None:
    with pytest.raises(ValueError, match="UUIDv7"):
        expires_at("6ba7b810-9dad-11d1-80b4-00c04fd430c8", 60)


def test_a_message_id_is_made_of_event_and_kind() -> None:
    assert message_id(an_id(1), "invitation", "x.nl") == f"<{an_id(1)}.invitation@x.nl>"
