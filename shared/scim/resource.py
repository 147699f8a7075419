"""A resource in canonical form, and its representation for a client (RFC 7643 §2, §3).

Canonical: attribute names spelt as in the schema, an extension's attributes under its URN,
only what a client may set, nothing unassigned. `schemas`, `id` and `meta` are the server's and
are put on by `represent`; a group's members are kept apart, because they are rows and not part
of the document. `canonicalise(represent(canonicalise(x)))` is `canonicalise(x)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn
from urllib.parse import quote

import orjson

from shared.scim import quirks
from shared.scim.errors import InvalidSyntax, InvalidValue
from shared.scim.etag import weak_etag
from shared.scim.json_body import Json, refuse_twin, small_letters
from shared.scim.limits import MAX_RESOURCE_BYTES, MAX_WORK
from shared.scim.plain import is_plain, plain_kinds
from shared.scim.profile import Profile
from shared.scim.quirks import Repairs
from shared.scim.schema import GROUP, USER, Attribute, Extension, ResourceSchema
from shared.scim.values import (
    canonical_member_ids,
    canonical_value,
    refuse_absent,
    refuse_unknown,
)
from shared.scim.work import ELEMENT_FRAME, UNKNOWN, Work, of_bytes


@dataclass(frozen=True, slots=True)
class Canonical:
    """What a POST or PUT body means.

    `members` is None where the body does not name them, and empty where it empties the group.
    `repairs` are the names of the quirk rules that fired.
    """

    resource: Json
    members: tuple[str, ...] | None
    repairs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group, as its representation names it."""

    id: str
    display: str | None = None


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A group of a user, as its representation names it."""

    id: str
    display: str | None = None


def canonicalise(body: Json, schema: ResourceSchema, profile: Profile) -> Canonical:
    """The canonical form of a POST or PUT body (RFC 7644 §3.3, §3.5.1).

    Read-only attributes are ignored, as the RFC has it. Raises InvalidValue and InvalidSyntax,
    naming the attribute.
    """
    repairs = Repairs(profile, Work(MAX_WORK))
    resource: Json = {}
    extensions: Json = {}
    members: tuple[str, ...] | None = None
    schemas: Any = None
    odd: set[str] = set()
    plain, known = _plain_attributes(schema), _by_canonical_name(schema)
    for name, value in body.items():
        if (
            type(value) is str
            and 0 < len(value) <= plain.get(name, 0)
            and value.isprintable()
            and not value.isspace()
        ) or (name in plain and is_plain(value, plain[name])):
            resource[name] = value
            continue
        target = known.get(name)
        if target is None:
            repairs.work.charge(UNKNOWN)
            target = schema.resolve(name) or _repaired_name(name, schema, repairs)
            if target is None:
                continue
            _refuse_twin(name, target, body, odd)
        if isinstance(target, Extension):
            _put_extension(target, value, extensions, repairs)
        elif target.is_read_only:
            continue
        elif target.name == "members":
            if value is not None:
                members = canonical_member_ids(target, value, repairs)
        elif target.name == "schemas":
            schemas = value
        else:
            _put(target, value, resource, extensions, repairs)
    _check_schemas(schemas, schema, repairs)
    resource.update(extensions)
    require(resource, schema)
    check_size(resource)
    return Canonical(resource, members, repairs.fired)


@cache
def _plain_attributes(schema: ResourceSchema) -> dict[str, int]:
    return plain_kinds(schema.attributes)


@cache
def _plain_attributes_of(extension: Extension) -> dict[str, int]:
    return plain_kinds(extension.attributes)


@cache
def _by_canonical_name(schema: ResourceSchema) -> dict[str, Attribute | Extension]:
    return {attribute.name: attribute for attribute in schema.attributes.values()} | {
        urn: schema.extensions[urn] for urn in schema.extension_urns
    }


def _refuse_twin(name: str, target: Attribute | Extension, body: Json, odd: set[str]) -> None:
    """Raise InvalidSyntax if a name in odd letter case comes again in the body, in any case."""
    canonical = target.urn if isinstance(target, Extension) else target.name
    folded = small_letters(name)
    if folded in odd or (folded == canonical.lower() and name != canonical and canonical in body):
        refuse_twin()
    odd.add(folded)


@cache
def _own_urns(schema: ResourceSchema) -> frozenset[str]:
    return frozenset((schema.urn, *schema.extension_urns))


def require(resource: Json, schema: ResourceSchema) -> None:
    """Raise InvalidValue for a required attribute that the resource does not have."""
    for attribute in schema.required:
        if attribute.name not in resource:
            refuse_absent(attribute)


def check_size(resource: Json) -> None:
    """Raise InvalidValue for a canonical resource that is too large to be kept."""
    if len(orjson.dumps(resource)) > MAX_RESOURCE_BYTES:
        _refuse_size()


def _refuse_size() -> NoReturn:
    raise InvalidValue(
        f"The resource would be larger than {MAX_RESOURCE_BYTES} bytes; shorten its values."
    )


class SizeWatch:
    """Whether a resource that operations change is small enough after each of them.

    It is not written as JSON each time, but only when what was added since might be too much.
    """

    def __init__(self, resource: Json, work: Work) -> None:
        self._resource = resource
        self._work = work
        self._at_most = 0
        self._measure()

    def grew(self, operation: Json, count: int) -> None:
        """An operation wrote its value into an attribute that has `count` elements now.

        What a filter says an element has is written too, if an element is created by it. Raises
        InvalidValue.
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


