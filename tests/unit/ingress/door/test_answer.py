"""The table of answers: applied, pending, refused."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from rollcall.events.envelope import format_time
from rollcall.events.reply import Reply
from rollcall.events.request import Kind, MemberDelta, Request
from rollcall.postgres.directory_search import Resource
from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import Uniqueness
from rollcall.scim.page import Page
from rollcall.scim.prefer import parse_prefer
from rollcall.scim.projection import parse_projection
from rollcall.scim.schema import GROUP, USER
from rollcall_ingress.door import answer
from rollcall_ingress.door.answer import Answer
from rollcall_ingress.read import show
from rollcall_ingress.read.show import View
from rollcall_ingress.write import write_answer
from tests.support import builders
from tests.support.builders import MOMENT, ORGANISATION, a_group, a_member, an_id

BASE = f"https://scim.example/v2/{ORGANISATION}"
VIEW = View(BASE)
RESOURCE = {"userName": "ana@example.org", "title": "Captain"}


def a_request(kind: Kind, **fields: Any) -> Request:
    if kind.endswith((".create", ".replace")):
        is_member = kind.startswith("member.")
        fields.setdefault("resource", RESOURCE if is_member else {"displayName": "Crew"})
    return builders.a_request(kind, an_id(2), 1, **fields)


def a_reply(status: int = 200, **fields: Any) -> Reply:
    made = Reply(
        request_id=an_id(1),
        status=status,
        resource_id=an_id(2),
        version=an_id(1),
        created=format_time(MOMENT),
        last_modified=format_time(MOMENT),
        resource={**RESOURCE, "active": True},
    )
    return replace(made, **fields)


def document(given: Answer) -> Any:
    return orjson.loads(given.body) if given.body else None


@pytest.mark.parametrize(
    ("kind", "projected", "status"),
    [
        ("member.create", False, 201),
        ("member.replace", False, 200),
        ("member.patch", False, 200),
        ("member.patch", True, 200),
        ("member.delete", False, 204),
        ("group.create", False, 201),
        ("group.replace", False, 200),
        ("group.patch", False, 204),
        ("group.patch", True, 200),
        ("group.delete", False, 204),
    ],
)
def test_applied(kind: Kind, projected: bool, status: int) -> None:
    schema = USER if kind.startswith("member.") else GROUP
    view = View(BASE, parse_projection("displayName", None, schema) if projected else None)
    group = Resource(a_group(2, version=an_id(1))) if kind.startswith("group.") else None

    given = write_answer.applied(a_request(kind), a_reply(), view, group)

    assert given.status == status
    assert bool(given.body) == (status != 204)
    assert not given.is_pending
    assert ("Location" in given.headers) == (status == 201)
    assert ("ETag" in given.headers) == (not kind.endswith(".delete"))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("member.create", 201),
        ("member.replace", 200),
        ("member.patch", 204),
        ("member.delete", 204),
        ("group.create", 201),
        ("group.replace", 200),
        ("group.patch", 204),
        ("group.delete", 204),
    ],
)
def test_pending(kind: Kind, status: int) -> None:
    given = write_answer.pending(a_request(kind), VIEW)

    assert given.status == status
    assert given.is_pending
    assert given.headers["Rollcall-Outcome"] == "pending"


def test_a_pending_create_and_its_applied_one_agree() -> None:
    request = a_request("member.create")

    pending = write_answer.pending(request, VIEW)
    applied = write_answer.applied(request, a_reply(201), VIEW, None)

    assert document(pending) == document(applied)
    assert pending.headers["ETag"] == applied.headers["ETag"]
    assert applied.headers["Location"] == f"{BASE}/Users/{an_id(2)}"


def test_a_pending_group_shows_the_members_that_were_named() -> None:
    named = a_request("group.create", members=MemberDelta(add=(an_id(7),)))
    silent = a_request("group.replace")

    shown = document(write_answer.pending(named, VIEW))

    assert [member["value"] for member in shown["members"]] == [an_id(7)]
    assert "members" not in document(write_answer.pending(silent, VIEW))


def test_an_applied_group_that_cannot_be_read_is_shown_from_the_request() -> None:
    request = a_request("group.create", members=MemberDelta(add=(an_id(7),)))

    shown = document(
        write_answer.applied(request, a_reply(201, resource={"displayName": "Crew"}), VIEW, None)
    )

    assert shown["displayName"] == "Crew"
    assert [member["value"] for member in shown["members"]] == [an_id(7)]


def test_projections_hold_for_every_answer() -> None:
    view = View(BASE, parse_projection("userName", None, USER))

    for given in (
        write_answer.pending(a_request("member.create"), view),
        write_answer.applied(a_request("member.create"), a_reply(201), view, None),
        show.answer(Resource(a_member()), view),
    ):
        assert document(given).keys() == {"schemas", "id", "meta", "userName"}
        assert "ETag" in given.headers


def test_a_user_shows_its_groups_and_a_group_its_members() -> None:
    member = document(show.answer(Resource(a_member(), ((an_id(50), "Crew"),)), VIEW))
    group = document(show.answer(Resource(a_group(), ((an_id(1), "Ana"),)), VIEW))

    assert member["groups"][0]["value"] == an_id(50)
    assert group["members"][0]["display"] == "Ana"
    assert group["members"][0]["$ref"] == f"{BASE}/Users/{an_id(1)}"


def test_a_listing_counts_what_it_shows() -> None:
    found = Resource(a_member())

    page = document(show.listing([found], VIEW, 7, Page(3, 1)))

    assert page["Resources"] == [show.show(found, VIEW)]

    assert (page["totalResults"], page["itemsPerPage"], page["startIndex"]) == (7, 1, 3)


def test_a_refusal_keeps_status_type_and_detail() -> None:
    reply = Reply(an_id(1), 409, "uniqueness", "Taken.", "userName")

    error = write_answer.refusal(reply)
    body = document(answer.error_answer(error))

    assert isinstance(error, Uniqueness)
    assert (body["status"], body["scimType"], body["detail"]) == ("409", "uniqueness", "Taken.")


def test_unavailable_is_503_with_a_jittered_time() -> None:
    seen = {
        int(answer.unavailable(Unavailable("Kafka", 30.0)).headers["Retry-After"])
        for _ in range(100)
    }

    assert min(seen) >= 30
    assert max(seen) <= 60
    assert len(seen) > 5


def test_errors_and_bodies_have_the_media_type_of_scim() -> None:
    response = answer.error_answer(Uniqueness()).to_response()

    assert response.headers["Content-Type"] == "application/scim+json; charset=utf-8"
    assert answer.Answer(204).to_response().headers.get("Content-Type") is None


def test_a_parked_answer_is_a_pending_one_that_says_so() -> None:
    made = a_request("member.patch")

    given = write_answer.pending(made, VIEW, answer.PARKED)

    assert (given.status, given.headers["Rollcall-Outcome"]) == (204, "parked")
    assert given.is_pending


PATCHES: tuple[Kind, ...] = ("member.patch", "group.patch")
CREATES_AND_PUTS: tuple[Kind, ...] = (
    "member.create",
    "member.replace",
    "group.create",
    "group.replace",
)


def answers(kind: Kind, view: View, predicted: Resource | None = None) -> list[Answer]:
    """The applied answer and the pending one."""
    group = Resource(a_group(2, version=an_id(1))) if kind.startswith("group.") else None
    return [
        write_answer.applied(a_request(kind), a_reply(), view, group, predicted),
        write_answer.pending(a_request(kind), view, predicted=predicted),
    ]


@pytest.mark.parametrize("kind", [*PATCHES, *CREATES_AND_PUTS])
def test_minimal_is_an_answer_without_a_body(kind: Kind) -> None:
    is_create = kind.endswith(".create")
    endpoint = "Users" if kind.startswith("member.") else "Groups"

    for given in answers(kind, View(BASE, None, "minimal")):
        assert given.status == (201 if is_create else 204)
        assert given.body == b""
        if kind not in PATCHES or not given.is_pending:
            assert given.headers["ETag"] == f'W/"{an_id(1)}"'
        if is_create:
            assert given.headers["Location"] == f"{BASE}/{endpoint}/{an_id(2)}"


def a_prediction(kind: Kind) -> Resource:
    if kind.startswith("member."):
        return Resource(a_member(2, version=an_id(1)), ((an_id(50), "Crew"),))
    return Resource(a_group(2, version=an_id(1)), ((an_id(7), "Ana"), (an_id(8), None)))


@pytest.mark.parametrize("kind", PATCHES)
def test_a_patch_that_must_have_a_body_has_one_also_while_pending(kind: Kind) -> None:
    schema = USER if kind.startswith("member.") else GROUP
    names = "userName,displayName,members,groups"
    for view in (
        View(BASE, None, "representation"),
        View(BASE, parse_projection(names, None, schema)),
        View(BASE, parse_projection(names, None, schema), "minimal"),
    ):
        assert write_answer.must_have_body(a_request(kind), view)
        applied, pending = answers(kind, view, a_prediction(kind))

        assert (applied.status, pending.status) == (200, 200)
        assert pending.is_pending
        assert pending.headers["ETag"] == document(pending)["meta"]["version"]
        related = "groups" if schema is USER else "members"
        assert document(pending)[related][0]["value"] in (an_id(50), an_id(7))
        assert applied.headers["ETag"] == pending.headers["ETag"]


def test_a_patch_without_a_predicted_result_is_204_while_it_is_pending() -> None:
    for kind in PATCHES:
        given = write_answer.pending(a_request(kind), View(BASE, None, "representation"))

        assert (given.status, given.is_pending) == (204, True)


def test_a_patched_group_that_cannot_be_read_back_is_shown_as_predicted() -> None:
    view = View(BASE, None, "representation")
    reply = a_reply(204, resource={"displayName": "Crew"})

    given = write_answer.applied(
        a_request("group.patch"), reply, view, None, a_prediction("group.patch")
    )
    without = write_answer.applied(a_request("group.patch"), reply, view, None)

    assert given.status == 200
    assert [member["value"] for member in document(given)["members"]] == [an_id(7), an_id(8)]
    assert without.status == 204


@pytest.mark.parametrize(
    ("kind", "prefer", "applied", "pending"),
    [
        ("member.create", "return=minimal", "return=minimal", "return=minimal"),
        ("member.create", "return=representation", *["return=representation"] * 2),
        ("member.patch", "return=representation", "return=representation", None),
        ("group.patch", "return=minimal", "return=minimal", "return=minimal"),
        ("member.delete", "return=minimal, handling=strict", None, None),
        ("member.replace", "handling=strict", "handling=strict", "handling=strict"),
        ("member.replace", "respond-async", None, None),
        ("member.replace", "", None, None),
    ],
)
def test_followed_preferences_are_in_the_answer(
    kind: Kind, prefer: str, applied: str | None, pending: str | None
) -> None:
    preferences = parse_prefer([prefer])
    applied_preferences = [
        write_answer.with_preferences(given, a_request(kind), preferences).headers.get(
            "Preference-Applied"
        )
        for given in answers(kind, View(BASE, None, preferences.returns))
    ]

    assert applied_preferences == [applied, pending]


def test_attributes_win_over_a_wish_for_nothing() -> None:
    view = View(BASE, parse_projection("userName", None, USER), "minimal")
    preferences = parse_prefer(["return=minimal"])

    for given in answers("member.create", view):
        answer = write_answer.with_preferences(given, a_request("member.create"), preferences)

        assert "userName" in document(answer)
        assert "Preference-Applied" not in answer.headers


def test_an_unknown_outcome_says_to_read_first() -> None:
    error = answer.unknown_outcome()

    assert error.status == 503
    assert int(error.headers["Retry-After"]) >= 5
    assert "read the resource" in error.detail


def test_a_state_in_which_something_may_be_missing_has_no_version() -> None:
    found = Resource(a_member(), is_exact=False)

    whole = show.answer(found, VIEW)

    assert "ETag" not in whole.headers
    assert "version" not in document(whole)["meta"]
    assert "version" not in show.show(found, VIEW)["meta"]
    assert "ETag" in show.answer(Resource(a_member()), VIEW).headers


@pytest.mark.parametrize("number", [0, 1, 5000, 5001, 12_345])
@pytest.mark.parametrize("attributes", [None, "members", "members.value"])
def test_many_members_are_written_in_parts_that_make_the_same_document(
    number: int, attributes: str | None
) -> None:
    members = tuple((an_id(1000 + each), f"Zoë {each}") for each in range(number))
    projection = None if attributes is None else parse_projection(attributes, None, GROUP)
    view = View(BASE, projection)

    given = show.answer(Resource(a_group(2), members), view)

    shown = show.show(Resource(a_group(2), members), view)
    assert given.body == orjson.dumps(shown)
