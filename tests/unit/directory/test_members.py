"""What becomes of members: create, replace, patch, delete, accept."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rollcall.directory.changes import PutGroup, PutMember, RemoveMember
from rollcall.directory.decide import decide
from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Member
from rollcall.events.bodies import Accept
from rollcall.events.request import Settings
from rollcall.scim.schema import ENTERPRISE_URN
from tests.support import builders
from tests.support.builders import MOMENT, a_group, a_member, a_request, a_state, a_user, an_id

LATER = MOMENT + timedelta(hours=1)


def facts(decision: object) -> list[str]:
    return [outcome.fact for outcome in decision.outcomes]  # type: ignore[attr-defined]


def put(decision: object) -> Member:
    [change] = [c for c in decision.changes if isinstance(c, PutMember)]  # type: ignore[attr-defined]
    return change.member


def test_a_create_invites_and_opens_an_invitation_of_its_own_id() -> None:
    request = builders.create(1, "ana@example.org")

    decision = decide(a_state(), request, LATER)

    member = put(decision)
    assert facts(decision) == ["member.invited"]
    assert decision.verdict.status == 201
    assert (member.status, member.invitation_id, member.version) == (
        Status.INVITED,
        request.id,
        request.id,
    )
    assert member.created == request.time


def test_a_create_without_active_is_active() -> None:
    request = a_request("member.create", an_id(1), resource={"userName": "ana"})

    decision = decide(a_state(), request, LATER)

    assert put(decision).resource["active"] is True


def test_an_inactive_create_is_revoked_and_sends_no_invitation() -> None:
    request = builders.create(1, "ana@example.org", active=False)

    decision = decide(a_state(), request, LATER)

    member = put(decision)
    assert facts(decision) == ["member.created"]
    assert (member.status, member.restore_status, member.invitation_id) == (
        Status.REVOKED,
        Status.INVITED,
        None,
    )


def test_restoring_one_who_was_created_inactive_invites() -> None:
    member = a_member(
        resource=a_user(active=False),
        status=Status.REVOKED,
        restore_status=Status.INVITED,
        invitation_id=None,
    )
    request = builders.patch(member, builders.replacing("active", True))

    decision = decide(a_state(member), request, LATER)

    assert facts(decision) == ["member.invited"]
    assert put(decision).status is Status.INVITED
    assert put(decision).invitation_id == request.id


@pytest.mark.parametrize("taken", ["ana@example.org", "ANA@Example.org"])
def test_a_taken_user_name_is_refused_whatever_its_letter_case(taken: str) -> None:
    decision = decide(a_state(a_member()), builders.create(2, taken), LATER)

    assert decision.changes == ()
    assert facts(decision) == ["request.rejected"]
    assert (decision.verdict.status, decision.verdict.scim_type, decision.verdict.attribute) == (
        409,
        "uniqueness",
        "userName",
    )


def test_a_refusal_tells_no_value_in_its_outcome() -> None:
    decision = decide(a_state(a_member()), builders.create(2, "ana@example.org"), LATER)

    assert "ana" not in repr(decision.outcomes)


@pytest.mark.parametrize(
    "unique", [{"rules": 1}, {"settings": Settings(unique_external_ids=True)}], ids=str
)
def test_a_taken_external_id_is_refused_where_it_is_unique_and_letter_case_counts(
    unique: dict[str, Any],
) -> None:
    state = a_state(a_member(resource=a_user(externalId="X1")))
    bo = replace(builders.create(2, "bo@example.org", externalId="X1"), **unique)
    cy = replace(builders.create(3, "cy@example.org", externalId="x1"), **unique)

    same = decide(state, bo, LATER)
    other_case = decide(state, cy, LATER)

    assert same.verdict.attribute == "externalId"
    assert other_case.verdict.status == 201


def test_revoking_and_restoring_returns_to_what_it_was() -> None:
    member = a_member(status=Status.CONFIRMED, invitation_id=None)
    state = a_state(member)

    revoked = decide(state, builders.patch(member, builders.replacing("active", False)), LATER)
    state.apply(revoked.changes)
    again = decide(state, builders.patch(member, builders.replacing("active", False)), LATER)
    restored = decide(state, builders.patch(member, builders.replacing("active", True)), LATER)

    assert facts(revoked) == ["member.revoked"]
    assert revoked.outcomes[0].detail == {"from": "confirmed"}
    assert put(revoked).restore_status is Status.CONFIRMED
    assert (again.changes, again.outcomes) == ((), ())
    assert facts(restored) == ["member.restored"]
    assert put(restored).status is Status.CONFIRMED
    assert put(restored).restore_status is None


def test_a_patch_without_effect_moves_neither_version_nor_last_modified() -> None:
    member = a_member()

    decision = decide(
        a_state(member), builders.patch(member, builders.replacing("active", True)), LATER
    )

    assert decision.changes == ()
    assert decision.verdict.member == member


def test_a_put_without_active_keeps_it() -> None:
    member = a_member(
        resource=a_user(active=False), status=Status.REVOKED, restore_status=Status.ACCEPTED
    )
    resource = {"userName": "ana@example.org", "title": "Captain"}
    request = a_request("member.replace", member.id, resource=resource)

    decision = decide(a_state(member), request, LATER)

    assert put(decision).resource == {**resource, "active": False}
    assert put(decision).status is Status.REVOKED
    assert facts(decision) == ["member.changed"]
    assert decision.outcomes[0].attributes == ("emails", "title")


def test_removing_active_takes_it_off_the_wire_and_changes_no_status() -> None:
    member = a_member(status=Status.ACCEPTED, invitation_id=None)
    request = builders.patch(member, {"op": "remove", "path": "active"})

    decision = decide(a_state(member), request, LATER)

    assert "active" not in put(decision).resource
    assert put(decision).status is Status.ACCEPTED


def test_a_new_user_name_frees_the_old_one_for_others() -> None:
    member = a_member()
    state = a_state(member)
    renamed = decide(
        state, builders.patch(member, builders.replacing("userName", "new@example.org")), LATER
    )
    state.apply(renamed.changes)

    decision = decide(state, builders.create(2, "ana@example.org"), LATER)

    assert decision.verdict.status == 201


def test_another_address_before_acceptance_voids_the_invitation_and_makes_a_new_one() -> None:
    member = a_member()
    request = builders.patch(
        member, builders.replacing('emails[type eq "work"].value', "new@example.org")
    )

    decision = decide(a_state(member), request, LATER)

    assert facts(decision) == ["member.changed", "member.invited"]
    assert decision.outcomes[1].detail == {"reason": "address_changed"}
    assert put(decision).invitation_id == request.id


def test_another_address_after_acceptance_is_announced_as_unverified() -> None:
    member = a_member(status=Status.CONFIRMED, invitation_id=None)
    request = builders.patch(
        member, builders.replacing('emails[type eq "work"].value', "new@example.org")
    )

    decision = decide(a_state(member), request, LATER)

    assert facts(decision) == ["member.changed"]
    assert decision.outcomes[0].detail == {"address_changed": True, "verified": False}
    assert put(decision).status is Status.CONFIRMED


def test_another_address_while_revoked_leaves_no_open_invitation() -> None:
    member = a_member(
        resource=a_user(active=False), status=Status.REVOKED, restore_status=Status.INVITED
    )
    request = builders.patch(
        member, builders.replacing('emails[type eq "work"].value', "new@example.org")
    )
    state = a_state(member)

    changed = decide(state, request, LATER)
    state.apply(changed.changes)
    restored = decide(
        state, builders.patch(member, builders.replacing("active", True), number=901), LATER
    )

    assert put(changed).invitation_id is None
    assert facts(restored) == ["member.invited"]


def test_deleting_a_member_moves_the_versions_of_its_groups() -> None:
    member, group = a_member(), a_group()
    state = a_state(member, groups=(group,), memberships=((group.id, member.id),))
    request = a_request("member.delete", member.id)

    decision = decide(state, request, LATER)
    state.apply(decision.changes)

    assert decision.changes[0] == RemoveMember(member.id)
    [moved] = [c.group for c in decision.changes if isinstance(c, PutGroup)]
    assert (moved.id, moved.version) == (group.id, request.id)
    assert state.memberships[group.id] == set()
    assert member.id not in state.members


def test_what_was_deleted_is_not_found_and_its_user_name_is_free() -> None:
    member = a_member()
    state = a_state(member)
    state.apply(decide(state, a_request("member.delete", member.id), LATER).changes)

    again = decide(state, a_request("member.delete", member.id, 901), LATER)
    patched = decide(state, builders.patch(member, builders.replacing("active", False)), LATER)
    created = decide(state, builders.create(2, "ana@example.org"), LATER)

    assert (again.verdict.status, patched.verdict.status) == (404, 404)
    assert created.verdict.status == 201


def test_an_acceptance_confirms_unless_the_organisation_wants_to() -> None:
    member = a_member()
    request = a_request(
        "member.accept",
        member.id,
        invitation_id=member.invitation_id,
        invitation_expires=LATER,
    )
    by_hand = replace(request, settings=replace(request.settings, confirm_on_accept=False))

    confirmed = decide(a_state(member), request, LATER)
    accepted = decide(a_state(member), by_hand, LATER)

    assert facts(confirmed) == ["member.accepted", "member.confirmed"]
    assert put(confirmed).status is Status.CONFIRMED
    assert put(confirmed).version == member.version
    assert facts(accepted) == ["member.accepted"]
    assert put(accepted).status is Status.ACCEPTED


def test_an_invitation_opens_once_and_only_before_it_expires() -> None:
    member = a_member()
    state = a_state(member)
    request = a_request(
        "member.accept", member.id, invitation_id=member.invitation_id, invitation_expires=LATER
    )

    late = decide(state, request, LATER + timedelta(milliseconds=1))
    void = decide(state, replace(request, body=Accept(an_id(7), LATER)), LATER)
    state.apply(decide(state, request, LATER).changes)
    twice = decide(state, request, LATER)

    assert [late.verdict.status, void.verdict.status, twice.verdict.status] == [409, 409, 409]
    assert (late.changes, void.changes, twice.changes) == ((), (), ())


def test_a_filter_on_a_single_value_is_decided_by_the_rules_of_the_request() -> None:
    """What rules 1 refused stays refused in a replay (decision 0036)."""
    boss = {ENTERPRISE_URN: {"manager": {"value": "boss-1"}}}
    member = a_member(resource=a_user("ana@example.org", **boss))
    operation = {"op": "remove", "path": f'{ENTERPRISE_URN}:manager[value eq "boss-1"]'}

    now = decide(a_state(member), builders.patch(member, operation), LATER)
    before = decide(a_state(member), builders.patch(member, operation, rules=1), LATER)

    assert now.verdict.status == 200
    assert ENTERPRISE_URN not in put(now).resource
    assert before.verdict.status == 400
    assert before.changes == ()
