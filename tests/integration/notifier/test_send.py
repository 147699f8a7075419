"""Each person gets each mail once, whatever the mail server does."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from rollcall.directory.invitation_link import read_token
from rollcall.directory.lifecycle import Status
from rollcall.postgres import notification
from rollcall.postgres.notification import ClaimedNotice, SentNotice
from rollcall.runtime.ids import new_id
from rollcall_local.stack.mailbox import Rule
from rollcall_notifier import mail_server
from rollcall_notifier.departures import Departures
from rollcall_notifier.leases import Leases
from rollcall_notifier.settle import Ledger
from tests.support.builders import ORGANISATION, a_user
from tests.support.scene import Scene, token_in
from tests.support.stack import SECRET, until


async def test_an_invitation_arrives_with_a_link_that_opens(scene: Scene) -> None:
    member = await scene.invite("ana")

    async with scene.sending():
        await scene.until_rows(("invitation", "sent", None))

    (mail,) = scene.stack.mails()
    assert mail["X-RcptTo"] == "ana@example.org"
    assert mail["X-MailFrom"] == "rollcall@rollcall.example"
    assert mail["Message-ID"] == f"<{member.invitation_id}.invitation@rollcall.example>"
    member_id, invitation_id, _ = read_token(SECRET.encode(), token_in(mail), ORGANISATION)
    assert (member_id, invitation_id) == (member.id, member.invitation_id)


async def test_two_senders_at_once_send_each_mail_once(scene: Scene) -> None:
    for number in range(60):
        await scene.invite(f"p{number}")

    async with scene.sending(), scene.sending():
        await scene.until_settled()

    assert Counter(scene.recipients()) == {f"p{number}@example.org": 1 for number in range(60)}


async def test_a_mail_refused_for_now_is_tried_again(scene: Scene) -> None:
    scene.stack.misbehave(Rule("refuse_for_now", "rcpt", times=2))
    await scene.invite("ana")

    async with scene.sending():
        await scene.until_rows(("invitation", "sent", None))

    assert scene.recipients() == ["ana@example.org"]
    (row,) = await scene.stack.rows("SELECT attempts FROM notice.notification")
    assert row["attempts"] == 3


async def test_a_recipient_refused_for_good_fails_alone(scene: Scene) -> None:
    scene.stack.misbehave(Rule("refuse", "rcpt", recipient="eve"))
    await scene.invite("eve")
    await scene.invite("ana")

    async with scene.sending():
        await scene.until_rows(
            ("invitation", "failed", "smtp_recipient_550"), ("invitation", "sent", None)
        )

    assert scene.recipients() == ["ana@example.org"]


async def test_content_refused_for_good_fails(scene: Scene) -> None:
    scene.stack.misbehave(Rule("refuse", "data", times=1))
    await scene.invite("ana")

    async with scene.sending():
        await scene.until_rows(("invitation", "failed", "smtp_data_550"))


async def test_a_dropped_connection_loses_no_mail(scene: Scene) -> None:
    scene.stack.misbehave(Rule("drop", "rcpt", times=3), Rule("drop", "data", times=3))
    for number in range(20):
        await scene.invite(f"p{number}")

    async with scene.sending():
        await scene.until_settled()

    assert Counter(scene.recipients()) == {f"p{number}@example.org": 1 for number in range(20)}


async def test_a_slow_server_is_waited_for_beyond_the_lease(scene: Scene) -> None:
    scene.stack.misbehave(Rule("delay", "data", seconds=2.5))
    await scene.invite("ana")

    async with scene.sending(notifier_lease_s=1), scene.sending(notifier_lease_s=1):
        await scene.until_rows(("invitation", "sent", None))

    assert scene.recipients() == ["ana@example.org"]


async def test_a_server_that_does_not_answer_postpones(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.stack.misbehave(Rule("delay", "rcpt", times=1, seconds=3))
    await scene.invite("ana")

    monkeypatch.setattr(mail_server, "ANSWER_S", 0.5)
    async with scene.sending():
        await scene.until_rows(("invitation", "sent", None))

    assert scene.recipients() == ["ana@example.org"]


async def test_a_reset_after_the_yes_does_not_send_again(scene: Scene) -> None:
    scene.stack.misbehave(Rule("reset_after_yes", times=5))
    for number in range(10):
        await scene.invite(f"p{number}")

    async with scene.sending():
        await scene.until_settled()

    assert Counter(scene.recipients()) == {f"p{number}@example.org": 1 for number in range(10)}


async def test_a_member_revoked_before_the_invitation_left_gets_nothing(scene: Scene) -> None:
    member = await scene.invite("ana")
    await scene.revoke(member)

    async with scene.sending():
        await scene.until_settled()

    assert await scene.rows() == [
        ("invitation", "dropped", "revoked"),
        ("revocation", "dropped", "never_told"),
    ]
    assert scene.recipients() == []


async def test_a_revocation_does_not_wait_for_the_grace_time_of_an_invitation(scene: Scene) -> None:
    scene.settings = scene.settings.model_copy(update={"notifier_invitation_grace_s": 3600})
    member = await scene.invite("ana")
    await scene.revoke(member)

    async with scene.sending():
        await scene.until_settled()

    assert scene.recipients() == []


async def test_a_removed_member_gets_nothing(scene: Scene) -> None:
    member = await scene.invite("ana")
    await scene.remove(member)

    async with scene.sending():
        await scene.until_settled()

    assert await scene.rows() == [("invitation", "dropped", "removed")]


async def test_leaving_and_returning_sends_one_mail_each(scene: Scene) -> None:
    member = await scene.invite("ana")
    async with scene.sending():
        await scene.until_settled()
        invited = scene.stack.mails()[0]
        revoked = await scene.revoke(member)
        await scene.until_settled()
        restored = await scene.restore(revoked)
        await scene.until_settled()
        await scene.revoke(restored)
        await scene.until_settled()

    assert scene.subjects() == [
        "Invitation to Zeeburg",
        "Your access to Zeeburg has ended",
        "Your access to Zeeburg is back",
        "Your access to Zeeburg has ended",
    ]
    assert token_in(scene.stack.mails()[2]) == token_in(invited)


async def test_an_accepted_member_gets_a_mail_at_the_end_and_no_link_at_the_return(
    scene: Scene,
) -> None:
    member = await scene.invite("ana")
    async with scene.sending():
        await scene.until_settled()
        accepted = replace(member, status=Status.CONFIRMED, invitation_id=None)
        revoked = await scene.revoke(await scene.put(accepted))
        await scene.until_settled()
        await scene.restore(revoked)
        await scene.until_settled()

    assert len(scene.subjects()) == 3
    body = scene.stack.mails()[2].get_body(("plain",))
    assert body is not None
    assert "/invitation/" not in body.get_content()


async def test_a_mistake_taken_back_within_the_grace_time_ends_in_one_invitation(
    scene: Scene,
) -> None:
    """Revoked and restored before anybody was told: only the invitation leaves, later."""
    scene.settings = scene.settings.model_copy(update={"notifier_invitation_grace_s": 60})
    member = await scene.invite("ana")
    revoked = await scene.revoke(member)
    await scene.restore(revoked)

    async with scene.sending():
        await scene.until_rows(
            ("invitation", "due", None),
            ("revocation", "dropped", "not_revoked"),
            ("restoration", "dropped", "nothing_to_take_back"),
        )
        assert scene.recipients() == []
        await scene.age(minutes=2)
        await scene.until_settled()

    assert scene.subjects() == ["Invitation to Zeeburg"]


async def test_a_repeat_of_a_revocation_does_not_drop_what_was_opened_again(scene: Scene) -> None:
    scene.settings = scene.settings.model_copy(update={"notifier_invitation_grace_s": 60})
    member = await scene.invite("ana")
    revoked = replace(member, status=Status.REVOKED, restore_status=Status.INVITED)
    await scene.put(revoked)
    repeated = await scene.announce("member.revoked", revoked, {"from": "invited"})
    await scene.restore(revoked)
    async with scene.sending():
        await scene.until_rows(
            ("invitation", "due", None),
            ("revocation", "dropped", "not_revoked"),
            ("restoration", "dropped", "nothing_to_take_back"),
        )

    await scene.plan(repeated)

    assert (await scene.rows())[0] == ("invitation", "due", None)


async def test_the_address_is_read_when_the_mail_leaves(scene: Scene) -> None:
    member = await scene.invite("ana")
    await scene.put(replace(member, resource=a_user("moved@example.org")))

    async with scene.sending():
        await scene.until_settled()

    assert scene.recipients() == ["moved@example.org"]


async def test_a_new_address_that_was_never_written_to_gets_no_revocation(scene: Scene) -> None:
    """The invitation went to the old address; the new one's has not left when access ends."""
    member = await scene.invite("ana")
    async with scene.sending():
        await scene.until_settled()
        scene.settings = scene.settings.model_copy(update={"notifier_invitation_grace_s": 60})
        moved = replace(member, resource=a_user("moved@example.org"), invitation_id=new_id())
        await scene.put(moved)
        await scene.announce("member.invited", moved, request_id=moved.invitation_id)
        await scene.revoke(moved)
        await scene.until_settled()

    assert scene.recipients() == ["ana@example.org"]
    assert (await scene.rows())[1:] == [
        ("invitation", "dropped", "revoked"),
        ("revocation", "dropped", "never_told"),
    ]


