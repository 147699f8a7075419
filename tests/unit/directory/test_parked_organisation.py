"""A parked organisation: everything waits in order, and a release takes it up part by part."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.quarantine import Refused, Unreadable
from rollcall.directory.release import EVENTS_AT_ONCE, MOST_CAUSES
from rollcall.directory.state import State
from rollcall.events.precondition import Precondition
from rollcall.events.request import Request
from tests.support import builders
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_member,
    a_request,
    an_id,
    create,
    redrive,
    replacing,
)

AT = MOMENT + timedelta(seconds=1)
WHY = Refused("23514", "a value breaks a rule of the database")
ANA = a_member()
BAD = create(90, "bad@example.org")
"""The event behind which the organisation is parked."""


def folded(
    state: State, *events: Request | Unreadable, dead: tuple[Request, ...] = (BAD,)
) -> list[Folded]:
    refusals = {each.id: WHY for each in dead}
    return fold_batch({ORGANISATION: state}, [(each, AT) for each in events], refusals, {BAD.id})


def titled(title: str, number: int) -> Request:
    return builders.patch(ANA, replacing("title", title), number=number)


def let_go(number: int = 800, behind: Request = BAD) -> Request:
    """What `rollcall dead release` writes."""
    return builders.let_go(behind.id, number)


def detail(result: Folded) -> Any:
    assert result.decision is not None
    [outcome] = result.decision.outcomes
    return outcome.detail


def waiting(state: State) -> list[str]:
    return [] if state.park is None else [held.event.id for held in state.park.waiting]


def test_everything_of_the_organisation_waits_behind_the_letter_that_parks_it() -> None:
    state = builders.a_state(ANA)
    unreadable = Unreadable(an_id(903), ORGANISATION, "Users", an_id(7), ValueError("x"))
    later = (titled("Cook", 901), create(2, "ben@example.org"), unreadable)

    bad, *others = folded(state, BAD, *later)

    assert (bad.error, bad.parks) == (WHY, True)
    assert all(each.is_parked and each.is_of_park for each in others)
    assert [each.reply.status for each in others if each.reply] == [202, 202, 202]
    assert waiting(state) == [an_id(901), an_id(102), an_id(903)]
    assert set(state.members) == {ANA.id}


def test_another_organisation_does_not_wait() -> None:
    states = {ORGANISATION: State(ORGANISATION), OTHER_ORGANISATION: State(OTHER_ORGANISATION)}
    other = replace(create(1, "ana@example.org"), organisation_id=OTHER_ORGANISATION)

    results = fold_batch(states, [(BAD, AT), (other, AT)], {BAD.id: WHY}, {BAD.id})

    assert results[1].reply is not None
    assert results[1].reply.status == 201


def test_what_is_not_dead_parks_no_organisation() -> None:
    state = State(ORGANISATION)

    folded(state, BAD, dead=())

    assert state.park is None


def test_a_precondition_is_refused_and_not_parked() -> None:
    state = builders.a_state(ANA)
    asked = replace(titled("Cook", 901), precondition=Precondition(if_match=(ANA.version,)))

    _, refused = folded(state, BAD, asked)

    assert refused.reply is not None
    assert refused.reply.status == 503
    assert waiting(state) == []


def test_a_repeat_is_answered_as_before_and_does_not_wait() -> None:
    state = State(ORGANISATION)
    again = replace(BAD, id=an_id(999), resource_id=an_id(91))

    _, repeat = folded(state, BAD, again)

    assert repeat.reply is not None
    assert repeat.reply.status == 500
    assert waiting(state) == []


def test_an_erasure_and_the_end_do_not_wait_and_take_away_what_waits() -> None:
    state = builders.a_state(ANA)
    folded(state, BAD, titled("Cook", 901), create(2, "ben@example.org"))

    folded(state, a_request("member.erase", ANA.id, 950))
    assert waiting(state) == [an_id(102)]
    assert ANA.id not in state.members

    folded(state, a_request("organisation.delete", ORGANISATION, 951))
    assert state.park is None


def test_a_letter_of_a_parked_organisation_can_be_redriven() -> None:
    state = State(ORGANISATION)
    folded(state, BAD, create(2, "ben@example.org"))

    [done] = folded(state, redrive(BAD), dead=())

    assert done.decision is not None
    assert set(state.members) == {BAD.resource_id}
    assert waiting(state) == [an_id(102)]


def test_a_release_applies_what_waits_in_its_order_and_lets_go() -> None:
    state = builders.a_state(ANA)
    folded(state, BAD, titled("Cook", 901), titled("Mate", 902), create(2, "ben@example.org"))

    [done] = folded(state, let_go())

    assert state.park is None
    assert state.members[ANA.id].resource["title"] == "Mate"
    assert state.members[ANA.id].version == an_id(902)
    assert an_id(2) in state.members
    assert detail(done) == {
        "endpoint": "Users",
        "dead_letter": "rollcall.requests/3/41",
        "applied": 3,
        "parked": 0,
        "failed": 0,
        "left": 0,
    }
    [after] = folded(state, titled("Captain", 904))
    assert after.reply is not None
    assert after.reply.status == 200


def test_a_release_takes_up_a_part_and_what_comes_meanwhile_waits_behind_the_rest() -> None:
    state = builders.a_state(ANA)
    many = [titled(f"T{number}", 1000 + number) for number in range(EVENTS_AT_ONCE + 7)]
    folded(state, BAD, *many)

    first, parked, second = folded(state, let_go(800), titled("Last", 2000), let_go(801))

    assert (detail(first)["applied"], detail(first)["left"]) == (EVENTS_AT_ONCE, 7)
    assert parked.is_of_park
    assert (detail(second)["applied"], detail(second)["left"]) == (8, 0)
    assert state.members[ANA.id].resource["title"] == "Last"
    assert state.park is None


@pytest.mark.parametrize("behind", [create(77, "other@example.org"), BAD])
def test_a_release_of_what_is_not_parked_behind_it_does_nothing(behind: Request) -> None:
    state = builders.a_state(ANA)
    if behind is not BAD:
        folded(state, BAD, titled("Cook", 901))

    [done] = folded(state, let_go(behind=behind))

    assert done.redriven is None
    assert done.decision is not None
    assert (done.decision.changes, done.decision.outcomes) == ((), ())
    assert waiting(state) == ([] if behind is BAD else [an_id(901)])


def test_what_is_in_quarantine_is_parked_behind_its_resource() -> None:
    state = builders.a_state(ANA)
    poison = a_request("member.replace", ANA.id, 900)
    folded(state, poison, BAD, titled("Cook", 901), create(2, "ben@example.org"))

    [done] = folded(state, let_go())

    assert (detail(done)["applied"], detail(done)["parked"]) == (1, 1)
    parked = state.quarantines["Users", ANA.id].parked
    assert [held.event.id for held in parked] == [an_id(901)]


def test_a_release_sets_aside_what_still_cannot_be_applied_and_goes_on() -> None:
    state = builders.a_state(ANA)
    worse, after = create(91, "worse@example.org"), titled("Mate", 902)
    folded(state, BAD, worse, after)

    [done] = folded(state, let_go(), dead=(worse,))

    assert done.redriven is not None
    assert [step.held.event.id for step in done.redriven.fallen] == [worse.id]
    assert done.decision is not None
    assert done.decision.verdict.status == 500
    assert (detail(done)["failed"], detail(done)["left"]) == (1, 0)
    assert state.members[ANA.id].resource["title"] == "Mate"
    assert state.park is None


def test_a_release_stops_where_as_many_causes_are_open_as_before() -> None:
    state = builders.a_state(ANA)
    bad = [create(200 + number, f"bad{number}@example.org") for number in range(MOST_CAUSES + 3)]
    folded(state, BAD, *bad, titled("Mate", 902))

    [done] = folded(state, let_go(), dead=(BAD, *bad))

    # Beside the one behind which it was parked.
    assert detail(done)["failed"] == MOST_CAUSES - 1
    assert state.park is not None
    assert waiting(state) == [each.id for each in bad[MOST_CAUSES - 1 :]] + [an_id(902)]


def test_a_release_that_was_cut_off_failed_and_all_stays() -> None:
    state = builders.a_state(ANA)
    folded(state, BAD, titled("Mate", 902))

    [done] = folded(state, let_go(), dead=(let_go(),))

    assert done.redriven is not None
    assert done.redriven.is_at_a_standstill
    assert done.decision is not None
    assert done.decision.verdict.status == 500
    assert waiting(state) == [an_id(902)]


def test_a_release_drops_what_is_late() -> None:
    state = builders.a_state(ANA)
    folded(state, BAD, titled("Mate", 902))
    assert state.park is not None
    state.park.waiting = [replace(held, is_late=True) for held in state.park.waiting]

    [done] = folded(state, let_go())

    assert (detail(done)["applied"], detail(done)["expired"]) == (0, 1)
    assert state.members[ANA.id] == ANA


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Request], tuple[Request, ...]]:
    """Requests of one organisation, and those of them that cannot be applied."""
    events: list[Request] = []
    dead: list[Request] = []
    for number in range(1000, 1000 + draw(st.integers(1, 25))):
        member = draw(st.integers(1, 3))
        title = replacing("title", str(number))
        request = draw(
            st.sampled_from(
                [
                    a_request("member.create", an_id(member), number, resource=builders.a_user()),
                    a_request("member.create", an_id(number), number, resource=builders.a_user()),
                    a_request("member.patch", an_id(member), number, operations=(title,)),
                    a_request("member.delete", an_id(member), number),
                ]
            )
        )
        if draw(st.integers(0, 4)) == 0:
            dead.append(request)
        events.append(request)
    return events, tuple(dead)


@settings(max_examples=200, deadline=None)
@given(conversations(), st.integers(0, 25))
def test_parked_and_let_go_comes_to_the_same_as_never_parked(
    conversation: tuple[list[Request], tuple[Request, ...]], at: int
) -> None:
    """Whatever waits, and whatever of it cannot be applied."""
    events, dead = conversation
    first, later = events[:at], events[at:]
    plain, parked = State(ORGANISATION), State(ORGANISATION)
    for state in (plain, parked):
        folded(state, *first, dead=dead)
    fold_batch({ORGANISATION: plain}, [(BAD, AT)], {BAD.id: WHY})
    folded(parked, BAD)

    folded(plain, *later, dead=dead)
    folded(parked, *later, dead=dead)
    for number in range(len(events) + 1):
        folded(parked, let_go(4000 + number), dead=dead)

    assert parked.park is None
    assert parked.members == plain.members
    assert {key: each.dead_id for key, each in parked.quarantines.items()} == {
        key: each.dead_id for key, each in plain.quarantines.items()
    }
    assert {
        key: [held.event.id for held in each.parked] for key, each in parked.quarantines.items()
    } == {key: [held.event.id for held in each.parked] for key, each in plain.quarantines.items()}
