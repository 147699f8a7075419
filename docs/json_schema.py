"""JSON Schemas of resources and messages, made from the attribute tables. For `openapi.py`.

What is served is described exactly: no name that is not listed. What is taken is described in its
canonical form: a client that keeps to it is understood in every profile, and what the compatible
profile takes beyond it (docs/scim.md) is not described.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import orjson

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import ERROR_URN, ScimError
from rollcall.scim.limits import MAX_ELEMENTS, MAX_OPERATIONS
from rollcall.scim.page import LIST_URN
from rollcall.scim.schema import GROUP, USER, Attribute, ResourceSchema, read_document

PATCH_URN: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH_URN: Final = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
URI: Final[Json] = {"type": "string", "format": "uri"}
TEXT: Final[Json] = {"type": "string"}
FLAG: Final[Json] = {"type": "boolean"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}

_KINDS: Final[Mapping[str, Json]] = {
    "string": TEXT,
    "reference": TEXT,
    "boolean": FLAG,
    "integer": {"type": "integer"},
    "decimal": {"type": "number"},
    "dateTime": {"type": "string", "format": "date-time"},
    "binary": {"type": "string", "contentEncoding": "base64"},
}
_DOCUMENTS: Final = {"User": ("User", "EnterpriseUser"), "Group": ("Group",)}


def ref(name: str) -> Json:
    """A reference to one of `schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> Json:
    """Name → JSON Schema of everything that travels in a body."""
    return {
        "User": _served(USER),
        "UserToWrite": _taken(USER),
        "Group": _served(GROUP),
        "GroupToWrite": _taken(GROUP),
        "PatchRequest": _patch_request(),
        "SearchRequest": _search_request(),
        "UserList": _list_of("User"),
        "GroupList": _list_of("Group"),
        "ResourceTypeList": _list_of("ResourceType"),
        "SchemaList": _list_of("Schema"),
        "ServiceProviderConfig": _document("ServiceProviderConfig", ("patch", "filter", "etag")),
        "ResourceType": _document("ResourceType", ("id", "name", "endpoint", "schema")),
        "Schema": _document("Schema", ("id", "name", "attributes")),
        "Error": _error(),
    }


def closed(properties: Json, required: Iterable[str] = ()) -> Json:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _served(schema: ResourceSchema) -> Json:
    """A representation; with `attributes` or `excludedAttributes` it is a part of this."""
    properties = {
        attribute.name: _schema_of(attribute, is_served=True)
        for attribute in _distinct(schema.attributes)
        if attribute.returned != "never"
    }
    properties["schemas"] = _urns(schema)
    properties["id"] = {"type": "string", "format": "uuid"}
    properties["meta"] = {
        **closed(properties["meta"]["properties"], ("resourceType", "created", "lastModified")),
        "description": "What the server says of the resource; `version` is its ETag.",
    }
    return {**_with_extensions(schema, properties, is_served=True), "required": ["schemas", "id"]}


def _taken(schema: ResourceSchema) -> Json:
    """What POST and PUT take, without what only the server sets."""
    properties = {
        attribute.name: _schema_of(attribute, is_served=False)
        for attribute in _distinct(schema.attributes)
        if not attribute.is_read_only
    }
    properties["schemas"] = _urns(schema)
    required = ["schemas", *(attribute.name for attribute in schema.required)]
    return {**_with_extensions(schema, properties, is_served=False), "required": required}


def _urns(schema: ResourceSchema) -> Json:
    return {
        "type": "array",
        "items": {"enum": [schema.urn, *schema.extension_urns]},
        "contains": {"const": schema.urn},
        "uniqueItems": True,
        "minItems": 1,
        "description": "The URNs of the schemas whose attributes are present (RFC 7643 §3).",
    }


def _with_extensions(schema: ResourceSchema, properties: Json, *, is_served: bool) -> Json:
    for urn in schema.extension_urns:
        attributes = _distinct(schema.extensions[urn].attributes)
        parts = {each.name: _schema_of(each, is_served=is_served) for each in attributes}
        properties[urn] = closed(parts)
    return closed(properties)


def _distinct(table: Mapping[str, Attribute]) -> list[Attribute]:
    """The attributes of a table that is keyed by two spellings."""
    return list({attribute.name: attribute for attribute in table.values()}.values())


def _schema_of(attribute: Attribute, *, is_served: bool) -> Json:
    """The JSON Schema of an attribute's value, all elements of a multi-valued one included."""
    if attribute.is_complex:
        subs = [
            sub
            for sub in _distinct(attribute.subs)
            if is_served or not (sub.is_read_only or sub.name == "$ref")
        ]
        parts = {sub.name: _schema_of(sub, is_served=is_served) for sub in subs}
        needed = ("value",) if attribute.is_resource_reference else ()
        value = closed(parts, needed)
    else:
        value = dict(_KINDS[attribute.kind])
        if value["type"] == "string" and not attribute.is_read_only and "format" not in value:
            value["maxLength"] = attribute.max_length
            if attribute.required:
                value["minLength"] = 1
    if attribute.multi_valued:
        value = {"type": "array", "items": value}
        if attribute.name != "members" and not attribute.is_read_only:
            value["maxItems"] = MAX_ELEMENTS
    description = _descriptions().get(attribute.path)
    return value if description is None else {**value, "description": description}


def _descriptions() -> Mapping[str, str]:
    """Path → the description in the schema documents, top level only."""
    found: dict[str, str] = {}
    for names in _DOCUMENTS.values():
        for name in names:
            document = orjson.loads(read_document(name))
            prefix = f"{document['id']}:" if "extension" in document["id"] else ""
            for item in document["attributes"]:
                found[f"{prefix}{item['name']}"] = item["description"]
    return found


def _patch_request() -> Json:
    path = {**TEXT, "minLength": 1, "description": "An attribute, or a value path (§3.5.2)."}
    operation = {
        "type": "object",
        "properties": {
            "op": {"enum": ["add", "remove", "replace"]},
            "path": path,
            "value": {"description": "What to put there; of the kind that the path names."},
        },
        "required": ["op"],
    }
    operations = {"type": "array", "items": operation, "minItems": 1, "maxItems": MAX_OPERATIONS}
    properties = {"schemas": _message_urn(PATCH_URN), "Operations": operations}
    return {**closed(properties, properties), "description": "RFC 7644 §3.5.2; all or nothing."}


def _search_request() -> Json:
    names = {"type": "array", "items": TEXT}
    properties = {
        "schemas": _message_urn(SEARCH_URN),
        "filter": TEXT,
        "attributes": names,
        "excludedAttributes": names,
        "sortBy": TEXT,
        "sortOrder": {"enum": ["ascending", "descending"]},
        "startIndex": {"type": "integer"},
        "count": {"type": "integer"},
    }
    return {**closed(properties, ("schemas",)), "description": "RFC 7644 §3.4.3."}


def _list_of(name: str) -> Json:
    properties = {
        "schemas": _message_urn(LIST_URN),
        "totalResults": COUNT,
        "startIndex": {"type": "integer", "minimum": 1},
        "itemsPerPage": COUNT,
        "Resources": {"type": "array", "items": ref(name)},
    }
    return closed(properties, ("schemas", "totalResults"))


def _message_urn(urn: str) -> Json:
    return {"type": "array", "items": {"const": urn}, "minItems": 1, "maxItems": 1}


def _document(name: str, required: tuple[str, ...]) -> Json:
    """A discovery document (RFC 7643 §5 to §7): `/Schemas` describes it in full."""
    urn = f"urn:ietf:params:scim:schemas:core:2.0:{name}"
    properties = {
        "schemas": _message_urn(urn),
        "id": TEXT,
        "name": TEXT,
        "meta": closed({"resourceType": {"const": name}, "location": URI}, ("location",)),
        "attributes": {"type": "array", "items": {"type": "object", "required": ["name", "type"]}},
    }
    return {"type": "object", "properties": properties, "required": ["schemas", "meta", *required]}


def _error() -> Json:
    types = sorted({kind.scim_type for kind in ScimError.__subclasses__() if kind.scim_type})
    properties = {
        "schemas": _message_urn(ERROR_URN),
        "status": {"type": "string", "pattern": "^[45][0-9]{2}$"},
        "scimType": {"enum": types},
        "detail": {**TEXT, "description": "What to change, for an administrator to read."},
    }
    return {**closed(properties, ("schemas", "status", "detail")), "description": "RFC 7644 §3.12."}