async def test_without_address_no_mail_leaves_and_it_shows(scene: Scene) -> None:
    await scene.invite("ana", resource={"userName": "ana", "active": True})

    async with scene.sending():
        await scene.until_rows(("invitation", "dropped", "no_address"))


async def test_hostile_names_reach_one_recipient_only(scene: Scene) -> None:
    hostile = {
        **a_user("ana@example.org"),
        "displayName": "Ana\r\nBcc: eve@example.net\r\n\r\n<script>alert(1)</script>",
    }
    await scene.invite("ana", resource=hostile)

    async with scene.sending():
        await scene.until_settled()

    (mail,) = scene.stack.mails()
    assert mail.get_all("X-RcptTo") == ["ana@example.org"]
    assert mail["Bcc"] is None
    html = mail.get_body(("html",))
    assert html is not None
    assert "<script" not in html.get_content()


async def test_after_an_outage_of_a_day_everything_due_leaves(scene: Scene) -> None:
    for number in range(5):
        await scene.invite(f"p{number}")
    late = await scene.invite("late")
    async with scene.sending(smtp_port=1):

        async def was_tried() -> bool:
            rows = await scene.stack.rows(
                "SELECT 1 FROM notice.notification WHERE reason = 'mail_server_away'"
            )
            return bool(rows)

        await until(was_tried, "the outage was noticed")
    await scene.age(days=1)
    await scene.put(replace(late, status=Status.REVOKED, restore_status=Status.INVITED))

    async with scene.sending():
        await scene.until_settled()

    assert sorted(scene.recipients()) == [f"p{number}@example.org" for number in range(5)]


