"""A resource in canonical form, and its representation for a client (RFC 7643 §2, §3).

Canonical means: attribute names spelled as in the schema, an extension's attributes under its URN,
only what a client may set, nothing unassigned. `schemas`, `id` and `meta` belong to the server and
are added by `represent`. A group's members are separate, because they are rows and not part of the
document. `canonicalise(represent(canonicalise(x)))` is `canonicalise(x)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote

import orjson

from rollcall.scim.body.json_body import Json
from rollcall.scim.body.reader import BodyReader
from rollcall.scim.body.schemas import check_schemas
from rollcall.scim.errors import InvalidValue
from rollcall.scim.etag import weak_etag
from rollcall.scim.limits import MAX_RESOURCE_BYTES, MAX_WORK
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import ResourceSchema
from rollcall.scim.values import refuse_absent
from rollcall.scim.work import ELEMENT_FRAME, Work, of_bytes


@dataclass(frozen=True, slots=True)
class Canonical:
    """A POST or PUT body in canonical form.

    `members` is None if the body does not name them, and empty if it empties the group. `repairs`
    are the names of the quirk rules that fired, `ignored` the names that are in no schema.
    """

    resource: Json
    members: tuple[str, ...] | None
    repairs: tuple[str, ...]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group, as in the group's representation."""

    id: str
    display: str | None = None


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A group of a user, as in the user's representation."""

    id: str
    display: str | None = None


def canonicalise(
    body: Json, schema: ResourceSchema, profile: Profile, *, is_replace: bool = False
) -> Canonical:
    """The canonical form of a POST or PUT body (RFC 7644 §3.3, §3.5.1).

    Read-only attributes are ignored, as the RFC requires. Raises InvalidValue and InvalidSyntax,
    which name the attribute.
    """
    reader = BodyReader(schema, Repairs(profile, Work(MAX_WORK)))
    reader.read(body)
    resource = reader.resource
    check_schemas(reader.schemas, schema, reader.repairs, body if is_replace else None)
    reader.put_parts()
    resource.update(reader.extensions)
    require(resource, schema)
    check_size(resource)
    return Canonical(resource, reader.members, reader.repairs.fired, reader.repairs.ignored)


def require(resource: Json, schema: ResourceSchema) -> None:
    """Raise InvalidValue for a required attribute that the resource does not have."""
    for attribute in schema.required:
        if attribute.name not in resource:
            refuse_absent(attribute)


def check_size(resource: Json) -> None:
    """Raise InvalidValue for a canonical resource that is too large to be stored."""
    if len(orjson.dumps(resource)) > MAX_RESOURCE_BYTES:
        _refuse_size()


def _refuse_size() -> NoReturn:
    raise InvalidValue(
        f"The resource would be larger than {MAX_RESOURCE_BYTES} bytes; shorten its values."
    )


class SizeWatch:
    """Checks that a resource stays small enough after each operation.

    The resource is written as JSON only if what was added since the last time might be too much.
    """

    def __init__(self, resource: Json, work: Work) -> None:
        self._resource = resource
        self._work = work
        self._at_most = 0
        self._measure()

    def grew(self, operation: Json, count: int) -> None:
        """Note that an operation wrote its value into an attribute with `count` elements now.

        An element that is created by a filter also gets the values in that filter. Raises
        InvalidValue if the resource is too large.
        """
        given = len(orjson.dumps(operation["value"]))
        self._work.charge(of_bytes(given))
        path: str = operation["path"]
        if "[" in path or "." in path:
            given = count * (given + len(path.encode()))
        else:
            given += len(path)
        self._at_most += given + count * ELEMENT_FRAME
        if self._at_most > MAX_RESOURCE_BYTES:
            self._measure()
            if self._at_most > MAX_RESOURCE_BYTES:
                _refuse_size()

    def _measure(self) -> None:
        self._at_most = len(orjson.dumps(self._resource))
        self._work.charge(of_bytes(self._at_most))


def represent(
    resource: Json,
    schema: ResourceSchema,
    *,
    id: str,  # noqa: A002 - the standard's word
    created: str,
    last_modified: str,
    version: str,
    location: str,
    base_url: str = "",
    members: Sequence[Member] | None = None,
    groups: Sequence[GroupRef] | None = None,
) -> Json:
    """The full representation of a canonical resource (RFC 7643 §3.1).

    `base_url` is the organisation's SCIM base without a trailing slash; every `$ref` begins with
    it. `version` is bare and becomes a weak entity tag. `members` and `groups` are omitted if they
    are None. `resource` is not modified and shares its values with the result.
    """
    urns = [urn for urn in schema.extension_urns if urn in resource]
    result: Json = {"schemas": [schema.urn, *urns], "id": id, **resource}
    for urn in urns:
        extension = schema.extensions[urn]
        for name, value in resource[urn].items():
            if extension.attributes[name].is_resource_reference:
                reference = {**value, "$ref": f"{base_url}/Users/{quote(value['value'], safe='')}"}
                result[urn] = {**result[urn], name: reference}
    if members is not None:
        result["members"] = [_member(member, base_url) for member in members]
    if groups is not None:
        result["groups"] = [_group(group, base_url) for group in groups]
    result["meta"] = {
        "resourceType": schema.name,
        "created": created,
        "lastModified": last_modified,
        "location": location,
        "version": weak_etag(version),
    }
    return result


def _member(member: Member, base_url: str) -> Json:
    result = {"value": member.id, "$ref": f"{base_url}/Users/{member.id}", "type": "User"}
    if member.display is not None:
        result["display"] = member.display
    return result


def _group(group: GroupRef, base_url: str) -> Json:
    result = {"value": group.id, "$ref": f"{base_url}/Groups/{group.id}", "type": "direct"}
    if group.display is not None:
        result["display"] = group.display
    return result
