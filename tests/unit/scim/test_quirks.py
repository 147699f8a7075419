"""What identity providers send that the RFC does not allow: each repair by its name."""

from typing import Any

import pytest

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidFilter, InvalidSyntax, InvalidValue, Mutability, ScimError
from rollcall.scim.filter import read_filter
from rollcall.scim.patch.members import MemberDelta
from rollcall.scim.patch.patch import parse_patch
from rollcall.scim.profile import Profile
from rollcall.scim.projection import parse_projection, project
from rollcall.scim.quirks import RULES, Repairs
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN, ResourceSchema

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
OLD = "urn:scim:schemas:extension:enterprise:1.0"
MANAGER = {ENTERPRISE_URN: {"manager": {"value": "m1"}}}
WORK = {"value": "a@x.example", "type": "work"}


def user(**attributes: Any) -> Json:
    return {"schemas": [USER_URN], "userName": "ana", **attributes}


RESOURCES: list[tuple[str, Json, Json]] = [
    ("boolean-as-text", user(active="False"), {"active": False}),
    ("boolean-as-text", user(active="TRUE"), {"active": True}),
    ("boolean-as-text", user(emails=[{**WORK, "primary": "True"}]),
     {"emails": [{**WORK, "primary": True}]}),
    ("blank-is-unassigned", user(title=" "), {}),
    ("blank-element-dropped", user(emails=[{"type": "work", "value": "", "primary": True}, WORK]),
     {"emails": [WORK]}),
    ("last-primary-wins",
     user(emails=[{"value": "b@x.example", "primary": True}, {**WORK, "primary": True}]),
     {"emails": [{"value": "b@x.example", "primary": False}, {**WORK, "primary": True}]}),
    ("object-for-list", user(emails=WORK), {"emails": [WORK]}),
    ("surrounding-space", user(emails=[{"value": " a@x.example "}]),
     {"emails": [{"value": "a@x.example"}]}),
    ("reference-no-uri", user(profileUrl="not a uri"), {"profileUrl": "not a uri"}),
    ("unknown-attribute", user(favouriteColour="green", name={"nick": "A", "givenName": "Ana"}),
     {"name": {"givenName": "Ana"}}),
    ("near-name", user(email="a@x.example"), {"emails": [{"value": "a@x.example"}]}),
    ("near-name", user(display_name="Ana"), {"displayName": "Ana"}),
    ("near-name", user(name={"given_name": "Ana"}), {"name": {"givenName": "Ana"}}),
    ("near-urn", user(**{ENTERPRISE_URN: {"employee_number": "7"}}),
     {ENTERPRISE_URN: {"employeeNumber": "7"}}),
    ("near-urn", user(**{ENTERPRISE_URN: {"active": False}}), {"active": False}),
    ("near-urn", user(**{f"{USER_URN}.active": "False"}), {"active": False}),
    ("near-urn", user(**{"User.active": False}), {"active": False}),
    ("schema-as-name", user(**{USER_URN: {"active": False, "title": "Buyer"}}),
     {"active": False, "title": "Buyer"}),
    ("path-as-name", user(**{"name.givenName": "Ana"}), {"name": {"givenName": "Ana"}}),
    ("path-as-name", user(**{"name.givenName": "Bo", "name": {"givenName": "Ana"}}),
     {"name": {"givenName": "Ana"}}),
    ("path-as-name", user(**{"manager.value": "m1"}), MANAGER),
    ("value-under-its-name", user(emails={"emails": [WORK]}), {"emails": [WORK]}),
    ("value-under-its-name", user(active={"active": False}), {"active": False}),
    ("value-in-object", user(active={"value": "False"}), {"active": False}),
    ("object-as-text", user(emails='[{"value":"a@x.example","type":"work"}]'), {"emails": [WORK]}),
    ("password-dropped", user(password="x"), {}),
    ("password-dropped", user(PassWord="x"), {}),
    ("missing-schemas", {"userName": "ana"}, {}),
    ("old-urn", user(schemas=["urn:scim:schemas:core:1.0"]), {}),
    ("old-urn", user(schemas=["urn:scim:schemas:core:1.0", USER_URN]), {}),
    ("old-urn", user(**{OLD: {"department": "Sea"}}), {ENTERPRISE_URN: {"department": "Sea"}}),
    ("old-urn", user(**{ENTERPRISE_URN.replace(":User", "User"): {"department": "Sea"}}),
     {ENTERPRISE_URN: {"department": "Sea"}}),
    ("old-urn", user(**{f"{OLD}:department": "Sea"}), {ENTERPRISE_URN: {"department": "Sea"}}),
    ("extension-name-in-core", user(department="Sea"), {ENTERPRISE_URN: {"department": "Sea"}}),
    ("reference-as-text", user(**{ENTERPRISE_URN: {"manager": "m1"}}), MANAGER),
    ("reference-as-list", user(**{ENTERPRISE_URN: {"manager": [{"value": "m1"}]}}), MANAGER),
    ("manager-id", user(**{ENTERPRISE_URN: {"manager": {"managerId": "m1"}}}), MANAGER),
    ("blank-is-unassigned", user(**{ENTERPRISE_URN: {"manager": ""}}), {}),
    ("blank-is-unassigned", user(emails=""), {}),
    ("blank-is-unassigned", user(name=" "), {}),
    ("blank-is-unassigned", user(emails=[{**WORK, "primary": ""}]), {"emails": [WORK]}),
    ("bare-element", user(emails=["a@x.example"]), {"emails": [{"value": "a@x.example"}]}),
    ("bare-element", user(roles="Buyer"), {"roles": [{"value": "Buyer"}]}),
    ("object-for-list", user(phoneNumbers="+46 8 555"), {"phoneNumbers": [{"value": "+46 8 555"}]}),
    ("object-for-list", user(schemas=USER_URN), {}),
    ("value-in-object", user(title=[{"value": "Buyer", "$ref": None}]), {"title": "Buyer"}),
    ("value-in-object", user(active=[{"value": False}]), {"active": False}),
    ("object-as-text", user(emails=['{"value":"a@x.example","type":"work"}']), {"emails": [WORK]}),
    ("object-as-text",
     user(roles=[{"value": '{"id":"7","value":"Buyer","displayName":"A buyer"}'}]),
     {"roles": [{"value": "Buyer"}]}),
    ("digits-as-number", user(**{ENTERPRISE_URN: {"employeeNumber": 7}}),
     {ENTERPRISE_URN: {"employeeNumber": "7"}}),
    ("digits-as-number", user(addresses=[{"postalCode": 11456}]),
     {"addresses": [{"postalCode": "11456"}]}),
    ("id-by-reference",
     user(**{ENTERPRISE_URN: {"manager": {"$ref": "https://x.example/Users/m1"}}}), MANAGER),
    ("old-urn", user(EnterpriseUser={"department": "Sea"}),
     {ENTERPRISE_URN: {"department": "Sea"}}),
    ("old-urn", user(schemas="urn:scim:schemas:core:1.0"), {}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "body", "wanted"), RESOURCES)