async def test_an_invitation_that_expired_during_the_outage_is_dropped(scene: Scene) -> None:
    await scene.invite("ana")

    async with scene.sending(invitation_lifetime_s=0):
        await scene.until_rows(("invitation", "dropped", "expired"))


async def test_nothing_is_tried_while_no_connection_can_be_made(scene: Scene) -> None:
    """The outage is the server's: it costs no mail its attempts beyond the first claim."""
    for number in range(40):
        await scene.invite(f"p{number}")

    async with scene.sending({"PROBE_S": 0.05}, smtp_port=1):
        await asyncio.sleep(1.0)  # time passes; nothing to wait for may happen

    rows = await scene.stack.rows("SELECT sum(attempts) AS attempts FROM notice.notification")
    assert rows[0]["attempts"] <= 32


async def test_a_notice_whose_sender_died_is_sent_by_another(scene: Scene) -> None:
    await scene.invite("ana")
    await scene.stack.rows(
        "UPDATE notice.notification SET lease_owner = $1, "
        "leased_until = now() + interval '1 second'",
        new_id(),
    )

    async with scene.sending():
        await scene.until_rows(("invitation", "sent", None))

    assert scene.recipients() == ["ana@example.org"]


async def test_what_a_sender_has_in_hand_it_does_not_claim_again(scene: Scene) -> None:
    """The server said yes, and Postgres was away for longer than a lease before it was noted."""
    await scene.invite("ana")
    pool = await scene.open()
    leases = Leases(pool, "sender", 10, "t.requests")
    (claimed,) = (await leases.claim(5)).notices
    await scene.age(seconds=11)

    again = await leases.claim(5)
    sent = SentNotice(claimed.notice, "<id@example.org>", leases.present())
    await Ledger(pool, "sender", 0).sent([sent])
    leases.forget(claimed)

    assert again.notices == []
    assert await scene.rows() == [("invitation", "sent", None)]
    await pool.close()


