"""A rate per organisation that holds up nobody else."""

from hypothesis import given
from hypothesis import strategies as st

from rollcall_notifier.pace import Pacer

INVITATIONS, NOTICES = ("a", "invitations"), ("a", "notices")


def test_a_burst_leaves_at_once_and_the_rest_gets_slots() -> None:
    pacer = Pacer(rate=10, burst=11)

    waits = [pacer.wait_s(INVITATIONS, 100.0) for _ in range(14)]

    assert waits[:11] == [0.0] * 11
    assert [round(wait, 6) for wait in waits[11:]] == [0.1, 0.2, 0.3]


def test_what_was_not_used_comes_back() -> None:
    pacer = Pacer(rate=2, burst=4)
    first = [pacer.wait_s(INVITATIONS, 100.0) for _ in range(5)]

    later = [pacer.wait_s(INVITATIONS, 200.0) for _ in range(5)]

    assert first == later == [0.0, 0.0, 0.0, 0.0, 0.5]


def test_another_organisation_and_other_kinds_do_not_wait() -> None:
    pacer = Pacer(rate=1, burst=1)
    for _ in range(50):
        pacer.wait_s(INVITATIONS, 100.0)

    assert pacer.wait_s(("b", "invitations"), 100.0) == 0.0
    assert pacer.wait_s(NOTICES, 100.0) == 0.0
    assert pacer.wait_s(NOTICES, 100.0) == 1.0


def test_it_holds_until_the_last_slot() -> None:
    pacer = Pacer(rate=1, burst=1)
    before = pacer.is_holding(100.0)
    for _ in range(3):
        pacer.wait_s(INVITATIONS, 100.0)

    assert not before
    assert pacer.is_holding(101.5)
    assert not pacer.is_holding(102.0)


@given(
    st.lists(st.floats(0, 50), min_size=1, max_size=60).map(sorted),
    st.floats(0.5, 20),
    st.integers(1, 20),
)
def test_never_more_than_the_burst_and_the_rate(
    moments: list[float], rate: float, burst: int
) -> None:
    pacer = Pacer(rate, burst)

    slots = sorted(at_s + pacer.wait_s(INVITATIONS, at_s) for at_s in moments)

    for number, begin_s in enumerate(slots):
        for count, end_s in enumerate(slots[number:], start=1):
            assert count <= burst + rate * (end_s - begin_s) + 1e-5  # slots are whole nanoseconds
