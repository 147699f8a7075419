"""Attribute paths: `attrPath` of RFC 7644 §3.4.2.2 and §3.10, resolved against a schema."""

import re
from dataclasses import dataclass

from rollcall.scim.limits import MAX_FILTER_BYTES
from rollcall.scim.quirks import Repairs, repair_name
from rollcall.scim.schema import Attribute, Extension, ResourceSchema

_NAME = r"[A-Za-z$][A-Za-z0-9_$-]*"
# After a URN anything visible: those of SCIM 1 and of some vendors end in a number, `…:1.0`.
_URN = r"(?:urn|http|https):[!#-Z\\^-~]*[!#-9;-Z\\^-~]"
_PATH = re.compile(rf"{_URN}|{_NAME}(?:\.{_NAME})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AttributePath:
    """An attribute, or one of its sub-attributes."""

    attribute: Attribute
    sub: Attribute | None = None

    @property
    def target(self) -> Attribute:
        """The attribute at the end of the path."""
        return self.sub or self.attribute

    @property
    def text(self) -> str:
        """The canonical spelling, with the URN in front for an extension's attribute."""
        return self.target.path


def resolve_path(text: str, schema: ResourceSchema) -> AttributePath | Extension | None:
    """What a path without a filter names: an attribute, a whole extension, or None if unknown."""
    target = schema.resolve(text)
    if isinstance(target, Extension):
        return target
    if target is not None:
        return AttributePath(target)
    head, dot, last = text.rpartition(".")
    if not dot:
        return None
    attribute = schema.resolve(head)
    if not isinstance(attribute, Attribute):
        return None
    sub = attribute.sub(last)
    return AttributePath(attribute, sub) if sub is not None else None


def read_attribute_path(
    text: str, schema: ResourceSchema, repairs: Repairs
) -> AttributePath | Extension | None:
    """Like `resolve_path`; also reads old names, and an extension's names without its URN."""
    found = resolve_path(text, schema)
    if found is not None or text.lower() == "password":
        return found
    head, _, last = text.rpartition(".")
    for name, sub_name in ((text, ""), (head, last)):
        meant = repair_name(name, schema, repairs) if name else None
        if isinstance(meant, Extension):
            return meant if not sub_name else None
        if meant is not None:
            sub = meant.sub(sub_name)
            return AttributePath(meant, sub) if sub is not None or not sub_name else None
    return None


def is_well_formed(text: str) -> bool:
    """Whether the text could be a path without a filter, in this schema or another."""
    return len(text) <= MAX_FILTER_BYTES and _PATH.fullmatch(text) is not None
