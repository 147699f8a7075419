"""Notices: planned once, claimed by one sender at a time, in each member's order."""

import asyncio
from datetime import datetime, timedelta

import pytest

from rollcall.postgres import notification, progress
from rollcall.postgres.notification import ClaimedNotice
from tests.support.builders import ORGANISATION, OTHER_ORGANISATION, an_id
from tests.support.databases import Connection, TestDatabase
from tests.support.samples.notices import NOW, a_notice, settle_sent

LATER = NOW + timedelta(minutes=2)


async def claim(
    connection: Connection, owner: str = "a", now: datetime = NOW, limit: int = 10
) -> list[ClaimedNotice]:
    claims = await notification.claim(
        connection, owner, now=now, lease_s=60, limit=limit, requests_topic="t.requests"
    )
    return claims.notices


async def test_a_repeated_outcome_plans_nothing_new(database: TestDatabase) -> None:
    async with database.connect("notifier") as connection:
        first = await notification.plan(connection, [a_notice(1), a_notice(2, member=2)])
        again = await notification.plan(connection, [a_notice(1), a_notice(1, "revocation")])

    assert first == {(an_id(1), "invitation"), (an_id(2), "invitation")}
    assert again == {(an_id(1), "revocation")}


async def test_a_claim_brings_what_is_due_as_it_was_planned(database: TestDatabase) -> None:
    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(1), a_notice(2, member=2, due_at=LATER)])
        claimed = await claim(connection)
        afterwards = await claim(connection, now=LATER, owner="b")

    assert claimed == [ClaimedNotice(a_notice(1), attempts=1)]
    assert [item.notice for item in afterwards] == [
        a_notice(1),
        a_notice(2, member=2, due_at=LATER),
    ]
    assert [item.attempts for item in afterwards] == [2, 1]


async def test_a_leased_notice_has_one_owner_until_the_lease_is_over(
    database: TestDatabase,
) -> None:
    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(1)])
        await claim(connection, "a")
        meanwhile = await claim(connection, "b", NOW + timedelta(seconds=59))
        over = await claim(connection, "b", NOW + timedelta(seconds=60))
        late = await settle_sent(
            connection, an_id(1), "invitation", "a", message_id="m", sent_at=NOW
        )

    assert meanwhile == []
    assert [item.notice.event_id for item in over] == [an_id(1)]
    assert not late


async def test_two_senders_never_claim_the_same(database: TestDatabase) -> None:
    notices = [a_notice(number, member=number) for number in range(1, 201)]

    async with database.connect("notifier") as first, database.connect("notifier") as second:
        await notification.plan(first, notices)
        claims = await asyncio.gather(claim(first, "a", limit=150), claim(second, "b", limit=150))
        rest = await claim(first, "a", limit=200)

    claimed = [item.notice.event_id for part in (*claims, rest) for item in part]
    assert sorted(claimed) == [notice.event_id for notice in notices]


async def test_a_later_notice_of_a_member_waits_for_the_earlier_one(
    database: TestDatabase,
) -> None:
    """Also while the earlier one is leased, or not due for some time."""
    later = a_notice(2, "revocation")

    async with database.connect("notifier") as connection:
        await notification.plan(connection, [later, a_notice(1, due_at=LATER)])
        before = await claim(connection)
        earlier = await claim(connection, now=LATER)
        while_leased = await claim(connection, now=LATER)
        await settle_sent(connection, an_id(1), "invitation", "a", message_id="m", sent_at=NOW)
        last = await claim(connection, now=LATER)

    assert before == []
    assert [item.notice.event_id for item in earlier] == [an_id(1)]
    assert while_leased == []
    assert [item.notice for item in last] == [later]


async def test_the_same_member_id_in_another_organisation_does_not_wait(
    database: TestDatabase,
) -> None:
    theirs = a_notice(2, "revocation", organisation=OTHER_ORGANISATION)

    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(1, due_at=LATER), theirs])
        claimed = await claim(connection)

    assert [item.notice for item in claimed] == [theirs]


