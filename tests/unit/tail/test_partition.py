"""The tail of one partition: what is dropped when something is applied, or the ground moves."""

from dataclasses import replace
from datetime import UTC, datetime

from rollcall.kafka.feed import Look
from rollcall.postgres.progress import Progress
from rollcall.tail.partition import LATE_MS, PartitionTail
from tests.support.samples.records import FakeRecord

AT_MS = 1_790_000_000_000
APPLIED = Progress(
    "requests", 3, 10, 10, None, datetime.fromtimestamp(AT_MS / 1000, UTC), 0, "running"
)


def a_record(offset: int, organisation: str = "acme") -> FakeRecord:
    return FakeRecord(offset, timestamp=AT_MS, key=organisation.encode())


def a_tail() -> PartitionTail:
    """A partition that is applied up to 10, and read up to there."""
    tail = PartitionTail(3)
    assert not tail.note_applied(APPLIED)
    tail.begin(Look(0, 20, a_record(9)))
    assert tail.position == 10
    return tail


def offsets(tail: PartitionTail, organisation: str = "acme") -> list[int]:
    return [each.offset for each in tail.records(organisation, 0, 1000)]


def test_what_is_applied_is_dropped_and_the_rest_stays_in_order() -> None:
    tail = a_tail()
    for offset in range(10, 16):
        tail.add(a_record(offset, "acme" if offset % 2 else "zeeburg"))

    tail.trim(13)

    assert (offsets(tail), offsets(tail, "zeeburg")) == ([13, 15], [14])
    tail.trim(16)
    assert not tail.has_pending("acme")
    assert (tail.size_bytes, tail.position) == (0, 16)


def test_postgres_says_more_is_applied() -> None:
    tail = a_tail()
    tail.add(a_record(10))
    tail.add(a_record(11))

    assert tail.note_applied(replace(APPLIED, next_offset=11))
    assert offsets(tail) == [11]


def test_less_applied_or_another_log_drops_everything() -> None:
    for moved in (replace(APPLIED, next_offset=9), replace(APPLIED, epoch=1)):
        tail = a_tail()
        tail.add(a_record(10))
        before = tail.generation

        assert not tail.note_applied(moved)
        assert not tail.is_usable
        assert not tail.has_pending("acme")
        assert tail.generation > before


def test_another_log_than_the_applied_one_is_not_read() -> None:
    tail = PartitionTail(3)
    tail.note_applied(APPLIED)

    tail.begin(Look(0, 20, replace(a_record(9), timestamp=AT_MS + 1)))

    assert not tail.is_usable
    assert tail.differs is not None
    assert not tail.note_applied(APPLIED)  # compared again
    tail.begin(Look(0, 20, a_record(9)))
    assert tail.is_usable


def test_a_log_that_ends_below_what_is_applied_is_not_read() -> None:
    tail = PartitionTail(3)
    tail.note_applied(APPLIED)

    tail.begin(Look(0, 8, None))

    assert not tail.is_usable


def test_it_is_behind_from_the_start_and_later_by_time() -> None:
    tail = a_tail()
    assert not tail.is_caught_up
    for offset in range(10, 20):
        tail.add(a_record(offset), since_ms=1_000)
    assert tail.is_caught_up
    assert tail.is_late(1_000)  # they were there before it

    tail.trim(20)
    tail.add(a_record(20), since_ms=2_000)

    assert not tail.is_late(2_000 + LATE_MS - 1)
    assert tail.is_late(2_000 + LATE_MS)
