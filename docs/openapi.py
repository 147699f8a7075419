"""The SCIM interface as an OpenAPI 3.1 document: what is served, with every status it can have.

`docs/openapi.yaml` is written from here (`make docs`), the resources in it from the same tables as
validation. Tests compare the file, and let a fuzzer hold a running server to it.
"""

from collections.abc import Iterable
from typing import Final

from docs.json_schema import ref, schemas
from rollcall.scim.body.json_body import Json
from rollcall.scim.schema import GROUP, USER, ResourceSchema

MEDIA_TYPE: Final = "application/scim+json"
READ_FAILURES: Final = (400, 401, 403, 429, 503)
"""What any read can be refused with."""
WRITE_FAILURES: Final = (*READ_FAILURES, 408, 413, 415)
"""What anything with a body can be refused with."""

_MEANINGS: Final = {
    304: "The client's copy is current (`If-None-Match`).",
    400: "The request is wrong; `scimType` and `detail` say how.",
    401: "The API key is missing, or opens nothing here.",
    403: "SCIM is off for the organisation, the key is limited, or no filter is taken here.",
    404: "There is no such resource in this organisation.",
    408: "The body did not arrive in time.",
    409: "The value of `userName` or `displayName` is taken, or of `externalId` where unique.",
    412: "The resource has another version than `If-Match` says; nothing was changed.",
    413: "The body is over a limit; the detail names it.",
    415: "The body is no JSON, or is compressed.",
    429: "More requests than this organisation may send; see `Retry-After`.",
    503: "Nothing was done, or it says that the outcome is unknown; see `Retry-After`.",
}
_OUTCOME: Final[Json] = {
    "Rollcall-Outcome": {
        "description": "Present where the answer was given before the change was applied.",
        "schema": {"enum": ["pending", "parked"]},
    }
}
_OF_EACH: Final[Json] = {
    "Rollcall-Request-Id": {
        "description": "The id of this request; of a change, that of its event.",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    },
    "X-Request-Id": {
        "description": "The client's own id of the request, where it sent one that looks like one.",
        "schema": {"type": "string", "maxLength": 128},
    },
}
"""The headers of every answer."""
_NAMED: Final[Json] = {name: {"$ref": f"#/components/headers/{name}"} for name in _OF_EACH}
_NO_HEADERS: Final[Json] = {}
_ETAG: Final[Json] = {
    "ETag": {"description": "The version (`meta.version`).", "schema": {"type": "string"}}
}
_LOCATION: Final[Json] = {
    "Location": {
        "description": "The address of the new resource.",
        "required": True,
        "schema": {"type": "string", "format": "uri"},
    }
}


