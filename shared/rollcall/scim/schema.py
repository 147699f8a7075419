"""Attribute tables, compiled once from the schema documents that discovery serves (RFC 7643 §7).

Validation, PATCH, filters and projection all use these tables, so what discovery announces is what
the service does. Names are looked up without letter case (RFC 7643 §2.1), but first as they are
spelled, which is nearly always right.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

import orjson

from rollcall.scim.body.json_body import Json, small_letters
from rollcall.scim.limits import MAX_ADDRESS, MAX_BINARY, MAX_NAME, MAX_TEXT, MAX_TYPE

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

Kind = Literal[
    "string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex"
]
Check = Literal["mailbox", "user_name"]

# Limits and checks that a schema document cannot express, by the attribute's path.
_LENGTHS = {
    "userName": MAX_ADDRESS,
    "emails.value": MAX_ADDRESS,
    "emails.type": MAX_TYPE,
    "externalId": MAX_NAME,
    "displayName": MAX_NAME,
    "nickName": MAX_NAME,
    "title": MAX_NAME,
    "members.value": MAX_ADDRESS,
    "name": MAX_NAME,
}
_CHECKS: Mapping[str, Check] = {"userName": "user_name", "emails.value": "mailbox"}
_MULTI_LINE = frozenset({"addresses.formatted", "addresses.streetAddress"})


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """One attribute or sub-attribute with its characteristics (RFC 7643 §2.2).

    `path` is its canonical spelling in a PATCH path: `emails.value`, with the URN in front for an
    extension. `urn` is the extension's URN, None in the core schema.
    """

    name: str
    path: str
    kind: Kind
    urn: str | None
    multi_valued: bool
    required: bool
    case_exact: bool
    mutability: str
    returned: str
    max_length: int
    multi_line: bool
    check: Check | None
    subs: Mapping[str, "Attribute"] = field(repr=False)
    is_complex: bool = field(init=False, repr=False)
    is_read_only: bool = field(init=False, repr=False)
    is_resource_reference: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute once what is asked for each value.

        Whether it has sub-attributes; whether only the server sets it; whether its value is the id
        of another resource, as in `manager` and `members`.
        """
        object.__setattr__(self, "is_complex", self.kind == "complex")
        object.__setattr__(self, "is_read_only", self.mutability == "readOnly")
        object.__setattr__(self, "is_resource_reference", "$ref" in self.subs)

    def sub(self, name: str) -> "Attribute | None":
        """The sub-attribute with this name, in any letter case."""
        return self.subs.get(name) or self.subs.get(small_letters(name))


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """A schema extension of a resource type; its attributes are under its URN."""

    urn: str
    attributes: Mapping[str, Attribute] = field(repr=False)

    def attribute(self, name: str) -> Attribute | None:
        """The attribute with this name, in any letter case."""
        return self.attributes.get(name) or self.attributes.get(small_letters(name))


@dataclass(frozen=True, slots=True, eq=False)
class ResourceSchema:
    """A resource type: its core attributes (common ones included) and its extensions.

    `attributes` and `extensions` are keyed by the canonical and the lower-case name.
    """

    name: Literal["User", "Group"]
    endpoint: Literal["Users", "Groups"]
    urn: str
    attributes: Mapping[str, Attribute] = field(repr=False)
    extensions: Mapping[str, Extension] = field(repr=False)
    required: tuple[Attribute, ...] = field(repr=False)

    def attribute(self, name: str) -> Attribute | None:
        """The core or common attribute with this name, in any letter case."""
        return self.attributes.get(name) or self.attributes.get(small_letters(name))

    def extension(self, urn: str) -> Extension | None:
        """The extension with this URN, in any letter case."""
        return self.extensions.get(urn) or self.extensions.get(small_letters(urn))

    def resolve(self, name: str) -> Attribute | Extension | None:
        """What a name means: plain, qualified by a URN, or an extension's URN itself."""
        found = self.attribute(name) or self.extension(name)
        if found is not None or ":" not in name:
            return found
        urn, _, rest = name.rpartition(":")
        if small_letters(urn) == self.urn.lower():
            return self.attribute(rest)
        extension = self.extension(urn)
        return extension.attribute(rest) if extension is not None else None

    def extension_attribute(self, name: str) -> Attribute | None:
        """The attribute of any extension that has this plain name."""
        for extension in self.extensions.values():
            found = extension.attribute(name)
            if found is not None:
                return found
        return None

    @property
    def extension_urns(self) -> tuple[str, ...]:
        """The URNs of the extensions in canonical spelling."""
        return tuple(dict.fromkeys(extension.urn for extension in self.extensions.values()))


