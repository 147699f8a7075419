"""What identity providers send that the RFC does not allow: each repair by its name."""

from typing import Any

import pytest

from shared.scim.errors import ScimError
from shared.scim.json_body import Json
from shared.scim.patch import parse_patch
from shared.scim.profile import Profile
from shared.scim.quirks import RULES, Repairs
from shared.scim.resource import canonicalise
from shared.scim.schema import ENTERPRISE_URN, GROUP, GROUP_URN, USER, USER_URN, ResourceSchema

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
    ("unknown-attribute", user(favouriteColour="green", name={"nick": "A"}), {}),
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
    ("unknown-attribute", USER, {"op": "add", "path": "favouriteColour", "value": "green"}, []),
    ("unknown-attribute", USER, {"op": "add", "path": "name.nick", "value": "A"}, []),
    ("unknown-attribute", USER, {"op": "add", "path": "urn:acme:2.0:User:badge", "value": "A"}, []),
    ("unknown-attribute", USER, {"op": "add", "value": {"favourite colour": "A"}}, []),
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


@pytest.mark.parametrize("op", ["Add", "ADD", "add"])
@pytest.mark.parametrize("profile", Profile)
def test_op_has_no_letter_case(op: str, profile: Profile) -> None:
    body = {"schemas": [PATCH], "Operations": [{"op": op, "path": "title", "value": "Buyer"}]}

    assert parse_patch(body, USER, profile).operations[0]["op"] == "add"


def test_group_members_as_bare_texts_and_with_null_refs() -> None:
    body = {
        "schemas": [GROUP_URN],
        "displayName": "Crew",
        "members": ["m1", {"value": "m2", "$ref": None, "colour": "red"}],
    }

    canonical = canonicalise(body, GROUP, Profile.COMPATIBLE)

    assert canonical.members == ("m1", "m2")
    assert canonical.repairs == ("reference-as-text", "unknown-attribute")


def test_every_rule_says_what_it_does() -> None:
    assert all(rule.doc.endswith(".") and rule.name == name for name, rule in RULES.items())


def test_only_rules_of_the_table_can_fire() -> None:
    with pytest.raises(KeyError):
        Repairs(Profile.COMPATIBLE).fire("no-such-rule")
