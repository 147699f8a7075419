"""The rate of an organisation: what passes, and how long the rest is told to wait."""

from dataclasses import dataclass, replace

import pytest
from prometheus_client import REGISTRY

from rollcall.scim.errors import TooManyRequests
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.door.rate import Rates
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION

HARBOUR = Organisation(ORGANISATION, "Harbour", 0, MOMENT)


@dataclass
class Clock:
    """A clock that a test moves."""

    now_ns: int = 10**15

    def __call__(self) -> int:
        return self.now_ns


def test_without_a_rate_nothing_is_refused() -> None:
    judged = Rates(Clock())

    for _ in range(100_000):
        judged.check(HARBOUR)


def test_a_burst_passes_at_once_and_the_next_one_has_to_wait() -> None:
    judged = Rates(Clock())
    limited = replace(HARBOUR, rate=25, burst=40)

    for _ in range(40):
        judged.check(limited)
    with pytest.raises(
        TooManyRequests, match=r"25 requests a second, or more than 40 at"
    ) as caught:
        judged.check(limited)

    assert caught.value.headers == {"Retry-After": "1"}


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
