"""Which records count: append times, copies, versions, malformed ones."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.applying.dead_letters import describe
from rollcall.applying.foreign import refuse_misplaced
from rollcall.applying.understand import ForeignEvent, drop_duplicates, drop_expired, understand
from rollcall.directory.touch import touches
from rollcall.events.envelope import MalformedEvent
from rollcall.events.request import Request, to_event
from tests.support.builders import ORGANISATION, OTHER_ORGANISATION, an_id, create
from tests.support.samples.records import FakeRecord, a_record

APPENDED_MS = 1_790_000_000_000


def record_of(offset: int, request: Request, appended_ms: int = APPENDED_MS) -> FakeRecord:
    return a_record(offset, to_event(request), key=request.organisation_id, timestamp=appended_ms)


def test_a_request_is_read_with_its_append_time() -> None:
    request = create(1, "ana@example.org")

    (entry,) = understand([record_of(7, request)]).entries

    assert entry.request == request
    assert entry.append_time.timestamp() * 1000 == APPENDED_MS


@pytest.mark.parametrize(("late_ms", "counts"), [(-1, True), (0, True), (1, False)])
def test_a_copy_counts_up_to_and_including_its_acceptby(late_ms: int, counts: bool) -> None:
    """The same comparison as ingress makes with the acknowledgement's append time."""
    request = replace(create(1, "ana@example.org"), accept_by_ms=APPENDED_MS)
    entries = understand([record_of(1, request, APPENDED_MS + late_ms)]).entries

    kept = drop_expired(entries)

    assert bool(kept) is counts


def test_a_request_without_acceptby_never_expires() -> None:
    entries = understand([record_of(1, create(1, "ana@example.org"))]).entries

    assert drop_expired(entries) == list(entries)


def test_an_expired_copy_does_not_shadow_a_later_one() -> None:
    request = create(1, "ana@example.org")
    expired = replace(request, accept_by_ms=APPENDED_MS - 1)
    in_time = replace(request, accept_by_ms=APPENDED_MS)
    entries = understand([record_of(1, expired), record_of(2, in_time)]).entries

    kept = drop_duplicates(drop_expired(entries), set())

    assert [entry.record.offset for entry in kept] == [2]


def test_the_first_copy_within_a_batch_wins() -> None:
    one, two = create(1, "ana@example.org"), create(2, "ben@example.org")
    entries = understand([record_of(1, one), record_of(2, two), record_of(3, one)]).entries

    kept = drop_duplicates(entries, set())

    assert [entry.record.offset for entry in kept] == [1, 2]


def test_a_copy_of_what_the_audit_holds_is_dropped() -> None:
    request = create(1, "ana@example.org")
    entries = understand([record_of(1, request)]).entries

    assert drop_duplicates(entries, {request.id}) == []


def test_a_newer_version_halts_before_its_record() -> None:
    newer = replace(
        to_event(create(2, "b@example.org")), type="io.rollcall.request.member.create.v2"
    )
    records = [
        record_of(1, create(1, "a@example.org")),
        a_record(2, newer),
        record_of(3, create(3, "c@example.org")),
    ]

    understood = understand(records)

    assert [entry.record.offset for entry in understood.entries] == [1]
    assert understood.halt is not None
    assert understood.halt.runbook == "newer-version"


@pytest.mark.parametrize("key", [None, OTHER_ORGANISATION, f"{ORGANISATION} "])
def test_an_event_under_another_key_is_foreign_and_believed_in_nothing(key: str | None) -> None:
    """Its id counts for nothing: the true event of that id may still come."""
    (entry,) = understand([a_record(1, to_event(create(1, "ana@example.org")), key=key)]).entries

    assert isinstance(entry.error, ForeignEvent)
    assert (entry.request, entry.event, entry.event_id) == (None, None, None)


def test_a_foreign_event_of_a_newer_version_halts() -> None:
    """A newer version may name its organisation in another way."""
    newer = replace(
        to_event(create(2, "b@example.org")), type="io.rollcall.request.member.create.v2"
    )

    understood = understand([a_record(1, newer, key=OTHER_ORGANISATION)])

    assert understood.halt is not None


def test_an_organisation_of_another_partition_makes_its_events_foreign() -> None:
    here, there, unknown = (
        replace(create(n, f"u{n}@example.org"), organisation_id=an_id(n)) for n in (1, 2, 3)
    )
    entries = understand([record_of(n, each) for n, each in enumerate((here, there, unknown))])

    kept = refuse_misplaced(entries.entries, {an_id(1): 4, an_id(2): 5}, 4)

    assert [isinstance(entry.error, ForeignEvent) for entry in kept] == [False, True, False]
    assert [entry.event_id for entry in kept] == [here.id, None, unknown.id]


def test_a_record_without_append_time_halts() -> None:
    understood = understand([replace(record_of(1, create(1, "a@example.org")), timestamp_type=0)])

    assert understood.entries == ()
    assert understood.halt is not None
    assert understood.halt.runbook == "topic-settings"


