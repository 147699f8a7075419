"""How many mails one recipient gets: the bounds, played by several senders in any order."""

from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_notifier.budget import Limits, bounds
from rollcall_notifier.judge import KINDS, Kind

LIMITS = Limits(mails=3, window_s=600, mails_a_day=10, reserve=2)
ANY_LIMITS = st.builds(
    Limits,
    mails=st.integers(1, 6),
    window_s=st.just(600.0),
    mails_a_day=st.integers(1, 12),
    reserve=st.integers(0, 4),
)
Asked = tuple[float, str, Kind]
"""When a mail is due, in seconds; for which organisation; which kind."""
ASKED = st.lists(
    st.tuples(st.integers(0, 86_400).map(float), st.sampled_from("abc"), st.sampled_from(KINDS)),
    max_size=60,
).map(sorted)


class Counts(NamedTuple):
    """The mails to one recipient that left: within the window, within a day, of an organisation."""

    lately: int
    in_a_day: int
    of_organisation: int


def has_room(counts: Counts, kind: Kind, limits: Limits) -> bool:
    """Whether one more leaves, as the function in Postgres judges it by the bounds."""
    most = bounds(kind, limits)
    return (
        counts.lately < most.lately
        and counts.in_a_day < most.in_a_day
        and counts.of_organisation < most.of_organisation
    )


def played(asked: list[Asked], limits: Limits) -> list[Asked]:
    """Those of the mails to one recipient that leave."""
    left: list[Asked] = []
    for at_s, organisation, kind in asked:
        of_day = [each for each in left if each[0] > at_s - 86_400]
        counts = Counts(
            lately=sum(each[0] > at_s - limits.window_s for each in of_day),
            in_a_day=len(of_day),
            of_organisation=sum(each[1] == organisation for each in of_day),
        )
        if has_room(counts, kind, limits):
            left.append((at_s, organisation, kind))
    return left


@pytest.mark.parametrize(
    ("counts", "invitation", "revocation"),
    [
        (Counts(0, 0, 0), True, True),
        (Counts(2, 2, 2), True, True),
        (Counts(3, 3, 3), False, True),
        (Counts(4, 4, 4), False, True),
        (Counts(5, 5, 5), False, False),
        (Counts(0, 5, 5), False, True),
        (Counts(0, 5, 4), True, True),
        (Counts(0, 7, 7), False, False),
        (Counts(0, 9, 0), True, True),
        (Counts(0, 10, 0), False, True),
        (Counts(0, 12, 0), False, False),
    ],
)
def test_the_bounds_as_they_are_by_default(
    counts: Counts, invitation: bool, revocation: bool
) -> None:
    assert has_room(counts, "invitation", LIMITS) == invitation
    assert has_room(counts, "restoration", LIMITS) == invitation
    assert has_room(counts, "revocation", LIMITS) == revocation


@given(ASKED, ANY_LIMITS)
def test_no_recipient_gets_more_whatever_is_asked_for(asked: list[Asked], limits: Limits) -> None:
    left = played(asked, limits)

    for at_s, _, _ in left:
        lately = [each for each in left if at_s - limits.window_s < each[0] <= at_s]
        in_a_day = [each for each in left if at_s - 86_400 < each[0] <= at_s]
        assert len(lately) <= limits.mails + limits.reserve
        assert sum(each[2] != "revocation" for each in lately) <= limits.mails
        assert len(in_a_day) <= limits.mails_a_day + limits.reserve
        assert sum(each[2] != "revocation" for each in in_a_day) <= limits.mails_a_day


@given(ASKED.filter(lambda asked: all(each[2] != "revocation" for each in asked)), ANY_LIMITS)
def test_invitations_however_many_keep_no_revocation_from_leaving(
    asked: list[Asked], limits: Limits
) -> None:
    at_s = asked[-1][0] if asked else 0.0
    endings: list[Asked] = [(at_s, "z", "revocation")] * limits.reserve

    left = played([*asked, *endings], limits)

    assert sum(kind == "revocation" for _, _, kind in left) == limits.reserve


@given(st.integers(0, 200), st.integers(2, 20))
def test_one_organisation_leaves_half_of_a_day_to_others(number: int, mails_a_day: int) -> None:
    limits = Limits(mails=1000, window_s=600, mails_a_day=mails_a_day, reserve=0)
    hostile: list[Asked] = [(0.0, "a", "invitation")] * number
    others: list[Asked] = [(1.0, "b", "invitation")] * mails_a_day

    left = Counter(organisation for _, organisation, _ in played([*hostile, *others], limits))

    assert left["b"] >= mails_a_day // 2


def test_after_the_window_there_is_room_again() -> None:
    asked: list[Asked] = [(at_s, "a", "invitation") for at_s in (0.0,) * 10 + (601.0,) * 10]

    assert [at_s for at_s, _, _ in played(asked, LIMITS)] == [0.0, 0.0, 0.0, 601.0, 601.0]
