"""Quarantine and redrive: what raises is dead, what follows waits, one event applies all of it."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.directory.changes import PutGroup, RemoveMember
from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.quarantine import Refused, Unreadable
from rollcall.directory.state import State
from rollcall.events.request import MemberDelta, Request
from tests.support import builders
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    a_group,
    a_member,
    a_request,
    a_state,
    a_user,
    an_id,
    redrive,
    replacing,
    resourced,
)

AT = MOMENT + timedelta(seconds=1)
ANA = a_member()


def folded(
    state: State, *events: Request | Unreadable, refusals: dict[str, Exception] | None = None
) -> list[Folded]:
    return fold_batch({ORGANISATION: state}, [(each, AT) for each in events], refusals or {})


def poison(number: int = 901, member_id: str = ANA.id) -> Request:
    """A PUT without its resource: the decision raises."""
    return a_request("member.replace", member_id, number)


def titled(title: str, number: int) -> Request:
    return builders.patch(ANA, replacing("title", title), number=number)


def mended(request: Request) -> Request:
    """The same event as a release reads it that has no trouble with it."""
    return resourced(request, a_user(nickName="Mended"))


def mend(state: State) -> None:
    """What loading the held events with another release does."""
    for quarantine in state.quarantines.values():
        assert quarantine.dead is not None
        request = quarantine.dead.event
        assert isinstance(request, Request)
        quarantine.dead = replace(quarantine.dead, event=mended(request))


def test_what_follows_a_dead_event_on_its_resource_is_parked_and_all_others_flow() -> None:
    other = a_member(2, "bo@example.org")
    state = a_state(ANA, other)

    dead, parked, flows = folded(
        state, poison(), titled("Captain", 902), builders.patch(other, replacing("title", "Cook"))
    )

    assert isinstance(dead.error, ValueError)
    assert parked.is_parked
    assert parked.reply is not None
    assert (parked.reply.status, parked.reply.is_parked) == (202, True)
    assert parked.decision is not None
    assert [each.fact for each in parked.decision.outcomes] == ["request.parked"]
    assert parked.decision.changes == ()
    assert flows.reply is not None
    assert flows.reply.status == 200
    assert state.members[ANA.id] == ANA


def test_a_member_and_a_group_of_one_id_are_two_resources() -> None:
    group = a_group(1)
    state = a_state(ANA, groups=(group,))

    _, of_group = folded(state, poison(), a_request("group.patch", group.id, 902))

    assert group.id == ANA.id
    assert not of_group.is_parked


def test_a_group_takes_a_member_in_quarantine_as_known() -> None:
    group = a_group()
    state = a_state(groups=(group,))
    broken = resourced(builders.create(1, "ana@example.org"), None)

    _, changed = folded(state, broken, builders.regroup(group, add=(broken.resource_id,)))

    assert changed.reply is not None
    assert changed.reply.status == 204
    assert state.memberships[group.id] == {broken.resource_id}


def test_a_redrive_applies_the_dead_one_and_the_parked_ones_in_their_order() -> None:
    state = a_state(ANA)
    folded(state, poison(), titled("Captain", 902), titled("Cook", 903))
    mend(state)

    [done] = folded(state, redrive(poison()))

    assert done.redriven is not None
    assert [step.held.event.id for step in done.redriven.applied] == [
        an_id(901),
        an_id(902),
        an_id(903),
    ]
    member = state.members[ANA.id]
    assert (member.resource["nickName"], member.resource["title"]) == ("Mended", "Cook")
    assert member.version == an_id(903)
    assert not state.quarantines
    [outcome] = done.decision.outcomes if done.decision else ()
    assert (outcome.fact, outcome.detail["applied"], outcome.detail["parked"]) == (
        "dead.redriven",
        3,
        0,
    )


def test_a_redrive_leaves_what_would_have_been_without_the_poison() -> None:
    good, after = mended(poison()), titled("Captain", 902)
    troubled, untroubled = a_state(ANA), a_state(ANA)
    folded(untroubled, good, after)

    folded(troubled, poison(), after)
    mend(troubled)
    folded(troubled, redrive(poison()))

    assert troubled.members == untroubled.members


def test_the_same_redrive_twice_does_nothing_the_second_time() -> None:
    state = a_state(ANA)
    folded(state, poison(), titled("Captain", 902))
    mend(state)
    folded(state, redrive(poison()))
    before = copy.deepcopy(state)

    [again] = folded(state, redrive(poison(), 801))

    assert again.redriven is None
    assert again.decision is not None
    assert (again.decision.changes, again.decision.outcomes) == ((), ())
    assert state == before


def test_a_redrive_that_fails_again_leaves_everything_parked() -> None:
    state = a_state(ANA)
    folded(state, poison(), titled("Captain", 902))

    [again] = folded(state, redrive(poison()))
    [later] = folded(state, titled("Cook", 903))

    assert again.redriven is not None
    assert again.redriven.applied == ()
    assert state.members[ANA.id] == ANA
    [quarantine] = state.quarantines.values()
    assert quarantine.dead is not None
    assert (quarantine.dead.attempts, quarantine.dead.announced) == (2, 2)
    assert [held.event.id for held in quarantine.parked] == [an_id(902), an_id(903)]
    assert later.is_parked


def test_a_parked_event_that_raises_is_the_dead_one_from_then_on() -> None:
    state = a_state(ANA)
    folded(state, poison(), titled("Captain", 902), poison(903), titled("Cook", 904))
    mend(state)

    [done] = folded(state, redrive(poison()))

    assert done.redriven is not None
    assert done.redriven.stopped is not None
    assert done.redriven.stopped.held.event.id == an_id(903)
    assert state.members[ANA.id].resource["title"] == "Captain"
    [quarantine] = state.quarantines.values()
    assert quarantine.dead_id == an_id(903)
    assert [held.event.id for held in quarantine.parked] == [an_id(904)]


def test_a_discard_applies_what_is_parked_without_the_dead_one() -> None:
    state = a_state(ANA)
    folded(state, poison(), titled("Captain", 902))

    [done] = folded(state, redrive(poison(), kind="dead.discard"))

    assert done.decision is not None
    assert [each.fact for each in done.decision.outcomes] == ["dead.discarded"]
    assert state.members[ANA.id].resource["title"] == "Captain"
    assert not state.quarantines


def test_a_member_that_is_discarded_before_it_was_made_leaves_its_groups() -> None:
    group = a_group()
    state = a_state(groups=(group,))
    broken = resourced(builders.create(1, "ana@example.org"), None)
    folded(state, broken, builders.regroup(group, add=(broken.resource_id,)))

    [done] = folded(state, redrive(broken, kind="dead.discard"))

    assert state.memberships[group.id] == set()
    assert state.groups[group.id].version == an_id(800)
    assert done.decision is not None
    assert [type(change) for change in done.decision.changes] == [RemoveMember, PutGroup]


def test_what_the_database_refuses_is_dead_as_if_its_decision_had_raised() -> None:
    state = a_state(ANA)
    refused = titled("Captain", 901)

    dead, parked = folded(
        state, refused, titled("Cook", 902), refusals={refused.id: Refused("23514", "too long")}
    )

    assert isinstance(dead.error, Refused)
    assert parked.is_parked
    assert state.members[ANA.id] == ANA


def test_an_unreadable_event_quarantines_its_resource_if_it_names_one() -> None:
    error = ValueError("no request")
    state = a_state(ANA)

    without_resource, about_ana, parked = folded(
        state,
        Unreadable(an_id(1), "", "Users", "", error),
        Unreadable(an_id(2), ORGANISATION, "Users", ANA.id, error),
        titled("Captain", 902),
    )

    assert (without_resource.error, about_ana.error) == (error, error)
    assert parked.is_parked
    assert list(state.quarantines) == [("Users", ANA.id)]


@st.composite
def conversations(draw: st.DrawFn) -> list[Request]:
    """Three members and a group, with poison, redrives and discards in between."""
    found: list[Request] = []
    poisons: list[Request] = []
    for number in range(1000, 1000 + draw(st.integers(1, 30))):
        member = an_id(draw(st.integers(1, 3)))
        kinds = ["create", "title", "delete", "poison", "group", "regroup", "redrive", "discard"]
        match draw(st.sampled_from(kinds)):
            case "create":
                request = a_request("member.create", member, number, resource=a_user(member))
            case "title":
                operation = replacing("title", str(number))
                request = a_request("member.patch", member, number, operations=(operation,))
            case "delete":
                request = a_request("member.delete", member, number)
            case "group":
                request = a_request(
                    "group.create", an_id(50), number, resource={"displayName": "Crew"}
                )
            case "regroup":
                delta = MemberDelta(add=(member,))
                request = a_request("group.patch", an_id(50), number, members=delta)
            case "poison":
                request = poison(number, member)
                poisons.append(request)
            case kind:
                dead = draw(st.sampled_from(poisons or [poison(1, member)]))
                request = redrive(
                    dead, number, "dead.discard" if kind == "discard" else "dead.redrive"
                )
        found.append(request)
    return found


def picture(state: State) -> dict[str, Any]:
    return {
        "members": state.members,
        "groups": state.groups,
        "memberships": {group: ids for group, ids in state.memberships.items() if ids},
        "quarantines": state.quarantines,
    }


@settings(max_examples=200, deadline=None)
@given(conversations(), st.integers(1, 12))
def test_one_batch_or_many_give_the_same_directory_and_quarantines(
    conversation: list[Request], size: int
) -> None:
    whole, parts = State(ORGANISATION), State(ORGANISATION)

    in_one = folded(whole, *conversation)
    in_many = [
        item
        for start in range(0, len(conversation), size)
        for item in folded(parts, *conversation[start : start + size])
    ]

    assert [item.decision for item in in_one] == [item.decision for item in in_many]
    assert picture(whole) == picture(parts)


@settings(max_examples=200, deadline=None)
@given(conversations())
def test_nothing_is_decided_on_a_resource_while_it_is_in_quarantine(
    conversation: list[Request],
) -> None:
    state = State(ORGANISATION)

    for request in conversation:
        key = (request.endpoint, request.resource_id)
        was_held = key in state.quarantines
        before = copy.deepcopy(state.members.get(request.resource_id))
        [item] = folded(state, request)
        if was_held and not request.is_about_dead:
            assert item.is_parked
            assert state.members.get(request.resource_id) == before


def _held_late(state: State) -> None:
    """The dead one was appended after its `acceptby`; an earlier release could not read it."""
    for quarantine in state.quarantines.values():
        assert quarantine.dead is not None
        quarantine.dead = replace(quarantine.dead, is_late=True)


def test_a_redrive_drops_what_is_late_and_applies_what_waited_behind_it() -> None:
    state = a_state(ANA)
    folded(state, poison(), titled("Captain", 902))
    mend(state)
    _held_late(state)

    (done,) = folded(state, redrive(poison()))

    assert done.decision is not None
    assert done.redriven is not None
    (outcome,) = done.decision.outcomes
    assert (outcome.fact, outcome.detail["applied"], outcome.detail["expired"]) == (
        "dead.redriven",
        1,
        1,
    )
    assert done.redriven.stopped is None
    assert state.quarantines == {}
    resource = state.members[ANA.id].resource
    assert (resource.get("nickName"), resource["title"]) == (None, "Captain")


def test_a_redrive_of_rules_1_applies_what_is_late_as_it_did() -> None:
    """A rebuild folds it again: it was applied then."""
    state = a_state(ANA)
    folded(state, poison())
    mend(state)
    _held_late(state)

    (done,) = folded(state, replace(redrive(poison()), rules=1))

    assert done.decision is not None
    assert "expired" not in done.decision.outcomes[0].detail
    assert state.members[ANA.id].resource["nickName"] == "Mended"


def test_a_discard_drops_what_is_late_and_parked() -> None:
    state = a_state(ANA)
    folded(state, poison(), titled("Captain", 902), titled("Cook", 903))
    for quarantine in state.quarantines.values():
        quarantine.parked[1] = replace(quarantine.parked[1], is_late=True)

    (done,) = folded(state, redrive(poison(), kind="dead.discard"))

    assert done.decision is not None
    detail = done.decision.outcomes[0].detail
    assert (detail["applied"], detail["expired"], detail["parked"]) == (1, 1, 0)
    assert state.members[ANA.id].resource["title"] == "Captain"


def test_a_member_whose_create_was_late_leaves_no_memberships() -> None:
    """In quarantine its id counted as known."""
    state = a_state(groups=(a_group(),))
    create = builders.create(1, "ana@example.org")
    join = a_request(
        "group.patch", a_group().id, 902, members=MemberDelta(add=(create.resource_id,))
    )
    folded(state, resourced(create, None), join)
    _held_late(state)

    folded(state, redrive(create))

    assert create.resource_id not in state.members
    assert state.groups_of.get(create.resource_id, set()) == set()
