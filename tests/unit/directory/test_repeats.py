"""A poisoned create that is sent again: known by its name and its content, and refused with 500."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.directory.cause import cause_of
from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.quarantine import Refused
from rollcall.directory.state import State
from rollcall.events.bodies import Incomplete
from rollcall.events.request import MemberDelta, Request, Settings
from tests.support import builders
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    a_request,
    an_id,
    redrive,
    resource_of,
    resourced,
)

AT = MOMENT + timedelta(seconds=1)
WHY = Refused("23514", "a value breaks a rule of the database")


def create(number: int, user_name: str = "ana@example.org", **attributes: Any) -> Request:
    """A create whose ids are its own, as every repeat has."""
    return builders.create(number, user_name, **attributes)


def crew(number: int, name: str = "Crew", *members: int, **fields: Any) -> Request:
    return a_request(
        "group.create",
        an_id(number),
        100 + number,
        resource={"displayName": name, **fields},
        members=MemberDelta(add=tuple(map(an_id, members))),
    )


def folded(state: State, *requests: Request, dead: Request | None = None) -> list[Folded]:
    refusals: dict[str, Exception] = {} if dead is None else {dead.id: WHY}
    return fold_batch({ORGANISATION: state}, [(each, AT) for each in requests], refusals)


def status(result: Folded) -> int | None:
    """What its sender is answered; None: it is a dead letter."""
    return None if result.reply is None else result.reply.status


@pytest.mark.parametrize("make", [create, crew], ids=["member", "group"])
def test_fifty_repeats_of_a_dead_create_are_one_letter(make: Any) -> None:
    state = State(ORGANISATION)
    first = make(1)

    dead, *repeats = folded(state, first, *(make(number) for number in range(2, 52)), dead=first)

    assert dead.error is WHY
    assert {status(each) for each in repeats} == {500}
    assert all(each.error is None and each.decision is not None for each in repeats)
    assert {each.decision.changes for each in repeats if each.decision} == {()}
    details = [each.decision.outcomes[0].detail for each in repeats if each.decision]
    assert {each["repeat_of"] for each in details} == {first.id}
    assert all(first.id in (each.reply.detail or "") for each in repeats if each.reply)
    assert len(state.quarantines) == 1
    assert state.known_members == set()


@pytest.mark.parametrize(
    "again",
    [
        a_request(
            "member.create",
            an_id(2),
            102,
            resource={**builders.a_user(title="Cook", nickName="A"), "userName": "ANA@example.org"},
        ),
        create(2, nickName="A", title="Cook"),
        replace(create(2, title="Cook", nickName="A"), actor="key:another", accept_by_ms=7),
        replace(create(2, title="Cook", nickName="A"), settings=Settings(profile="interop")),
        resourced(
            create(2),
            {
                name: value
                for name, value in builders.a_user(title="Cook", nickName="A").items()
                if name != "active"
            },
        ),
    ],
    ids=["letter case of the name", "order", "key", "settings", "active by default"],
)
def test_what_says_the_same_is_a_repeat(again: Request) -> None:
    state = State(ORGANISATION)
    first = create(1, title="Cook", nickName="A")

    assert [status(each) for each in folded(state, first, again, dead=first)] == [None, 500]


@pytest.mark.parametrize(
    "other",
    [
        create(2, "ben@example.org", title="Cook"),
        create(2, title="Captain"),
        create(2),
        create(2, title="Cook", externalId="7"),
        create(2, title=["Cook"]),
        a_request("group.create", an_id(2), 102, resource={"displayName": "ana@example.org"}),
    ],
    ids=["name", "value", "less", "more", "another form", "a group"],
)
def test_what_says_something_else_is_decided(other: Request) -> None:
    state = State(ORGANISATION)
    first = create(1, title="Cook")

    assert [status(each) for each in folded(state, first, other, dead=first)] == [None, 201]


def test_members_of_a_group_are_content_and_their_order_is_not() -> None:
    state = State(ORGANISATION)
    first = crew(50, "Crew", 1, 2)

    results = folded(state, first, crew(51, "CREW", 2, 1), crew(52, "Crew", 1, 2, 3), dead=first)

    assert [status(each) for each in results] == [None, 500, 201]


def test_a_redrive_that_succeeds_frees_the_name() -> None:
    state = State(ORGANISATION)
    first = create(1)
    folded(state, first, create(2), dead=first)

    done, again, other = folded(state, redrive(first), create(3), create(4, "ben@example.org"))

    assert status(done) == 204
    assert (status(again), status(other)) == (409, 201)
    assert state.user_names["ana@example.org"] == first.resource_id


def test_a_redrive_that_fails_again_frees_nothing() -> None:
    state = State(ORGANISATION)
    first = create(1)

    _, _, again = folded(state, first, redrive(first), create(3), dead=first)

    assert status(again) == 500


def test_a_discard_frees_the_name() -> None:
    state = State(ORGANISATION)
    first = create(1)
    folded(state, first, dead=first)

    _, again = folded(state, redrive(first, kind="dead.discard"), create(2))

    assert status(again) == 201


def test_an_erasure_frees_the_name() -> None:
    state = State(ORGANISATION)
    first = create(1)
    folded(state, first, dead=first)
    state.groups_of[first.resource_id] = set()

    _, again = folded(state, a_request("member.erase", first.resource_id, 990), create(2))

    assert status(again) == 201


@pytest.mark.parametrize("rules", [1, 2])
def test_an_old_repeat_is_decided_as_it_was(rules: int) -> None:
    """Each was a letter of its own, or was applied, whatever stood before it."""
    state = State(ORGANISATION)
    first, again = (replace(create(number), rules=rules) for number in (1, 2))
    newer = create(3)

    dead, applied, taken = folded(state, first, again, newer, dead=first)

    assert dead.error is WHY
    assert (status(applied), status(taken)) == (201, 409)


def test_nothing_but_a_create_is_known_by_its_content() -> None:
    member = builders.a_member()
    changes = [
        builders.patch(member, builders.replacing("title", "Cook")),
        a_request("member.replace", member.id, resource=builders.a_user()),
        a_request("member.delete", member.id),
        a_request("group.patch", an_id(50)),
        replace(create(1), body=Incomplete(True, builders.a_user())),
    ]

    assert [cause_of(each) for each in changes] == [None] * len(changes)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same with names and values in another order."""
    if isinstance(value, dict):
        items = [(name, shuffled(each, chance)) for name, each in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        values = [shuffled(each, chance) for each in value]
        chance.shuffle(values)
        return values
    return value


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=6), st.integers())
def test_no_order_of_names_or_values_makes_another_cause(content: Any, seed: int) -> None:
    first = resourced(create(1), {"userName": "Ana", **content})
    mixed = shuffled(resource_of(first), random.Random(seed))
    again = resourced(create(2), {**mixed, "userName": "ANA"})

    assert cause_of(first) == cause_of(again) is not None


def is_same(one: Any, other: Any) -> bool:
    """Equal but for the order of values: nothing that the digest uses."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        left = list(other)
        for value in one:
            at = next((at for at, each in enumerate(left) if is_same(value, each)), None)
            if at is None:
                return False
            del left[at]
        return not left
    return bool(one == other)


CONTENT = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(CONTENT, CONTENT)
def test_another_content_is_another_cause(one: Any, other: Any) -> None:
    causes = {cause_of(resourced(create(1), content)) for content in (one, other)}

    assert (len(causes) == 1) == is_same(one, other)


def test_what_is_nested_beyond_measure_has_no_cause() -> None:
    nested: Any = "x"
    for _ in range(5000):
        nested = [nested]

    assert cause_of(resourced(create(1), {"title": nested})) is None
