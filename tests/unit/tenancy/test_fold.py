"""The tenancy topic, folded."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.events.envelope import MalformedEvent, NewerVersion
from rollcall.tenancy.fold import TenancyState, read_change
from rollcall.tenancy.organisation import ApiKey, Organisation, record_key, to_event
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION, an_id
from tests.support.samples.records import FakeRecord, a_record

ZEEBURG = Organisation(ORGANISATION, "Zeeburg", 0, MOMENT)
KEY = ApiKey("abcdefghijkl", ORGANISATION, "Entra", "0" * 64, MOMENT)
POSSIBLE = (
    ZEEBURG,
    replace(ZEEBURG, name="Zeeburg-Oost"),
    Organisation(OTHER_ORGANISATION, "Other", 1, MOMENT),
    KEY,
    replace(KEY, revoked=MOMENT),
    ORGANISATION,
    KEY.public_id,
)
"""What may stand on the topic: records, and keys of tombstones."""
Written = Organisation | ApiKey | str


def on_topic(offset: int, written: Written) -> FakeRecord:
    if isinstance(written, str):
        return FakeRecord(offset, key=written.encode(), value=None)
    event = to_event(written, event_id=an_id(offset), time=MOMENT)
    return a_record(offset, event, key=record_key(written))


def folded(topic: Sequence[FakeRecord]) -> TenancyState:
    state = TenancyState()
    for record in topic:
        state.apply(read_change(record))
    return state


@given(st.lists(st.sampled_from(POSSIBLE)))
def test_the_last_record_of_each_kafka_key_is_what_holds(written: Sequence[Written]) -> None:
    last = {each if isinstance(each, str) else record_key(each): each for each in written}

    state = folded([on_topic(offset, each) for offset, each in enumerate(written)])

    held = {**state.organisations, **state.keys}
    assert held == {key: each for key, each in last.items() if not isinstance(each, str)}


@given(st.lists(st.sampled_from(POSSIBLE)))
def test_a_compacted_topic_folds_to_the_same(written: Sequence[Written]) -> None:
    topic = [on_topic(offset, each) for offset, each in enumerate(written)]
    compacted = {record.key: record for record in topic}

    assert folded(list(compacted.values())) == folded(topic)


def test_what_cannot_be_read_is_for_the_caller_to_judge() -> None:
    newer = to_event(ZEEBURG, event_id=an_id(1), time=MOMENT)

    with pytest.raises(MalformedEvent):
        read_change(FakeRecord(1, key=b"x", value=b"{"))
    with pytest.raises(NewerVersion):
        read_change(a_record(1, replace(newer, type="io.rollcall.tenancy.organisation.v2")))
