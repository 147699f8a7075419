"""If-Match and If-None-Match, decided on the version that the log says (RFC 7644 §3.14)."""

import copy
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.directory.decide import decide
from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.state import State
from rollcall.events.bodies import Patch
from rollcall.events.precondition import Precondition
from rollcall.events.request import CONDITIONAL_KINDS, Kind, MemberDelta, Request
from rollcall.scim.etag import ANY, Versions
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
)

AT = MOMENT + timedelta(seconds=1)
ANA, BO = a_member(1, "ana@example.org"), a_member(2, "bo@example.org")
CREW = a_group(50, "Crew")
KINDS: tuple[Kind, ...] = (
    "member.replace",
    "member.patch",
    "member.delete",
    "group.replace",
    "group.patch",
    "group.delete",
)
STALE = an_id(777)


def a_change(kind: Kind, number: int = 900, **fields: object) -> Request:
    """A change of Ana, or of the crew, that has an effect."""
    match kind:
        case "member.replace":
            fields["resource"] = a_user("ana@example.org", title="Captain")
        case "member.patch":
            fields["operations"] = (replacing("title", "Captain"),)
        case "group.replace":
            fields["resource"] = {"displayName": "Sailors"}
        case "group.patch":
            fields["members"] = MemberDelta(add=(BO.id,))
        case _:
            pass
    resource = ANA if kind.startswith("member.") else CREW
    return a_request(kind, resource.id, number, **fields)


def the_state() -> State:
    return a_state(ANA, BO, groups=(CREW,), memberships=((CREW.id, ANA.id),))


def version_of(state: State, request: Request) -> str:
    resources = state.members if request.is_member else state.groups
    return resources[request.resource_id].version


def folded(state: State, *events: Request) -> list[Folded]:
    return fold_batch({ORGANISATION: state}, [(each, AT) for each in events])


def statuses(results: list[Folded]) -> list[int]:
    return [each.reply.status for each in results if each.reply is not None]


def test_every_change_of_what_exists_may_have_a_precondition() -> None:
    assert set(KINDS) == CONDITIONAL_KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_precondition_that_does_not_hold_is_412_and_changes_nothing(kind: Kind) -> None:
    request = a_change(kind, precondition=Precondition(if_match=(STALE,)))
    state = the_state()

    [result] = folded(state, request)

    assert result.reply is not None
    assert (result.reply.status, result.reply.scim_type) == (412, None)
    assert "read it again" in (result.reply.detail or "")
    assert result.decision is not None
    assert result.decision.changes == ()
    [outcome] = result.decision.outcomes
    assert outcome.fact == "request.rejected"
    assert outcome.detail["status"] == 412
    assert state == the_state()


versions: st.SearchStrategy[Versions | None] = st.one_of(
    st.none(),
    st.just(ANY),
    st.lists(st.sampled_from([ANA.version, CREW.version, STALE]), max_size=3).map(tuple),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), versions, versions)
def test_where_it_holds_the_decision_is_the_same_and_where_not_there_is_none(
    kind: Kind, if_match: Versions | None, if_none_match: Versions | None
) -> None:
    state = the_state()
    plain = a_change(kind)
    wanted = Precondition(if_match, if_none_match)
    before = copy.deepcopy(state)
    version = version_of(state, plain)
    is_meant = if_match is None or if_match == ANY or version in if_match
    is_excluded = if_none_match is not None and (if_none_match == ANY or version in if_none_match)

    decision = decide(state, replace(plain, precondition=wanted), AT)

    if is_meant and not is_excluded:
        assert decision == decide(state, plain, AT)
    else:
        assert (decision.verdict.status, decision.changes) == (412, ())
    assert state == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_that_read_the_same_version_one_wins_in_either_order(
    kind: Kind, is_first: bool
) -> None:
    state = the_state()
    wanted = Precondition(if_match=(ANA.version, CREW.version))
    pair = (a_change(kind, 901, precondition=wanted), a_change(kind, 902, precondition=wanted))

    results = folded(state, *(pair if is_first else pair[::-1]))

    [first, second] = statuses(results)
    assert first < 300
    assert second == (404 if kind.endswith(".delete") else 412)


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_exist_is_404_whatever_the_precondition(kind: Kind) -> None:
    for wanted in (Precondition(if_match=ANY), Precondition((STALE,)), Precondition(None, ANY)):
        [result] = folded(State(ORGANISATION), a_change(kind, precondition=wanted))

        assert statuses([result]) == [404]


