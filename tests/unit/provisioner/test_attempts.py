"""What becomes of an event that is too much by itself, and since when a position stands."""

import pytest

from rollcall.applying.understand import Entry
from rollcall.directory.quarantine import Refused
from rollcall.events.bodies import EndOrganisation, Erase
from rollcall.events.request import Request
from rollcall.kafka.worker import CUT_OFF, PartitionHalted
from rollcall_provisioner.attempts import CLASSES, StuckPositions, TooMuch
from tests.support.builders import MOMENT, ORGANISATION, a_member, create, patch, redrive, replacing
from tests.support.samples.records import FakeRecord


def entry(request: Request | None) -> Entry:
    return Entry(FakeRecord(41), MOMENT, None, request)


CHANGE = patch(a_member(), replacing("title", "x"))
ENDING = Request(
    id=CHANGE.id,
    endpoint="Users",
    organisation_id=ORGANISATION,
    resource_id=ORGANISATION,
    time=MOMENT,
    body=EndOrganisation(),
)
ERASURE = Request(
    id=CHANGE.id,
    endpoint="Users",
    organisation_id=ORGANISATION,
    resource_id=a_member().id,
    time=MOMENT,
    body=Erase(),
)


@pytest.mark.parametrize("cause", sorted(CLASSES))
@pytest.mark.parametrize("request_", [CHANGE, create(1, "ana@example.org")], ids=lambda r: r.kind)
def test_an_event_is_dead_with_the_time_out_as_its_class(cause: str, request_: Request) -> None:
    [(event_id, refusal)] = TooMuch(cause).refusals(entry(request_)).items()

    assert event_id == request_.id
    assert isinstance(refusal, Refused)
    assert (refusal.error_class, str(refusal)) == CLASSES[cause]


def test_of_a_redrive_it_is_the_dead_event_that_fails_again() -> None:
    assert set(TooMuch("memory").refusals(entry(redrive(CHANGE)))) == {CHANGE.id}


@pytest.mark.parametrize(
    "request_",
    [ENDING, ERASURE, redrive(CHANGE, kind="dead.discard"), None],
    ids=["organisation.delete", "member.erase", "dead.discard", "no request"],
)
def test_what_cannot_be_parked_halts_and_names_its_offset(request_: Request | None) -> None:
    with pytest.raises(PartitionHalted, match="offset 41") as halted:
        TooMuch("statement-timeout").refusals(entry(request_))

    assert halted.value.cause == halted.value.runbook == CUT_OFF


def test_a_position_stands_from_its_first_attempt_until_it_is_passed() -> None:
    stuck = StuckPositions()
    assert stuck.seconds(0) == 0.0

    stuck.tried(0, 7)
    first = stuck.seconds(0)
    stuck.tried(0, 7)

    assert stuck.seconds(0) >= first > 0.0
    assert stuck.seconds(1) == 0.0
    stuck.passed(0)
    assert stuck.seconds(0) == 0.0