def document() -> Json:
    """The OpenAPI document of one organisation's SCIM base."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall SCIM",
            "version": "2.0.0",
            "description": (
                "SCIM 2.0 (RFC 7643, RFC 7644) for identity providers. A change is answered when "
                "it is applied, or, while the service is behind, when it is accepted for good; "
                "`Rollcall-Outcome` tells the two apart."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [
            {
                "url": "http://127.0.0.1:8080/v2/{organisation}",
                "variables": {"organisation": {"default": "ORGANISATION"}},
            }
        ],
        "security": [{"apiKey": []}],
        "paths": {**_resource_paths(USER), **_resource_paths(GROUP), **_discovery_paths()},
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key of the organisation (`rollcall key create`).",
                }
            },
            "headers": _OF_EACH,
            "parameters": _parameters(),
            "responses": {_failure_name(status): _failure(status) for status in _MEANINGS},
            "schemas": schemas(),
        },
    }


def _resource_paths(schema: ResourceSchema) -> Json:
    name, endpoint = schema.name, f"/{schema.endpoint}"
    found = _answer(f"A page of {schema.endpoint}.", f"{name}List")
    one = _answer(f"The {name}.", name, {**_ETAG, **_OUTCOME})
    created = _answer(f"The new {name}.", name, {**_LOCATION, **_ETAG, **_OUTCOME})
    done: Json = {
        "description": "Done, without a body.",
        "headers": {**_NAMED, **_ETAG, **_OUTCOME},
    }
    shown = ("attributes", "excludedAttributes")
    paged = (*shown, "filter", "sortBy", "sortOrder", "startIndex", "count")
    conditional = ("ifMatch", "prefer")
    changed = (*WRITE_FAILURES, 404, 409, 412)
    return {
        endpoint: {
            "get": _operation(f"list{endpoint[1:]}", {200: found}, READ_FAILURES, paged),
            "post": _operation(
                f"create{name}",
                {201: created},
                (*WRITE_FAILURES, 409),
                (*shown, "prefer"),
                body=f"{name}ToWrite",
            ),
        },
        f"{endpoint}/.search": {
            "post": _operation(
                f"search{endpoint[1:]}", {200: found}, WRITE_FAILURES, body="SearchRequest"
            )
        },
        f"{endpoint}/{{id}}": {
            "parameters": [_parameter("id")],
            "get": _operation(
                f"get{name}", {200: one}, (*READ_FAILURES, 304, 404), (*shown, "ifNoneMatch")
            ),
            "put": _operation(
                f"replace{name}",
                {200: one, 204: done},
                changed,
                (*shown, *conditional),
                body=f"{name}ToWrite",
            ),
            "patch": _operation(
                f"patch{name}",
                {200: one, 204: done},
                changed,
                (*shown, *conditional),
                body="PatchRequest",
            ),
            "delete": _operation(
                f"delete{name}", {204: done}, (*READ_FAILURES, 404, 409, 412), ("ifMatch",)
            ),
        },
    }


def _discovery_paths() -> Json:
    config = _answer("What the service can do.", "ServiceProviderConfig")
    paths: Json = {
        "/ServiceProviderConfig": {
            "get": _operation("getServiceProviderConfig", {200: config}, READ_FAILURES)
        }
    }
    for endpoint, name in (("ResourceTypes", "ResourceType"), ("Schemas", "Schema")):
        listed = _answer(f"All {endpoint}.", f"{name}List")
        one = _answer(f"The {name}.", name)
        paths[f"/{endpoint}"] = {"get": _operation(f"list{endpoint}", {200: listed}, READ_FAILURES)}
        paths[f"/{endpoint}/{{name}}"] = {
            "parameters": [_parameter("name")],
            "get": _operation(f"get{name}", {200: one}, (*READ_FAILURES, 404)),
        }
    return paths


def _operation(
    operation_id: str,
    answers: dict[int, Json],
    failures: Iterable[int],
    parameters: Iterable[str] = (),
    *,
    body: str | None = None,
) -> Json:
    responses: Json = {str(status): answer for status, answer in answers.items()}
    for status in sorted(failures):
        responses[str(status)] = {"$ref": f"#/components/responses/{_failure_name(status)}"}
    operation: Json = {
        "operationId": operation_id,
        "parameters": [_parameter(name) for name in parameters],
        "responses": responses,
    }
    if body is not None:
        content = {media: {"schema": ref(body)} for media in (MEDIA_TYPE, "application/json")}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(description: str, name: str, headers: Json = _NO_HEADERS) -> Json:
    content = {MEDIA_TYPE: {"schema": ref(name)}}
    return {"description": description, "content": content, "headers": {**_NAMED, **headers}}


def _failure_name(status: int) -> str:
    return f"Status{status}"


def _failure(status: int) -> Json:
    if status == 304:
        return {"description": _MEANINGS[status], "headers": {**_NAMED, **_ETAG}}
    headers: Json = {}
    if status == 401:
        headers = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    if status in (429, 503):
        wait = {"type": "integer", "minimum": 1}
        headers = {"Retry-After": {"description": "Seconds.", "required": True, "schema": wait}}
    return _answer(_MEANINGS[status], "Error", headers)


def _parameter(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def _parameters() -> Json:
    text: Json = {"type": "string"}
    number: Json = {"type": "integer"}
    order: Json = {"enum": ["ascending", "descending"]}
    names = "Comma-separated attributes, in standard notation; only one of the two lists."
    return {
        "id": _at("path", "id", text, "The id of the resource, as the server gave it."),
        "name": _at("path", "name", text, "The name of a resource type, or the URN of a schema."),
        "filter": _at("query", "filter", text, "RFC 7644 §3.4.2.2, at most 8 KiB."),
        "attributes": _at("query", "attributes", text, names),
        "excludedAttributes": _at("query", "excludedAttributes", text, names),
        "sortBy": _at("query", "sortBy", text, "The attribute to sort by."),
        "sortOrder": _at("query", "sortOrder", order, "Ascending where it is not said."),
        "startIndex": _at("query", "startIndex", number, "Counted from 1; less is 1."),
        "count": _at("query", "count", number, "At most 1,000; 0 gives the total only."),
        "ifMatch": _at("header", "If-Match", text, "Only if the resource has this version."),
        "ifNoneMatch": _at("header", "If-None-Match", text, "Only if it has another version."),
        "prefer": _at(
            "header",
            "Prefer",
            text,
            "`return=representation`, `return=minimal`, `handling=strict`, `handling=lenient` "
            "(RFC 7240).",
        ),
    }


def _at(place: str, name: str, schema: Json, description: str) -> Json:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema,
    }