async def test_a_lease_without_work_in_progress_is_not_renewed(scene: Scene) -> None:
    """Given up because it nearly ran out: the next claim must find it, however busy the sender."""
    await scene.invite("ana")
    await scene.invite("bo")
    pool = await scene.open()
    leases = Leases(pool, "sender", 1.5, "t.requests")
    keeping = asyncio.create_task(leases.keep())
    given_up, in_hand = (await leases.claim(5)).notices
    leases.forget(given_up)
    found: list[ClaimedNotice] = []

    async def is_claimed_again() -> bool:
        found.extend((await leases.claim(5)).notices)
        return bool(found)

    await until(is_claimed_again, "the lease has run out", 10)
    keeping.cancel()

    assert [one.notice for one in found] == [given_up.notice]
    assert leases.holds(in_hand)
    await pool.close()


async def test_a_mail_due_for_too_long_fails_at_its_next_refusal(scene: Scene) -> None:
    scene.stack.misbehave(Rule("refuse_for_now", "rcpt"))
    await scene.invite("ana")
    await scene.age(hours=2)

    async with scene.sending({"GIVE_UP_AFTER_S": 3600}):
        await scene.until_rows(("invitation", "failed", "gave_up_smtp_recipient_451"))


async def test_an_organisation_is_paced_and_others_are_not(scene: Scene) -> None:
    for number in range(12):
        await scene.invite(f"p{number}")

    started_s = time.monotonic()
    async with scene.sending({"BURST_PER_ORGANISATION": 5}, notifier_rate_per_organisation=4):
        await scene.until_settled()

    assert time.monotonic() - started_s > 1.2
    assert len(scene.recipients()) == 12


async def test_notices_of_every_kind_are_paced_and_no_sync_keeps_them_waiting(
    scene: Scene,
) -> None:
    members = [await scene.invite(f"p{number}") for number in range(8)]
    async with scene.sending():
        await scene.until_settled()
    for member in members:
        await scene.revoke(member)
    for number in range(40):
        await scene.invite(f"late{number}")

    started_s = time.monotonic()
    async with scene.sending({"BURST_PER_ORGANISATION": 2}, notifier_rate_per_organisation=4):

        async def are_sent() -> bool:
            return [row for row in await scene.rows() if row[:2] == ("revocation", "sent")] == [
                ("revocation", "sent", None)
            ] * 8

        await until(are_sent, "every leaver is told", 20)
        took_s = time.monotonic() - started_s
        rows = await scene.rows()

    assert took_s > 1.2
    assert ("invitation", "due", "paced") in rows, "the joiners are still waiting"