@pytest.mark.parametrize(
    "record",
    [
        FakeRecord(1, value=None, headers=()),
        FakeRecord(1, value=b"\xff", headers=(("ce_id", b"\xff"),)),
        replace(record_of(1, create(1, "a@example.org")), value=b"[]"),
        replace(record_of(1, create(1, "a@example.org")), value=b"{"),
        record_of(1, replace(create(1, "a@example.org"), id="1")),
        record_of(1, replace(create(1, "a@example.org"), resource_id="1")),
        record_of(1, replace(create(1, "a@example.org"), organisation_id="1")),
    ],
    ids=["empty", "no text", "no object", "no JSON", "id", "resource id", "organisation id"],
)
def test_what_is_no_request_of_ours_is_an_entry_with_an_error(record: FakeRecord) -> None:
    (entry,) = understand([record]).entries

    assert entry.request is None
    assert isinstance(entry.error, MalformedEvent)


@pytest.mark.parametrize(
    "wrong",
    [
        {"resource": ["no", "object"]},
        {"resource": "text"},
        {"operations": ["no object"]},
        {"operations": [{"op": "remove", "path": "title"}, 7]},
        {"user_name_key": 7},
        {"user_name_key": ["ana"]},
        {"display_name_key": {}},
    ],
)
def test_a_request_of_wrong_types_is_set_aside_and_not_its_batch(wrong: dict[str, Any]) -> None:
    event = to_event(create(1, "ana@example.org"))
    poison = a_record(1, replace(event, data={**event.data, **wrong}), key=ORGANISATION)

    entries = understand([poison, record_of(2, create(2, "bo@example.org"))]).entries

    assert [entry.request is None for entry in entries] == [True, False]
    assert isinstance(entries[0].error, MalformedEvent)
    assert entries[0].event_id == event.id
    requests = [entry.request for entry in entries if entry.request is not None]
    assert set(touches(requests)) == {ORGANISATION}


def test_a_record_that_raises_an_unexpected_error_is_set_aside_too() -> None:
    headers = (("ce_time", b"0001-01-01T00:00:00+14:00"),)
    record = a_record(1, to_event(create(1, "ana@example.org")))
    kept = tuple(pair for pair in record.headers if pair[0] != "ce_time")

    (entry,) = understand([replace(record, headers=kept + headers)]).entries

    assert entry.request is None
    assert isinstance(entry.error, OverflowError)
    assert describe(entry, entry.error) == "OverflowError"


def _late(record: FakeRecord) -> FakeRecord:
    """The same, appended a millisecond after the `acceptby` in its headers."""
    kept = [(name, raw) for name, raw in record.headers if name != "ce_acceptby"]
    by = str(record.timestamp - 1).encode()
    return replace(record, headers=(*kept, ("ce_acceptby", by)))


NEWER = replace(to_event(create(1, "ana@example.org")), type="io.rollcall.request.member.create.v9")


@pytest.mark.parametrize(
    "record",
    [
        replace(record_of(1, create(1, "ana@example.org")), value=b"{no json"),
        replace(record_of(1, create(1, "ana@example.org")), value=None),
        replace(record_of(1, create(1, "ana@example.org")), value=b"[]"),
        FakeRecord(1, timestamp=APPENDED_MS),
        a_record(1, NEWER, key=ORGANISATION, timestamp=APPENDED_MS),
        replace(record_of(1, create(1, "ana@example.org")), key=OTHER_ORGANISATION.encode()),
        replace(
            record_of(1, create(1, "ana@example.org")),
            headers=(*record_of(1, create(1, "ana@example.org")).headers, ("ce_id", b"\xff")),
        ),
    ],
    ids=["no JSON", "no value", "no object", "no header", "newer", "foreign", "an id of bytes"],
)
def test_what_is_late_is_dropped_whatever_else_is_wrong_with_it(record: FakeRecord) -> None:
    """Its sender was answered 503: it is no dead letter, and halts nothing."""
    understood = understand([_late(record), record_of(2, create(2, "bo@example.org"))])

    assert understood.halt is None
    (kept,) = drop_expired(understood.entries)
    assert kept.record.offset == 2


@pytest.mark.parametrize("text", [b"soon", b"", b"\xff", b"9" * 5000])
def test_an_acceptby_that_is_no_number_makes_nothing_late(text: bytes) -> None:
    record = record_of(1, create(1, "ana@example.org"))
    record = replace(record, headers=(*record.headers, ("ce_acceptby", text)))

    (entry,) = drop_expired(understand([record]).entries)

    assert isinstance(entry.error, MalformedEvent)


@given(st.integers(-5, 5), st.integers(0, 4))
def test_late_copies_never_shadow_the_one_in_time(late_ms: int, place: int) -> None:
    request = create(1, "ana@example.org")
    late = replace(request, accept_by_ms=APPENDED_MS - 1)
    good = replace(request, accept_by_ms=APPENDED_MS + late_ms)
    copies = [late] * 4
    copies.insert(place, good)
    records = [record_of(number, each) for number, each in enumerate(copies)]
    broken = [
        replace(each, value=b"{") if number % 2 else each
        for number, each in enumerate(records)
        if number != place
    ]

    entries = understand(sorted([*broken, records[place]], key=lambda each: each.offset)).entries
    fresh = drop_duplicates(drop_expired(entries), set())

    assert [entry.record.offset for entry in fresh] == ([place] if late_ms >= 0 else [])
