"""RFC 7644 §3.4.2.5, §3.9."""

from typing import Any

import pytest

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidValue
from rollcall.scim.projection import parse_projection, project
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, USER, USER_URN

ANA: Json = {
    "schemas": [USER_URN, ENTERPRISE_URN],
    "id": "7",
    "userName": "ana",
    "name": {"givenName": "Ana", "familyName": "Ito"},
    "emails": [{"value": "a@x.example", "type": "work"}],
    "groups": [{"value": "g"}],
    ENTERPRISE_URN: {"department": "Sea", "manager": {"value": "m1", "$ref": "r"}},
    "meta": {"resourceType": "User"},
}
ALWAYS = {"schemas", "id", "meta"}


def shown(attributes: str | None = None, excluded: str | None = None) -> Json:
    return project(ANA, parse_projection(attributes, excluded, USER), USER)


@pytest.mark.parametrize(("attributes", "wanted"), [
    ("userName", {"userName": "ana"}),
    (" USERNAME , nobody", {"userName": "ana"}),
    ("id", {}),
    ("nobody", {}),
    ("name.givenName", {"name": {"givenName": "Ana"}}),
    ("name.givenName,name", {"name": ANA["name"]}),
    ("name,name.givenName", {"name": ANA["name"]}),
    ("emails.value", {"emails": [{"value": "a@x.example"}]}),
    ("emails.display", {}),
    ('emails[type eq "work"].value', {"emails": [{"value": "a@x.example"}]}),
    ('emails[type eq "a,b"]', {"emails": ANA["emails"]}),
    (f"{USER_URN}:userName", {"userName": "ana"}),
    (ENTERPRISE_URN, {ENTERPRISE_URN: ANA[ENTERPRISE_URN]}),
    (f"{ENTERPRISE_URN}:department", {ENTERPRISE_URN: {"department": "Sea"}}),
    ("department", {ENTERPRISE_URN: {"department": "Sea"}}),
    (f"{ENTERPRISE_URN}:manager.value", {ENTERPRISE_URN: {"manager": {"value": "m1"}}}),
])  # fmt: skip
def test_attributes_named_are_kept(attributes: str, wanted: Json) -> None:
    result = shown(attributes)

    assert {name: value for name, value in result.items() if name not in ALWAYS} == wanted
    assert result.keys() >= ALWAYS


@pytest.mark.parametrize(("excluded", "changed"), [
    ("userName", {"userName": None}),
    ("id,schemas,meta", {}),
    ("nobody", {}),
    ("name.givenName", {"name": {"familyName": "Ito"}}),
    ("name.givenName,name.familyName", {"name": None}),
    ("emails.value", {"emails": [{"type": "work"}]}),
    (ENTERPRISE_URN, {ENTERPRISE_URN: None}),
    (f"{ENTERPRISE_URN}:manager", {ENTERPRISE_URN: {"department": "Sea"}}),
    (f"{ENTERPRISE_URN}:manager,department", {ENTERPRISE_URN: None}),
])  # fmt: skip
def test_attributes_excluded_are_left_out(excluded: str, changed: Json) -> None:
    wanted = {name: value for name, value in {**ANA, **changed}.items() if value is not None}

    assert shown(None, excluded) == wanted


@pytest.mark.parametrize(("attributes", "excluded"), [(None, None), ("", ""), (" ", None)])
def test_nothing_named_is_everything(attributes: str | None, excluded: str | None) -> None:
    assert parse_projection(attributes, excluded, USER) is None
    assert shown(attributes, excluded) == ANA


def test_both_at_once_are_refused() -> None:
    with pytest.raises(InvalidValue):
        parse_projection("userName", "name", USER)


def test_argument_is_not_changed() -> None:
    before: Any = {**ANA, "name": dict(ANA["name"])}

    shown(None, "name.givenName")

    assert before == ANA


@pytest.mark.parametrize(("attributes", "excluded", "wanted"), [
    ("id", None, False), ("members", None, True), ("members.value", None, True),
    (None, "members", False), (None, "members.display", True), (None, "displayName", True),
    ('members[value eq "x"]', None, True),
])  # fmt: skip
def test_it_says_whether_members_are_wanted(
    attributes: str | None, excluded: str | None, wanted: bool
) -> None:
    projection = parse_projection(attributes, excluded, GROUP)

    assert projection is not None
    assert projection.wants("members") is wanted
    assert projection.wants("id")