def test_resource_is_repaired_by_name(rule: str, body: Json, wanted: Json) -> None:
    canonical = canonicalise(body, USER, Profile.COMPATIBLE)

    assert canonical.resource == {"userName": "ana", **wanted}
    assert rule in canonical.repairs


@pytest.mark.parametrize(("rule", "body", "wanted"), RESOURCES)
def test_interop_repairs_nothing(rule: str, body: Json, wanted: Json) -> None:
    try:
        canonical = canonicalise(body, USER, Profile.INTEROP)
    except ScimError:
        return

    assert canonical.repairs == ()
    assert canonical.resource != {"userName": "ana", **wanted}


OPERATIONS: list[tuple[str, ResourceSchema, Json, list[Json]]] = [
    ("path-less-patch", USER, {"op": "replace", "value": {"active": False}},
     [{"op": "replace", "path": "active", "value": False}]),
    ("path-as-name", USER, {"op": "add", "value": {"name.givenName": "Ana"}},
     [{"op": "add", "path": "name.givenName", "value": "Ana"}]),
    ("path-as-name", USER, {"op": "replace",
    "value": {'emails[type eq "work"].value': "a@x.example"}},
     [{"op": "replace", "path": 'emails[type eq "work"].value', "value": "a@x.example"}]),
    ("path-less-patch", USER, {"op": "add", "value": {f"{ENTERPRISE_URN}:department": "Sea"}},
     [{"op": "add", "path": f"{ENTERPRISE_URN}:department", "value": "Sea"}]),
    ("read-only-dropped", GROUP, {"op": "replace", "value": {"id": "7", "displayName": "Crew"}},
     [{"op": "replace", "path": "displayName", "value": "Crew"}]),
    ("unknown-attribute", USER, {"op": "add", "value": {"favourite colour": "A", "active": True}},
     [{"op": "add", "path": "active", "value": True}]),
    ("near-urn", USER, {"op": "add", "path": f"{ENTERPRISE_URN}.department", "value": "Sea"},
     [{"op": "add", "path": f"{ENTERPRISE_URN}:department", "value": "Sea"}]),
    ("near-urn", USER, {"op": "add", "path": f"{ENTERPRISE_URN}.manager.value", "value": "m1"},
     [{"op": "add", "path": f"{ENTERPRISE_URN}:manager.value", "value": "m1"}]),
    ("near-urn", USER, {"op": "replace", "path": f"{USER_URN}/active", "value": False},
     [{"op": "replace", "path": "active", "value": False}]),
    ("near-urn", USER, {"op": "replace", "path": f"{USER_URN}::active", "value": False},
     [{"op": "replace", "path": "active", "value": False}]),
    ("near-urn", USER, {"op": "replace", "path": f"{ENTERPRISE_URN}:active", "value": False},
     [{"op": "replace", "path": "active", "value": False}]),
    ("near-urn", USER, {"op": "replace", "value": {"User:active": False}},
     [{"op": "replace", "path": "active", "value": False}]),
    ("near-name", USER, {"op": "replace", "path": 'email[type eq "work"].value', "value": "a@x.y"},
     [{"op": "replace", "path": 'emails[type eq "work"].value', "value": "a@x.y"}]),
    ("near-name", USER, {"op": "add", "path": "phoneNumber", "value": "+46 8 5"},
     [{"op": "add", "path": "phoneNumbers", "value": [{"value": "+46 8 5"}]}]),
    ("near-name", USER, {"op": "add", "path": "name.given-name", "value": "Ana"},
     [{"op": "add", "path": "name.givenName", "value": "Ana"}]),
    ("near-name", USER, {"op": "replace", "value": {"user name": "bo"}},
     [{"op": "replace", "path": "userName", "value": "bo"}]),
    ("schema-as-name", USER, {"op": "replace", "path": USER_URN, "value": {"active": False}},
     [{"op": "replace", "path": "active", "value": False}]),
    ("schema-as-name", USER, {"op": "replace", "value": {USER_URN: {"active": False}}},
     [{"op": "replace", "path": "active", "value": False}]),
    ("path-as-pointer", USER, {"op": "replace", "value": {"/active": False}},
     [{"op": "replace", "path": "active", "value": False}]),
    ("value-under-its-name", USER, {"op": "replace", "path": "active", "value": {"active": False}},
     [{"op": "replace", "path": "active", "value": False}]),
    ("value-under-its-name", USER,
     {"op": "add", "path": ENTERPRISE_URN, "value": {ENTERPRISE_URN: {"department": "Sea"}}},
     [{"op": "add", "path": f"{ENTERPRISE_URN}:department", "value": "Sea"}]),
    ("remove-by-value", USER, {"op": "remove", "path": "name", "value": {"givenName": "Ana"}},
     [{"op": "remove", "path": "name.givenName"}]),
    ("remove-by-value", USER, {"op": "remove", "path": "emails", "value": [{"type": "work"}]},
     [{"op": "remove", "path": 'emails[type eq "work"]'}]),
    ("filter-on-one", USER, {"op": "Remove", "path": 'manager[value eq "m1"]'},
     [{"op": "remove", "path": f'{ENTERPRISE_URN}:manager[value eq "m1"]'}]),
    ("filter-on-one", USER,
     {"op": "remove", "path": f'{ENTERPRISE_URN}:manager[$ref eq "../Users/m1"].value'},
     [{"op": "remove", "path": f'{ENTERPRISE_URN}:manager[value eq "m1"].value'}]),
    ("filter-on-one", USER,
     {"op": "replace", "path": 'name[givenName eq "Ana"].familyName', "value": "Å"},
     [{"op": "replace", "path": 'name[givenName eq "Ana"].familyName', "value": "Å"}]),
    ("id-by-reference", USER,
     {"op": "replace", "path": "manager.$ref", "value": "https://x.example/Users/m1"},
     [{"op": "replace", "path": f"{ENTERPRISE_URN}:manager.value", "value": "m1"}]),
    ("password-dropped", USER, {"op": "replace", "path": "password", "value": "x"}, []),
    ("password-dropped", USER, {"op": "replace", "value": {"password": "x"}}, []),
    ("extension-name-in-core", USER, {"op": "add", "path": "manager", "value": [{"value": "m1"}]},
     [{"op": "add", "path": f"{ENTERPRISE_URN}:manager", "value": {"value": "m1"}}]),
    ("extension-name-in-core", USER, {"op": "add", "path": "manager.value", "value": "m1"},
     [{"op": "add", "path": f"{ENTERPRISE_URN}:manager.value", "value": "m1"}]),
    ("reference-as-text", USER, {"op": "add", "path": f"{ENTERPRISE_URN}:manager", "value": "m1"},
     [{"op": "add", "path": f"{ENTERPRISE_URN}:manager", "value": {"value": "m1"}}]),
    ("reference-as-text", USER, {"op": "add", "path": f"{ENTERPRISE_URN}:manager", "value": ""},
     [{"op": "remove", "path": f"{ENTERPRISE_URN}:manager"}]),
    ("old-urn", USER, {"op": "add", "path": f"{OLD}:department", "value": "Sea"},
     [{"op": "add", "path": f"{ENTERPRISE_URN}:department", "value": "Sea"}]),
    ("remove-by-value", USER, {"op": "Remove", "path": "emails", "value": [WORK]},
     [{"op": "remove", "path": 'emails[value eq "a@x.example" and type eq "work"]'}]),
    ("boolean-as-text", USER, {"op": "Replace", "path": "active", "value": "False"},
     [{"op": "replace", "path": "active", "value": False}]),
    ("list-of-one", USER, {"op": "add", "path": 'emails[type eq "work"]', "value": [WORK]},
     [{"op": "add", "path": 'emails[type eq "work"]', "value": WORK}]),
    ("bare-element", USER,
     {"op": "replace", "path": 'emails[type eq "work"]', "value": "a@x.example"},
     [{"op": "replace", "path": 'emails[type eq "work"]', "value": {"value": "a@x.example"}}]),
    ("op-letter-case", USER, {"op": "Add", "path": "title", "value": "Buyer"},
     [{"op": "add", "path": "title", "value": "Buyer"}]),
    ("op-letter-case", USER, {"op": "REMOVE", "path": "title"},
     [{"op": "remove", "path": "title"}]),
    ("path-as-pointer", USER, {"op": "replace", "path": "/active", "value": False},
     [{"op": "replace", "path": "active", "value": False}]),
    ("path-as-pointer", USER, {"op": "add", "path": "/name/givenName", "value": "Ana"},
     [{"op": "add", "path": "name.givenName", "value": "Ana"}]),
    ("value-in-object", GROUP,
     {"op": "replace", "path": "displayName", "value": [{"$ref": None, "value": "Crew"}]},
     [{"op": "replace", "path": "displayName", "value": "Crew"}]),
    ("object-as-text", USER, {"op": "replace", "value": '{"active":false}'},
     [{"op": "replace", "path": "active", "value": False}]),
    ("unknown-attribute", USER, {"name": "rename", "op": "add", "path": "title", "value": "Buyer"},
     [{"op": "add", "path": "title", "value": "Buyer"}]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "schema", "operation", "wanted"), OPERATIONS)
