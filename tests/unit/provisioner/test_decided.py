"""What a folded batch leaves: rows, replies, dead letters; and announcements made from rows."""

import uuid
from dataclasses import replace
from datetime import timedelta

import orjson

from rollcall.applying import dead_letters
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import Decided, decide_batch, refused_after_success
from rollcall.applying.understand import understand
from rollcall.directory.fold import fold_batch
from rollcall.directory.state import State
from rollcall.events.request import Request, to_event
from rollcall.runtime.clock import now_ms
from rollcall_provisioner.announce import announcements
from tests.support.builders import ORGANISATION, an_id, create, resourced
from tests.support.samples.records import FakeRecord, a_record

SOURCE = SourceLog("t.requests", 3, epoch=2)


def decide(
    *records: FakeRecord, broker_ms: int | None = None, source: SourceLog = SOURCE
) -> Decided:
    entries = understand(records).entries
    batch = [(dead_letters.to_event(source, each), each.append_time) for each in entries]
    folded = fold_batch({ORGANISATION: State(ORGANISATION)}, batch)
    return decide_batch(source, entries, folded, broker_ms=broker_ms)


def record_of(offset: int, request: Request) -> FakeRecord:
    return a_record(offset, to_event(request), key=ORGANISATION)


def test_rows_stand_in_the_order_of_the_log_with_their_place() -> None:
    decided = decide(
        record_of(5, create(1, "ana@example.org")), record_of(6, create(2, "ana@example.org"))
    )

    assert [(row.offset, row.epoch, row.status) for row in decided.rows] == [
        (5, 2, 201),
        (6, 2, 409),
    ]
    assert [row.scim_type for row in decided.rows] == [None, "uniqueness"]
    assert len(decided.changes.put_members) == 1


def test_only_who_waits_gets_a_reply() -> None:
    waits = replace(create(1, "ana@example.org"), reply_to=4, answer_by_ms=now_ms() + 1000)

    decided = decide(record_of(1, waits), record_of(2, create(2, "ben@example.org")))

    (waiting,) = decided.replies
    assert (waiting.partition, waiting.reply.request_id) == (4, waits.id)


def test_a_row_tells_whether_the_answer_came_before_the_decision() -> None:
    """By the broker's append time and its header, whatever this machine's clock says."""
    appended_ms = record_of(1, create(1, "a@example.org")).timestamp
    waits = replace(create(1, "a@example.org"), reply_to=4, answer_by_ms=appended_ms + 1)
    late = replace(create(2, "b@example.org"), reply_to=4, answer_by_ms=appended_ms - 1)
    alone = create(3, "c@example.org")
    probe = replace(waits, id=an_id(904), resource_id=an_id(4), is_answered=True)

    records = [record_of(number, each) for number, each in enumerate((waits, late, alone, probe))]

    assert [row.optimistic for row in decide(*records).rows] == [False, True, True, True]
    later = decide(*records, broker_ms=appended_ms + 2)
    assert [row.optimistic for row in later.rows] == [True, True, True, True]


def test_a_refusal_that_was_promised_is_none_that_was_taken_back() -> None:
    """Whenever it was appended, and also where it is decided again after a restore."""
    late = now_ms() - 60_000
    waits = replace(create(1, "a@example.org"), reply_to=4, answer_by_ms=late)
    records = [
        record_of(1, replace(waits, promise="decision")),
        record_of(2, replace(waits, id=an_id(902), resource_id=an_id(2), promise="decision")),
    ]

    for source in (SOURCE, replace(SOURCE, decided_below=4)):
        decided = decide(*records, broker_ms=now_ms(), source=source)

        assert [row.status for row in decided.rows] == [201, 409]
        assert not any(row.optimistic for row in decided.rows)
        assert refused_after_success(decided) == 0
        assert [each.must_be_heard for each in decided.replies] == [False, False]
        promised = [[each.get("promised") for each in row.outcomes] for row in decided.rows]
        assert promised == [[None], [True]]