async def test_open_notices_are_dropped_unless_a_sender_holds_them(
    database: TestDatabase,
) -> None:
    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(1)])
        await claim(connection)
        await notification.plan(
            connection, [a_notice(2), a_notice(3, "restoration"), a_notice(4, member=2)]
        )
        dropped = await notification.drop_open(
            connection, ORGANISATION, an_id(1), ["invitation"], "revoked", now=NOW
        )
        counts = await notification.count(connection)

    assert dropped == {(an_id(2), "invitation")}
    assert counts == {
        ("invitation", "due"): 2,
        ("invitation", "dropped"): 1,
        ("restoration", "due"): 1,
    }


async def test_a_dropped_notice_can_be_due_again(database: TestDatabase) -> None:
    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(1)])
        early = await notification.reopen(
            connection, ORGANISATION, an_id(1), an_id(1), "invitation", due_at=LATER
        )
        await notification.drop_open(
            connection, ORGANISATION, an_id(1), ["invitation"], "revoked", now=NOW
        )
        reopened = await notification.reopen(
            connection, ORGANISATION, an_id(1), an_id(1), "invitation", due_at=LATER
        )
        claimed = await claim(connection, now=LATER)

    assert not early
    assert reopened
    assert [item.notice.due_at for item in claimed] == [LATER]


async def test_each_way_to_settle_is_recorded_once(database: TestDatabase) -> None:
    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(n, member=n) for n in (1, 2, 3, 4)])
        await claim(connection)
        sent = await settle_sent(
            connection, an_id(1), "invitation", "a", message_id="<m@x>", sent_at=NOW
        )
        again = await settle_sent(
            connection, an_id(1), "invitation", "a", message_id="<m@x>", sent_at=NOW
        )
        dropped = await notification.settle_dropped(
            connection, an_id(2), "invitation", "a", reason="no_address"
        )
        failed = await notification.settle_failed(
            connection, an_id(3), "invitation", "a", reason="550"
        )
        postponed = await notification.retry_later(
            connection, an_id(4), "invitation", "a", next_attempt_at=LATER, reason="451"
        )
        at_once = await claim(connection)
        afterwards = await claim(connection, now=LATER)
        counts = await notification.count(connection, ORGANISATION)

    assert (sent, again, dropped, failed, postponed) == (True, False, True, True, True)
    assert at_once == []
    assert [(item.notice.event_id, item.attempts) for item in afterwards] == [(an_id(4), 2)]
    assert counts == {
        ("invitation", "sent"): 1,
        ("invitation", "dropped"): 1,
        ("invitation", "failed"): 1,
        ("invitation", "due"): 1,
    }


async def test_the_last_mail_of_a_member_is_that_of_the_highest_sequence(
    database: TestDatabase,
) -> None:
    async with database.connect("notifier") as connection:
        never = await notification.last_mails(connection, ORGANISATION, an_id(1))
        await notification.plan(connection, [a_notice(1), a_notice(2, "revocation")])
        for kind, number in (("invitation", 1), ("revocation", 2)):
            await claim(connection)
            await settle_sent(connection, an_id(number), kind, "a", message_id="m", sent_at=NOW)
        last = await notification.last_mails(connection, ORGANISATION, an_id(1))
        since = await notification.last_mails(
            connection, ORGANISATION, an_id(1), since=an_id(2_000)
        )

    assert never == (None, None)
    assert last == ("revocation", None)
    assert since == (None, None)


@pytest.mark.parametrize("how", ["its sender died", "nobody heard the answer", "dropped by an end"])
async def test_a_dropped_notice_that_may_have_left_is_marked(
    database: TestDatabase, how: str
) -> None:
    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(1)])
        await claim(connection)
        if how == "nobody heard the answer":
            await notification.retry_later(
                connection,
                *(an_id(1), "invitation", "a"),
                next_attempt_at=NOW,
                reason="connection_TimeoutError",
                may_have_left=True,
            )
        if how == "dropped by an end":
            await notification.drop_open(
                connection, ORGANISATION, an_id(1), ("invitation",), "revoked", now=LATER
            )
        else:
            await claim(connection, now=LATER)
            await notification.settle_dropped(
                connection, an_id(1), "invitation", "a", reason="revoked"
            )
        last = await notification.last_mails(connection, ORGANISATION, an_id(1), since=an_id(1))

    assert last == (None, "invitation")


