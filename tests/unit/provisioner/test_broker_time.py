"""The broker's time from below: append times and a stopwatch, never a clock's date."""

from hypothesis import given
from hypothesis import strategies as st

from rollcall_provisioner.broker_time import BrokerTime

MS = st.floats(0, 10_000)


def test_before_anything_was_read_nothing_is_known() -> None:
    assert BrokerTime(lambda: 5.0).least_ms is None


@given(st.lists(st.tuples(MS, MS, MS), min_size=1), st.floats(-1e9, 1e9))
def test_it_is_never_later_than_the_broker_s_clock(
    steps: list[tuple[float, float, float]], offset_ms: float
) -> None:
    """Each step: a pause, the way to the broker, the way back; sent, or only read."""
    now = [0.0]
    broker = BrokerTime(lambda: now[0])
    for pause_ms, there_ms, back_ms in steps:
        now[0] += pause_ms
        sent = now[0]
        now[0] += there_ms
        appended_ms = int(now[0] + offset_ms)
        now[0] += back_ms
        if pause_ms > 5000:
            broker.read(appended_ms)
        else:
            broker.acknowledged(sent, appended_ms)

        least_ms = broker.least_ms
        assert least_ms is not None
        assert appended_ms - 2 <= least_ms <= now[0] + offset_ms + 2


def test_a_clock_of_the_broker_that_was_set_back_is_believed() -> None:
    now = [0.0]
    broker = BrokerTime(lambda: now[0])
    broker.read(3_600_000)

    now[0] = 100.0
    broker.acknowledged(90.0, 1000)

    assert broker.least_ms == 1000