def test_operation_is_repaired_by_name(
    rule: str, schema: ResourceSchema, operation: Json, wanted: list[Json]
) -> None:
    patch = parse_patch({"schemas": [PATCH], "Operations": [operation]}, schema, Profile.COMPATIBLE)

    assert list(patch.operations) == wanted
    assert rule in patch.repairs


@pytest.mark.parametrize(("rule", "schema", "operation", "wanted"), OPERATIONS)
def test_interop_refuses_such_operations(
    rule: str, schema: ResourceSchema, operation: Json, wanted: list[Json]
) -> None:
    body = {"schemas": [PATCH], "Operations": [operation]}

    with pytest.raises(ScimError) as caught:
        parse_patch(body, schema, Profile.INTEROP)

    assert caught.value.status == 400


def test_group_members_as_bare_texts_and_with_null_refs() -> None:
    body = {
        "schemas": [GROUP_URN],
        "displayName": "Crew",
        "members": ["m1", {"value": "m2", "$ref": None, "colour": "red"}],
    }

    canonical = canonicalise(body, GROUP, Profile.COMPATIBLE)

    assert canonical.members == ("m1", "m2")
    assert canonical.repairs == ("reference-as-text", "unknown-attribute")


FILTERS = [
    ("unquoted-filter-value", "userName eq ana", 'userName eq "ana"'),
    ("unquoted-filter-value", "meta.lastModified gt 2026-01-31T08:00:00Z",
     'meta.lastModified gt "2026-01-31T08:00:00Z"'),
    ("date-form", 'meta.lastModified gt "2026-01-31"',
     'meta.lastModified gt "2026-01-31T00:00:00Z"'),
    ("date-form", 'meta.created ge "2026-01-31T08:00:00.000+0200"',
     'meta.created ge "2026-01-31T08:00:00.000+02:00"'),
    ("date-form", 'meta.created ge "2026-01-31T08:00:00 01:00"',
     'meta.created ge "2026-01-31T08:00:00+01:00"'),
    ("date-form", "meta.created ge 2026-01-31", 'meta.created ge "2026-01-31T00:00:00Z"'),
    ("old-urn", 'urn:scim:schemas:core:1.0:userName eq "ana"', 'userName eq "ana"'),
    ("old-urn", 'urn:scim:schemas:core:2.0:User:name.givenName eq "Ana"',
     'name.givenName eq "Ana"'),
    ("old-urn", f'{OLD}:department eq "Sea"', f'{ENTERPRISE_URN}:department eq "Sea"'),
    ("extension-name-in-core", 'department eq "Sea"', f'{ENTERPRISE_URN}:department eq "Sea"'),
    ("extension-name-in-core", 'manager.value eq "m1"', f'{ENTERPRISE_URN}:manager.value eq "m1"'),
    ("boolean-as-text", 'active eq "True"', "active eq true"),
    ("value-path-continued", 'emails[type eq "work"].value eq "a@x.example"',
     'emails[type eq "work" and value eq "a@x.example"]'),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "meant"), FILTERS)
