"""The rate of an organisation: what passes, and how long the rest is told to wait."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from rollcall.scim.errors import TooManyRequests
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.door import rate as rates
from rollcall_ingress.door.rate import SECOND_NS, Rates
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION

HARBOUR = Organisation(ORGANISATION, "Harbour", 0, MOMENT)
RATES = st.integers(25, 1000)
BURSTS = st.integers(1, 50)
PAUSES = st.lists(st.integers(0, SECOND_NS // 5), max_size=150)


@dataclass
class Clock:
    """A clock that a test moves."""

    now_ns: int = 10**15

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Counted:
    """A `Rates` with its clock, asked for one organisation."""

    rate: int
    burst: int
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.rates = Rates(self.clock)

    def wait_ns(self) -> int:
        return self.rates.wait_ns(ORGANISATION, rate=self.rate, burst=self.burst)


def test_without_a_rate_nothing_is_refused() -> None:
    judged = Rates(Clock())

    for _ in range(100_000):
        judged.check(HARBOUR)


def test_a_burst_passes_at_once_and_the_next_one_is_told_to_wait() -> None:
    judged = Rates(Clock())
    limited = replace(HARBOUR, rate=25, burst=40)

    for _ in range(40):
        judged.check(limited)
    with pytest.raises(TooManyRequests, match=r"25 requests a second, or more than 40 at") as told:
        judged.check(limited)

    assert told.value.headers == {"Retry-After": "1"}


def test_without_a_burst_as_many_pass_at_once_as_in_a_second() -> None:
    judged = Rates(Clock())

    for _ in range(30):
        judged.check(replace(HARBOUR, rate=30))
    with pytest.raises(TooManyRequests):
        judged.check(replace(HARBOUR, rate=30))


def test_a_refusal_is_counted_for_the_operator() -> None:
    judged = Rates(Clock())
    limited = replace(HARBOUR, rate=25, burst=1)

    def seen() -> float:
        name = "rollcall_ingress_refusals_total"
        return REGISTRY.get_sample_value(name, {"reason": "rate"}) or 0.0

    judged.check(limited)
    before = seen()
    with pytest.raises(TooManyRequests):
        judged.check(limited)

    assert seen() == before + 1


def test_organisations_are_counted_apart() -> None:
    judged = Rates(Clock())
    judged.check(replace(HARBOUR, rate=25, burst=1))

    judged.check(replace(HARBOUR, id=OTHER_ORGANISATION, rate=25, burst=1))


def test_a_lower_burst_takes_effect_at_once_and_nobody_waits_for_the_former_one() -> None:
    counted = Counted(rate=25, burst=50_000)
    for _ in range(50_000):
        assert counted.wait_ns() == 0
    counted.burst = 25

    assert counted.wait_ns() <= SECOND_NS // 25


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_REMEMBERED", 10)
    clock = Clock()
    judged = Rates(clock)

    for number in range(100):
        judged.wait_ns(str(number), rate=25, burst=1)
        clock.now_ns += SECOND_NS

    assert len(judged._due_ns) <= 10


@given(RATES, BURSTS, PAUSES)
def test_never_more_than_the_burst_and_the_rate_in_any_stretch_of_time(
    rate: int, burst: int, pauses: list[int]
) -> None:
    counted = Counted(rate, burst)
    passed: list[int] = []
    for pause in pauses:
        counted.clock.now_ns += pause
        if counted.wait_ns() == 0:
            passed.append(counted.clock.now_ns)

    interval = SECOND_NS // rate
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch = passed[last] - passed[first]
            assert last - first + 1 <= burst + stretch // interval


@given(RATES, BURSTS, PAUSES)
def test_it_is_a_bucket_of_the_burst_that_fills_at_the_rate(
    rate: int, burst: int, pauses: list[int]
) -> None:
    counted = Counted(rate, burst)
    interval = SECOND_NS // rate
    tokens = Fraction(burst)
    for pause in pauses:
        counted.clock.now_ns += pause
        tokens = min(Fraction(burst), tokens + Fraction(pause, interval))
        passes = counted.wait_ns() == 0

        assert passes == (tokens >= 1)
        tokens -= passes


@given(RATES, BURSTS, st.integers(1, 200))
def test_whoever_keeps_to_the_rate_is_never_refused(rate: int, burst: int, requests: int) -> None:
    counted = Counted(rate, burst)

    for _ in range(requests):
        assert counted.wait_ns() == 0
        counted.clock.now_ns += -(-SECOND_NS // rate)


@given(RATES, BURSTS, PAUSES)
def test_whoever_waits_as_long_as_it_was_told_passes_and_not_before(
    rate: int, burst: int, pauses: list[int]
) -> None:
    counted = Counted(rate, burst)
    for pause in pauses:
        counted.clock.now_ns += pause
        wait_ns = counted.wait_ns()
        if wait_ns:
            assert counted.wait_ns() == wait_ns  # a refusal costs nothing
            counted.clock.now_ns += wait_ns - 1
            assert counted.wait_ns() == 1
            counted.clock.now_ns += 1
            assert counted.wait_ns() == 0
