"""The rate of a key: what passes, how long the rest has to wait, and what is reserved."""

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.runtime import rate as rates
from rollcall.runtime.rate import SECOND_NS, Rates

RATES = st.integers(25, 1000)
BURSTS = st.integers(1, 50)
PAUSES = st.lists(st.integers(0, SECOND_NS // 5), max_size=150)


def interval_ns(rate: int) -> int:
    return SECOND_NS // rate


@dataclass
class Counted:
    """One key of a `Rates`, and a clock that a test moves."""

    rate: int
    burst: int
    now_ns: int = 10**15
    rates: Rates[str] = field(default_factory=Rates)

    def wait_ns(self) -> int:
        return self.rates.take("a", self.now_ns, rate=self.rate, burst=self.burst)


def test_a_lower_burst_takes_effect_at_once_and_no_request_waits_for_the_former_one() -> None:
    counted = Counted(rate=25, burst=50_000)
    for _ in range(50_000):
        assert counted.wait_ns() == 0
    counted.burst = 25

    assert counted.wait_ns() <= SECOND_NS // 25


def test_what_is_remembered_is_bounded_by_what_still_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "FORGET_FROM", 10)
    counted: Rates[int] = Rates()
    now_ns = 10**15

    for number in range(100):
        counted.take(number, now_ns, rate=25, burst=1)
        now_ns += SECOND_NS

    assert len(counted._due_ns) <= 10


def test_what_still_counts_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "FORGET_FROM", 10)
    counted: Rates[int] = Rates()

    for number in range(100):
        assert counted.take(number, 10**15, rate=25, burst=1) == 0

    for number in range(100):
        assert counted.take(number, 10**15, rate=25, burst=1) > 0


@settings(deadline=None)  # every stretch is looked at: slow on a busy machine
@given(RATES, BURSTS, PAUSES)
def test_never_more_than_the_burst_and_the_rate_in_any_stretch_of_time(
    rate: int, burst: int, pauses: list[int]
) -> None:
    counted = Counted(rate, burst)
    passed: list[int] = []
    for pause in pauses:
        counted.now_ns += pause
        if counted.wait_ns() == 0:
            passed.append(counted.now_ns)

    interval = interval_ns(rate)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch = passed[last] - passed[first]
            assert last - first + 1 <= burst + stretch // interval


@given(RATES, BURSTS, PAUSES)
def test_it_is_a_bucket_of_the_burst_that_fills_at_the_rate(
    rate: int, burst: int, pauses: list[int]
) -> None:
    counted = Counted(rate, burst)
    interval = interval_ns(rate)
    tokens = Fraction(burst)
    for pause in pauses:
        counted.now_ns += pause
        tokens = min(Fraction(burst), tokens + Fraction(pause, interval))
        passes = counted.wait_ns() == 0

        assert passes == (tokens >= 1)
        tokens -= passes


@given(RATES, BURSTS, st.integers(1, 200))
def test_a_client_that_keeps_to_the_rate_is_never_refused(
    rate: int, burst: int, requests: int
) -> None:
    counted = Counted(rate, burst)

    for _ in range(requests):
        assert counted.wait_ns() == 0
        counted.now_ns += -(-SECOND_NS // rate)


@given(RATES, BURSTS, PAUSES)
def test_a_client_that_waits_for_retry_after_passes_and_not_before(
    rate: int, burst: int, pauses: list[int]
) -> None:
    counted = Counted(rate, burst)
    for pause in pauses:
        counted.now_ns += pause
        wait_ns = counted.wait_ns()
        if wait_ns:
            assert counted.wait_ns() == wait_ns  # a refusal costs nothing
            counted.now_ns += wait_ns - 1
            assert counted.wait_ns() == 1
            counted.now_ns += 1
            assert counted.wait_ns() == 0


@settings(deadline=None)  # every stretch is looked at: slow on a busy machine
@given(RATES, BURSTS, PAUSES)
def test_what_is_reserved_keeps_to_the_burst_and_the_rate(
    rate: int, burst: int, pauses: list[int]
) -> None:
    counted: Rates[str] = Rates()
    now_ns = 10**15
    moments = []
    for pause in pauses:
        now_ns += pause
        moments.append(now_ns + counted.reserve("a", now_ns, rate=rate, burst=burst))

    assert moments == sorted(moments)
    for first in range(len(moments)):
        for last in range(first, len(moments)):
            stretch = moments[last] - moments[first]
            assert last - first + 1 <= burst + stretch // interval_ns(rate)


@given(RATES, BURSTS, st.integers(1, 100))
def test_what_is_taken_when_it_may_come_is_reserved_for_the_same_moment(
    rate: int, burst: int, cells: int
) -> None:
    """To wait and take again, or to reserve and wait: the same moments."""
    counted, reserved = Counted(rate, burst), Rates[str]()
    start_ns = counted.now_ns
    for _ in range(cells):
        moment_ns = start_ns + reserved.reserve("a", start_ns, rate=rate, burst=burst)
        while wait_ns := counted.wait_ns():
            counted.now_ns += wait_ns
        assert counted.now_ns == moment_ns