def read_document(name: str) -> bytes:
    """The bytes of a schema document of this package: `User`, `EnterpriseUser`, `Group`."""
    return resources.files(__package__).joinpath("schemas", f"{name}.json").read_bytes()


def _by_both_spellings(attributes: list[Attribute]) -> Mapping[str, Attribute]:
    table = {attribute.name: attribute for attribute in attributes}
    table |= {attribute.name.lower(): attribute for attribute in attributes}
    return MappingProxyType(table)


def _compile(document: Json, parent: str, urn: str | None) -> Attribute:
    name: str = document["name"]
    prefix = f"{urn}:" if urn is not None and not parent else ""
    path = f"{parent}.{name}" if parent else f"{prefix}{name}"
    kind: Kind = document["type"]
    subs: list[Any] = document.get("subAttributes", [])
    default_length = MAX_BINARY if kind == "binary" else MAX_TEXT
    return Attribute(
        name=name,
        path=path,
        kind=kind,
        urn=urn,
        multi_valued=document.get("multiValued", False),
        required=document.get("required", False),
        case_exact=document.get("caseExact", False),
        mutability=document.get("mutability", "readWrite"),
        returned=document.get("returned", "default"),
        max_length=_LENGTHS.get(path) or _LENGTHS.get(parent) or default_length,
        multi_line=path in _MULTI_LINE,
        check=_CHECKS.get(path),
        subs=_by_both_spellings([_compile(sub, path, urn) for sub in subs]),
    )


def _read_only(name: str, kind: str = "string", **more: Any) -> Json:
    return {"name": name, "type": kind, "mutability": "readOnly", "caseExact": True, **more}


# RFC 7643 §3.1: common to all resources, and therefore in no schema document.
_COMMON: list[Json] = [
    {"name": "schemas", "type": "reference", "multiValued": True, "returned": "always"},
    _read_only("id", returned="always"),
    {"name": "externalId", "type": "string", "caseExact": True},
    _read_only(
        "meta",
        "complex",
        subAttributes=[
            _read_only("resourceType"),
            _read_only("created", "dateTime"),
            _read_only("lastModified", "dateTime"),
            _read_only("location", "reference"),
            _read_only("version"),
        ],
    ),
]


def _resource_schema(
    name: Literal["User", "Group"],
    endpoint: Literal["Users", "Groups"],
    extension_names: tuple[str, ...],
) -> ResourceSchema:
    document = orjson.loads(read_document(name))
    attributes = [_compile(item, "", None) for item in (*_COMMON, *document["attributes"])]
    extensions: dict[str, Extension] = {}
    for extension_name in extension_names:
        part = orjson.loads(read_document(extension_name))
        urn: str = part["id"]
        table = _by_both_spellings([_compile(item, "", urn) for item in part["attributes"]])
        extensions[urn] = extensions[urn.lower()] = Extension(urn, table)
    return ResourceSchema(
        name=name,
        endpoint=endpoint,
        urn=document["id"],
        attributes=_by_both_spellings(attributes),
        extensions=MappingProxyType(extensions),
        required=tuple(attribute for attribute in attributes if attribute.required),
    )


USER = _resource_schema("User", "Users", ("EnterpriseUser",))
GROUP = _resource_schema("Group", "Groups", ())