async def test_two_senders_take_over_each_other_s_slots(scene: Scene) -> None:
    """What has waited for its slot in one process leaves at once in the other."""
    for number in range(24):
        await scene.invite(f"p{number}")

    one = {"BURST_PER_ORGANISATION": 1}
    paced = {"notifier_rate_per_organisation": 4}
    started_s = time.monotonic()
    async with scene.sending(one, **paced), scene.sending(one, **paced):
        await scene.until_settled(30)
        took_s = time.monotonic() - started_s

    attempts = await scene.stack.rows("SELECT max(attempts) AS most FROM notice.notification")
    assert len(scene.recipients()) == 24
    assert attempts[0]["most"] <= 2
    assert took_s < 8, "each has taken slots for about a half of them"


async def test_what_waits_for_its_slot_is_not_overdue(scene: Scene) -> None:
    for number in range(20):
        await scene.invite(f"p{number}")

    async with scene.sending({"BURST_PER_ORGANISATION": 1}, notifier_rate_per_organisation=0.1):

        async def is_paced() -> bool:
            rows = await scene.rows()
            return rows.count(("invitation", "due", "paced")) == 19

        await until(is_paced, "all but one are paced", 20)
        async with scene.database.connect("notifier") as connection:
            now = await notification.present(connection)
            present = await notification.overdue(connection, now=now)
            later = await notification.overdue(connection, now=now + timedelta(seconds=15))

    assert present == (0, timedelta(0))
    assert later[0] == 1
    assert timedelta(0) < later[1] < timedelta(seconds=15)


async def test_mails_that_left_together_are_recorded_together(scene: Scene) -> None:
    """The first one is written alone; what comes meanwhile goes in one statement."""
    for number in range(5):
        await scene.invite(f"p{number}")
    pool = await scene.open()
    leases = Leases(pool, "sender", 30, "t.requests")
    claimed = (await leases.claim(5)).notices
    departures = Departures(Ledger(pool, "sender", 0), None)

    async with scene.database.connect() as owner, owner.transaction():
        await owner.execute("LOCK TABLE notice.notification")
        noting = [
            asyncio.create_task(
                departures.note(SentNotice(each.notice, "<id@example.org>", leases.present()))
            )
            for each in claimed
        ]
        await until(lambda: _waits_for_the_table(scene), "the first statement waits", 10)
        noting[2].cancel()  # who waits for its turn, and leaves before it
    await asyncio.wait(noting)

    rows = await scene.stack.rows("SELECT xmin::text FROM notice.notification WHERE state = 'sent'")
    assert len(rows) == 5
    assert len({row["xmin"] for row in rows}) == 2
    await pool.close()


async def _waits_for_the_table(scene: Scene) -> bool:
    return bool(await scene.stack.rows("SELECT 1 FROM pg_locks WHERE NOT granted"))


async def test_who_is_cancelled_in_its_turn_leaves_the_others_theirs(scene: Scene) -> None:
    for number in range(3):
        await scene.invite(f"p{number}")
    pool = await scene.open()
    leases = Leases(pool, "sender", 30, "t.requests")
    claimed = (await leases.claim(5)).notices
    departures = Departures(Ledger(pool, "sender", 0), None)

    async with scene.database.connect() as owner, owner.transaction():
        await owner.execute("LOCK TABLE notice.notification")
        noting = [
            asyncio.create_task(
                departures.note(SentNotice(each.notice, "<id@example.org>", leases.present()))
            )
            for each in claimed
        ]
        await until(lambda: _waits_for_the_table(scene), "the first statement waits", 10)
        noting[0].cancel()
        await asyncio.wait([noting[0]])
    await asyncio.gather(*noting[1:])

    rows = await scene.stack.rows("SELECT 1 FROM notice.notification WHERE state = 'sent'")
    assert len(rows) == 2
    await pool.close()
