"""The contact light: never contacted, live, silent, by a client's own rhythm."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_console.scim.contact import contact_of, contact_of_all, rhythm_of

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


def every(minutes: int, times: int, until: datetime = NOW) -> list[datetime]:
    return [until - timedelta(minutes=minutes * back) for back in reversed(range(times))]


def test_nobody_ever_called_is_never_called_well() -> None:
    assert contact_of([], None, NOW).state == "waiting"
    assert contact_of_all([]).state == "waiting"
    assert contact_of_all([contact_of([], None, NOW)]).state == "waiting"


@pytest.mark.parametrize(
    ("silence", "state"), [(2, "live"), (60, "live"), (119, "live"), (121, "silent")]
)
def test_silent_is_three_times_its_own_rhythm(silence: int, state: str) -> None:
    until = NOW - timedelta(minutes=silence)
    contact = contact_of(every(40, 10, until), until, NOW)

    assert contact.rhythm == timedelta(minutes=40)
    assert (contact.state, contact.last) == (state, until)


def test_minutes_of_one_cycle_are_one_contact() -> None:
    cycles = [start + timedelta(minutes=m) for start in every(40, 6) for m in range(4)]

    assert rhythm_of(sorted(cycles)) == timedelta(minutes=37)


@pytest.mark.parametrize(("hours", "state"), [(1, "live"), (23, "live"), (25, "silent")])
def test_without_a_rhythm_it_is_silent_after_a_day(hours: int, state: str) -> None:
    last = NOW - timedelta(hours=hours)

    assert contact_of([last], last, NOW).state == state
    assert rhythm_of([last]) is None


def test_one_that_asks_every_minute_is_not_silent_at_once() -> None:
    until = NOW - timedelta(minutes=10)

    assert contact_of(every(6, 20, until), until, NOW).state == "live"


def test_a_use_that_is_not_noted_yet_counts() -> None:
    assert contact_of(every(40, 9, NOW - timedelta(hours=9)), NOW, NOW).state == "live"


def test_switched_off_says_when_it_was_heard_last() -> None:
    contact = contact_of_all([contact_of([], NOW, NOW)], is_on=False)

    assert (contact.state, contact.last) == ("off", NOW)


def test_of_several_clients_the_last_heard_counts() -> None:
    old = contact_of([], NOW - timedelta(days=9), NOW)
    new = contact_of([], NOW - timedelta(minutes=1), NOW)

    assert contact_of_all([old, new, contact_of([], None, NOW)]) == new


@given(st.lists(st.integers(min_value=0, max_value=20_000), max_size=60))
def test_the_light_is_always_one_of_its_states(minutes: list[int]) -> None:
    heard = sorted({NOW - timedelta(minutes=each) for each in minutes})
    contact = contact_of(heard, None, NOW)

    assert (contact.state == "waiting") == (not heard)
    assert contact.rhythm is None or contact.rhythm > timedelta(minutes=5)
    if heard and NOW - heard[-1] < timedelta(minutes=15):
        assert contact.state == "live"
