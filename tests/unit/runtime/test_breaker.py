"""The breaker: opens after missed budgets, lets one probe a second through, closes on an answer."""

from shared.runtime.breaker import Breaker


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
