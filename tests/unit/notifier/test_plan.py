"""Outcomes become rows: pure, in order, and the same however they are batched."""

from datetime import timedelta
from typing import Any

from rollcall.events.outcome import Announcement, Fact, Outcome, Sequence, outcome_id
from rollcall.postgres.notification import Ending, Notice
from rollcall_notifier.plan import Layer, plan
from tests.support.builders import MOMENT, ORGANISATION, an_id


def announced(
    fact: Fact, member: int = 1, offset: int = 0, detail: dict[str, Any] | None = None
) -> Announcement:
    request_id = an_id(1000 + offset)
    return Announcement(
        id=outcome_id(request_id, 0),
        request_id=request_id,
        sequence=Sequence(0, offset, 0),
        time=MOMENT,
        outcome=Outcome(fact, ORGANISATION, an_id(member), detail=detail or {}),
    )


def planned(*announcements: Announcement) -> tuple[Layer, ...]:
    return plan(announcements, partition=3, grace_s=120)


def test_an_invitation_waits_out_the_grace_time() -> None:
    (layer,) = planned(announced("member.invited", offset=7))

    assert layer.notices == [
        Notice(
            event_id=an_id(1007),
            kind="invitation",
            organisation_id=ORGANISATION,
            member_id=an_id(1),
            partition=3,
            sequence=Sequence(0, 7, 0),
            event_time=MOMENT,
            due_at=MOMENT + timedelta(seconds=120),
        )
    ]
    assert layer.endings == []


def test_a_revocation_is_due_at_once_and_ends_open_invitations() -> None:
    (layer,) = planned(announced("member.revoked", detail={"from": "accepted"}))

    assert [(notice.kind, notice.due_at) for notice in layer.notices] == [("revocation", MOMENT)]
    assert layer.notices[0].detail == {"from": "accepted"}
    assert layer.endings == [Ending(ORGANISATION, an_id(1), an_id(1000))]


def test_revocations_and_restorations_settle_and_invitations_have_their_own_wait() -> None:
    announcements = (
        announced("member.invited", 1),
        announced("member.revoked", 2, 1),
        announced("member.restored", 3, 2),
    )

    (layer,) = plan(announcements, partition=3, grace_s=120, settle_s=10)

    assert [(each.kind, (each.due_at - MOMENT).total_seconds()) for each in layer.notices] == [
        ("invitation", 120),
        ("revocation", 10),
        ("restoration", 10),
    ]


def test_a_restoration_is_due_at_once() -> None:
    (layer,) = planned(announced("member.restored", detail={"to": "invited"}))

    assert [(notice.kind, notice.due_at) for notice in layer.notices] == [("restoration", MOMENT)]
    assert layer.endings == []


def test_a_removal_ends_everything_and_plans_no_mail() -> None:
    (layer,) = planned(announced("member.removed"))

    assert layer == Layer([], [Ending(ORGANISATION, an_id(1), None)])


def test_other_facts_lead_to_nothing() -> None:
    facts: list[Fact] = ["member.created", "member.changed", "member.accepted", "group.changed"]

    assert planned(*(announced(fact) for fact in facts)) == ()


def test_what_follows_a_revocation_of_the_same_member_stands_behind_it() -> None:
    first, second = planned(
        announced("member.invited", offset=1),
        announced("member.revoked", offset=2),
        announced("member.invited", offset=3),
    )

    assert [notice.sequence.offset for notice in first.notices] == [1, 2]
    assert len(first.endings) == 1
    assert [notice.sequence.offset for notice in second.notices] == [3]


def test_many_members_share_a_layer() -> None:
    layers = planned(
        *(announced("member.invited", member, member) for member in range(1, 51)),
        *(announced("member.revoked", member, 100 + member) for member in range(1, 51)),
    )

    assert len(layers) == 1
    assert len(layers[0].notices) == 100
    assert len(layers[0].endings) == 50


def test_planning_twice_gives_the_same() -> None:
    announcements = [announced("member.invited"), announced("member.revoked", offset=1)]

    assert planned(*announcements) == planned(*announcements)
