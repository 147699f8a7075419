"""Where a member is written to whose address changes before, with or after its revocation."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.directory.decide import decide
from rollcall.directory.kept_address import is_made_up
from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Member
from rollcall.events.request import Request
from tests.support import builders
from tests.support.builders import MOMENT, a_member, a_request, a_state, a_user, an_id, replacing

ANA = "ana@example.org"
OTHER = "other@example.org"
HEX = "0123456789abcdef0123456789ABCDEF"
MADE_UP = HEX + ANA
BARE = {"userName": ANA, "active": True}
OFF, ON = replacing("active", False), replacing("active", True)


class Life:
    """One member, and requests applied to it one after the other."""

    def __init__(self, member: Member) -> None:
        self.state = a_state(member)
        self.number = 900
        self.facts: list[str] = []

    @property
    def member(self) -> Member:
        [member] = self.state.members.values()
        return member

    def send(self, request: Request) -> "Life":
        decision = decide(self.state, request, MOMENT)
        assert decision.verdict.status == 200
        self.state.apply(decision.changes)
        self.facts.extend(each.fact for each in decision.outcomes)
        return self

    def patch(self, *operations: dict[str, Any], **fields: Any) -> "Life":
        self.number += 1
        return self.send(builders.patch(self.member, *operations, number=self.number, **fields))

    def put(self, resource: dict[str, Any]) -> "Life":
        self.number += 1
        member_id = self.member.id
        return self.send(a_request("member.replace", member_id, self.number, resource=resource))


def bare(status: Status = Status.CONFIRMED, **fields: Any) -> Life:
    """Somebody whose only address is the user name."""
    if status is not Status.INVITED:
        fields["invitation_id"] = None
    return Life(a_member(resource=BARE, status=status, **fields))


REVOKING = {
    "user name": (replacing("userName", MADE_UP), OFF),
    "active first": (OFF, replacing("userName", MADE_UP)),
    "user name, no made-up one": (replacing("userName", OTHER), OFF),
    "an address is added": (replacing("emails", [{"value": OTHER, "type": "work"}]), OFF),
    "both": (
        replacing("userName", MADE_UP),
        replacing("emails", [{"value": MADE_UP, "type": "work", "primary": True}]),
        OFF,
    ),
    "no mailbox": (replacing("userName", "gone"), OFF),
    "nothing but active": (OFF,),
}


@pytest.mark.parametrize("operations", REVOKING.values(), ids=REVOKING.keys())
@pytest.mark.parametrize("status", [Status.INVITED, Status.ACCEPTED, Status.CONFIRMED])
def test_who_is_revoked_is_written_to_at_the_address_held_before(
    status: Status, operations: tuple[dict[str, Any], ...]
) -> None:
    life = bare(status)
    invitation = life.member.invitation_id

    life.patch(*operations)

    assert "member.revoked" in life.facts
    assert (life.member.status, life.member.address) == (Status.REVOKED, ANA)
    assert life.member.invitation_id == invitation


@pytest.mark.parametrize(
    "emails",
    [None, [], [{"value": OTHER, "type": "work"}], [{"value": "  ", "type": "work"}]],
)
def test_a_put_that_revokes_and_takes_the_emails_away_keeps_their_address(emails: Any) -> None:
    resource = a_user(ANA, emails=[{"value": "desk@example.org", "type": "work"}])
    life = Life(a_member(resource=resource, status=Status.CONFIRMED, invitation_id=None))
    new = {"userName": MADE_UP, "active": False}

    life.put(new if emails is None else {**new, "emails": emails})

    assert life.member.address == "desk@example.org"


def test_a_patch_that_removes_the_emails_keeps_their_address() -> None:
    resource = a_user(ANA, emails=[{"value": "desk@example.org", "type": "work"}])
    life = Life(a_member(resource=resource, status=Status.CONFIRMED, invitation_id=None))

    life.patch({"op": "remove", "path": "emails"}, OFF)

    assert life.member.address == "desk@example.org"


def test_who_had_no_address_gets_no_notice_at_the_one_that_came_with_the_revocation() -> None:
    resource = {"userName": "ana", "active": True}
    life = Life(a_member(resource=resource, status=Status.CONFIRMED, invitation_id=None))

    life.patch(replacing("userName", OTHER), OFF)

    assert (life.member.kept_address, life.member.address) == ("", None)


def test_what_is_written_while_a_member_is_revoked_moves_no_notice() -> None:
    life = bare().patch(OFF).patch(replacing("userName", MADE_UP)).patch(replacing("userName", "x"))

    assert life.member.address == ANA
    assert life.facts.count("member.revoked") == 1


def test_an_address_that_was_written_before_the_revocation_is_the_one_held() -> None:
    life = bare().patch(replacing("userName", OTHER)).patch(OFF)

    assert life.member.address == OTHER


def test_a_made_up_name_of_its_own_request_moves_neither_notice_nor_invitation() -> None:
    """The rename may come first, in a request of its own."""
    life = bare(Status.INVITED)
    invitation = life.member.invitation_id

    life.patch(replacing("userName", MADE_UP))
    assert (life.member.address, life.member.invitation_id) == (ANA, invitation)
    life.patch(OFF)

    assert (life.member.address, life.member.invitation_id) == (ANA, invitation)
    assert life.facts == ["member.changed", "member.revoked"]


BACK = replacing("userName", ANA)
RESTORING: dict[str, tuple[tuple[dict[str, Any], ...], ...]] = {
    "one request": ((BACK, ON),),
    "the name first": ((BACK,), (ON,)),
    "active first": ((ON,), (BACK,)),
}


@pytest.mark.parametrize("requests", RESTORING.values(), ids=RESTORING.keys())
@pytest.mark.parametrize("status", [Status.INVITED, Status.CONFIRMED])
def test_a_soft_delete_and_its_restoration_leave_what_was(
    status: Status, requests: tuple[tuple[dict[str, Any], ...], ...]
) -> None:
    life = bare(status)
    before = life.member

    life.patch(replacing("userName", MADE_UP), OFF)
    addresses = set()
    for operations in requests:
        life.patch(*operations)
        addresses.add(life.member.address)

    unchanged = replace(life.member, version=before.version)
    assert unchanged == before
    assert addresses == {ANA}
    assert "member.invited" not in life.facts
    assert [each for each in life.facts if each != "member.changed"] == [
        "member.revoked",
        "member.restored",
    ]


def test_who_returns_with_another_address_is_invited_there_and_the_old_link_is_void() -> None:
    life = bare(Status.INVITED).patch(replacing("userName", MADE_UP), OFF)

    life.patch(replacing("userName", OTHER), ON)

    assert life.member.address == OTHER
    assert life.member.invitation_id == life.member.version
    assert life.facts[-1] == "member.invited"


def test_an_address_that_was_put_right_while_revoked_is_invited_at_the_restoration() -> None:
    life = bare(Status.INVITED).patch(OFF).patch(replacing("userName", OTHER))
    assert life.member.address == ANA

    life.patch(ON)

    assert (life.member.address, life.facts[-1]) == (OTHER, "member.invited")


def test_who_was_created_inactive_is_invited_at_the_address_of_then() -> None:
    created = a_request("member.create", an_id(1), resource={"userName": ANA, "active": False})
    state = a_state()
    state.apply(decide(state, created, MOMENT).changes)
    life = Life(next(iter(state.members.values())))
    assert life.member.kept_address is None

    life.patch(replacing("userName", OTHER)).patch(ON)

    assert (life.member.address, life.member.kept_address) == (OTHER, None)
    assert life.facts[-1] == "member.invited"


def test_rules_of_before_keep_no_address() -> None:
    life = bare(Status.INVITED).patch(replacing("userName", MADE_UP), OFF, rules=1)
    assert (life.member.kept_address, life.member.invitation_id) == (None, None)

    life.patch(replacing("userName", ANA), ON, rules=1)

    assert (life.member.kept_address, life.member.invitation_id) == (None, life.member.version)
    assert life.facts[-1] == "member.invited"


def test_a_request_by_the_rules_of_before_ends_what_is_kept_with_the_revocation() -> None:
    life = bare().patch(replacing("userName", MADE_UP), OFF).patch(replacing("title", "x"), rules=1)
    assert life.member.address == ANA

    life.patch(ON, rules=1)

    assert life.member.kept_address is None


@pytest.mark.parametrize(
    ("address", "is_so"),
    [
        (HEX + ANA, True),
        (HEX + ANA.upper(), True),
        (HEX + "upn@example.org", True),
        (HEX + OTHER, False),
        (HEX + "@example.org", False),
        (HEX[1:] + ANA, False),
        ("g" * 32 + ANA, False),
        (ANA, False),
        (None, False),
    ],
)
def test_a_made_up_address_is_32_hexadecimal_digits_before_a_known_one(
    address: str | None, is_so: bool
) -> None:
    assert is_made_up(address, ANA, "upn@example.org") is is_so


ADDRESSES = st.sampled_from([ANA, OTHER, MADE_UP, "third@example.org", "nowhere"])
STEPS = st.lists(
    st.tuples(
        st.none() | ADDRESSES,
        st.none() | st.just([]) | ADDRESSES.map(lambda each: [{"value": each, "type": "work"}]),
        st.none() | st.booleans(),
    ),
    max_size=8,
)


@given(STEPS, st.sampled_from([Status.INVITED, Status.CONFIRMED]))
def test_whatever_comes_a_revoked_member_is_written_to_where_it_was_before(
    steps: list[tuple[str | None, list[Any] | None, bool | None]], status: Status
) -> None:
    life = bare(status)
    for user_name, emails, active in steps:
        before = life.member
        operations = [
            replacing(path, value)
            for path, value in (("userName", user_name), ("emails", emails), ("active", active))
            if value is not None
        ]
        if not operations:
            continue
        life.patch(*operations)
        member = life.member
        if member.status is Status.REVOKED:
            assert member.address == before.address
            assert member.invitation_id == before.invitation_id
        elif member.address != before.address and member.status is Status.INVITED:
            assert member.invitation_id == member.version != before.invitation_id
        else:
            assert member.invitation_id == before.invitation_id