def test_announcements_made_from_a_stored_row_are_the_original_ones() -> None:
    """The audit stores JSON: whoever reads it back announces the very same."""
    decided = decide(
        record_of(1, create(1, "ana@example.org")), record_of(2, create(2, "ana@example.org"))
    )
    stored = [
        replace(row, outcomes=orjson.loads(orjson.dumps(list(row.outcomes))))
        for row in decided.rows
    ]

    originals = [each for row in decided.rows for each in announcements(row)]
    rebuilt = [each for row in stored for each in announcements(row)]

    assert rebuilt == originals
    assert [str(each.sequence) for each in originals][:2] == ["2.1.0", "2.2.0"]
    assert len({each.id for each in originals}) == len(originals)


def test_a_malformed_event_is_kept_with_its_bytes() -> None:
    good = to_event(create(1, "ana@example.org"))
    record = replace(a_record(9, good, key=ORGANISATION), value=b"{broken ana@example.org")

    decided = decide(record)

    (letter,) = decided.event_results.letters()
    assert (letter.offset, letter.value, letter.event_id) == (9, record.value, good.id)
    assert letter.organisation_id == ORGANISATION
    assert "ana" not in letter.error
    (row,) = decided.rows
    assert (row.id, row.status) == (good.id, 500)
    (announced,) = announcements(row)
    assert announced.outcome.fact == "request.failed"
    assert announced.outcome.detail["dead_letter"] == "t.requests/3/9"


def test_an_event_without_an_id_gets_one_from_its_place() -> None:
    first, again = decide(FakeRecord(9)), decide(FakeRecord(9))

    assert uuid.UUID(first.rows[0].id)
    assert first.rows[0].id == again.rows[0].id
    assert first.rows[0].organisation_id is None


def test_the_sender_of_a_dead_letter_gets_its_name() -> None:
    waits = replace(create(1, "ana@example.org"), reply_to=1, answer_by_ms=now_ms() + 1000)
    record = replace(record_of(9, waits), value=b"7")

    (waiting,) = decide(record).replies

    assert (waiting.partition, waiting.reply.status) == (1, 500)
    assert "t.requests/3/9" in (waiting.reply.detail or "")


def test_a_decision_that_raises_leaves_the_others_alone() -> None:
    poison = resourced(create(1, "ana@example.org"), None)

    decided = decide(record_of(1, poison), record_of(2, create(2, "ben@example.org")))

    assert [row.status for row in decided.rows] == [500, 201]
    (letter,) = decided.event_results.letters()
    assert letter.error == letter.error_class


def test_the_dead_topic_hears_of_dead_letters_only_and_always_the_same() -> None:
    decided = decide(record_of(1, create(1, "a@example.org")), FakeRecord(2))

    none, [event] = [dead_letters.to_announcements(row) for row in decided.rows]

    assert none == []
    assert [event] == dead_letters.to_announcements(decided.rows[1])
    assert event.offset == 2


def test_the_time_of_an_announcement_is_that_of_the_append() -> None:
    (row,) = decide(record_of(1, create(1, "ana@example.org"))).rows

    (announced, *_) = announcements(row)

    assert announced.time == row.append_time
    assert announced.time - row.event_time != timedelta(0)


def test_a_late_refusal_that_was_decided_before_is_listed_as_unknown() -> None:
    """After a restore: who waited may have heard the first decision, which is forgotten."""
    late = now_ms() - 60_000
    records = [
        record_of(1, create(1, "a@example.org")),
        record_of(2, replace(create(2, "a@example.org"), reply_to=4, answer_by_ms=late)),
        record_of(3, create(3, "a@example.org")),
        record_of(4, replace(create(4, "a@example.org"), reply_to=4, answer_by_ms=late)),
        record_of(5, replace(create(5, "a@example.org"), reply_to=4, answer_by_ms=2 * now_ms())),
    ]

    decided = decide(*records, broker_ms=now_ms(), source=replace(SOURCE, decided_below=4))

    again = [[each.get("again", False) for each in row.outcomes] for row in decided.rows]
    marks = [
        [each["data"]["detail"].get("told", False) for each in row.outcomes]
        for row in decided.rows[1:4]
    ]
    assert again == [[False], [True], [False], [False], [False]]
    assert marks == [[False], [True], [True]]
    assert [row.optimistic for row in decided.rows] == [True, True, True, True, False]
    assert refused_after_success(decided) == 2
