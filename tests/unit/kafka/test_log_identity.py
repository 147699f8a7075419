"""Whether a log is the one that a position was taken in: every way in which it is not."""

from dataclasses import dataclass
from datetime import datetime

import pytest

from rollcall.events.envelope import from_milliseconds
from rollcall.kafka.feed import Look
from rollcall.kafka.log_identity import difference, event_id_of
from tests.support.builders import an_id
from tests.support.samples.records import FakeRecord

APPENDED_MS = 1_790_000_000_123
MOMENT = from_milliseconds(APPENDED_MS)


@dataclass(frozen=True, slots=True)
class At:
    next_offset: int = 5
    last_event_id: str | None = an_id(4)
    last_append_time: datetime | None = MOMENT


def a_record(
    offset: int = 4, event_id: str | None = an_id(4), appended_ms: int = APPENDED_MS
) -> FakeRecord:
    headers = () if event_id is None else (("ce_id", event_id.encode()),)
    return FakeRecord(offset, timestamp=appended_ms, headers=headers)


@pytest.mark.parametrize(
    ("position", "look"),
    [
        (At(), Look(0, 9, a_record())),
        (At(), Look(4, 5, a_record())),
        (At(), Look(5, 9, None)),
        (At(), Look(5, 5, None)),
        (At(0, None, None), Look(0, 0, None)),
        (At(5, None, None), Look(0, 9, a_record(event_id=an_id(7)))),
        (At(last_event_id=None), Look(0, 9, a_record(event_id=None))),
        (At(last_event_id=None), Look(0, 9, a_record(event_id="no id of ours"))),
    ],
    ids=[
        "the same record",
        "it is the only one",
        "retention took it",
        "retention took all",
        "new",
        "nothing is known",
        "without an id",
        "with an id that is none",
    ],
)
def test_a_log_that_nothing_speaks_against_is_the_same(position: At, look: Look) -> None:
    assert difference(position, look) is None


@pytest.mark.parametrize(
    ("position", "look", "cause"),
    [
        (At(), Look(0, 4, None), "log-shorter"),
        (At(), Look(0, 0, None), "log-shorter"),
        (At(), Look(6, 9, None), "retention-passed"),
        (At(0, None, None), Look(1, 9, None), "retention-passed"),
        (At(), Look(0, 9, a_record(event_id=an_id(7))), "record-differs"),
        (At(), Look(0, 9, a_record(event_id=None)), "record-differs"),
        (At(last_event_id=None), Look(0, 9, a_record()), "record-differs"),
        (At(), Look(0, 9, a_record(offset=5)), "record-differs"),
        (At(), Look(0, 9, None), "record-differs"),
        (At(), Look(0, 9, a_record(appended_ms=APPENDED_MS + 1)), "restamped"),
    ],
)
def test_every_other_log_halts(position: At, look: Look, cause: str) -> None:
    differs = difference(position, look)

    assert differs is not None
    assert (differs.cause, differs.runbook) == (cause, "log-and-progress-differ")


@pytest.mark.parametrize(
    ("look", "cause"),
    [
        (Look(0, 9, a_record(offset=7, event_id=an_id(7))), None),
        (Look(0, 4, None), "log-shorter"),
        (Look(6, 9, None), "retention-passed"),
    ],
)
def test_of_a_compacted_log_only_the_bounds_count(look: Look, cause: str | None) -> None:
    differs = difference(At(), look, compares_record=False)

    assert (None if differs is None else differs.cause) == cause


@pytest.mark.parametrize(
    "headers",
    [(), (("ce_id", b"\xff"),), (("ce_id", b""),), (("ce_id", an_id(1).upper().encode()),)],
)
def test_what_is_no_id_in_canonical_form_is_none(headers: tuple[tuple[str, bytes], ...]) -> None:
    assert event_id_of(headers) is None