def test_filter_is_repaired_by_name(rule: str, text: str, meant: str) -> None:
    read = read_filter(text, USER, Profile.COMPATIBLE)

    assert read.filter == read_filter(meant, USER, Profile.INTEROP).filter
    assert rule in read.repairs


@pytest.mark.parametrize(("rule", "text", "meant"), FILTERS)
def test_interop_refuses_such_filters(rule: str, text: str, meant: str) -> None:
    with pytest.raises(InvalidFilter):
        read_filter(text, USER, Profile.INTEROP)


def test_members_are_known_by_the_end_of_their_reference() -> None:
    body = {
        "schemas": [GROUP_URN],
        "displayName": "Crew",
        "members": [
            {"$ref": "https://idp.example/scim/Users/m1/"},
            {"$REF": "../Users/m2?x=1"},
            "https://idp.example/Users/m3",
        ],
    }

    canonical = canonicalise(body, GROUP, Profile.COMPATIBLE)

    assert canonical.members == ("m1", "m2", "m3")
    assert canonical.repairs == ("id-by-reference", "reference-as-text")


def test_one_operation_need_not_be_in_a_list() -> None:
    body = {"schemas": [PATCH], "Operations": {"op": "remove", "path": "title"}}

    assert parse_patch(body, USER, Profile.COMPATIBLE).repairs == ("object-for-list",)
    with pytest.raises(InvalidSyntax):
        parse_patch(body, USER, Profile.INTEROP)