@pytest.mark.parametrize("is_tried", [True, False])
async def test_what_was_dropped_and_surely_did_not_leave_is_no_mail(
    database: TestDatabase, is_tried: bool
) -> None:
    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(1)])
        if is_tried:
            await claim(connection)
            await notification.retry_later(
                connection, an_id(1), "invitation", "a", next_attempt_at=NOW, reason="smtp_451"
            )
        await claim(connection, now=LATER)
        await notification.settle_dropped(connection, an_id(1), "invitation", "a", reason="revoked")
        last = await notification.last_mails(connection, ORGANISATION, an_id(1))

    assert last == (None, None)


async def test_what_the_directory_has_not_applied_is_not_claimed(database: TestDatabase) -> None:
    """After a failover the notifier may read outcomes again before the rows are there again."""
    async with database.connect("provisioner") as directory:
        await progress.begin(directory, "t.requests", 3, tried_again=frozenset())
    async with database.connect("notifier") as connection:
        await notification.plan(connection, [a_notice(1)])
        behind = await claim(connection)

        async with database.connect("provisioner") as directory:
            await progress.advance(
                directory,
                "t.requests",
                3,
                expected=0,
                epoch=0,
                new=2,
                published=0,
                last_event_id=None,
                last_append_time=None,
            )
        applied = await claim(connection)

    assert behind == []
    assert [item.notice.event_id for item in applied] == [an_id(1)]


@pytest.mark.parametrize(
    ("read_up_to", "at", "is_claimed"),
    [
        ((0, 7), (0, 6), False),
        ((0, 7), (0, 7), True),
        ((0, 500), (1, 3), True),  # another replica read the new log, or this one is about to
        ((1, 3), (1, 2), False),
        ((1, 3), (0, 500), False),  # a database that has forgotten the new log
    ],
)
async def test_a_mail_waits_until_its_outcomes_are_read_up_to_the_offset_in_their_log(
    read_up_to: tuple[int, int], at: tuple[int, int], is_claimed: bool, database: TestDatabase
) -> None:
    topic = "t.outcomes"
    async with database.connect("notifier") as connection, database.connect() as owner:
        await notification.plan(connection, [a_notice(1)])
        await progress.ensure(owner, topic, 3, schema="notice")
        await owner.execute(
            "UPDATE notice.progress SET epoch = $1, next_offset = $2, published_offset = $2", *at
        )
        claimed = await notification.claim(
            connection,
            "a",
            now=NOW,
            lease_s=60,
            limit=10,
            requests_topic="t.requests",
            outcomes_topic=topic,
            read_up_to=([3], [read_up_to[0]], [read_up_to[1]]),
        )

    assert bool(claimed.notices) is is_claimed


async def test_in_a_new_log_a_mail_waits_until_that_is_read_as_far_as_it_went(
    database: TestDatabase,
) -> None:
    topic = "t.outcomes"
    async with database.connect("notifier") as connection, database.connect() as owner:
        await notification.plan(connection, [a_notice(1)])
        made = await progress.ensure(owner, topic, 3, schema="notice")
        await owner.execute("UPDATE notice.progress SET state = 'halted', reason = 'log-shorter'")
        await progress.accept_log(owner, made, 2, end=4, schema="notice")
        found = []
        for position in (2, 3, 4):
            await owner.execute("UPDATE notice.progress SET next_offset = $1", position)
            claimed = await notification.claim(
                connection,
                "a",
                now=NOW,
                lease_s=60,
                limit=10,
                requests_topic="t.requests",
                outcomes_topic=topic,
                read_up_to=([3], [0], [500]),
            )
            found.append(bool(claimed.notices))

    assert found == [False, False, True]
