"""Which attributes an answer carries (RFC 7644 §3.4.2.5, §3.9).

`schemas`, `id` and `meta` are always included. Names that are in no schema are ignored, because
there is nothing to include or exclude. A value path counts as its attribute.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidValue
from rollcall.scim.limits import MAX_ATTRIBUTE_LIST
from rollcall.scim.path import read_attribute_path
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import Attribute, Extension, ResourceSchema

_ALWAYS = frozenset({"schemas", "id", "meta"})
_BRACKETS = re.compile(r"\[[^\]]*\]")

# (URN, name) of an attribute → the sub-attributes named, or None for the whole attribute.
Selection = dict[tuple[str | None, str], frozenset[str] | None]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The attributes named, and whether they are to be included or excluded.

    `repairs` are the names of the quirk rules that were needed to read them.
    """

    selection: Selection
    is_exclusion: bool
    extensions: frozenset[str]
    repairs: tuple[str, ...] = ()

    def wants(self, name: str) -> bool:
        """Whether a core attribute such as `members` or `groups` is in the answer at all."""
        if name in _ALWAYS:
            return True
        named = (None, name) in self.selection
        if self.is_exclusion:
            return not named or self.selection[None, name] is not None
        return named


def parse_projection(
    attributes: str | None,
    excluded: str | None,
    schema: ResourceSchema,
    profile: Profile = Profile.COMPATIBLE,
) -> Projection | None:
    """The projection of the two query parameters; None if neither names anything.

    Raises InvalidValue if both are given, for a list that is too long, and for a path filter in it
    (interop).
    """
    if attributes and excluded:
        raise InvalidValue(
            "Send either `attributes` or `excludedAttributes`, not both.", attribute="attributes"
        )
    text = attributes or excluded
    if not text or not text.strip():
        return None
    if len(text) > MAX_ATTRIBUTE_LIST:
        raise InvalidValue(
            f"The list of attributes is longer than {MAX_ATTRIBUTE_LIST} characters; name fewer.",
            attribute="attributes" if attributes else "excludedAttributes",
        )
    return _parse(text, bool(excluded), schema, profile)


@lru_cache(maxsize=1024)
def _parse(text: str, is_exclusion: bool, schema: ResourceSchema, profile: Profile) -> Projection:
    repairs = Repairs(profile)
    plain, filters = _BRACKETS.subn("", text)
    if filters and not repairs.fire("value-path-in-list"):
        raise InvalidValue(
            "A list of attributes takes no filter in brackets; name the attribute alone.",
            attribute="excludedAttributes" if is_exclusion else "attributes",
        )
    selection: dict[tuple[str | None, str], frozenset[str] | None] = {}
    extensions: set[str] = set()
    for name in plain.split(","):
        target = read_attribute_path(name.strip(), schema, repairs)
        if target is None:
            continue
        if isinstance(target, Extension):
            extensions.add(target.urn)
        else:
            key = (target.attribute.urn, target.attribute.name)
            if target.sub is None:
                selection[key] = None
            else:
                subs = selection.get(key, frozenset())
                selection[key] = None if subs is None else subs | {target.sub.name}
    return Projection(selection, is_exclusion, frozenset(extensions), repairs.fired)


def project(representation: Json, projection: Projection | None, schema: ResourceSchema) -> Json:
    """The part of a representation that the projection asks for. The argument is not modified."""
    if projection is None:
        return _default(representation, schema)
    result: Json = {}
    for name, value in representation.items():
        extension = schema.extensions.get(name)
        if extension is not None:
            part = _project_extension(extension, value, projection)
            if part:
                result[name] = part
        elif name in _ALWAYS:
            result[name] = value
        else:
            _keep(result, schema.attributes.get(name), name, value, projection)
    return result


def _default(representation: Json, schema: ResourceSchema) -> Json:
    """Without a projection everything is returned except `request` and `never` (RFC 7643 §7)."""
    hidden = [
        name
        for name in representation
        if (attribute := schema.attributes.get(name)) is not None
        and attribute.returned in ("request", "never")
    ]
    if not hidden:
        return representation
    return {name: value for name, value in representation.items() if name not in hidden}


def _project_extension(extension: Extension, value: Json, projection: Projection) -> Json:
    if extension.urn in projection.extensions:
        return {} if projection.is_exclusion else value
    part: Json = {}
    for name, item in value.items():
        _keep(part, extension.attributes.get(name), name, item, projection)
    return part


def _keep(
    result: Json, attribute: Attribute | None, name: str, value: Any, projection: Projection
) -> None:
    """Copy the value, or the wanted part of it, into the result."""
    if attribute is None or attribute.returned == "never":
        return
    key = (attribute.urn, attribute.name)
    named = key in projection.selection
    if attribute.returned == "always":
        result[name] = value
    elif not named:
        if projection.is_exclusion and attribute.returned == "default":
            result[name] = value
    else:
        subs = projection.selection[key]
        if subs is None:
            if not projection.is_exclusion:
                result[name] = value
            return
        names = attribute.subs.keys() - subs if projection.is_exclusion else subs
        part = _part(value, names)
        if part:
            result[name] = part


def _part(value: Any, names: Iterable[str]) -> Any:
    if isinstance(value, list):
        return [part for part in (_part(element, names) for element in value) if part]
    if isinstance(value, dict):
        wanted = set(names)
        return {name: item for name, item in value.items() if name in wanted}
    return value
