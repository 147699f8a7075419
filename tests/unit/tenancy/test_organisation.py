"""Records of the tenancy topic: what this release writes, and what it reads of other releases."""

from dataclasses import replace
from typing import Any

import pytest

from rollcall.events.envelope import MalformedEvent
from rollcall.tenancy.organisation import (
    LEAST_RATE,
    MOST_BURST,
    MOST_RATE,
    ApiKey,
    Organisation,
    from_event,
    to_event,
)
from tests.support.builders import MOMENT, ORGANISATION, an_id

HARBOUR = Organisation(ORGANISATION, "Harbour", 3, MOMENT)
KEY = ApiKey("abcdefghijkl", ORGANISATION, "Entra", "0" * 64, MOMENT)


@pytest.mark.parametrize(
    "record",
    [
        HARBOUR,
        replace(HARBOUR, rate=LEAST_RATE, burst=1),
        replace(HARBOUR, rate=MOST_RATE, burst=MOST_BURST),
        replace(HARBOUR, burst=7),
        replace(HARBOUR, unique_external_ids=True),
        KEY,
        replace(KEY, expires=MOMENT, revoked=MOMENT),
    ],
)
def test_what_was_written_is_read(record: Organisation | ApiKey) -> None:
    assert from_event(to_event(record, event_id=an_id(1), time=MOMENT)) == record


def test_a_release_that_knows_no_rate_can_read_an_organisation_that_has_none() -> None:
    data = to_event(HARBOUR, event_id=an_id(1), time=MOMENT).data

    assert not {"rate", "burst"} & set(data)


def test_unique_external_ids_are_written_only_where_they_are_on() -> None:
    asked = replace(HARBOUR, unique_external_ids=True)

    assert "unique_external_ids" not in to_event(HARBOUR, event_id=an_id(1), time=MOMENT).data
    assert to_event(asked, event_id=an_id(1), time=MOMENT).data["unique_external_ids"] is True


def test_a_record_of_a_release_that_knew_no_rate_has_none() -> None:
    event = to_event(HARBOUR, event_id=an_id(1), time=MOMENT)

    organisation = from_event(event)

    assert isinstance(organisation, Organisation)
    assert (organisation.rate, organisation.burst) == (None, None)


@pytest.mark.parametrize("record", [replace(HARBOUR, scim_enabled=False), KEY])
def test_fields_of_a_newer_release_are_passed_over(record: Organisation | ApiKey) -> None:
    """Otherwise this release would go on with the record before it: with SCIM still on."""
    event = to_event(record, event_id=an_id(1), time=MOMENT)

    newer = replace(event, data={**event.data, "quota": {"members": 5}})

    assert from_event(newer) == record


@pytest.mark.parametrize(
    "fields",
    [
        {"rate": LEAST_RATE - 1},
        {"rate": MOST_RATE + 1},
        {"rate": "50"},
        {"rate": 50.0},
        {"rate": True},
        {"burst": 0},
        {"burst": MOST_BURST + 1},
    ],
)
def test_a_rate_out_of_its_range_is_malformed(fields: dict[str, Any]) -> None:
    event = to_event(HARBOUR, event_id=an_id(1), time=MOMENT)

    with pytest.raises(MalformedEvent, match=next(iter(fields))):
        from_event(replace(event, data={**event.data, **fields}))


@pytest.mark.parametrize("data", [None, [], "x", {}, {"id": ORGANISATION}])
def test_data_that_is_no_record_is_malformed(data: Any) -> None:
    event = to_event(HARBOUR, event_id=an_id(1), time=MOMENT)

    with pytest.raises(MalformedEvent):
        from_event(replace(event, data=data))
