"""API keys and the records of the tenancy topic."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.events import envelope
from rollcall.tenancy import api_key, organisation
from tests.support.builders import MOMENT, an_id

KEY = api_key.make(bytes(range(48)))


def test_a_key_has_the_shape_that_scanners_look_for() -> None:
    assert len(KEY.text) == api_key.KEY_LENGTH
    assert KEY.text.startswith(f"rc_{KEY.public_id}_")
    assert api_key.public_id_of(KEY.text) == KEY.public_id


@given(st.integers(0, api_key.KEY_LENGTH - 1), st.sampled_from(api_key.ALPHABET + "_-é"))
def test_a_typing_error_is_found_without_asking_anybody(place: int, character: str) -> None:
    wrong = KEY.text[:place] + character + KEY.text[place + 1 :]

    assert (api_key.public_id_of(wrong) is None) == (wrong != KEY.text)


@given(st.text(max_size=80))
def test_no_text_is_taken_for_a_key_by_accident(text: str) -> None:
    assert api_key.public_id_of(text) is None


def test_only_the_key_itself_matches_its_hash() -> None:
    other = api_key.make(bytes(range(1, 49)))

    assert api_key.matches(KEY.text, KEY.sha256)
    assert not api_key.matches(other.text, KEY.sha256)
    assert KEY.text not in KEY.sha256


def test_too_little_randomness_makes_no_key() -> None:
    with pytest.raises(ValueError, match="48 bytes"):
        api_key.make(b"short")


@pytest.mark.parametrize(
    "record",
    [
        organisation.Organisation(an_id(1), "Zeeburg", 3, MOMENT, language="nl"),
        organisation.ApiKey("abc", an_id(1), "first", "00", MOMENT, MOMENT, None),
    ],
)
def test_a_tenancy_record_is_read_as_it_was_written(record: organisation.Record) -> None:
    event = organisation.to_event(record, event_id=an_id(2), time=MOMENT)

    assert organisation.from_event(envelope.decode(*envelope.encode(event))) == record


def test_a_key_lives_until_it_expires_or_is_revoked() -> None:
    key = organisation.ApiKey("abc", an_id(1), "k", "00", MOMENT, MOMENT + timedelta(days=1))
    revoked = organisation.ApiKey("abc", an_id(1), "k", "00", MOMENT, None, MOMENT)

    assert key.is_alive(MOMENT)
    assert not key.is_alive(MOMENT + timedelta(days=1))
    assert not revoked.is_alive(MOMENT)
