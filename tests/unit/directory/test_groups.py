"""What becomes of groups and their members."""

from datetime import timedelta

from rollcall.directory.changes import AddMembers, PutGroup, RemoveGroup, RemoveMembers
from rollcall.directory.decide import decide
from rollcall.directory.groups import NAMED_MEMBERS
from rollcall.events.request import MemberDelta, Settings
from tests.support import builders
from tests.support.builders import MOMENT, a_group, a_member, a_request, a_state, an_id

LATER = MOMENT + timedelta(hours=1)
ANA, BO = a_member(1, "ana@example.org"), a_member(2, "bo@example.org")


def test_a_group_is_created_with_the_members_that_exist() -> None:
    request = a_request(
        "group.create",
        an_id(50),
        resource={"displayName": "Sailors"},
        members=MemberDelta(add=(BO.id, ANA.id, an_id(9), "nobody")),
    )

    decision = decide(a_state(ANA, BO), request, LATER)

    assert decision.verdict.status == 201
    assert decision.changes[1:] == (AddMembers(an_id(50), (ANA.id, BO.id)),)
    detail = decision.outcomes[0].detail
    assert detail["unknown_members"] == [an_id(9)]
    assert detail["unknown_members_count"] == 2


def test_unknown_members_are_refused_in_the_interop_profile() -> None:
    group = a_group()
    request = builders.regroup(group, add=(an_id(9),), settings=Settings(profile="interop"))

    decision = decide(a_state(groups=(group,)), request, LATER)

    assert (decision.verdict.status, decision.verdict.attribute) == (400, "members")


def test_adding_who_is_there_and_removing_who_is_not_change_nothing() -> None:
    group = a_group()
    state = a_state(ANA, BO, groups=(group,), memberships=((group.id, ANA.id),))

    decision = decide(state, builders.regroup(group, add=(ANA.id,), remove=(BO.id,)), LATER)

    assert (decision.changes, decision.outcomes) == ((), ())
    assert decision.verdict.status == 204


def test_a_member_change_moves_the_version_and_names_who() -> None:
    group = a_group()
    state = a_state(ANA, BO, groups=(group,), memberships=((group.id, ANA.id),))
    request = builders.regroup(group, add=(BO.id,), remove=(ANA.id,))

    decision = decide(state, request, LATER)

    [put, removed, added] = decision.changes
    assert isinstance(put, PutGroup)
    assert put.group.version == request.id
    assert removed == RemoveMembers(group.id, (ANA.id,))
    assert added == AddMembers(group.id, (BO.id,))
    assert decision.outcomes[0].attributes == ("members",)


def test_clearing_and_adding_is_a_replacement_by_difference() -> None:
    group = a_group()
    state = a_state(ANA, BO, groups=(group,), memberships=((group.id, ANA.id),))

    decision = decide(state, builders.regroup(group, clear=True, add=(ANA.id, BO.id)), LATER)
    emptied = decide(state, builders.regroup(group, clear=True), LATER)

    assert decision.changes[1:] == (AddMembers(group.id, (BO.id,)),)
    assert emptied.changes[1:] == (RemoveMembers(group.id, (ANA.id,)),)


def test_a_put_that_does_not_speak_of_members_keeps_them() -> None:
    group = a_group()
    state = a_state(ANA, groups=(group,), memberships=((group.id, ANA.id),))
    request = a_request("group.replace", group.id, resource={"displayName": "Crew"})

    decision = decide(state, request, LATER)
    state.apply(decision.changes)

    assert state.memberships[group.id] == {ANA.id}
    assert state.groups[group.id].resource == {"displayName": "Crew"}


def test_a_taken_name_is_refused_unless_the_organisation_lifts_it() -> None:
    state = a_state(groups=(a_group(),))
    request = a_request("group.create", an_id(51), resource={"displayName": "SAILORS"})
    lifted = a_request(
        "group.create",
        an_id(51),
        resource={"displayName": "SAILORS"},
        settings=Settings(unique_group_names=False),
    )

    refused, allowed = decide(state, request, LATER), decide(state, lifted, LATER)

    assert (refused.verdict.status, refused.verdict.attribute) == (409, "displayName")
    assert allowed.verdict.status == 201


def test_a_change_of_many_members_tells_only_their_number() -> None:
    group = a_group()
    crowd = [a_member(1000 + n, f"m{n}@example.org") for n in range(NAMED_MEMBERS + 1)]
    request = builders.regroup(group, add=tuple(member.id for member in crowd))

    decision = decide(a_state(*crowd, groups=(group,)), request, LATER)

    detail = decision.outcomes[0].detail
    assert detail["members_added_count"] == NAMED_MEMBERS + 1
    assert "members_added" not in detail


def test_a_deleted_group_leaves_its_members_without_it() -> None:
    group = a_group()
    state = a_state(ANA, groups=(group,), memberships=((group.id, ANA.id),))

    decision = decide(state, a_request("group.delete", group.id), LATER)
    state.apply(decision.changes)
    again = decide(state, a_request("group.delete", group.id, 901), LATER)

    assert decision.changes == (RemoveGroup(group.id),)
    assert state.groups_of[ANA.id] == set()
    assert again.verdict.status == 404
