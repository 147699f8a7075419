"""The interop profile (draft-zollner-scim-interop-profile-02), requirement by requirement.

Each line is one "MUST" that the draft puts on a service provider and that can be seen without a
network; the section is the draft's. What it asks of deployments (TLS 1.3) and of clients is not
here. Two things that it lets a server refuse are not refused, see decision 0018.
"""

from typing import Any

import pytest

from rollcall.scim.body.json_body import Json
from rollcall.scim.discovery import resource_types, schemas, service_provider_config
from rollcall.scim.errors import (
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    NoTarget,
    ScimError,
)
from rollcall.scim.filter import parse_filter
from rollcall.scim.match import compile_filter
from rollcall.scim.profile import Profile
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN, ResourceSchema
from tests.unit.scim.patching import HOME, WORK, a_member, add, parsed, patched, remove, replace

INTEROP = Profile.INTEROP
BASE = "https://scim.example/v2/org"


def a_user(**attributes: Any) -> Json:
    return {"schemas": [USER_URN], "userName": "ana", **attributes}


@pytest.mark.parametrize("body", [
    a_user(favouriteColour="green"),
    a_user(password="x"),
    a_user(name={"nick": "A"}),
    a_user(emails=[{**WORK, "verified": True}]),
    a_user(department="Sea"),
    a_user(**{ENTERPRISE_URN: {"badge": "7"}}),
    a_user(**{"urn:acme:params:User": {"badge": "7"}}),
    a_user(schemas=[USER_URN, "urn:acme:params:User"]),
    a_user(schemas=["urn:scim:schemas:core:1.0"]),
    {"userName": "ana"},
])  # fmt: skip
def test_undefined_attributes_and_schemas_of_a_resource_are_invalid_syntax(body: Json) -> None:
    """§5.3."""
    with pytest.raises(InvalidSyntax):
        canonicalise(body, USER, INTEROP)


def test_undefined_sub_attributes_of_members_are_invalid_syntax() -> None:
    """§5.3."""
    body = {"schemas": [GROUP_URN], "displayName": "Crew", "members": [{"value": "m", "role": "x"}]}

    with pytest.raises(InvalidSyntax):
        canonicalise(body, GROUP, INTEROP)


@pytest.mark.parametrize("operation", [
    add("favouriteColour", "green"),
    add("name.nick", "A"),
    replace("password", "x"),
    add("urn:acme:params:User:badge", "7"),
    add(f"{ENTERPRISE_URN}:badge", "7"),
    add("name", {"nick": "A"}),
    replace("emails", [{**WORK, "verified": True}]),
    replace('emails[type eq "work"].verified', True),
    {"op": "add", "path": "title", "value": "Buyer", "name": "x"},
])  # fmt: skip
def test_undefined_attributes_of_a_patch_are_invalid_syntax(operation: Json) -> None:
    """§5.3."""
    with pytest.raises(InvalidSyntax):
        parsed(operation, profile=INTEROP)


@pytest.mark.parametrize("text", [
    'favouriteColour eq "green"', 'name.nick eq "A"', 'password eq "x"', 'department eq "Sea"',
    'urn:acme:params:User:badge eq "7"', 'emails[verified eq "true"]', "displayName eq Ana",
])  # fmt: skip
def test_undefined_attributes_of_a_filter_are_invalid_filter(text: str) -> None:
    """§6.3."""
    with pytest.raises(InvalidFilter):
        parse_filter(text, USER, INTEROP)


@pytest.mark.parametrize(("text", "matches"), [
    ('externalId eq "abc-123"', True),
    ('externalId eq "ABC-123"', False),
    ('id eq "id-7"', True),
    ('id eq "ID-7"', False),
    ('userName eq "ANA"', True),
    ('userName eq "ana" and externalId eq "abc-123"', True),
])  # fmt: skip
def test_case_counts_in_ids_and_not_in_user_names(text: str, matches: bool) -> None:
    """§5.2, and eq and and as §6.3 asks for."""
    predicate = compile_filter(parse_filter(text, USER, INTEROP))

    assert predicate({"id": "id-7", "userName": "Ana", "externalId": "abc-123"}) is matches


@pytest.mark.parametrize("op", ["add", "replace"])
@pytest.mark.parametrize("path", [None, "", " "])
def test_operation_without_path_is_invalid_syntax(op: str, path: str | None) -> None:
    """§6.5.1.1."""
    operation: Json = {"op": op, "value": {"title": "Buyer"}}

    with pytest.raises(InvalidSyntax):
        parsed(operation if path is None else {**operation, "path": path}, profile=INTEROP)


@pytest.mark.parametrize(("path", "value"), [("title", "Buyer"), ("active", False)])
@pytest.mark.parametrize("before", [a_member(), a_member(title="Cook", active=True)])
def test_add_and_replace_of_a_simple_attribute_are_the_same(
    path: str, value: Any, before: Json
) -> None:
    """§6.5.2.1, 1."""
    added = patched(before, add(path, value), profile=INTEROP)

    assert added == patched(before, replace(path, value), profile=INTEROP)
    assert added[path] == value


