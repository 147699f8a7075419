"""Attribute tables and discovery say the same (RFC 7643 §5 to §8)."""

import json
from typing import Any

import pytest

from rollcall.scim.discovery import resource_types, schemas, service_provider_config
from rollcall.scim.profile import Profile
from rollcall.scim.schema import (
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
SERVED = (*DOCUMENTS, "ServiceProviderConfig", "ResourceType", "Schema")


def _all_attributes(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    level: list[dict[str, Any]] = document["attributes"]
    while level:
        found += level
        level = [sub for attribute in level for sub in attribute.get("subAttributes", [])]
    return found


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


@pytest.mark.parametrize("name", SERVED)
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
        if attribute["type"] in ("string", "reference", "binary"):
            wanted |= {"caseExact"}
        assert wanted <= attribute.keys(), attribute["name"]
        assert attribute.keys() <= wanted | {"canonicalValues"}, attribute["name"]
        assert ("uniqueness" in attribute) == (attribute["type"] != "complex")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_type_has_suggested_values(name: str) -> None:
    """Each multi-valued attribute with a `type` says which ones are usual (interop profile)."""
    for attribute in json.loads(read_document(name))["attributes"]:
        subs = {sub["name"]: sub for sub in attribute.get("subAttributes", [])}
        if attribute["multiValued"] and "type" in subs:
            assert subs["type"]["canonicalValues"], attribute["name"]


def _described(document: dict[str, Any], attributes: list[dict[str, Any]], place: str) -> None:
    """Fail where a document has what its schema does not describe, or not as described."""
    table = {attribute["name"]: attribute for attribute in attributes}
    kinds = {"string": str, "reference": str, "boolean": bool, "integer": int, "complex": dict}
    missing = {name for name, attribute in table.items() if attribute["required"]} - document.keys()
    assert not missing, place
    for name, value in document.items():
        assert name in table, f"{place}.{name}"
        assert isinstance(value, list) == table[name]["multiValued"], f"{place}.{name}"
        for item in value if isinstance(value, list) else [value]:
            assert type(item) is kinds[table[name]["type"]], f"{place}.{name}"
            if "canonicalValues" in table[name]:
                assert item in table[name]["canonicalValues"], f"{place}.{name}"
            if isinstance(item, dict):
                subs = table[name].get("subAttributes", [])
                if name == "subAttributes":  # the Schema schema describes itself, without end
                    subs = [*subs, table[name]]
                _described(item, subs, f"{place}.{name}")


def test_what_discovery_serves_is_as_its_own_schemas_describe_it() -> None:
    """RFC 7643 §8.7.2: the schemas of ServiceProviderConfig, ResourceType and Schema hold."""
    attributes = {document["id"]: document["attributes"] for document in schemas(BASE)}
    served = [
        service_provider_config(BASE, Profile.COMPATIBLE),
        service_provider_config(BASE, Profile.INTEROP),
        *resource_types(BASE),
        *schemas(BASE),
    ]

    for document in served:
        [urn] = document.pop("schemas")
        meta = document.pop("meta")
        assert meta["resourceType"] == urn.rpartition(":")[2]
        assert meta["location"].startswith(f"{BASE}/")
        if meta["resourceType"] == "ServiceProviderConfig":
            del document["id"]  # common to all resources, and for that reason in no schema
        _described(document, attributes[urn], meta["location"])


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

    for name, document in zip(SERVED, served, strict=True):
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
        "sort": True, "etag": True,
    }  # fmt: skip
    assert "securityEvents" not in config


def test_pages_are_announced_as_they_are() -> None:
    """RFC 9865 §4: `cursor` and `index` are required, and the default must be one that works."""
    config = service_provider_config(BASE, Profile.COMPATIBLE)

    assert config["filter"] == {"supported": True, "maxResults": 1000}
    assert config["pagination"] == {
        "cursor": False, "index": True, "defaultPaginationMethod": "index",
        "defaultPageSize": 100, "maxPageSize": 1000,
    }  # fmt: skip


def test_only_the_interop_profile_says_that_it_keeps_to_the_interop_profile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rollcall.scim.discovery.INTEROP_HOLDS", True)

    compatible, interop = (
        service_provider_config(BASE, profile).get("interopProfileConformant")
        for profile in (Profile.COMPATIBLE, Profile.INTEROP)
    )

    assert (compatible, interop) == (None, True)
