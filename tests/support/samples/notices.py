"""Notices. No test in here."""

from dataclasses import replace
from datetime import UTC, datetime

from rollcall.events.outcome import Sequence
from rollcall.postgres import notification
from rollcall.postgres.notification import Notice, SentNotice
from tests.support.builders import ORGANISATION, an_id
from tests.support.databases import Connection

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


async def settle_sent(
    connection: Connection,
    event_id: str,
    kind: str,
    owner: str,
    *,
    message_id: str,
    sent_at: datetime,
) -> bool:
    """Settle one notice as sent; whether the owner still held it."""
    notice = replace(a_notice(0, kind), event_id=event_id)
    sent = SentNotice(notice, message_id, sent_at)
    return await notification.settle_sent(connection, owner, [sent]) == {(event_id, kind)}
