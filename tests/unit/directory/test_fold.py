"""Folding: one batch or many, nothing left by an event that raises, and the net of many changes."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.directory.changes import AddMembers, Change, PutMember, RemoveMember, RemoveMembers
from rollcall.directory.fold import collapse, fold_batch
from rollcall.directory.state import State
from rollcall.directory.touch import touches
from rollcall.events.request import MemberDelta, Request, Settings
from tests.support import builders
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    a_group,
    a_member,
    a_request,
    a_state,
    an_id,
    resourced,
)

AT = MOMENT + timedelta(seconds=1)


def folded(state: State, *requests: Request) -> list[Any]:
    return fold_batch({ORGANISATION: state}, [(request, AT) for request in requests])


def picture(state: State) -> dict[str, Any]:
    """What the directory would hold, without what was merely not loaded."""
    return {
        "members": state.members,
        "groups": state.groups,
        "memberships": {group: ids for group, ids in state.memberships.items() if ids},
        "user_names": state.user_names,
        "groups_of": {member: ids for member, ids in state.groups_of.items() if ids},
    }


@st.composite
def requests(draw: st.DrawFn) -> list[Request]:
    """A conversation about four members and two groups, mistakes included."""
    found = []
    for number in range(draw(st.integers(1, 25))):
        member = an_id(draw(st.integers(1, 4)))
        group = an_id(draw(st.integers(50, 51)))
        name = draw(st.sampled_from(["ana", "bo", "cy"]))
        kind = draw(
            st.sampled_from(
                ["create", "active", "rename", "delete", "group", "regroup", "ungroup", "put"]
            )
        )
        match kind:
            case "create":
                request = a_request("member.create", member, resource=builders.a_user(name))
            case "active":
                operation = builders.replacing("active", draw(st.booleans()))
                request = a_request("member.patch", member, operations=(operation,))
            case "rename":
                operation = builders.replacing("userName", name)
                request = a_request("member.patch", member, operations=(operation,))
            case "delete":
                request = a_request("member.delete", member)
            case "group":
                request = a_request("group.create", group, resource={"displayName": name})
            case "put":
                request = a_request(
                    "group.replace",
                    group,
                    resource={"displayName": name},
                    members=MemberDelta(clear=True, add=(member,)),
                )
            case "regroup":
                request = a_request("group.patch", group, members=MemberDelta(add=(member,)))
            case _:
                request = a_request("group.patch", group, members=MemberDelta(remove=(member,)))
        found.append(replace(request, id=an_id(10_000 + number)))
    return found


@settings(max_examples=200, deadline=None)
@given(requests(), st.integers(1, 25))
def test_one_batch_or_many_give_the_same_directory_and_answers(
    conversation: list[Request], size: int
) -> None:
    whole, parts = State(ORGANISATION), State(ORGANISATION)

    in_one = folded(whole, *conversation)
    in_many = [
        item
        for start in range(0, len(conversation), size)
        for item in folded(parts, *conversation[start : start + size])
    ]

    assert in_one == in_many
    assert picture(whole) == picture(parts)
    assert not [item.error for item in in_one if item.error]


@settings(max_examples=200, deadline=None)
@given(requests())
def test_the_net_changes_lead_to_the_same_rows_as_all_changes(conversation: list[Request]) -> None:
    state = State(ORGANISATION)

    decisions = [item.decision for item in folded(state, *conversation)]
    net = collapse((ORGANISATION, change) for d in decisions for change in d.changes)

    assert {member.id: member for _, member in net.put_members} == state.members
    assert {group.id: group for _, group in net.put_groups} == state.groups
    pairs = {(group, member) for _, group, member in net.added_members}
    assert pairs == {(g, m) for g, ids in state.memberships.items() for m in ids}


@pytest.mark.parametrize("of", ["member", "group"])
def test_a_request_that_lacks_what_its_kind_needs_is_dead_where_it_would_be_applied(
    of: Literal["member", "group"],
) -> None:
    """As every release decided it: a replace of what is not there is refused, not dead."""
    here = an_id(3) if of == "member" else an_id(50)
    made, there, gone = (
        a_request("member.create" if of == "member" else "group.create", an_id(1), 901),
        a_request("member.replace" if of == "member" else "group.replace", here, 902),
        a_request("member.replace" if of == "member" else "group.replace", an_id(4), 903),
    )
    state = a_state(a_member(3, "cy@example.org"), groups=(a_group(50),))

    dead = [folded(state, each)[0] for each in (made, there)]
    [refused] = folded(state, gone)

    assert [type(each.error) for each in dead] == [ValueError, ValueError]
    assert refused.decision is not None
    assert refused.decision.verdict.status == 404


def test_an_event_whose_decision_raises_changes_nothing_and_stops_no_other_event() -> None:
    broken = resourced(builders.create(1, "ana@example.org"), None)
    state = a_state(a_member(3, "cy@example.org"))
    before = copy.deepcopy(picture(state))

    [failed] = folded(state, broken)
    [applied] = folded(state, builders.create(2, "bo@example.org"))

    assert failed.decision is None
    assert isinstance(failed.error, ValueError)
    assert set(state.members) - set(before["members"]) == {an_id(2)}
    assert applied.reply.status == 201


def test_a_members_reply_carries_its_groups() -> None:
    member, group = a_member(), a_group()
    state = a_state(member, groups=(group,), memberships=((group.id, member.id),))

    [item] = folded(state, builders.patch(member, builders.replacing("title", "Captain")))

    assert item.reply.groups == ((group.id, "Sailors"),)
    assert item.reply.resource["title"] == "Captain"
    assert item.reply.version == an_id(900)


def test_an_event_whose_reply_cannot_be_made_changes_nothing_and_stops_no_other() -> None:
    member = a_member()
    state = a_state(member)
    state.groups_of[member.id] = {an_id(77)}  # a membership of a group that has no row

    failed, applied = folded(
        state,
        builders.patch(member, builders.replacing("title", "Captain")),
        builders.create(2, "bo@example.org"),
    )

    assert isinstance(failed.error, KeyError)
    assert state.members[member.id] == member
    assert applied.reply.status == 201


def test_memberships_of_what_is_removed_are_not_written() -> None:
    member = a_member()
    changes: list[Change] = [
        PutMember(member),
        AddMembers("g", (member.id, "other")),
        RemoveMembers("g", ("other",)),
        RemoveMember(member.id),
    ]

    net = collapse((ORGANISATION, change) for change in changes)

    assert net.put_members == []
    assert net.removed_members == [(ORGANISATION, member.id)]
    assert net.added_members == []
    assert net.removed_members_of_groups == [(ORGANISATION, "g", "other")]


def test_what_a_request_may_touch_is_known_before_it_is_decided() -> None:
    group = a_group()
    replaced = builders.regroup(group, clear=True, add=(an_id(1),))
    created = builders.create(1, "Ana@example.org", externalId="X")
    in_old_log = replace(builders.create(3, "bo@example.org", externalId="Y"), rules=1)
    asked_for = replace(
        builders.create(4, "cy@example.org", externalId="Z"),
        settings=Settings(unique_external_ids=True),
    )
    deleted = a_request("member.delete", an_id(2))

    touch = touches([replaced, created, in_old_log, asked_for, deleted])[ORGANISATION]

    assert touch.whole_groups == {group.id}
    assert touch.known == {an_id(1)}
    assert touch.user_names == {"ana@example.org", "bo@example.org", "cy@example.org"}
    assert touch.member_external_ids == {"Y", "Z"}  # who shares one does not look who has it
    assert touch.members == {an_id(1), an_id(2), an_id(3), an_id(4)}
    assert touch.members_with_groups == {an_id(2)}
