"""The breaker: opens after missed budgets, lets one probe a second through, closes on an answer."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.runtime.breaker import Breaker


def test_it_opens_after_the_first_few_missed_budgets() -> None:
    breaker = Breaker(failures_to_open=3)

    for _ in range(2):
        breaker.failed(10.0)
    still_closed = breaker.may_wait(10.0)
    breaker.failed(10.0)

    assert still_closed
    assert breaker.is_open
    assert not breaker.may_wait(10.5)


def test_an_open_breaker_lets_one_probe_a_second_through() -> None:
    breaker = Breaker(failures_to_open=1, probe_every_s=1.0)
    breaker.failed(10.0)

    waits = [breaker.may_wait(11.0 + tenth / 10) for tenth in range(20)]

    assert waits.count(True) == 2


def test_an_answer_in_time_closes_it() -> None:
    breaker = Breaker(failures_to_open=1)
    breaker.failed(10.0)

    breaker.succeeded()

    assert breaker.may_wait(10.0)


def test_misses_must_follow_one_another() -> None:
    breaker = Breaker(failures_to_open=2)

    breaker.failed(1.0)
    breaker.succeeded()
    breaker.failed(2.0)

    assert not breaker.is_open


def test_misses_are_excused_for_a_while_and_once_between_two_answers() -> None:
    breaker = Breaker(failures_to_open=1)
    breaker.excuse(10.0, 4.0)

    breaker.failed(13.9)
    breaker.excuse(13.9, 4.0)
    was_open = breaker.is_open
    breaker.failed(14.1)

    assert not was_open
    assert breaker.is_open


def test_after_an_answer_it_may_be_excused_again() -> None:
    breaker = Breaker(failures_to_open=1)
    breaker.excuse(10.0, 4.0)
    breaker.succeeded()

    breaker.excuse(20.0, 4.0)
    breaker.failed(21.0)

    assert not breaker.is_open


def test_an_excuse_closes_nothing() -> None:
    breaker = Breaker(failures_to_open=1)
    breaker.failed(10.0)

    breaker.excuse(10.1, 4.0)

    assert breaker.is_open


Step = tuple[str, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "missed", "missed", "answered", "trip", "excuse"]),
        st.floats(0, 1.5),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(1, 4))
def test_whatever_happens_it_keeps_its_table(steps: list[Step], failures_to_open: int) -> None:
    """Checked against the history alone: what was missed, excused and answered, and when."""
    breaker, now_s = Breaker(failures_to_open=failures_to_open), 100.0
    counted, excused_until_s, is_open, last_probe_s = 0, None, False, 0.0
    for step, passed_s in steps:
        now_s += passed_s
        match step:
            case "ask":
                waits = breaker.may_wait(now_s)
                is_due = now_s >= last_probe_s + 1.0
                assert waits == (not is_open or is_due)
                if is_open and waits:
                    last_probe_s = now_s
            case "missed":
                breaker.failed(now_s)
                if not is_open and (excused_until_s is None or now_s >= excused_until_s):
                    counted += 1
                    if counted >= failures_to_open:
                        is_open, last_probe_s = True, now_s
            case "answered":
                breaker.succeeded()
                counted, excused_until_s, is_open = 0, None, False
            case "trip":
                breaker.trip(now_s)
                if not is_open:
                    is_open, last_probe_s = True, now_s
            case _:
                breaker.excuse(now_s, 3.0)
                if excused_until_s is None:
                    excused_until_s = now_s + 3.0
        assert breaker.is_open == is_open


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=200))
def test_an_open_breaker_never_lets_two_wait_within_a_second(pauses_s: list[float]) -> None:
    breaker, now_s = Breaker(failures_to_open=1), 10.0
    breaker.failed(now_s)
    waited = [now_s]

    for pause_s in pauses_s:
        now_s += pause_s
        if breaker.may_wait(now_s):
            waited.append(now_s)
            breaker.failed(now_s)

    gaps = [later - earlier for earlier, later in pairwise(waited)]
    assert all(gap >= 1.0 - 1e-9 for gap in gaps)
