"""Every limit of the table: what is at the limit passes, one more is refused with its number."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs import generate
from rollcall.runtime.config import load
from rollcall.runtime.errors import InvalidSettings
from rollcall.scim.body.json_body import parse_object
from rollcall.scim.errors import ScimError
from rollcall.scim.filter import parse_filter
from rollcall.scim.limits import LIMITS, NAMES_PER_OBJECT, TABLE, Described, Limits
from rollcall.scim.page import parse_page
from rollcall.scim.patch.patch import PATCH_URN
from rollcall.scim.profile import Profile
from rollcall.scim.projection import parse_projection
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall_ingress.config import IngressSettings
from rollcall_ingress.write.understand import Command, Verb, understand_body
from tests.support.builders import MOMENT, an_id
from tests.unit.ingress.tenants import an_organisation

SETTINGS: dict[str, Any] = {
    "kafka_bootstrap": "127.0.0.1:9092",
    "database_url": "postgresql://u:p@h/d",
    "invitation_secret": "a secret of thirty-two characters!",
}
Case = Callable[[int, Limits], object]


def send(body: bytes, limits: Limits, verb: Verb = "create", schema: ResourceSchema = USER) -> None:
    resource_id = None if verb == "create" else an_id(7)
    command = Command(
        an_id(1), verb, schema, resource_id, an_organisation(), "key:test", MOMENT, limits=limits
    )
    understand_body(command, body)


def user(**attributes: Any) -> dict[str, Any]:
    return {"schemas": [USER.urn], "userName": "ana@example.org", **attributes}


def with_user(make: Callable[[int], dict[str, Any]]) -> Case:
    return lambda size, limits: send(orjson.dumps(user(**make(size))), limits)


def with_patch(make: Callable[[int], list[dict[str, Any]]], schema: ResourceSchema = USER) -> Case:
    def case(size: int, limits: Limits) -> None:
        body = {"schemas": [PATCH_URN], "Operations": make(size)}
        send(orjson.dumps(body), limits, "patch", schema)

    return case


def with_filter(make: Callable[[int], str]) -> Case:
    return lambda size, limits: parse_filter(make(size), USER, Profile.COMPATIBLE, limits.filter)


def nested(levels: int, limits: Limits) -> None:
    inner = b"[" * (levels - 1) + b"]" * (levels - 1)
    send(b'{"userName":"ana@example.org","x":' + inner + b"}", limits)


def containers(count: int, limits: Limits) -> None:
    inner = b",".join([b"[]"] * (count - 2))
    send(b'{"userName":"ana@example.org","x":[' + inner + b"]}", limits)


def names(size: int, _limits: Limits) -> None:
    """Read only: far fewer unknown names are too much work already."""
    members = ",".join(f'"x{number}":1' for number in range(size + NAMES_PER_OBJECT))
    parse_object(f"{{{members}}}".encode())


def values(count: int, limits: Limits) -> None:
    send(b'{"userName":"ana@example.org","x":[' + b"0," * (count - 2) + b"0]}", limits)


def resource_of(size: int) -> dict[str, Any]:
    certificates = [{"value": f"{number:04}" * 4000} for number in range(size // 16_100)]
    made: dict[str, Any] = {"x509Certificates": certificates}
    for name in ("userType", "locale", "timezone", "preferredLanguage", "profileUrl"):
        present = len(orjson.dumps(canonicalise(user(**made), USER, Profile.COMPATIBLE).resource))
        missing = size - present - len(f',"{name}":""')
        if missing > 0:
            made[name] = "/" * min(missing, 4096)
    return made


def members(count: int) -> list[dict[str, str]]:
    return [{"value": str(number)} for number in range(count)]


def a_group(count: int, limits: Limits) -> None:
    body = {"schemas": [GROUP.urn], "displayName": "Crew", "members": members(count)}
    send(orjson.dumps(body), limits, "replace", GROUP)


def added_and_removed(count: int) -> list[dict[str, Any]]:
    named = members(count)
    return [
        {"op": "add", "path": "members", "value": named[: count // 2]},
        {"op": "remove", "path": "members", "value": named[count // 2 :]},
    ]


def operations(count: int) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": "title", "value": str(number)} for number in range(count)]


def steps(count: int) -> list[dict[str, Any]]:
    """A path with n conditions is n + 2 steps, with none it is one."""
    conditions = " or ".join(f'value eq "{number}"' for number in range(4))
    large, small = divmod(count, 6)
    operation = {"op": "replace", "path": f"phoneNumbers[{conditions}].display", "value": "x"}
    return [operation] * large + operations(small)


def work(units: int) -> list[dict[str, Any]]:
    """An operation comes to 191 units and one for each character of its path, spaces included."""
    made = []
    while units:
        spent = units if units < 8000 else min(units - 1000, 7000)
        path = "title".ljust(spent - 191)
        made.append({"op": "replace", "path": path, "value": "x"})
        units -= spent
    return made


CASES: dict[str, list[Case]] = {
    "nesting of a body": [nested],
    "objects and lists in a body": [containers],
    "values in a body": [values],
    f"names in a body, beside {NAMES_PER_OBJECT} an object": [names],
    "text of an attribute": [
        with_user(lambda size: {"userType": "x" * size}),
        with_user(lambda size: {"addresses": [{"streetAddress": "x" * size}]}),
    ],
    "`externalId`, `displayName`, `nickName`, `title`, each part of `name`": [
        with_user(lambda size: {"externalId": "x" * size}),
        with_user(lambda size: {"displayName": "x" * size}),
        with_user(lambda size: {"nickName": "x" * size}),
        with_user(lambda size: {"title": "x" * size}),
        with_user(lambda size: {"name": {"familyName": "x" * size}}),
    ],
    "`userName`, the address in `emails`, the id of a member": [
        with_user(lambda size: {"userName": "x" * size}),
        with_user(lambda size: {"emails": [{"value": "x" * (size - 4) + "@a.b"}]}),
        lambda size, limits: send(
            orjson.dumps({"displayName": "Crew", "members": [{"value": "x" * size}]}),
            limits,
            schema=GROUP,
        ),
    ],
    "`emails.type`": [
        with_user(lambda size: {"emails": [{"value": "a@b.example", "type": "x" * size}]})
    ],
    "binary value as base64": [
        with_user(lambda size: {"x509Certificates": [{"value": "A" * size}]}),
    ],
    "elements of an attribute, `members` apart": [
        with_user(lambda size: {"phoneNumbers": members(size)}),
        with_patch(
            lambda size: [{"op": "add", "path": "phoneNumbers", "value": members(size)}],
        ),
    ],
    "resource, `members` apart": [with_user(resource_of)],
    "members named by one request": [a_group, with_patch(added_and_removed, GROUP)],
    "operations of a PATCH": [with_patch(operations)],
    "steps of a PATCH": [with_patch(steps)],
    "work of a POST, PUT or PATCH": [with_patch(work)],
    "path of a PATCH operation": [
        with_patch(
            lambda size: [
                {
                    "op": "remove",
                    "path": 'emails[value eq "' + "x" * (size - 19) + '"]',
                }
            ]
        )
    ],
    "list of attributes": [
        lambda size, _: parse_projection("title," * (size // 6) + "x" * (size % 6), None, USER),
        lambda size, _: parse_projection(None, "title," * (size // 6) + "x" * (size % 6), USER),
    ],
    "filter": [with_filter(lambda size: 'title eq "' + "x" * (size - 11) + '"')],
    "parts of a filter": [with_filter(lambda size: " or ".join(["title pr"] * (size - 1)))],
    "nesting of a filter": [
        with_filter(lambda size: "(" * (size - 1) + "title pr" + ")" * (size - 1)),
        with_filter(lambda size: "not (" * (size - 1) + "title pr" + ")" * (size - 1)),
    ],
}
"""Name of the limit → what is as large as a number says, with the limits in force.

