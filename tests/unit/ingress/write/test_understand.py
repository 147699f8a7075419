"""From bytes to the request event; whatever the bytes, nothing but ScimError is raised."""

import json
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.events.bodies import Delete
from rollcall.events.envelope import encode
from rollcall.events.precondition import Precondition
from rollcall.events.request import MemberDelta, Request, to_event
from rollcall.events.request import Settings as RequestSettings
from rollcall.scim.errors import InvalidValue, ScimError
from rollcall.scim.prefer import parse_prefer
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall_ingress.write.understand import (
    Command,
    Verb,
    read_precondition,
    understand_body,
    valid_traceparent,
)
from tests.support.builders import ORGANISATION, an_id, operations_of, resource_of
from tests.unit.ingress.tenants import a_command

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def read(command: Command, body: dict[str, Any]) -> Request:
    return understand_body(command, orjson.dumps(body)).request


def a_patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def test_a_create_mints_an_id_and_carries_what_the_decision_needs() -> None:
    command = a_command(unique_group_names=False, confirm_on_accept=False, unique_external_ids=True)

    request = read(command, {"schemas": [USER.urn], "userName": "Ana@Example.org"})

    assert request.kind == "member.create"
    assert request.organisation_id == ORGANISATION
    assert request.id == an_id(1)
    assert request.resource_id not in ("", an_id(1))
    assert request.name_key == "ana@example.org"
    assert request.settings == RequestSettings("compatible", False, False, True)
    assert request.actor == "key:abc"
    assert request.members is None


def test_a_group_put_without_members_does_not_speak_of_them() -> None:
    named = read(a_command("replace", GROUP), {"schemas": [GROUP.urn], "displayName": "A  b"})
    emptied = read(
        a_command("replace", GROUP), {"schemas": [GROUP.urn], "displayName": "A", "members": []}
    )

    assert named.members is None
    assert named.name_key == "a b"
    assert emptied.members == MemberDelta(clear=True)


def test_a_group_create_adds_its_members() -> None:
    body = {"schemas": [GROUP.urn], "displayName": "A", "members": [{"value": an_id(7)}]}

    request = read(a_command("create", GROUP), body)

    assert request.members == MemberDelta(add=(an_id(7),))


def test_a_patch_carries_the_key_of_the_last_name_that_it_writes() -> None:
    body = a_patch(
        {"op": "replace", "path": "userName", "value": "first@example.org"},
        {"op": "Replace", "value": {"userName": "LAST@example.org", "title": "x"}},
    )

    request = read(a_command("patch"), body)

    assert request.name_key == "last@example.org"
    assert request.resource_id == an_id(2)


def test_a_patch_of_members_is_a_delta() -> None:
    body = a_patch(
        {"op": "Add", "path": "members", "value": [{"value": an_id(7)}]},
        {"op": "remove", "path": f'members[value eq "{an_id(8)}"]'},
    )

    request = read(a_command("patch", GROUP), body)

    assert operations_of(request) == ()
    assert request.members == MemberDelta(add=(an_id(7),), remove=(an_id(8),))


def test_a_delete_has_no_body() -> None:
    request = understand_body(a_command("delete", GROUP), b"").request

    assert request.kind == "group.delete"
    assert request.body == Delete()


def test_the_profile_of_the_organisation_decides_what_is_repaired() -> None:
    body = {"schemas": [USER.urn], "userName": "ana", "active": "False"}

    repaired = understand_body(a_command(), orjson.dumps(body))

    assert resource_of(repaired.request) == {"userName": "ana", "active": False}
    assert repaired.repairs == ("boolean-as-text",)
    with pytest.raises(InvalidValue):
        read(a_command(profile="interop"), body)


VERBS: st.SearchStrategy[Verb] = st.sampled_from(("create", "replace", "patch"))
SCHEMAS = st.sampled_from((USER, GROUP))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [*USER.attributes, *GROUP.attributes, "Operations", "op", "path", "value", "$ref"]
            )
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.binary(max_size=200), VERBS, SCHEMAS)
def test_no_bytes_raise_anything_but_scim_errors(
    body: bytes, verb: Verb, schema: ResourceSchema
) -> None:
    with suppress(ScimError):
        understand_body(a_command(verb, schema), body)


@given(JSON, VERBS, SCHEMAS)
def test_no_json_raises_anything_but_scim_errors(
    document: Any, verb: Verb, schema: ResourceSchema
) -> None:
    body = json.dumps(document).encode()

    with suppress(ScimError):
        request = understand_body(a_command(verb, schema), body).request

        assert encode(to_event(request))


@given(st.lists(st.text(max_size=60), max_size=3))
def test_a_trace_context_is_one_or_none(values: list[str]) -> None:
    assert valid_traceparent(values) in (None, *values)


def test_only_one_valid_trace_context_is_taken() -> None:
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    assert valid_traceparent([good]) == good
    assert valid_traceparent([good, good]) is None
    assert valid_traceparent([good.upper()]) is None
    assert valid_traceparent([good + "\n"]) is None
    assert valid_traceparent(["00-" + "0" * 32 + good[35:]]) is None


@pytest.mark.parametrize("verb", ["replace", "patch", "delete"])
def test_a_precondition_travels_with_the_request(verb: Verb) -> None:
    wanted = read_precondition(verb, [f'W/"{an_id(5)}", "v1"'], ["*"])
    command = replace(a_command(verb), precondition=wanted)
    bodies: dict[Verb, dict[str, Any]] = {
        "replace": {"schemas": [USER.urn], "userName": "ana"},
        "patch": a_patch({"op": "remove", "path": "title"}),
        "delete": {},
    }

    request = read(command, bodies[verb])

    assert request.precondition == Precondition((an_id(5),), "*")
    assert request.type.endswith(".v2")


def test_no_condition_or_one_on_a_create_says_nothing() -> None:
    assert read_precondition("patch", [], []) is None
    assert read_precondition("create", ["malformed"], ["*"]) is None
    with pytest.raises(InvalidValue):
        read_precondition("delete", ["malformed"], [])


@pytest.mark.parametrize(
    ("own", "prefer", "is_read", "profile"),
    [
        ("compatible", "handling=strict", False, "interop"),
        ("interop", "handling=lenient", True, "compatible"),
        ("compatible", "", True, "compatible"),
        ("interop", "return=minimal", False, "interop"),
    ],
)
def test_handling_decides_on_repairs_and_on_the_profile_that_the_decision_uses(
    own: str, prefer: str, is_read: bool, profile: str
) -> None:
    command = replace(a_command(profile=own), preferences=parse_prefer([prefer]))
    odd = {"schemas": [USER.urn], "userName": "ana", "favouriteColour": "blue"}
    plain = {"schemas": [USER.urn], "userName": "ana"}

    with nullcontext() if is_read else pytest.raises(ScimError):
        read(command, odd)

    assert read(command, plain).settings.profile == profile
