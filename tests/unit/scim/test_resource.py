"""Canonical form, validation and representation (RFC 7643 §2, §3, §4)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidSyntax, InvalidValue, ScimError
from rollcall.scim.profile import Profile
from rollcall.scim.resource import Canonical, GroupRef, Member, canonicalise, represent
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN, ResourceSchema
from tests.support.samples import strategies

BASE = "https://scim.example/v2/org"


def a_user(**attributes: Any) -> Json:
    """A body with the least that a user needs, and more."""
    return {"schemas": [USER_URN], "userName": "ana", **attributes}


def read(
    body: Json, schema: ResourceSchema = USER, profile: Profile = Profile.COMPATIBLE
) -> Canonical:
    return canonicalise(body, schema, profile)


def shown(canonical: Canonical, schema: ResourceSchema = USER) -> Json:
    members = None
    if canonical.members is not None:
        members = [Member(member_id, "Somebody") for member_id in canonical.members]
    return represent(
        canonical.resource,
        schema,
        id="7",
        created="2026-01-01T00:00:00Z",
        last_modified="2026-01-02T00:00:00Z",
        version="v1",
        location=f"{BASE}/{schema.endpoint}/7",
        base_url=BASE,
        members=members,
    )


def refusal(body: Json, schema: ResourceSchema = USER, **more: Any) -> ScimError:
    with pytest.raises(ScimError) as caught:
        read(body, schema, **more)
    return caught.value


def test_names_become_canonical() -> None:
    body = {"SCHEMAS": [USER_URN], "username": "ana", "NAME": {"GIVENNAME": "Ana"}}

    assert read(body).resource == {"userName": "ana", "name": {"givenName": "Ana"}}


def test_what_the_server_sets_is_left_out() -> None:
    body = a_user(id="1", meta={"version": "x"}, groups=[{"value": "g"}])

    assert read(body, profile=Profile.INTEROP).resource == {"userName": "ana"}


def test_null_and_empty_are_unassigned() -> None:
    """RFC 7643 §2.5."""
    body = a_user(title=None, emails=[], name=[], addresses=None)

    assert read(body).resource == {"userName": "ana"}


def test_active_stays_as_given() -> None:
    assert "active" not in read(a_user()).resource
    assert "active" not in read(a_user(active=None)).resource
    assert read(a_user(active=False)).resource["active"] is False


def test_extension_lives_under_its_urn() -> None:
    body = a_user(**{ENTERPRISE_URN.lower(): {"Department": "Sea", "manager": {"value": "m1"}}})

    assert read(body).resource[ENTERPRISE_URN] == {
        "department": "Sea",
        "manager": {"value": "m1"},
    }


@pytest.mark.parametrize(("schema", "body"), [
    (USER, {"schemas": [USER_URN]}),
    (USER, {"schemas": [USER_URN], "userName": None}),
    (USER, {"schemas": [USER_URN], "userName": " "}),
    (GROUP, {"schemas": [GROUP_URN]}),
    (GROUP, {"schemas": [GROUP_URN], "displayName": ""}),
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_required_attribute_must_have_a_value(
    schema: ResourceSchema, body: Json, profile: Profile
) -> None:
    error = refusal(body, schema, profile=profile)

    assert isinstance(error, InvalidValue)
    assert error.attribute == ("userName" if schema is USER else "displayName")


@pytest.mark.parametrize(("attributes", "named"), [
    ({"userName": 5}, "userName"),
    ({"userName": ["ana"]}, "userName"),
    ({"externalId": 1}, "externalId"),
    ({"externalId": 1.5}, "externalId"),
    ({"externalId": True}, "externalId"),
    ({"displayName": 1}, "displayName"),
    ({"active": "maybe"}, "active"),
    ({"active": 1}, "active"),
    ({"name": "Ana"}, "name"),
    ({"name": ["Ana"]}, "name"),
    ({"name": {"givenName": {"x": 1}}}, "name.givenName"),
    ({"emails": "ana"}, "emails.value"),
    ({"emails": ["ana"]}, "emails.value"),
    ({"emails": [[]]}, "emails"),
    ({"emails": 5}, "emails"),
    ({"roles": [5]}, "roles"),
    ({"addresses": ["Pier 4"]}, "addresses"),
    ({"title": {"value": "x", "colour": "red"}}, "title"),
    ({"title": [{"value": "x"}, {"value": "y"}]}, "title"),
    ({"schemas": GROUP_URN}, "schemas"),
    ({"emails": [{"value": 5}]}, "emails.value"),
    ({"emails": [{"value": "a@x.example", "primary": "yes"}]}, "emails.primary"),
    ({"x509Certificates": [{"value": "%%%"}]}, "x509Certificates.value"),
    ({ENTERPRISE_URN: {"manager": 5}}, f"{ENTERPRISE_URN}:manager"),
    ({ENTERPRISE_URN: "Sea"}, ENTERPRISE_URN),
])  # fmt: skip
def test_wrong_kind_is_refused_by_name(attributes: Json, named: str) -> None:
    error = refusal(a_user(**attributes))

    assert error.status == 400
    assert error.attribute == named
    assert named in error.detail


@pytest.mark.parametrize("body", [
    a_user(title="a", TITLE="b"),
    {**a_user(nickName="a"), "nic\N{KELVIN SIGN}Name": "b"},
    a_user(Title="a", TITLE="b"),
    a_user(name={"givenName": "A", "GivenName": "B"}),
    a_user(emails=[{"VALUE": "a@x.example", "Value": "b@x.example"}]),
    a_user(**{ENTERPRISE_URN: {"department": "A", "Department": "B"}}),
    a_user(**{ENTERPRISE_URN: {"DEPARTMENT": "A", "Department": "B"}}),
    a_user(**{ENTERPRISE_URN: {"department": "A"}, ENTERPRISE_URN.upper(): {"department": "B"}}),
    {"schemas": [USER_URN], "USERNAME": "a", "UserName": "b"},
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_name_twice_but_for_letter_case_is_refused(body: Json, profile: Profile) -> None:
    """RFC 7643 §2.1: it is one name, and nobody can say which value is meant."""
    assert "twice" in refusal(body, profile=profile).detail


@pytest.mark.parametrize("address", [
    "ana", "ana@", "@x.example", "ana@x@y.example", "a@x.example, b@x.example",
    "a@x.example;b@x.example",
    "Ana <ana@x.example>", "ana@x.example\r\nBcc: b@x.example", "ana@x.example\u2028",
    "an a@x.example",
    '"ana"@x.example', "ana@[127.0.0.1]", "ana..b@x.example", ".ana@x.example", "ana@x..example",
    "ana@-x.example", "a" * 320 + "@x.example", "ana(comment)@x.example", "a\u200bna@x.example",
])  # fmt: skip
@pytest.mark.parametrize("profile", Profile)
def test_email_that_is_not_one_mailbox_is_refused(address: str, profile: Profile) -> None:
    """The value becomes the recipient of a mail."""
    error = refusal(a_user(emails=[{"value": address}]), profile=profile)

    assert isinstance(error, InvalidValue)
    assert error.attribute == "emails.value"


@pytest.mark.parametrize("address", [
    "ana@x.example", "o'brien+list@x.example", "ana_b=c@localhost", "çelik@örnek.example",
    "a#EXT#@x.example",
])  # fmt: skip
def test_email_that_is_one_mailbox_is_kept(address: str) -> None:
    assert read(a_user(emails=[{"value": address}])).resource["emails"] == [{"value": address}]


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x7f", "\x85", "\u2028", "\u2029"])
def test_line_breaks_and_controls_are_refused_in_a_line(character: str) -> None:
    error = refusal(a_user(displayName=f"Ana{character}B"))

    assert error.attribute == "displayName"


def test_postal_address_may_have_lines() -> None:
    address = {"formatted": "12 Pine St\nBoulder", "streetAddress": "12 Pine St\r\nBack door"}

    assert read(a_user(addresses=[address])).resource["addresses"] == [address]


def test_postal_address_may_not_have_controls() -> None:
    assert refusal(a_user(addresses=[{"formatted": "a\x1bb"}])).attribute == "addresses.formatted"


@pytest.mark.parametrize(("attributes", "named"), [
    ({"userName": "a" * 321}, "userName"),
    ({"name": {"familyName": "a" * 1001}}, "name.familyName"),
    ({"displayName": "a" * 1001}, "displayName"),
    ({"userType": "a" * 4097}, "userType"),
    ({"emails": [{"value": f"{i}@x.example"} for i in range(101)]}, "emails"),
])  # fmt: skip
def test_sizes_have_limits(attributes: Json, named: str) -> None:
    assert refusal(a_user(**attributes)).attribute == named


def test_same_type_and_value_is_one_element() -> None:
    """RFC 7643 §2.4."""
    emails = [
        {"value": "a@x.example", "type": "work"},
        {"value": "A@x.example", "type": "Work", "display": "Ana"},
        {"value": "a@x.example", "type": "home"},
    ]

    kept = read(a_user(emails=emails)).resource["emails"]

    assert [(email["type"].lower(), email.get("display")) for email in kept] == [
        ("work", "Ana"),
        ("home", None),
    ]


def test_two_primary_elements_are_refused_in_interop() -> None:
    emails = [{"value": f"{i}@x.example", "primary": True} for i in range(2)]

    error = refusal(a_user(emails=emails), profile=Profile.INTEROP)

    assert error.attribute == "emails.primary"


@pytest.mark.parametrize("schemas", ["x", [5], {"a": 1}, [GROUP_URN]])
@pytest.mark.parametrize("profile", Profile)
def test_schemas_must_suit_the_endpoint(schemas: Any, profile: Profile) -> None:
    error = refusal(a_user(schemas=schemas), profile=profile)

    assert isinstance(error, InvalidSyntax)
    assert error.attribute == "schemas"


@pytest.mark.parametrize("body", [
    {"userName": "ana"}, a_user(favouriteColour="green"), a_user(password="x"),
    a_user(schemas=[USER_URN, "urn:x:y"]), a_user(name={"nick": "A"}), a_user(department="Sea"),
])  # fmt: skip
def test_interop_refuses_what_no_schema_knows(body: Json) -> None:
    assert isinstance(refusal(body, profile=Profile.INTEROP), InvalidSyntax)


def test_no_value_is_quoted_in_an_error() -> None:
    error = refusal(a_user(password="hunter2", displayName="hunter2\n"))

    assert "hunter2" not in error.detail


def a_group(**attributes: Any) -> Json:
    return {"schemas": [GROUP_URN], "displayName": "Crew", **attributes}


def test_members_are_kept_apart_once_each_in_order() -> None:
    body = a_group(members=[{"value": "b"}, {"value": "a", "display": "A"}, {"value": "b"}])

    canonical = read(body, GROUP)

    assert canonical.members == ("b", "a")
    assert canonical.resource == {"displayName": "Crew"}


def test_members_absent_and_empty_differ() -> None:
    assert read(a_group(), GROUP).members is None
    assert read(a_group(members=None), GROUP).members is None
    assert read(a_group(members=[]), GROUP).members == ()


@pytest.mark.parametrize("members", [
    5, [5], [None], [["a"]], [{"value": 5}], [{"value": "a\nb"}], [{"value": "a" * 400}],
])  # fmt: skip
def test_members_of_a_wrong_kind_are_refused(members: Any) -> None:
    error = refusal(a_group(members=members), GROUP)

    assert error.attribute in ("members", "members.value")


def test_representation_of_a_user() -> None:
    resource = {"userName": "ana", ENTERPRISE_URN: {"manager": {"value": "m/1"}}}

    result = represent(
        resource, USER, id="7", created="c", last_modified="m", version="v1",
        location=f"{BASE}/Users/7", base_url=BASE, groups=[GroupRef("g1", "Crew")],
    )  # fmt: skip

    assert result == {
        "schemas": [USER_URN, ENTERPRISE_URN],
        "id": "7",
        "userName": "ana",
        ENTERPRISE_URN: {"manager": {"value": "m/1", "$ref": f"{BASE}/Users/m%2F1"}},
        "groups": [
            {"value": "g1", "$ref": f"{BASE}/Groups/g1", "display": "Crew", "type": "direct"}
        ],
        "meta": {
            "resourceType": "User",
            "created": "c",
            "lastModified": "m",
            "location": f"{BASE}/Users/7",
            "version": 'W/"v1"',
        },
    }
    assert resource == {"userName": "ana", ENTERPRISE_URN: {"manager": {"value": "m/1"}}}


def test_representation_of_a_group() -> None:
    result = shown(read(a_group(members=["m1"]), GROUP), GROUP)

    assert result["schemas"] == [GROUP_URN]
    assert result["members"] == [
        {"value": "m1", "$ref": f"{BASE}/Users/m1", "display": "Somebody", "type": "User"}
    ]


def test_members_that_were_not_loaded_are_not_shown() -> None:
    assert "members" not in shown(read(a_group(), GROUP), GROUP)
    assert shown(read(a_group(members=[]), GROUP), GROUP)["members"] == []


@given(body=strategies.users() | strategies.bodies, profile=st.sampled_from(list(Profile)))
def test_canonicalise_twice_is_once(body: Json, profile: Profile) -> None:
    try:
        once = read(body, profile=profile)
    except ScimError:
        return

    again = read(shown(once), profile=profile)

    assert again.resource == once.resource
    assert again.repairs == ()


@given(strategies.groups() | strategies.bodies)
def test_canonicalise_twice_is_once_for_groups(body: Json) -> None:
    try:
        once = read(body, GROUP)
    except ScimError:
        return

    again = read(shown(once, GROUP), GROUP)

    assert (again.resource, again.members) == (once.resource, once.members)


@given(strategies.users())
def test_valid_users_are_accepted(body: Json) -> None:
    assert read(body).resource["userName"] == body["userName"]