def _repaired_name(
    name: str, schema: ResourceSchema, repairs: Repairs
) -> Attribute | Extension | None:
    target = quirks.repair_name(name, schema, repairs)
    if target is None and not (repairs.lenient and small_letters(name) == "password"):
        refuse_unknown(name, repairs)
    return target


def _put(
    attribute: Attribute, value: Any, resource: Json, extensions: Json, repairs: Repairs
) -> None:
    """Canonicalise a value into its place; an attribute named twice keeps the assigned one."""
    canonical = canonical_value(attribute, value, repairs)
    if canonical is None:
        return
    if attribute.urn is None:
        resource[attribute.name] = canonical
    else:
        extensions.setdefault(attribute.urn, {})[attribute.name] = canonical


def _put_extension(extension: Extension, value: Any, extensions: Json, repairs: Repairs) -> None:
    if value is None or value == []:
        return
    if not isinstance(value, dict):
        raise InvalidSyntax(
            f"{extension.urn} must be an object with the extension's attributes.",
            attribute=extension.urn,
        )
    plain = _plain_attributes_of(extension)
    for name, item in value.items():
        if (
            type(item) is str
            and 0 < len(item) <= plain.get(name, 0)
            and item.isprintable()
            and not item.isspace()
        ):
            extensions.setdefault(extension.urn, {})[name] = item
            continue
        attribute = extension.attribute(name)
        if attribute is None:
            refuse_unknown(f"{extension.urn}:{name}", repairs)
        elif attribute.name != name and (
            attribute.name in value or attribute.name in extensions.get(extension.urn, ())
        ):
            refuse_twin()
        elif not attribute.is_read_only:
            _put(attribute, item, {}, extensions, repairs)


def _check_schemas(value: Any, schema: ResourceSchema, repairs: Repairs) -> None:
    """Whether `schemas` names this resource type (RFC 7643 §3); what it adds is ignored."""
    if value is None or value == []:
        if not repairs.fire("missing-schemas"):
            raise InvalidSyntax(f'schemas must contain "{schema.urn}".', attribute="schemas")
        return
    if type(value) is str and quirks.names_schema(value, schema):
        value = [value] if repairs.fire("object-for-list") else value
    if type(value) is not list or not all(type(urn) is str for urn in value):
        raise InvalidSyntax("schemas must be a list of URNs, as texts.", attribute="schemas")
    if schema.urn in value and _own_urns(schema).issuperset(value):
        return
    named = {small_letters(urn) for urn in value}
    unknown = named - {schema.urn.lower()} - schema.extensions.keys()
    if schema.urn.lower() in named and not unknown:
        return
    other = GROUP if schema is USER else USER
    if schema.urn.lower() not in named and other.urn.lower() in named:
        raise InvalidSyntax(
            f'schemas names another resource type; here it must contain "{schema.urn}".',
            attribute="schemas",
        )
    rule = "old-urn" if any(quirks.map_urn(urn, schema) for urn in unknown) else "unknown-attribute"
    if not repairs.fire(rule):
        raise InvalidSyntax(
            f'schemas must contain "{schema.urn}" and nothing but its extensions.',
            attribute="schemas",
        )


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

    `base_url` is the organisation's SCIM base, without a slash at its end; every `$ref` begins
    with it. `version` is bare and becomes a weak entity tag. `members` and `groups` are left
    out where None. `resource` is not modified, and shares its values with the result.
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
