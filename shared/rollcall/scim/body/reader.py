"""Read the names of a POST or PUT body and resolve them (RFC 7644 §3.3, §3.5.1).

A name that is not spelled as in a schema is resolved if it can mean only one attribute; so is a
path such as `name.givenName`. Unknown names are ignored (compatible profile) and recorded.
"""

from functools import cache
from typing import Any

from rollcall.scim import quirks
from rollcall.scim.body.json_body import Json, refuse_twin, small_letters
from rollcall.scim.errors import InvalidSyntax
from rollcall.scim.member_ids import canonical_member_ids
from rollcall.scim.plain import is_plain, plain_kinds
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import Attribute, Extension, ResourceSchema
from rollcall.scim.values import canonical_simple, canonical_value, refuse_unknown, shown_name
from rollcall.scim.work import UNKNOWN


class BodyReader:
    """Reads the names of a body and collects the result.

    `schemas` is the body's value, not checked yet; `members` is None if the body names none.
    """

    __slots__ = (
        "_names",
        "_odd",
        "_parts",
        "extensions",
        "members",
        "repairs",
        "resource",
        "schema",
        "schemas",
    )

    def __init__(self, schema: ResourceSchema, repairs: Repairs) -> None:
        self.schema = schema
        self.repairs = repairs
        self.resource: Json = {}
        self.extensions: Json = {}
        self.members: tuple[str, ...] | None = None
        self.schemas: Any = None
        self._names: frozenset[str] = frozenset()
        self._odd: set[str] = set()
        self._parts: list[tuple[Attribute, Attribute, Any]] = []

    def read(self, body: Json) -> None:
        """Read each name of the body, most of them on the fast path."""
        resource = self.resource
        plain, known = _plain_attributes(self.schema), _by_canonical_name(self.schema)
        inner: list[Json] = []
        self._names |= body.keys()
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
                self.repairs.work.charge(UNKNOWN)
                target = self.schema.resolve(name)
                if target is None:
                    if isinstance(value, dict) and self._is_whole_resource(name):
                        inner.append(value)
                        continue
                    target = self._repaired(name, value, body)
                    if target is None:
                        continue
                _refuse_twin(name, target, body, self._odd)
            self._take(target, value)
        for each in inner:
            self._read_inner(each, body)

    def _read_inner(self, value: Json, body: Json) -> None:
        """Read the object under the resource type's own URN; names in the body itself win."""
        rest: Json = {}
        for name, item in value.items():
            target = self.schema.resolve(name)
            if isinstance(target, Attribute) and quirks.is_named_twice(target, body, self.schema):
                refuse_unknown(f"{self.schema.urn}:{name}", self.repairs)
            elif not self._is_whole_resource(name):
                rest[name] = item
        self.read(rest)

    def _take(self, target: Attribute | Extension, value: Any) -> None:
        if isinstance(target, Extension):
            self._put_extension(target, value)
        elif target.is_read_only:
            return
        elif target.name == "members":
            if value is not None:
                if self.members is not None:
                    refuse_twin()
                self.members = canonical_member_ids(target, value, self.repairs)
        elif target.name == "schemas":
            self.schemas = value
        else:
            _put(target, value, self.resource, self.extensions, self.repairs)

    def _is_whole_resource(self, name: str) -> bool:
        return (
            ":" in name
            and quirks.names_schema(name, self.schema)
            and self.repairs.fire("schema-as-name")
        )

    def _repaired(self, name: str, value: Any, body: Json) -> Attribute | Extension | None:
        """What a misspelled name means; None if it is to be ignored."""
        if name.startswith("/"):
            name = quirks.repair_path(name, self.repairs)
        target = self.schema.resolve(name) or quirks.repair_name(name, self.schema, self.repairs)
        if isinstance(target, Attribute) and quirks.is_named_twice(target, body, self.schema):
            target = None
        elif target is not None or (self.repairs.lenient and small_letters(name) == "password"):
            return target
        elif self.repairs.lenient and self._take_part(name, value):
            return None
        refuse_unknown(name, self.repairs)
        return None

    def _take_part(self, name: str, value: Any) -> bool:
        """Whether a name is a path into a known attribute; a part of a single value is kept."""
        if "." not in name and "[" not in name:
            return False
        head, _, last = (name[: name.index("[")], "", "") if "[" in name else name.rpartition(".")
        attribute = self.schema.resolve(head) or quirks.repair_name(head, self.schema, self.repairs)
        if not isinstance(attribute, Attribute) or attribute.is_read_only:
            return False
        sub = attribute.sub(last) or quirks.repair_sub_name(attribute, last, self.repairs)
        if attribute.is_complex and not attribute.multi_valued:
            if sub is None:
                return False
            self.repairs.fire("path-as-name")
            if not sub.is_read_only and sub.name != "$ref":
                self._parts.append((attribute, sub, value))
            return True
        raise InvalidSyntax(
            f"{shown_name(name)} is a path; in a body write it as a value of {attribute.path}.",
            attribute=attribute.path,
        )

    def put_parts(self) -> None:
        """Store values of paths such as `name.givenName`, unless the attribute itself has them."""
        for attribute, sub, value in self._parts:
            canonical = canonical_simple(sub, value, self.repairs)
            if canonical is None:
                continue
            place = self.resource
            if attribute.urn is not None:
                place = self.extensions.setdefault(attribute.urn, {})
            place[attribute.name] = {sub.name: canonical, **place.get(attribute.name, {})}

    def _put_extension(self, extension: Extension, value: Any) -> None:
        if value is None or value == []:
            return
        if not isinstance(value, dict):
            raise InvalidSyntax(
                f"{extension.urn} must be an object with the extension's attributes.",
                attribute=extension.urn,
            )
        extensions, repairs = self.extensions, self.repairs
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
                self._put_stranger(extension, name, item, value)
            elif attribute.name != name and (
                attribute.name in value or attribute.name in extensions.get(extension.urn, ())
            ):
                refuse_twin()
            elif not attribute.is_read_only:
                _put(attribute, item, {}, extensions, repairs)

    def _put_stranger(self, extension: Extension, name: str, item: Any, beside: Json) -> None:
        """Read a name under an extension's URN that the extension does not have."""
        path = f"{extension.urn}:{name}"
        attribute = quirks.repair_name(path, self.schema, self.repairs)
        if (
            not isinstance(attribute, Attribute)
            or (
                attribute.urn is not None
                and any(extension.attribute(each) is attribute for each in beside)
            )
            or quirks.is_named_twice(attribute, self._names, self.schema)
        ):
            refuse_unknown(path, self.repairs)
        else:
            self._take(attribute, item)


def _put(
    attribute: Attribute, value: Any, resource: Json, extensions: Json, repairs: Repairs
) -> None:
    """Store a value in canonical form. If an attribute occurs twice, the assigned value stays."""
    canonical = canonical_value(attribute, value, repairs)
    if canonical is None:
        return
    if attribute.urn is None:
        resource[attribute.name] = canonical
    else:
        extensions.setdefault(attribute.urn, {})[attribute.name] = canonical


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
    """Raise InvalidSyntax if a name in unusual letter case occurs again in any letter case."""
    canonical = target.urn if isinstance(target, Extension) else target.name
    folded = small_letters(name)
    if folded in odd or (folded == canonical.lower() and name != canonical and canonical in body):
        refuse_twin()
    odd.add(folded)