def test_text_that_only_looks_like_an_object_stays_a_text() -> None:
    for text in ("{", "{a}", '{"value": 5', "{}", '{"a": "b"}'):
        canonical = canonicalise(user(roles=[{"value": text}]), USER, Profile.COMPATIBLE)

        assert canonical.resource["roles"] == [{"value": text}]


@pytest.mark.parametrize(("rule", "attributes", "kept"), [
    ("value-path-in-list", 'emails[type eq "work"].value', {"emails": [{"value": "a@x.example"}]}),
    ("value-path-in-list", 'emails[type eq "a,b"],title', {"emails": [WORK], "title": "Buyer"}),
    ("extension-name-in-core", "department", {ENTERPRISE_URN: {"department": "Sea"}}),
    ("old-urn", f"{OLD}:department", {ENTERPRISE_URN: {"department": "Sea"}}),
    ("old-urn", "urn:scim:schemas:core:1.0:title", {"title": "Buyer"}),
])  # fmt: skip
def test_list_of_attributes_is_repaired_by_name(rule: str, attributes: str, kept: Json) -> None:
    shown = {"id": "7", "title": "Buyer", "emails": [WORK], ENTERPRISE_URN: {"department": "Sea"}}

    lenient = parse_projection(attributes, None, USER, Profile.COMPATIBLE)

    assert lenient is not None
    assert rule in lenient.repairs
    assert project(shown, lenient, USER) == {"id": "7", **kept}


