"""Which notice leaves, and which falls away: each rule of `rollcall_notifier/judge.py`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.directory.invitation_link import Invitation, expires_at
from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Member
from rollcall.events.outcome import Sequence
from rollcall.postgres.notification import Notice
from rollcall.tenancy.organisation import Organisation
from rollcall_notifier.compose import Sender
from rollcall_notifier.judge import Drop, DueNotice, Judgement, Kind, LastMails, Send, judge
from rollcall_notifier.prepare import LetterOptions, NoticeContext, judge_notice
from rollcall_notifier.recipient import Recipients
from tests.support.builders import ORGANISATION, a_member, an_id

LIFETIME_S = 5 * 86400.0
INVITATION_ID = an_id(101)
AT = datetime.fromtimestamp(0x0190_0000_0000 / 1000, UTC) + timedelta(minutes=3)
EXPIRES = expires_at(INVITATION_ID, LIFETIME_S)
LINK = Invitation(ORGANISATION, an_id(1), INVITATION_ID)


def judged(
    kind: Kind,
    member: Member | None,
    last_sent: Kind | None = None,
    maybe: Kind | None = None,
    *,
    event_id: str = an_id(500),
    at: datetime = AT,
    revoked_from: str | None = None,
) -> Judgement:
    notice = DueNotice(event_id, kind, ORGANISATION, an_id(1), revoked_from)
    return judge(notice, member, LastMails(last_sent, maybe), at=at, lifetime_s=LIFETIME_S)


def invitation(member: Member | None, **rest: Any) -> Judgement:
    return judged("invitation", member, event_id=INVITATION_ID, **rest)


def revoked(before: Status = Status.INVITED, **fields: Any) -> Member:
    return a_member(status=Status.REVOKED, restore_status=before, **fields)


def test_an_open_invitation_leaves_with_its_link() -> None:
    assert invitation(a_member()) == Send("ana@example.org", LINK, EXPIRES)


def test_an_invitation_without_a_member_is_dropped() -> None:
    assert invitation(None) == Drop("removed")


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.CONFIRMED])
def test_an_invitation_that_was_accepted_is_dropped(status: Status) -> None:
    assert invitation(a_member(status=status, invitation_id=None)) == Drop("accepted")


def test_an_invitation_of_a_revoked_member_is_dropped() -> None:
    assert invitation(revoked()) == Drop("revoked")


def test_an_invitation_that_was_replaced_is_dropped() -> None:
    assert invitation(a_member(invitation_id=an_id(102))) == Drop("superseded")


def test_a_replaced_invitation_of_a_revoked_member_is_not_kept_for_later() -> None:
    assert invitation(revoked(invitation_id=None)) == Drop("superseded")


def test_an_invitation_is_sent_until_it_expires() -> None:
    just_before = EXPIRES - timedelta(milliseconds=1)

    assert isinstance(invitation(a_member(), at=just_before), Send)
    assert invitation(a_member(), at=EXPIRES) == Drop("expired")


def test_the_address_is_the_present_one() -> None:
    moved = a_member(user_name="new@example.org")

    assert invitation(moved) == Send("new@example.org", LINK, EXPIRES)


@pytest.mark.parametrize("kind", ["invitation", "revocation", "restoration"])
def test_without_address_nothing_leaves(kind: Kind) -> None:
    resource = {"userName": "ana", "active": True}
    member = revoked(resource=resource) if kind == "revocation" else a_member(resource=resource)
    last: Kind = "revocation" if kind == "restoration" else "invitation"

    assert judged(kind, member, last, event_id=INVITATION_ID) == Drop("no_address")


@pytest.mark.parametrize("last", ["invitation", "restoration"])
def test_a_revocation_is_sent_to_members_who_had_a_mail_before(last: Kind) -> None:
    assert judged("revocation", revoked(), last) == Send("ana@example.org")


@pytest.mark.parametrize("before", ["accepted", "confirmed"])
def test_a_revocation_is_sent_to_members_who_had_accepted(before: str) -> None:
    member = revoked(Status(before))

    assert judged("revocation", member, None, revoked_from=before) == Send("ana@example.org")


def test_a_person_who_was_never_written_to_gets_no_revocation() -> None:
    assert judged("revocation", revoked(), None, revoked_from="invited") == Drop("never_told")


@pytest.mark.parametrize("maybe", ["invitation", "restoration"])
@pytest.mark.parametrize("last", [None, "revocation"])
def test_a_revocation_follows_what_may_have_left(last: Kind | None, maybe: Kind) -> None:
    assert judged("revocation", revoked(), last, maybe) == Send("ana@example.org")


@pytest.mark.parametrize(("last", "reason"), [(None, "never_told"), ("revocation", "already_told")])
def test_a_revocation_that_may_have_left_is_no_reason_for_another(
    last: Kind | None, reason: Any
) -> None:
    assert judged("revocation", revoked(), last, "revocation") == Drop(reason)


@pytest.mark.parametrize("last", [None, "invitation", "restoration"])
def test_a_restoration_takes_a_revocation_back_that_may_have_left(last: Kind | None) -> None:
    member = a_member(status=Status.CONFIRMED, invitation_id=None)

    assert judged("restoration", member, last, "revocation") == Send("ana@example.org")


def test_there_are_never_two_revocations_in_a_row() -> None:
    member = revoked(Status.CONFIRMED)

    judgement = judged("revocation", member, "revocation", revoked_from="confirmed")

    assert judgement == Drop("already_told")


@pytest.mark.parametrize("status", [Status.INVITED, Status.ACCEPTED, Status.CONFIRMED])
def test_a_revocation_that_was_taken_back_is_dropped(status: Status) -> None:
    member = a_member(status=status)

    assert judged("revocation", member, "invitation") == Drop("not_revoked")


def test_a_revocation_without_a_member_is_dropped() -> None:
    assert judged("revocation", None, "invitation") == Drop("removed")


def test_a_restoration_takes_a_revocation_back() -> None:
    member = a_member(status=Status.CONFIRMED, invitation_id=None)

    assert judged("restoration", member, "revocation") == Send("ana@example.org")


def test_a_restoration_of_an_invited_member_carries_the_same_link() -> None:
    assert judged("restoration", a_member(), "revocation") == Send("ana@example.org", LINK, EXPIRES)


def test_a_restoration_after_the_invitation_expired_carries_no_link() -> None:
    judgement = judged("restoration", a_member(), "revocation", at=EXPIRES)

    assert judgement == Send("ana@example.org")


@pytest.mark.parametrize("last", [None, "invitation", "restoration"])
def test_a_restoration_without_a_revocation_mail_is_dropped(last: Kind | None) -> None:
    member = a_member(status=Status.CONFIRMED, invitation_id=None)

    assert judged("restoration", member, last) == Drop("nothing_to_take_back")


def test_such_a_restoration_opens_the_invitation_again() -> None:
    judgement = judged("restoration", a_member(), None)

    assert judgement == Drop("nothing_to_take_back", reopens=INVITATION_ID)


def test_a_restoration_of_a_member_revoked_again_is_dropped() -> None:
    assert judged("restoration", revoked(), "revocation") == Drop("revoked_again")


def test_a_restoration_without_a_member_is_dropped() -> None:
    assert judged("restoration", None, "revocation") == Drop("removed")


@pytest.mark.parametrize(
    ("kind", "member", "last_mails"),
    [
        ("revocation", revoked(), LastMails("invitation")),
        ("restoration", a_member(), LastMails("revocation")),
    ],
)
def test_what_would_leave_leaves_no_more_once_a_later_one_is_due(
    kind: Kind, member: Member, last_mails: LastMails
) -> None:
    notice = DueNotice(an_id(500), kind, ORGANISATION, an_id(1))

    def judged_now(is_overtaken: bool) -> Judgement:
        return judge(
            notice, member, last_mails, at=AT, lifetime_s=LIFETIME_S, is_overtaken=is_overtaken
        )

    assert isinstance(judged_now(False), Send)
    assert judged_now(True) == Drop("overtaken")


def test_what_is_not_true_any_more_is_dropped_for_that_and_opens_what_it_opens() -> None:
    notice = DueNotice(an_id(500), "restoration", ORGANISATION, an_id(1))

    judgement = judge(
        notice, a_member(), LastMails(), at=AT, lifetime_s=LIFETIME_S, is_overtaken=True
    )

    assert judgement == Drop("nothing_to_take_back", reopens=INVITATION_ID)


@given(
    st.lists(st.booleans(), min_size=1, max_size=12),
    st.sampled_from([None, "invitation", "revocation", "restoration"]),
)
def test_flapping_ends_in_one_mail_that_is_true_or_in_none(
    actives: list[bool], last: Kind | None
) -> None:
    """However often it goes back and forth within the settling time: news is told once."""
    ends_active = actives[-1]
    member = a_member(status=Status.CONFIRMED, invitation_id=None)
    if not ends_active:
        member = revoked(Status.CONFIRMED, invitation_id=None)
    last_mails, sent = LastMails(last), list[Kind]()
    for number, active in enumerate(actives):
        kind: Kind = "restoration" if active else "revocation"
        judgement = judge(
            DueNotice(an_id(500 + number), kind, ORGANISATION, an_id(1), "confirmed"),
            member,
            last_mails,
            at=AT,
            lifetime_s=LIFETIME_S,
            is_overtaken=number < len(actives) - 1,
        )
        if isinstance(judgement, Send):
            sent.append(kind)
            last_mails = LastMails(kind)

    is_news = ends_active == (last == "revocation")
    assert sent == ([("restoration" if ends_active else "revocation")] if is_news else [])


def a_notice(kind: Kind) -> Notice:
    return Notice(
        event_id=INVITATION_ID,
        kind=kind,
        organisation_id=ORGANISATION,
        member_id=an_id(1),
        partition=0,
        sequence=Sequence(0, 1, 0),
        event_time=AT,
        due_at=AT,
    )


@pytest.mark.parametrize(
    ("rules", "address", "refusal"),
    [
        (Recipients(only_public=True), "ana@localhost", "recipient_not_public"),
        (Recipients(allowed=frozenset({"a.example"})), "ana@b.example", "recipient_not_allowed"),
    ],
)
@pytest.mark.parametrize("kind", ["invitation", "revocation", "restoration"])
def test_no_mail_of_any_kind_leaves_to_whom_none_may_go(
    kind: Kind, rules: Recipients, address: str, refusal: Any
) -> None:
    organisation = Organisation(ORGANISATION, "Zeeburg", 0, AT)
    member = revoked(user_name=address) if kind == "revocation" else a_member(user_name=address)
    last: Kind = "revocation" if kind == "restoration" else "invitation"
    found = NoticeContext(member, LastMails(last), organisation)
    sender = Sender("r@example.org")

    judgement = judge_notice(
        a_notice(kind), found, LetterOptions(sender, "", b"", LIFETIME_S, rules), AT
    )

    assert judgement == Drop(refusal)
    assert isinstance(
        judge_notice(a_notice(kind), found, LetterOptions(sender, "", b"", LIFETIME_S), AT), Send
    )


@pytest.mark.parametrize("kind", ["invitation", "revocation", "restoration"])
def test_nothing_leaves_for_an_organisation_that_is_being_deleted(kind: Kind) -> None:
    stays = Organisation(ORGANISATION, "Zeeburg", 0, AT)
    notice = a_notice(kind)
    member = a_member() if kind == "invitation" else revoked(Status.CONFIRMED)
    options = LetterOptions(Sender("r@example.org"), "", b"", LIFETIME_S)

    leaving = judge_notice(
        notice, NoticeContext(member, LastMails(), replace(stays, leaving=AT)), options, AT
    )

    assert leaving == Drop("organisation_leaves")
    assert judge_notice(notice, NoticeContext(member, LastMails(), stays), options, AT) != leaving
