"""Every limit of the table: what is at the limit passes, one more is refused with its number."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs import generate
from rollcall.scim.body.json_body import parse_object
from rollcall.scim.errors import ScimError
from rollcall.scim.filter import parse_filter
from rollcall.scim.limits import MAX_DEPTH, NAMES_PER_OBJECT, TABLE, Described
from rollcall.scim.patch.patch import PATCH_URN
from rollcall.scim.profile import Profile
from rollcall.scim.projection import parse_projection
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall_ingress.read.listing import read_listing
from rollcall_ingress.write.understand import Command, Verb, understand_body
from tests.support.builders import MOMENT, an_id
from tests.unit.ingress.tenants import an_organisation

Case = Callable[[int], object]


def send(body: bytes, verb: Verb = "create", schema: ResourceSchema = USER) -> None:
    resource_id = None if verb == "create" else an_id(7)
    command = Command(an_id(1), verb, schema, resource_id, an_organisation(), "key:test", MOMENT)
    understand_body(command, body)


def user(**attributes: Any) -> dict[str, Any]:
    return {"schemas": [USER.urn], "userName": "ana@example.org", **attributes}


def with_user(make: Callable[[int], dict[str, Any]]) -> Case:
    return lambda size: send(orjson.dumps(user(**make(size))))


def with_patch(make: Callable[[int], list[dict[str, Any]]], schema: ResourceSchema = USER) -> Case:
    def case(size: int) -> None:
        body = {"schemas": [PATCH_URN], "Operations": make(size)}
        send(orjson.dumps(body), "patch", schema)

    return case


def with_filter(make: Callable[[int], str]) -> Case:
    return lambda size: parse_filter(make(size), USER, Profile.COMPATIBLE)


def nested(levels: int) -> None:
    inner = b"[" * (levels - 1) + b"]" * (levels - 1)
    send(b'{"userName":"ana@example.org","x":' + inner + b"}")


def containers(count: int) -> None:
    inner = b",".join([b"[]"] * (count - 2))
    send(b'{"userName":"ana@example.org","x":[' + inner + b"]}")


def names(size: int) -> None:
    """Read only: far fewer unknown names are too much work already."""
    members = ",".join(f'"x{number}":1' for number in range(size + NAMES_PER_OBJECT))
    parse_object(f"{{{members}}}".encode())


def values(count: int) -> None:
    send(b'{"userName":"ana@example.org","x":[' + b"0," * (count - 2) + b"0]}")


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


def a_group(count: int) -> None:
    body = {"schemas": [GROUP.urn], "displayName": "Crew", "members": members(count)}
    send(orjson.dumps(body), "replace", GROUP)


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
        lambda size: send(
            orjson.dumps({"displayName": "Crew", "members": [{"value": "x" * size}]}),
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
        lambda size: parse_projection("title," * (size // 6) + "x" * (size % 6), None, USER),
        lambda size: parse_projection(None, "title," * (size // 6) + "x" * (size % 6), USER),
    ],
    "filter": [with_filter(lambda size: 'title eq "' + "x" * (size - 11) + '"')],
    "parts of a filter": [with_filter(lambda size: " or ".join(["title pr"] * (size - 1)))],
    "nesting of a filter": [
        with_filter(lambda size: "(" * (size - 1) + "title pr" + ")" * (size - 1)),
        with_filter(lambda size: "not (" * (size - 1) + "title pr" + ")" * (size - 1)),
    ],
}
"""Name of the limit → what is as large as a number says.

The body's own limit and that of a page are below."""

BY_NAME = {row.name: row for row in TABLE}
EACH = [(name, number) for name, cases in CASES.items() for number in range(len(cases))]


def refused(case: Case, size: int, row: Described) -> None:
    with pytest.raises(ScimError) as refused:
        case(size)

    assert (refused.value.status, refused.value.scim_type) == (row.status, row.scim_type)
    assert f"than {row.most} " in refused.value.detail
    assert refused.value.detail.partition("; ")[2], "the detail says what to change"


def test_every_limit_is_tried() -> None:
    assert set(CASES) == set(BY_NAME) - {"body", "page of a list"}


@pytest.mark.parametrize(("name", "number"), EACH)
def test_at_the_limit_it_passes_and_one_more_is_refused_with_the_number(
    name: str, number: int
) -> None:
    row, case = BY_NAME[name], CASES[name][number]
    step = 4 if name == "binary value as base64" else 1

    case(row.most)

    refused(case, row.most + step, row)


def test_the_page_of_a_list_is_cut_down_to_the_largest() -> None:
    counted = [
        read_listing(query, USER, Profile.COMPATIBLE, "https://scim.example/v2/o").page.count
        for query in ({}, {"count": "1000"}, {"count": "1001"})
    ]

    assert counted == [100, 1000, 1000]


def test_the_reference_of_limits_is_as_the_code() -> None:
    written = (generate.HERE / "reference" / "limits.md").read_text(encoding="utf-8")

    assert written == generate.limits_reference()


@given(st.integers(2, 60))
def test_a_body_is_read_exactly_as_deep_as_the_limit_says(levels: int) -> None:
    try:
        nested(levels)
    except ScimError:
        assert levels > MAX_DEPTH
    else:
        assert levels <= MAX_DEPTH
