"""Notices. No test in here."""

from datetime import UTC, datetime

from rollcall.events.outcome import Sequence
from rollcall.postgres.notification import Notice
from tests.support.builders import ORGANISATION, an_id

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)


def a_notice(
    number: int,
    kind: str = "invitation",
    *,
    member: int = 1,
    due_at: datetime = NOW,
    organisation: str = ORGANISATION,
) -> Notice:
    return Notice(
        event_id=an_id(number),
        kind=kind,
        organisation_id=organisation,
        member_id=an_id(member),
        partition=3,
        sequence=Sequence(0, number, 0),
        event_time=NOW,
        due_at=due_at,
        detail={"from": "invited"},
    )
