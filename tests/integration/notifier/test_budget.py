"""One recipient gets so many mails and no more, from any organisation and of any kind."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Member
from rollcall.observability import metrics
from rollcall.postgres import mail_budget, tenancy
from rollcall.postgres.mail_budget import Bounds
from rollcall.runtime.ids import new_id
from rollcall.tenancy.organisation import Organisation
from rollcall_local.stack.mailbox import Rule
from rollcall_notifier.recipient import digest, fold
from tests.support.builders import MOMENT, ORGANISATION, OTHER_ORGANISATION, a_user, an_id
from tests.support.databases import TestDatabase
from tests.support.samples.notices import a_notice
from tests.support.scene import Scene
from tests.support.stack import SECRET, until

VICTIM = "ana@victim.example"
OVER = ("invitation", "dropped", "recipient_budget")


async def invite(scene: Scene, name: str, address: str = VICTIM) -> Member:
    """A member of this name who is written to at the address."""
    return await scene.invite(name, resource=a_user(address, userName=f"{name}@example.org"))


async def taken(scene: Scene) -> int:
    [row] = await scene.stack.rows("SELECT count(*) AS n FROM notice.mail_taken")
    return int(row["n"])


async def age(scene: Scene, **by: float) -> None:
    """Let the mails that were taken be so old."""
    await scene.stack.rows(
        "UPDATE notice.mail_taken SET taken_at = taken_at - $1::interval", timedelta(**by)
    )


async def test_ten_users_of_one_address_get_three_invitations(scene: Scene) -> None:
    for number in range(10):
        await invite(scene, f"p{number}")
    await invite(scene, "ben", "ben@victim.example")
    counted = metrics.NOTIFIER_MAILS.labels("invitation", "over_budget")
    before = counted._value.get()

    async with scene.sending():
        await scene.until_settled()

    assert counted._value.get() == before + 7
    assert Counter(scene.recipients()) == {VICTIM: 3, "ben@victim.example": 1}
    assert Counter(await scene.rows()) == {OVER: 7, ("invitation", "sent", None): 4}


async def test_however_the_address_is_written(scene: Scene) -> None:
    forms = [
        "ana@bücher.example",
        "ANA@bücher.example",
        "ana+1@bücher.example",
        "Ana+2+3@BÜCHER.example",
        "ana@xn--bcher-kva.example",
        "ana@XN--BCHER-KVA.example",
        "ana@bu\u0308cher.example",
        "ａｎａ@bücher.example",
    ]
    for number, form in enumerate(forms):
        await invite(scene, f"p{number}", form)

    async with scene.sending():
        await scene.until_settled()

    assert len(scene.recipients()) == 3
    assert {fold(each) for each in scene.recipients()} == {"ana@xn--bcher-kva.example"}


async def test_senders_that_race_for_the_last_piece_do_not_both_get_it(scene: Scene) -> None:
    for number in range(40):
        await invite(scene, f"p{number}")

    async with scene.sending(), scene.sending(), scene.sending():
        await scene.until_settled()

    assert scene.recipients() == [VICTIM] * 3
    assert await taken(scene) == 3


async def test_a_second_process_and_a_restart_have_no_budget_of_their_own(scene: Scene) -> None:
    for run in range(3):
        await invite(scene, f"p{run}a")
        await invite(scene, f"p{run}b")
        async with scene.sending(), scene.sending():
            await scene.until_settled()

    assert len(scene.recipients()) == 3


async def test_organisations_share_it_and_none_has_more_than_its_half_of_a_day(
    scene: Scene,
) -> None:
    other = Organisation(OTHER_ORGANISATION, "Amstel", 1, MOMENT)
    async with scene.database.connect() as connection:
        await tenancy.fold_records(connection, [other])
    async with scene.sending(notifier_recipient_mails=100):
        for number in range(10):
            await invite(scene, f"p{number}")
        await scene.until_settled()
        of_one = len(scene.recipients())
        # The rest of the day is for others, as if they had asked.
        await scene.stack.rows(
            "UPDATE notice.mail_taken SET organisation_id = $1", OTHER_ORGANISATION
        )
        for number in range(10):
            await invite(scene, f"q{number}")
        await scene.until_settled()

    assert (of_one, len(scene.recipients())) == (5, 10)


async def test_revocations_are_not_starved_by_invitations(scene: Scene) -> None:
    real = await invite(scene, "real")
    async with scene.sending():
        await scene.until_settled()
        for number in range(10):
            await invite(scene, f"p{number}")
        await scene.until_settled()
        await scene.revoke(real)
        await scene.until_settled()

    assert scene.recipients() == [VICTIM] * 4
    assert scene.subjects()[-1] == "Your access to Zeeburg has ended"


async def test_flapping_without_an_end_is_bounded_as_well(scene: Scene) -> None:
    """Each change outlives the settling time: here nothing settles."""
    member = await invite(scene, "ana")
    async with scene.sending():
        await scene.until_settled()
        for _ in range(10):
            revoked = await scene.revoke(member)
            await scene.until_settled()
            member = await scene.restore(revoked)
            await scene.until_settled()

    assert scene.subjects() == [
        "Invitation to Zeeburg",
        "Your access to Zeeburg has ended",
        "Your access to Zeeburg is back",
        "Your access to Zeeburg has ended",
    ]


@pytest.mark.parametrize(
    "rule",
    [
        Rule("refuse", "rcpt", times=1),
        Rule("refuse", "data", times=1),
        Rule("refuse_for_now", "rcpt", times=2),
        Rule("refuse_for_now", "data", times=2),
    ],
    ids=lambda rule: f"{rule.action}-{rule.stage}",
)
async def test_what_the_server_did_not_take_is_given_back(scene: Scene, rule: Rule) -> None:
    scene.stack.misbehave(rule)
    await invite(scene, "first")

    async with scene.sending(notifier_recipient_mails=1):
        await scene.until_settled()
        await invite(scene, "second")
        await scene.until_settled()

    assert scene.recipients() == [VICTIM]
    assert await taken(scene) == 1


async def test_a_server_that_breaks_connections_uses_no_recipient_s_budget(scene: Scene) -> None:
    """It may have taken each: the tries of one mail are one mail, and stay taken."""
    scene.stack.misbehave(Rule("drop", "data", times=4), Rule("refuse_for_now", "rcpt", times=1))
    await invite(scene, "first")

    async with scene.sending(notifier_recipient_mails=1):
        await scene.until_settled()
        await invite(scene, "second")
        await scene.until_settled()

    assert await scene.rows() == [("invitation", "sent", None), OVER]
    assert scene.recipients() == [VICTIM]


async def test_after_the_window_what_was_dropped_can_be_opened_again(scene: Scene) -> None:
    """Revoked and restored: nobody was told anything, so the invitation is due again."""
    for number in range(3):
        await invite(scene, f"p{number}")
    async with scene.sending():
        await scene.until_settled()
        late = await invite(scene, "late")
        await scene.until_settled()
        assert (await scene.rows())[-1] == OVER
        await age(scene, minutes=11)
        revoked = await scene.revoke(late)
        await scene.restore(revoked)
        await scene.until_settled()
        await scene.until_settled()

    assert len(scene.recipients()) == 4
    assert scene.subjects()[-1] == "Invitation to Zeeburg"
    assert f"<{late.invitation_id}.invitation@rollcall.example>" in {
        mail["Message-ID"] for mail in scene.stack.mails()
    }


async def test_a_revocation_that_was_dropped_is_sent_the_next_time(scene: Scene) -> None:
    member = await invite(scene, "ana")
    async with scene.sending(notifier_recipient_mails=1):
        await scene.until_settled()
        # As if two more notices that access has ended had left.
        await scene.stack.rows(
            "INSERT INTO notice.mail_taken SELECT gen_random_uuid(), 'revocation', recipient, "
            "organisation_id, member_id FROM notice.mail_taken, generate_series(1, 2)"
        )
        revoked = await scene.revoke(member)
        await scene.until_settled()
        assert (await scene.rows())[-1] == ("revocation", "dropped", "recipient_budget")
        restored = await scene.restore(revoked)
        await scene.until_settled()
        await age(scene, minutes=11)
        await scene.revoke(restored)
        await scene.until_settled()

    assert scene.subjects() == ["Invitation to Zeeburg", "Your access to Zeeburg has ended"]


async def test_a_member_whose_address_goes_to_and_fro_does_not_fill_one_mailbox(
    scene: Scene,
) -> None:
    member = await invite(scene, "ana", VICTIM)
    async with scene.sending():
        await scene.until_settled()
        for number in range(12):
            address = VICTIM if number % 2 else "other@victim.example"
            event = new_id()
            member = replace(member, invitation_id=event, resource=a_user(address))
            await scene.put(member)
            await scene.announce("member.invited", member, request_id=event)
            await scene.until_settled()

    assert Counter(scene.recipients()) == {VICTIM: 3, "other@victim.example": 3}


async def test_flapping_settles_into_one_mail_that_tells_the_last_state(scene: Scene) -> None:
    scene.settings = scene.settings.model_copy(update={"notifier_settle_s": 1.5})
    ana, ben = await invite(scene, "ana", "ana@example.org"), await scene.invite("ben")
    async with scene.sending():
        await scene.until_settled()
        for number in range(10):
            ana = await scene.restore(await scene.revoke(ana))
            ben = await scene.revoke(ben)
            if number < 9:
                ben = await scene.restore(ben)
            await asyncio.sleep(0.1)  # the pace of a client that goes back and forth
        await scene.until_settled()

    assert Counter(scene.recipients()) == {"ana@example.org": 1, "ben@example.org": 2}
    assert scene.subjects()[-1] == "Your access to Zeeburg has ended"
    assert [row[:2] for row in await scene.rows()].count(("revocation", "sent")) == 1


async def test_what_was_late_settles_from_when_it_is_known(scene: Scene) -> None:
    """Outcomes of a minute ago, that come one by one after an outage."""
    scene.settings = scene.settings.model_copy(update={"notifier_settle_s": 1.5})
    ana = await scene.invite("ana")
    async with scene.sending():
        await scene.until_settled()
        await scene.stack.rows(
            "UPDATE directory.member SET status = 'revoked', restore_status = 'invited'"
        )
        began_s = time.monotonic()
        revoked = replace(ana, status=Status.REVOKED, restore_status=Status.INVITED)
        announced = await scene.announce("member.revoked", revoked, {"from": "invited"})
        assert announced.time is not None
        await scene.stack.rows("DELETE FROM notice.notification WHERE kind = 'revocation'")
        await scene.plan(replace(announced, time=announced.time - timedelta(minutes=1)))
        await scene.until_settled()

    assert time.monotonic() - began_s > 1.4
    assert scene.subjects()[-1] == "Your access to Zeeburg has ended"


@pytest.mark.parametrize(
    ("address", "settings", "reason"),
    [
        ("ana@localhost", {}, "recipient_not_public"),
        ("ana@127.0.0.1", {}, "recipient_not_public"),
        ("ana@intranet", {}, "recipient_not_public"),
        ("ana@x.localhost", {}, "recipient_not_public"),
        ("ana@printer.local", {"environment": "production"}, "recipient_not_public"),
        ("ana@b.example", {"notifier_recipient_domains": "a.example"}, "recipient_not_allowed"),
    ],
)
async def test_a_recipient_that_may_not_be_written_to_is_dropped_and_shows(
    scene: Scene, address: str, settings: dict[str, Any], reason: str
) -> None:
    await invite(scene, "ana", address)
    await invite(scene, "ben", "ben@a.example")

    async with scene.sending(**settings):
        await scene.until_settled()

    assert await scene.rows() == [
        ("invitation", "dropped", reason),
        ("invitation", "sent", None),
    ]
    assert scene.recipients() == ["ben@a.example"]


async def test_a_developer_may_write_to_the_own_machine(scene: Scene) -> None:
    await invite(scene, "ana", "ana@localhost")

    async with scene.sending(environment="development"):
        await scene.until_settled()

    assert scene.recipients() == ["ana@localhost"]


async def test_no_address_stands_in_the_budget_and_old_rows_go(scene: Scene) -> None:
    await invite(scene, "ana")
    async with scene.sending():
        await scene.until_settled()
    [row] = await scene.stack.rows(
        "SELECT t::text AS text, encode(recipient, 'escape') AS bytes, recipient "
        "FROM notice.mail_taken t"
    )
    await age(scene, hours=23, minutes=59)
    async with scene.sending():
        await scene.until_settled()
    kept = await taken(scene)
    await age(scene, minutes=2)

    async with scene.sending():
        await until(lambda: _is_empty(scene), "what is older than a day is swept", 20)

    assert "victim" not in row["text"] + row["bytes"]
    assert row["recipient"] == digest(SECRET.encode(), VICTIM)
    assert kept == 1


async def _is_empty(scene: Scene) -> bool:
    return await taken(scene) == 0


MANY = 100


@pytest.mark.parametrize(
    ("most", "is_taken"),
    [
        (Bounds(3, 4, 3), True),
        (Bounds(2, MANY, MANY), False),
        (Bounds(MANY, 3, MANY), False),
        (Bounds(MANY, MANY, 2), False),
        (Bounds(3, MANY, MANY), True),
        (Bounds(MANY, 4, MANY), True),
        (Bounds(MANY, MANY, 3), True),
    ],
)
async def test_counts_are_those_of_the_windows(
    database: TestDatabase, most: Bounds, is_taken: bool
) -> None:
    """Two within the window, three within a day, of those two of the organisation."""
    recipient, other = b"\xff" * 32, b"\x00" * 32
    free = Bounds(MANY, MANY, MANY)
    async with database.connect("notifier") as connection:
        for number in range(4):
            of = ORGANISATION if number % 2 else OTHER_ORGANISATION
            notice = a_notice(number, organisation=of)
            await mail_budget.take(connection, recipient, notice, free, window_s=600)
        await mail_budget.take(connection, other, a_notice(9), free, window_s=600)
    async with database.connect() as owner:
        await owner.execute(
            "UPDATE notice.mail_taken SET taken_at = taken_at - interval '1 hour' "
            "WHERE event_id = ANY ($1::uuid[])",
            [an_id(0), an_id(1)],
        )
        await owner.execute(
            "UPDATE notice.mail_taken SET taken_at = taken_at - interval '25 hours' "
            "WHERE event_id = $1",
            an_id(0),
        )
    async with database.connect("notifier") as connection:
        again = await mail_budget.take(connection, recipient, a_notice(3), most, window_s=600)
        more = await mail_budget.take(connection, recipient, a_notice(5), most, window_s=600)
        left = await connection.fetchval("SELECT count(*) FROM notice.mail_taken")
        await mail_budget.sweep(connection)
        swept = await connection.fetchval("SELECT count(*) FROM notice.mail_taken")

    assert again == "again"
    assert more == ("now" if is_taken else None)
    assert (left, swept) == (5 + is_taken, 4 + is_taken)