The body's own limit and that of a page are below."""

BY_NAME = {row.name: row for row in TABLE}
EACH = [(name, number) for name, cases in CASES.items() for number in range(len(cases))]
LOWERED = {
    "ingress_max_depth": 9,
    "ingress_max_members": 200,
    "ingress_max_patch_operations": 20,
    "ingress_filter_limit_bytes": 600,
    "ingress_max_filter_nodes": 12,
    "ingress_max_filter_depth": 5,
}


def refused(case: Case, size: int, limits: Limits, row: Described, most: int) -> None:
    with pytest.raises(ScimError) as told:
        case(size, limits)

    assert (told.value.status, told.value.scim_type) == (row.status, row.scim_type)
    assert f"more than {most} " in told.value.detail or f"than {most} " in told.value.detail
    assert told.value.detail.partition("; ")[2], "the detail says what to change"


def test_every_limit_is_tried() -> None:
    assert set(CASES) == set(BY_NAME) - {"body", "page of a list"}


@pytest.mark.parametrize(("name", "number"), EACH)
def test_at_the_limit_it_passes_and_one_more_is_refused_with_the_number(
    name: str, number: int
) -> None:
    row, case = BY_NAME[name], CASES[name][number]
    step = 4 if name == "binary value as base64" else 1

    case(row.most, LIMITS)

    refused(case, row.most + step, LIMITS, row, row.most)


