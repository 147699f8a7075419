"""Attribute tables and discovery say the same (RFC 7643 §5 to §8)."""

import json
from typing import Any

import pytest

from shared.scim.discovery import resource_types, schemas, service_provider_config
from shared.scim.profile import Profile
from shared.scim.schema import (
    ENTERPRISE_URN,
    GROUP,
    USER,
    USER_URN,
    Attribute,
    Extension,
    ResourceSchema,
    read_document,
)

BASE = "https://scim.example/v2/org"
DOCUMENTS = ("User", "EnterpriseUser", "Group")


def _all_attributes(document: dict[str, Any]) -> list[dict[str, Any]]:
    top: list[dict[str, Any]] = document["attributes"]
    return top + [sub for attribute in top for sub in attribute.get("subAttributes", [])]


@pytest.mark.parametrize("name", ["userName", "USERNAME", "username"])
def test_names_have_no_letter_case(name: str) -> None:
    found = USER.attribute(name)

    assert found is not None
    assert found.name == "userName"


@pytest.mark.parametrize("name", [
    f"{ENTERPRISE_URN}:department", f"{ENTERPRISE_URN.upper()}:DEPARTMENT",
])  # fmt: skip
def test_extension_attribute_is_found_by_its_urn(name: str) -> None:
    found = USER.resolve(name)

    assert isinstance(found, Attribute)
    assert found.path == f"{ENTERPRISE_URN}:department"


def test_core_attribute_is_found_by_its_urn() -> None:
    assert USER.resolve(f"{USER_URN}:title") is USER.attribute("title")


def test_urn_alone_is_the_extension() -> None:
    assert isinstance(USER.resolve(ENTERPRISE_URN), Extension)
    assert GROUP.resolve(ENTERPRISE_URN) is None


@pytest.mark.parametrize("schema", [USER, GROUP], ids=lambda schema: schema.name)
def test_every_announced_attribute_is_in_the_table(schema: ResourceSchema) -> None:
    document = json.loads(read_document(schema.name))

    for announced in document["attributes"]:
        compiled = schema.attribute(announced["name"])
        assert compiled is not None
        assert compiled.kind == announced["type"]
        assert compiled.multi_valued == announced["multiValued"]
        assert compiled.mutability == announced["mutability"]
        assert {sub.name for sub in compiled.subs.values()} == {
            sub["name"] for sub in announced.get("subAttributes", [])
        }


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_attribute_has_all_characteristics(name: str) -> None:
    """RFC 7643 §7, with errata 5606, 6004 and 8435."""
    for attribute in _all_attributes(json.loads(read_document(name))):
        wanted = {
            "name",
            "type",
            "multiValued",
            "description",
            "required",
            "mutability",
            "returned",
        }
        if attribute["type"] == "complex":
            wanted |= {"subAttributes"}
        else:
            wanted |= {"uniqueness"}
        if attribute["type"] == "reference":
            wanted |= {"referenceTypes"}
        assert wanted <= attribute.keys(), attribute["name"]
        assert ("uniqueness" in attribute) == (attribute["type"] != "complex")


def test_errata_are_in() -> None:
    """5368: a group's name is required; 8471: groups.$ref is a Group; 8472: manager.value."""
    user, enterprise, group = (json.loads(read_document(name)) for name in DOCUMENTS)
    by_name = {attribute["name"]: attribute for attribute in _all_attributes(group)}
    groups = next(item for item in user["attributes"] if item["name"] == "groups")
    manager = next(item for item in enterprise["attributes"] if item["name"] == "manager")

    assert by_name["displayName"]["required"] is True
    assert groups["subAttributes"][1]["referenceTypes"] == ["Group"]
    assert manager["subAttributes"][0]["caseExact"] is True


def test_no_password_anywhere() -> None:
    assert all(b"password" not in read_document(name).lower() for name in DOCUMENTS)


def test_discovery_serves_the_documents_that_validation_reads() -> None:
    served = schemas(BASE)

    for name, document in zip(DOCUMENTS, served, strict=True):
        meta = document.pop("meta")
        assert document == json.loads(read_document(name))
        assert meta["location"] == f"{BASE}/Schemas/{document['id']}"


def test_resource_types_name_endpoint_and_extension() -> None:
    user, group = resource_types(BASE)

    assert user["endpoint"] == "/Users"
    assert user["schemaExtensions"] == [{"schema": ENTERPRISE_URN, "required": False}]
    assert group["schemaExtensions"] == []
    assert group["meta"]["location"] == f"{BASE}/ResourceTypes/Group"


def test_service_provider_config_announces_only_what_works() -> None:
    config = service_provider_config(BASE, Profile.COMPATIBLE)

    supported = {name: part["supported"] for name, part in config.items() if "supported" in part}
    assert supported == {
        "patch": True, "bulk": False, "filter": True, "changePassword": False,
        "sort": False, "etag": False,
    }  # fmt: skip
    assert config["filter"]["maxResults"] > 0
    assert "pagination" not in config
    assert "securityEvents" not in config