def test_a_precondition_comes_before_what_the_change_itself_meets() -> None:
    taken = a_request(
        "member.patch",
        ANA.id,
        operations=(replacing("userName", "bo@example.org"),),
        precondition=Precondition(if_match=(STALE,)),
    )
    meant = replace(taken, precondition=Precondition(if_match=(ANA.version,)))

    assert statuses(folded(the_state(), taken)) == [412]
    assert statuses(folded(the_state(), meant)) == [409]


def test_a_group_moves_when_a_member_is_added_or_removed_from_the_organisation() -> None:
    state = the_state()
    wanted = Precondition(if_match=(CREW.version,))
    rename = a_change("group.replace", 903, precondition=wanted)

    added = folded(copy.deepcopy(state), builders.regroup(CREW, add=(BO.id,), number=901), rename)
    removed = folded(copy.deepcopy(state), a_request("member.delete", ANA.id, 902), rename)
    nothing = folded(state, builders.regroup(CREW, add=(ANA.id,), remove=(BO.id,)), rename)

    assert statuses(added) == [204, 412]
    assert statuses(removed) == [204, 412]
    assert statuses(nothing) == [204, 200]


def test_a_change_without_effect_leaves_the_version_that_others_wait_for() -> None:
    state = the_state()
    same = a_request("member.replace", ANA.id, 901, resource=a_user("ana@example.org"))
    crew = a_request(
        "group.replace",
        CREW.id,
        902,
        resource={"displayName": "Crew"},
        members=MemberDelta(clear=True, add=(ANA.id,)),
    )

    results = folded(state, same, crew)

    assert statuses(results) == [200, 200]
    assert state == the_state()


def test_the_same_members_in_another_order_are_no_change() -> None:
    state = a_state(ANA, BO, groups=(CREW,), memberships=((CREW.id, ANA.id), (CREW.id, BO.id)))

    for number, ids in enumerate(((ANA.id, BO.id), (BO.id, ANA.id), (BO.id, ANA.id, BO.id))):
        request = a_request(
            "group.replace",
            CREW.id,
            910 + number,
            resource={"displayName": "Crew"},
            members=MemberDelta(clear=True, add=ids),
        )
        [result] = folded(state, request)

        assert result.decision is not None
        assert result.decision.changes == ()
        assert result.reply is not None
        assert (result.reply.status, result.reply.version) == (200, CREW.version)


def test_behind_a_dead_letter_it_is_refused_and_never_parked() -> None:
    state = the_state()
    dead = a_request("member.replace", ANA.id, 901)  # lacks its resource: the decision raises
    conditional = a_change("member.patch", 902, precondition=Precondition(if_match=ANY))
    plain = replace(a_change("member.patch", 903), body=Patch((replacing("title", "Cook"),)))

    _, refused, parked = folded(state, dead, conditional, plain)

    assert refused.reply is not None
    assert (refused.reply.status, refused.reply.is_parked) == (503, False)
    assert not refused.is_parked
    assert refused.decision is not None
    assert refused.decision.changes == ()
    assert [each.fact for each in refused.decision.outcomes] == ["request.rejected"]
    assert parked.is_parked
    [quarantine] = state.quarantines.values()
    assert [held.event.id for held in quarantine.parked] == [plain.id]


def test_a_dead_one_with_a_precondition_is_decided_where_the_redrive_stands() -> None:
    """Nothing about its resource was applied meanwhile, so its version is the one it was."""
    state = the_state()
    conditional = a_change("member.patch", 902, precondition=Precondition(if_match=(ANA.version,)))
    fold_batch({ORGANISATION: state}, [(conditional, AT)], {conditional.id: RuntimeError("bug")})

    [done] = folded(state, redrive(conditional))

    assert statuses([done]) == [204]
    assert state.members[ANA.id].version == conditional.id
