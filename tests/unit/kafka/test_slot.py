"""When a partition's worker counts as standing still."""

from types import SimpleNamespace
from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from rollcall.kafka import slot
from rollcall.kafka.feed import Feed
from rollcall.kafka.slot import LONGEST_GAP_S, Slot, part_behind
from rollcall.kafka.worker import Worker


class Clock:
    """Monotonic seconds that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(slot, "time", made)
    return made


def a_slot_with_lag() -> Slot:
    """Its worker has a position, ten records to go, and knows of no outage."""
    feed = Feed(0, max_records=10, max_bytes=1000)
    feed.highwater = 10
    worker = cast(Worker, SimpleNamespace(next_offset=0, waits_for_outage=False))
    made = Slot(TopicPartition("t", 0), cast(AIOKafkaConsumer, None), lambda _: worker, feed)
    made._worker, made._has_position = worker, True
    made.observe()
    return made


def look(made: Slot, clock: Clock, times: int, every_s: float = 3.0) -> None:
    for _ in range(times):
        clock.now_s += every_s
        made.observe()


def test_no_progress_with_lag_is_a_stall_after_the_limit(clock: Clock) -> None:
    made = a_slot_with_lag()

    look(made, clock, 40)
    before = made.is_stalled(120)
    look(made, clock, 1)

    assert (before, made.is_stalled(120)) == (False, True)


def test_time_in_which_the_process_slept_is_not_counted(clock: Clock) -> None:
    made = a_slot_with_lag()

    look(made, clock, 1, every_s=900)

    assert not made.is_stalled(LONGEST_GAP_S)


def test_a_worker_that_waits_for_an_outage_starts_its_time_again(clock: Clock) -> None:
    made = a_slot_with_lag()
    look(made, clock, 39)
    cast(SimpleNamespace, made._worker).waits_for_outage = True
    look(made, clock, 100)
    cast(SimpleNamespace, made._worker).waits_for_outage = False

    look(made, clock, 1)

    assert not made.is_stalled(120)


@pytest.mark.parametrize(
    ("applied", "first", "end", "part"),
    [
        (0, 0, 0, 0.0),
        (100, 40, 100, 0.0),
        (85, 40, 100, 0.25),
        (40, 40, 100, 1.0),
        (10, 40, 100, 1.0),  # retention took records that nobody had applied
        (40, 40, 40, 0.0),  # it took all, and all was applied
        (120, 40, 100, 0.0),
    ],
)
def test_lag_against_retention_is_the_part_of_the_kept_log_that_is_not_applied(
    applied: int, first: int, end: int, part: float
) -> None:
    assert part_behind(applied, first, end) == part


def test_how_far_behind_is_unknown_until_the_log_was_asked() -> None:
    made = a_slot_with_lag()

    before = made.behind
    made.first_offset = 0

    assert (before, made.behind) == (None, 1.0)