@pytest.mark.parametrize("setting", LOWERED)
def test_what_an_operator_lowers_is_refused_with_that_number(setting: str) -> None:
    (row,) = (row for row in TABLE if row.setting == setting)
    lowered = LOWERED[setting]
    limits = load(IngressSettings, **SETTINGS, **{setting: lowered}).request_limits

    for case in CASES[row.name]:
        case(lowered, limits)
        refused(case, lowered + 1, limits, row, lowered)


def test_every_limit_that_can_be_lowered_is_tried() -> None:
    settings = {row.setting for row in TABLE if row.setting is not None}

    assert settings == {*LOWERED, "ingress_body_limit_bytes", "ingress_largest_page"}


@pytest.mark.parametrize("row", [row for row in TABLE if row.setting], ids=lambda row: row.setting)
def test_no_setting_raises_a_limit_above_its_number(row: Described) -> None:
    assert row.setting is not None
    settings = load(IngressSettings, **SETTINGS)

    assert getattr(settings, row.setting) == row.most
    with pytest.raises(InvalidSettings, match=f"to {row.most}"):
        load(IngressSettings, **SETTINGS, **{row.setting: row.most + 1})


def test_without_settings_the_limits_are_those_of_the_table() -> None:
    assert load(IngressSettings, **SETTINGS).request_limits == LIMITS


def test_the_page_of_a_list_is_cut_down_to_the_largest() -> None:
    limits = load(IngressSettings, **SETTINGS, ingress_largest_page=50, ingress_default_page=20)

    def counted(text: str | None, limits: Limits) -> int:
        return parse_page(
            None, text, default=limits.default_page, maximum=limits.largest_page
        ).count

    assert [counted(text, LIMITS) for text in (None, "1000", "1001")] == [100, 1000, 1000]
    assert [counted(text, limits.request_limits) for text in (None, "50", "51")] == [20, 50, 50]


def test_a_default_page_beyond_the_largest_is_a_mistake_that_names_both() -> None:
    with pytest.raises(InvalidSettings, match=r"DEFAULT_PAGE is more than .*LARGEST_PAGE"):
        load(IngressSettings, **SETTINGS, ingress_default_page=60, ingress_largest_page=50)


def test_the_reference_of_limits_is_as_the_code() -> None:
    written = (generate.HERE / "reference" / "limits.md").read_text(encoding="utf-8")

    assert written == generate.limits_reference()


@given(st.integers(2, 60), st.integers(8, 32))
def test_a_body_is_read_exactly_as_deep_as_the_setting_says(levels: int, depth: int) -> None:
    try:
        nested(levels, Limits(depth=depth))
    except ScimError:
        assert levels > depth
    else:
        assert levels <= depth
