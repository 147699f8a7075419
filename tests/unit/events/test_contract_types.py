"""Every event is read as it was written, and what is not ours is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.events import envelope, outcome, reply, request
from rollcall.events.bodies import (
    Accept,
    Body,
    Create,
    Delete,
    Discard,
    EndOrganisation,
    Erase,
    Incomplete,
    Patch,
    Redrive,
    Replace,
)
from rollcall.events.envelope import MalformedEvent, NewerVersion
from rollcall.events.precondition import Precondition
from tests.support import builders
from tests.support.builders import MOMENT, a_request, an_id

A_REQUEST = replace(
    a_request(
        "group.replace",
        an_id(50),
        resource={"displayName": "Zeelui"},
        members=request.MemberDelta(clear=True, add=(an_id(1),)),
    ),
    accept_by_ms=1_700_000_000_000,
    answer_by_ms=1_700_000_000_500,
    reply_to=3,
    promise="decision",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def wire(event: envelope.Event) -> envelope.Event:
    return envelope.decode(*envelope.encode(event))


@pytest.mark.parametrize(
    "written",
    [
        A_REQUEST,
        builders.create(1, "ana@example.org"),
        a_request("member.patch", an_id(1), operations=(builders.replacing("active", False),)),
        a_request("member.delete", an_id(1)),
        a_request("member.accept", an_id(1), invitation_id=an_id(5), invitation_expires=MOMENT),
        a_request("member.delete", an_id(1), precondition=Precondition((an_id(5),), "*")),
        a_request("group.delete", an_id(1), precondition=Precondition(if_none_match=())),
        a_request("member.erase", an_id(1), actor="operator"),
        a_request("organisation.delete", builders.ORGANISATION, actor="operator"),
        builders.redrive(A_REQUEST),
        builders.redrive(A_REQUEST, kind="dead.discard"),
        builders.let_go(an_id(1)),
        a_request("member.create", an_id(1)),
        a_request("group.replace", an_id(1), members=request.MemberDelta(add=(an_id(2),))),
    ],
    ids=lambda written: written.type,
)
def test_a_request_is_read_as_it_was_written(written: request.Request) -> None:
    assert request.from_event(wire(request.to_event(written))) == written


def test_an_outcome_is_read_as_it_was_written() -> None:
    written = outcome.Announcement(
        outcome.outcome_id(an_id(1), 0),
        an_id(1),
        outcome.Sequence(0, 17, 0),
        MOMENT,
        outcome.Outcome("member.revoked", an_id(8), an_id(9), ("active",), {"from": "invited"}),
    )

    assert outcome.from_event(wire(outcome.to_event(written))) == written


def test_a_reply_is_read_as_it_was_written() -> None:
    written = reply.Reply(
        an_id(1), 200, version=an_id(2), resource={"userName": "ana"}, groups=(("g", "Crew"),)
    )

    event = reply.to_event(written, event_id=an_id(3), time=MOMENT)

    assert reply.from_event(wire(event)) == written


def test_an_outcomes_id_is_the_same_whenever_it_is_announced() -> None:
    ids = {outcome.outcome_id(an_id(1), index) for index in (0, 0, 1)}

    assert len(ids) == 2


def test_sequences_are_ordered_by_epoch_offset_and_index() -> None:
    places = [outcome.Sequence(1, 2, 0), outcome.Sequence(0, 10, 1), outcome.Sequence(0, 9, 5)]

    assert [str(place) for place in sorted(places)] == ["0.9.5", "0.10.1", "1.2.0"]


@pytest.mark.parametrize(
    "kind",
    [
        "io.rollcall.request.member.create.v2",
        "io.rollcall.request.member.promote.v1",
        "io.rollcall.request.member.patch.v3",
        "io.rollcall.request.dead.redrive.v2",
    ],
)
def test_a_newer_request_is_not_taken_for_a_malformed_one(kind: str) -> None:
    event = replace(request.to_event(A_REQUEST), type=kind)

    with pytest.raises(NewerVersion):
        request.from_event(event)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "com.example.other"},
        {"type": "io.rollcall.request.member.create.vx"},
        {"subject": "another/Groups/one"},
        {"data": []},
        {"data": {}},
        {"extensions": {"acceptby": "soon"}},
    ],
)
def test_a_request_that_is_not_as_its_version_says_is_malformed(change: dict[str, object]) -> None:
    event = replace(request.to_event(A_REQUEST), **change)  # type: ignore[arg-type]

    with pytest.raises(MalformedEvent):
        request.from_event(event)


IDS = st.lists(st.sampled_from([an_id(number) for number in range(9)]), unique=True).map(tuple)
DELTAS = st.none() | st.builds(request.MemberDelta, st.booleans(), IDS, IDS)
OBJECTS = st.dictionaries(st.text(max_size=4), st.none() | st.text(max_size=4), max_size=3)
KEYS = st.text(max_size=4)
WRITING = (
    st.builds(Create, OBJECTS, KEYS, DELTAS)
    | st.builds(Replace, OBJECTS, st.none() | KEYS, DELTAS)
    | st.builds(Patch, st.lists(OBJECTS, max_size=3).map(tuple), st.none() | KEYS, DELTAS)
    | st.builds(Incomplete, st.just(True), st.none(), st.none() | KEYS, DELTAS)
    | st.builds(Incomplete, st.just(True), OBJECTS, st.none(), DELTAS)
    | st.builds(Incomplete, st.just(False), st.none(), st.none() | KEYS, DELTAS)
    | st.just(Delete())
)
ABOUT_DEAD = st.builds(Redrive, st.just(an_id(7)), KEYS) | st.builds(
    Discard, st.just(an_id(7)), KEYS
)
OF_MEMBERS = (
    st.builds(Accept, st.none() | KEYS, st.none() | st.just(MOMENT))
    | st.just(Erase())
    | st.just(EndOrganisation())
)
ASKED = st.tuples(st.sampled_from(get_args(request.Endpoint)), WRITING | ABOUT_DEAD) | st.tuples(
    st.just("Users"), OF_MEMBERS
)


@given(ASKED)
def test_whatever_body_is_written_is_read_with_its_kind(asked: tuple[Any, Body]) -> None:
    endpoint, body = asked
    written = replace(A_REQUEST, endpoint=endpoint, body=body)

    event = wire(request.to_event(written))

    assert request.from_event(event) == written
    assert request.kind_of(event.type) == written.kind


@pytest.mark.parametrize("kind", sorted(request.KINDS))
def test_a_field_that_the_kind_does_not_use_is_checked_and_left_out(kind: request.Kind) -> None:
    if kind.startswith("dead."):
        plain = builders.redrive(A_REQUEST, kind=kind)  # type: ignore[arg-type]
    else:
        plain = a_request(kind, builders.ORGANISATION)
    event = request.to_event(plain)
    unused = {"invitation_id": "x"} if kind != "member.accept" else {"dead_letter": "x"}

    assert request.from_event(replace(event, data={**event.data, **unused})) == plain
    for wrong in ({"resource": 5}, {"operations": [5]}, {"members": 5}, {"user_name_key": 5}):
        with pytest.raises(MalformedEvent):
            request.from_event(replace(event, data={**event.data, **wrong}))


def test_a_request_without_a_number_of_rules_is_decided_by_the_first() -> None:
    old = request.to_event(replace(A_REQUEST, rules=request.FIRST_RULES))

    assert "rules" not in old.data
    assert request.from_event(old).rules == request.FIRST_RULES


def test_rules_that_are_not_known_halt_the_partition_instead_of_being_guessed() -> None:
    event = request.to_event(replace(A_REQUEST, rules=request.RULES + 1))

    with pytest.raises(NewerVersion):
        request.from_event(event)


@pytest.mark.parametrize("rules", [0, -1, "2", True, None, 1.5])
def test_a_number_of_rules_that_is_none_is_malformed(rules: object) -> None:
    event = request.to_event(A_REQUEST)

    with pytest.raises(MalformedEvent):
        request.from_event(replace(event, data={**event.data, "rules": rules}))


def test_settings_that_a_later_release_writes_are_passed_over() -> None:
    event = request.to_event(A_REQUEST)
    settings = {**event.data["settings"], "of_a_later_release": ["x"]}

    assert request.from_event(replace(event, data={**event.data, "settings": settings})) == (
        A_REQUEST
    )


def test_the_release_before_rules_had_a_number_passes_over_it() -> None:
    """It takes an unknown name among the settings for a malformed event: a dead letter each."""
    written = request.to_event(A_REQUEST).data

    assert written["rules"] == request.RULES
    assert written["settings"].keys() == {
        "profile",
        "unique_group_names",
        "confirm_on_accept",
    }


def test_unique_external_ids_stand_beside_the_settings_only_where_asked_for() -> None:
    """The release before this one makes a dead letter of what it does not know among them."""
    asked = replace(A_REQUEST, settings=replace(A_REQUEST.settings, unique_external_ids=True))
    written = request.to_event(asked).data

    assert "unique_external_ids" not in request.to_event(A_REQUEST).data
    assert written["unique_external_ids"] is True
    assert "unique_external_ids" not in written["settings"]
    assert request.from_event(request.to_event(asked)) == asked


def test_a_name_among_the_settings_that_belongs_beside_them_is_passed_over() -> None:
    event = request.to_event(A_REQUEST)
    settings = {**event.data["settings"], "unique_external_ids": True}

    read = request.from_event(replace(event, data={**event.data, "settings": settings}))

    assert not read.settings.unique_external_ids


@pytest.mark.parametrize("value", [None, 0, 1, "on", "true", [], {}])
def test_a_setting_that_is_neither_on_nor_off_is_malformed(value: object) -> None:
    event = request.to_event(A_REQUEST)

    with pytest.raises(MalformedEvent, match="unique_external_ids"):
        request.from_event(replace(event, data={**event.data, "unique_external_ids": value}))


def test_a_precondition_makes_it_a_version_that_older_readers_do_not_know() -> None:
    """They would apply it unconditionally, so they must halt; everything else stays as it was."""
    plain = a_request("member.delete", an_id(1))
    conditional = replace(plain, precondition=Precondition(if_match=(an_id(5),)))

    assert request.to_event(plain).type == "io.rollcall.request.member.delete.v1"
    assert "precondition" not in request.to_event(plain).data
    assert request.to_event(conditional).type == "io.rollcall.request.member.delete.v2"


@pytest.mark.parametrize(
    "precondition",
    [None, {}, [], "*", {"if_match": "x"}, {"if_match": [1]}, {"if_match": None}, {"if": "*"}],
)
def test_a_version_2_without_a_readable_precondition_is_malformed(precondition: object) -> None:
    written = a_request("member.delete", an_id(1), precondition=Precondition(if_match="*"))
    event = request.to_event(written)
    data = {**event.data, "precondition": precondition}
    if precondition is None:
        del data["precondition"]

    with pytest.raises(MalformedEvent):
        request.from_event(replace(event, data=data))


@given(
    st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=12)), max_size=12),
    st.binary(max_size=40),
)
def test_no_record_raises_anything_but_malformed(
    headers: list[tuple[str, bytes]], value: bytes
) -> None:
    with pytest.raises(MalformedEvent):
        envelope.decode(headers, value)


@given(
    st.datetimes(
        timezones=st.just(UTC),
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001 hypothesis wants it naive
    )
)
def test_times_travel_to_the_millisecond(moment: datetime) -> None:
    text = envelope.format_time(moment)

    read = envelope.parse_time(text)
    assert text.endswith("Z")
    assert abs((read - moment).total_seconds()) < 0.001
