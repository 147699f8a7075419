"""The tenancy topic, read in order."""

from dataclasses import replace

from rollcall.tenancy.organisation import Organisation, to_event
from rollcall_provisioner.tenancy_worker import read
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION, an_id
from tests.support.samples.records import FakeRecord, a_record

ZEEBURG = Organisation(ORGANISATION, "Zeeburg", 0, MOMENT)


def record_of(offset: int, organisation: Organisation) -> FakeRecord:
    event = to_event(organisation, event_id=an_id(offset), time=MOMENT)
    return a_record(offset, event, key=organisation.id)


def test_the_last_record_of_a_key_counts() -> None:
    renamed = replace(ZEEBURG, name="Zeeburg-Oost")
    other = Organisation(OTHER_ORGANISATION, "Other", 1, MOMENT)

    copied = read([record_of(3, ZEEBURG), record_of(4, other), record_of(7, renamed)])

    assert set(copied.records) == {renamed, other}
    assert copied.last is not None
    assert copied.last.offset == 7


def test_a_tombstone_removes_and_a_later_record_brings_back() -> None:
    gone = FakeRecord(2, key=ORGANISATION.encode(), value=None)

    removed = read([record_of(1, ZEEBURG), gone])
    back = read([record_of(1, ZEEBURG), gone, record_of(3, ZEEBURG)])

    assert (removed.records, removed.removed) == ((), frozenset({ORGANISATION}))
    assert (back.records, back.removed) == ((ZEEBURG,), frozenset())


def test_a_malformed_record_is_passed_over() -> None:
    copied = read([FakeRecord(1, key=b"x", value=b"{"), record_of(2, ZEEBURG)])

    assert copied.records == (ZEEBURG,)
    assert copied.last is not None
    assert copied.last.offset == 2


def test_a_newer_version_halts_before_its_record() -> None:
    event = to_event(ZEEBURG, event_id=an_id(1), time=MOMENT)
    newer = a_record(2, replace(event, type="io.rollcall.tenancy.organisation.v2"))

    copied = read([record_of(1, ZEEBURG), newer, record_of(3, ZEEBURG)])

    assert copied.last is not None
    assert copied.last.offset == 1
    assert copied.halt is not None
