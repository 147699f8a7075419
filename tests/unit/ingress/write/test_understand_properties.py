"""What holds for every body: nothing but ScimError, no password, one meaning."""

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rollcall.events.envelope import encode
from rollcall.events.request import to_event
from rollcall.scim.body import json_body
from rollcall.scim.body.json_body import parse_object
from rollcall.scim.errors import ScimError
from rollcall.scim.prefer import Preferences
from rollcall.scim.quirks import RULES
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN, ResourceSchema
from rollcall_ingress.write.understand import Command, Verb, understand_body
from tests.support.builders import an_id
from tests.support.samples import strategies
from tests.unit.ingress.tenants import MOMENT, an_organisation

SECRET = "hunter2-Zq7"
VERBS: tuple[Verb, ...] = ("create", "replace", "patch", "delete")
PREFERENCES = st.sampled_from(
    [Preferences(), Preferences(handling="strict"), Preferences(handling="lenient")]
)


@st.composite
def commands(draw: st.DrawFn) -> Command:
    verb = draw(st.sampled_from(VERBS))
    return Command(
        id=an_id(1),
        verb=verb,
        schema=draw(st.sampled_from([USER, GROUP])),
        resource_id=None if verb == "create" else an_id(2),
        organisation=an_organisation(profile=draw(st.sampled_from(["compatible", "interop"]))),
        actor="key:abc",
        time=MOMENT,
        preferences=draw(PREFERENCES),
    )


BODIES = (
    st.binary(max_size=120)
    | st.one_of(strategies.bodies, strategies.patches, strategies.users(), strategies.groups()).map(
        orjson.dumps
    )
    | st.text(
        alphabet='{}[]":,\\u0ad1e-+. tfn\n\ud800éKopvalueschemaOperationspath', max_size=80
    ).map(lambda text: text.encode("utf-8", "surrogatepass"))
)


@given(command=commands(), body=BODIES)
@example(
    command=Command(an_id(1), "patch", USER, an_id(2), an_organisation(), "key:abc", MOMENT),
    body=b'{"Operations":[{"op":"add","value":"{\\"a\\":1e999}"}]}',
)
def test_no_bytes_raise_anything_but_scim_errors(command: Command, body: bytes) -> None:
    with contextlib.suppress(ScimError):
        understood = understand_body(command, body)
        assert set(understood.repairs) <= RULES.keys()
        encode(to_event(understood.request))


PASSWORDS = st.sampled_from(
    ["password", "Password", "PASSWORD", f"{USER_URN}:password", f"{ENTERPRISE_URN}:password"]
)


@st.composite
def bodies_with_a_password(draw: st.DrawFn) -> tuple[Verb, ResourceSchema, Any]:
    name = draw(PASSWORDS)
    value = draw(st.sampled_from([SECRET, [SECRET], {"value": SECRET}, {SECRET: SECRET}]))
    schema = draw(st.sampled_from([USER, GROUP]))
    verb = draw(st.sampled_from(VERBS[:3]))
    if verb == "patch":
        op = draw(st.sampled_from(["add", "Replace", "remove"]))
        operation = draw(
            st.sampled_from(
                [
                    {"op": op, "path": name, "value": value},
                    {"op": op, "value": {name: value, "displayName": "Ana"}},
                    {"op": op, "path": "name", "value": {"password": value}},
                    {"op": op, "path": "emails", "value": [{"value": "a@x.example", name: value}]},
                    {"op": op, "path": "members", "value": [{"value": "m", "password": value}]},
                    {"op": op, "path": ENTERPRISE_URN, "value": {"password": value}},
                    {"op": op, "path": "title", "value": "Cook", "password": value},
                ]
            )
        )
        return verb, schema, {"Operations": [operation]}
    base: dict[str, Any] = {"schemas": [schema.urn], "userName": "ana", "displayName": "Ana"}
    nested = draw(st.sampled_from(["name", "emails", "members", ENTERPRISE_URN, "credentials"]))
    return verb, schema, {**base, name: value, nested: {"value": "a@x.example", "password": value}}


@given(given_body=bodies_with_a_password(), preferences=PREFERENCES)
def test_a_password_is_in_no_event_and_in_no_error(
    given_body: tuple[Verb, ResourceSchema, Any], preferences: Preferences
) -> None:
    verb, schema, body = given_body
    command = Command(
        id=an_id(1),
        verb=verb,
        schema=schema,
        resource_id=None if verb == "create" else an_id(2),
        organisation=an_organisation(),
        actor="key:abc",
        time=MOMENT,
        preferences=preferences,
    )
    try:
        result: Any = encode(to_event(understand_body(command, orjson.dumps(body)).request))
    except ScimError as error:
        result = error.detail

    assert SECRET not in repr(result)


JSON_TEXTS = st.one_of(
    strategies.bodies.map(orjson.dumps),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=12,
    ).map(lambda value: json.dumps({"a": value}).encode()),
    st.text(alphabet='{}[]":,\\u0a1e9+-. ', max_size=60).map(lambda text: f"{{{text}}}".encode()),
    st.sampled_from(
        [
            b'{"a":1e19}',
            b'{"a":9223372036854775808}',
            b'{"a":18446744073709551616}',
            b'{"a":1,"a":1}',
            b'{"a" : "x:y", "a" : 2}',
            b'{"a":"b+e+c"}',
            b'{"a":-1e300}',
            b'{"a":[1.5e+40]}',
            b'{"a":' + b"[" * 14 + b"]" * 14 + b"}",
            b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
            b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
            b'{"a":' * 32 + b"1" + b"}" * 32,
            b'{"a":' * 33 + b"1" + b"}" * 33,
            b'{"a":[' * 16 + b"1" + b"]}" * 16,
            b'{"a":[' * 17 + b"1" + b"]}" * 17,
            b'{"a":[' * 200 + b"1" + b"]}" * 200,
            b'{"a":[{"b":1},{"b":2},{"b":{"c":3}}]}',
        ]
    ),
)


@given(raw=JSON_TEXTS)
def test_the_short_way_through_a_body_means_the_same_as_the_long_one(raw: bytes) -> None:
    def outcome() -> Any:
        try:
            return parse_object(raw)
        except ScimError as error:
            return type(error)

    short = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "_is_plainly_sound", lambda *_: False)
        assert repr(outcome()) == repr(short)
        patch.setattr(json_body, "_LARGE_BYTES", 0)
        assert repr(outcome()) == repr(short)


def test_repairs_carry_names_of_rules_and_no_text_of_the_request() -> None:
    command = Command(an_id(1), "create", GROUP, None, an_organisation(), "key:abc", MOMENT)
    body = {
        "schemas": GROUP_URN,
        "displayName": [{"value": "Crew"}],
        "favouriteColour": "green",
        "members": [an_id(7), {"$ref": f"https://x.example/Users/{an_id(8)}"}],
    }

    understood = understand_body(command, orjson.dumps(body))

    assert understood.repairs
    assert set(understood.repairs) <= RULES.keys()