def test_interop_takes_no_path_filter_in_a_list_of_attributes() -> None:
    with pytest.raises(InvalidValue):
        parse_projection('emails[type eq "work"].value', None, USER, Profile.INTEROP)

    strict = parse_projection("department", None, USER, Profile.INTEROP)
    assert strict is not None
    assert strict.repairs == ()
    assert project({"id": "7", ENTERPRISE_URN: {"department": "Sea"}}, strict, USER) == {"id": "7"}


def test_another_id_for_a_member_is_another_member() -> None:
    """RFC 7643 §4.2: members.value is immutable."""
    operation = {"op": "replace", "path": 'members[value eq "m1"].value', "value": "m2"}
    body = {"schemas": [PATCH], "Operations": [operation]}

    patch = parse_patch(body, GROUP, Profile.COMPATIBLE)

    assert patch.members == MemberDelta(clear=False, add=("m2",), remove=("m1",))
    assert patch.repairs == ("member-exchanged",)
    with pytest.raises(Mutability):
        parse_patch(body, GROUP, Profile.INTEROP)
    same = {"schemas": [PATCH], "Operations": [{**operation, "value": "m1"}]}
    assert parse_patch(same, GROUP, Profile.INTEROP).repairs == ()


def test_every_rule_is_played_in_this_file() -> None:
    played = {rule for rule, *_ in (*RESOURCES, *OPERATIONS, *FILTERS)}
    elsewhere = {
        "id-by-reference",
        "value-path-in-list",
        "create-by-filter",
        "member-exchanged",
        "number-as-text",
        "member-deleted",
        "uuid-form",
    }

    assert set(RULES) - elsewhere <= played


def test_every_rule_says_what_it_does() -> None:
    assert all(rule.doc.endswith(".") and rule.name == name for name, rule in RULES.items())


def test_only_rules_of_the_table_can_fire() -> None:
    with pytest.raises(KeyError):
        Repairs(Profile.COMPATIBLE).fire("no-such-rule")