def test_replace_of_a_complex_attribute_replaces_it_whole_and_add_merges() -> None:
    """§6.5.2.1, 3."""
    before = a_member(name={"givenName": "Ana", "familyName": "Holm"})

    replaced = patched(before, replace("name", {"givenName": "Bo"}), profile=INTEROP)
    merged = patched(before, add("name", {"givenName": "Bo"}), profile=INTEROP)
    targeted = patched(before, replace("name.givenName", "Bo"), profile=INTEROP)

    assert replaced["name"] == {"givenName": "Bo"}
    assert merged["name"] == targeted["name"] == {"givenName": "Bo", "familyName": "Holm"}


def test_list_is_replaced_or_added_to_as_a_whole() -> None:
    """§6.5.2.2, 1."""
    before = a_member(emails=[WORK])

    assert patched(before, replace("emails", [HOME]), profile=INTEROP)["emails"] == [HOME]
    assert patched(before, add("emails", [HOME]), profile=INTEROP)["emails"] == [WORK, HOME]


@pytest.mark.parametrize("op", [add, replace])
@pytest.mark.parametrize("value", [HOME, "a@x.example"])
def test_list_is_written_by_a_list(op: Any, value: Any) -> None:
    """§6.5.2.2, 1."""
    with pytest.raises(InvalidValue):
        parsed(op("emails", value), profile=INTEROP)


@pytest.mark.parametrize("op", [add, replace])
@pytest.mark.parametrize(("schema", "path", "value"), [
    (USER, 'emails[type eq "work"]', WORK),
    (USER, 'addresses[type eq "work"]', {"locality": "Oslo"}),
    (GROUP, 'members[value eq "m1"]', {"value": "m2"}),
])  # fmt: skip
def test_filter_that_ends_in_no_sub_attribute_is_invalid_path(
    op: Any, schema: ResourceSchema, path: str, value: Any
) -> None:
    """§6.5.2.2, 2, with the scimType of §6.5.3."""
    with pytest.raises(InvalidPath) as caught:
        parsed(op(path, value), schema=schema, profile=INTEROP)

    assert "eq" not in caught.value.detail


def test_elements_are_removed_by_a_filter() -> None:
    after = patched(
        a_member(emails=[WORK, HOME]), remove('emails[type eq "work"]'), profile=INTEROP
    )
    delta = parsed(remove('members[value eq "m1"]'), schema=GROUP, profile=INTEROP).members

    assert after["emails"] == [HOME]
    assert delta is not None
    assert delta.remove == ("m1",)


def test_filter_that_selects_nothing_is_no_target() -> None:
    with pytest.raises(NoTarget):
        patched(
            a_member(emails=[WORK]), replace('emails[type eq "home"].value', "a@x.example"),
            profile=INTEROP,
        )  # fmt: skip


def test_two_primary_elements_are_invalid_value() -> None:
    emails = [{**WORK, "primary": True}, {**HOME, "primary": True}]

    for refused in (
        lambda: canonicalise(a_user(emails=emails), USER, INTEROP),
        lambda: parsed(replace("emails", emails), profile=INTEROP),
    ):
        with pytest.raises(InvalidValue):
            refused()


@pytest.mark.parametrize("op", ["Add", "REPLACE", "Remove"])
def test_op_is_written_in_small_letters(op: str) -> None:
    """RFC 7644 §3.5.2 knows three values, and they are no names."""
    with pytest.raises(InvalidSyntax, match="small letters"):
        parsed({"op": op, "path": "title", "value": "Buyer"}, profile=INTEROP)


def test_every_typed_list_says_which_types_are_usual() -> None:
    """§5.4."""
    for schema in schemas(BASE):
        for attribute in schema["attributes"]:
            types = [sub for sub in attribute.get("subAttributes", []) if sub["name"] == "type"]
            if attribute["multiValued"] and types:
                assert types[0].get("canonicalValues"), attribute["name"]


def test_every_schema_of_a_resource_type_is_served_and_ids_are_names() -> None:
    """§5.1."""
    served = {schema["id"] for schema in schemas(BASE)}

    for resource_type in resource_types(BASE):
        assert resource_type["id"] == resource_type["name"]
        extensions = [each["schema"] for each in resource_type["schemaExtensions"]]
        assert {resource_type["schema"], *extensions} <= served


def test_only_an_organisation_in_the_profile_says_that_it_conforms() -> None:
    """§4."""
    strict = service_provider_config(BASE, Profile.INTEROP)
    lenient = service_provider_config(BASE, Profile.COMPATIBLE)

    assert strict["interopProfileConformant"] is True
    assert lenient.get("interopProfileConformant", False) is False
    assert strict["pagination"]["defaultPageSize"] >= 100


def test_what_it_refuses_the_compatible_profile_takes() -> None:
    for body in (a_user(favouriteColour="green"), a_user(password="x"), {"userName": "ana"}):
        with pytest.raises(ScimError):
            canonicalise(body, USER, INTEROP)
        assert canonicalise(body, USER, Profile.COMPATIBLE).resource["userName"] == "ana"
