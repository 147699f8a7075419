"""The last hour from samples of positions."""

from hypothesis import given
from hypothesis import strategies as st

from rollcall_console.operations.samples import EVERY_S, KEPT_S, Hour, Sample, series


def test_rates_are_differences_a_second() -> None:
    hour = Hour()
    hour.add(Sample(0.0, 100, 100, 0))
    hour.add(Sample(10.0, 150, 120, 30))

    [rate] = hour.rates()

    assert (rate.appended, rate.applied, rate.waiting) == (5.0, 2.0, 30)


def test_a_log_that_was_replaced_has_no_rate_over_the_gap() -> None:
    hour = Hour()
    hour.add(Sample(0.0, 100, 100, 0))
    hour.add(Sample(10.0, 5, 5, 0))

    assert hour.rates()[0].appended is None


@given(st.lists(st.integers(0, 500), min_size=1, max_size=400))
def test_an_hour_is_kept_and_every_line_is_as_long(added: list[int]) -> None:
    hour = Hour()
    total = 0
    for number, more in enumerate(added):
        total += more
        hour.add(Sample(number * EVERY_S, total, total, 0))

    lines = series(hour.rates())
    assert hour.samples[-1].at - hour.samples[0].at <= KEPT_S
    assert {len(line) for line in lines.values()} == {len(hour.samples) - 1}
    assert len(hour.steps()) <= 14
