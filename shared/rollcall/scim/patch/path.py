"""The path of a PATCH operation (RFC 7644 §3.5.2): an attribute path, possibly with a filter.

    path = attribute [ "." sub-attribute ] / attribute "[" filter "]" [ "." sub-attribute ]

The last closing bracket ends the filter, so brackets inside its quoted values do not matter.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

from rollcall.scim import quirks
from rollcall.scim.errors import InvalidPath, InvalidSyntax, Mutability
from rollcall.scim.filter import MAX_CACHED, Filter, format_value_filter, read_filter, size
from rollcall.scim.limits import MAX_FILTER_BYTES
from rollcall.scim.near_names import is_of_the_standard
from rollcall.scim.patch.one import filter_of_one
from rollcall.scim.path import AttributePath, is_well_formed, resolve_path
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import Attribute, Extension, ResourceSchema

_SHAPE = re.compile(r"(?P<name>[^\s\[\]\"]+)(?:\[(?P<filter>.*)\](?:\.(?P<sub>[^\s\[\]\".]+))?)?")

_CONTROL = re.compile("[\x00-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PatchPath:
    """An attribute, a filter that selects elements of it, and a sub-attribute."""

    attribute: Attribute
    filter: Filter | None = None
    sub: Attribute | None = None
    target: Attribute = field(init=False, compare=False)
    text: str = field(init=False, compare=False)
    is_read_only: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Compute once what is used often.

        `target` is the attribute at the end of the path, `text` its canonical spelling.
        """
        target = self.sub or self.attribute
        text = target.path
        if self.filter is not None:
            end = f".{self.sub.name}" if self.sub is not None else ""
            text = f"{self.attribute.path}[{format_value_filter(self.filter)}]{end}"
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "text", text)
        read_only = self.attribute.is_read_only or target.is_read_only
        object.__setattr__(self, "is_read_only", read_only)


def refuse_unwritable(path: PatchPath, op: str) -> None:
    """Raise Mutability for a read-only attribute and for a remove of a required one."""
    if path.is_read_only:
        raise Mutability(
            f"{path.target.path} is set by the server; leave it out of the request.",
            attribute=path.target.path,
        )
    if op == "remove" and path.target.required and path.sub is None and path.filter is None:
        raise Mutability(
            f"{path.target.path} is required and cannot be removed; replace it instead.",
            attribute=path.target.path,
        )


def refuse_filter_on_one(path: PatchPath) -> None:
    """Raise InvalidPath for a filter on an attribute that is not a list of objects."""
    if path.filter is not None and not path.attribute.multi_valued:
        _refuse_filter(path.attribute.path)


def _refuse_filter(text: str) -> NoReturn:
    raise InvalidPath(
        f"{text} is no list of objects, so it takes no filter in brackets.", attribute=text
    )


Target = PatchPath | Extension | None


@dataclass(frozen=True, slots=True)
class ReadPath:
    """The meaning of a path (None: to be ignored), and the names of the quirk rules that fired.

    `steps` counts the path itself and the parts of its filter; `ignored` are the names that are in
    no schema.
    """

    target: Target
    repairs: tuple[str, ...]
    steps: int = 1
    ignored: tuple[str, ...] = ()


def read_path(text: str, schema: ResourceSchema, profile: Profile) -> ReadPath:
    """The meaning of a path's text.

    Raises InvalidPath for a malformed path, InvalidFilter for its filter, and InvalidSyntax for an
    attribute that is in no schema (interop).
    """
    if len(text) > MAX_FILTER_BYTES:
        raise InvalidPath(f"The path is longer than {MAX_FILTER_BYTES} characters; shorten it.")
    if len(text) > MAX_CACHED:
        return _read_path.__wrapped__(text, schema, profile)
    return _read_path(text, schema, profile)


@lru_cache(maxsize=2048)
def _read_path(text: str, schema: ResourceSchema, profile: Profile) -> ReadPath:
    repairs = Repairs(profile)
    shape = _SHAPE.fullmatch(quirks.repair_path(text.strip(" "), repairs))
    if shape is None or not _is_readable(shape):
        raise InvalidPath(
            "The path cannot be read; write it as `attribute`, `attribute.subAttribute` or "
            '`attribute[type eq "work"].subAttribute`.'
        )
    named = _resolve(shape["name"], schema, repairs)
    target: Target = None
    if isinstance(named, AttributePath):
        target = _select(named, shape["filter"], shape["sub"], schema, repairs)
    elif named is not None:
        if shape["filter"] is not None:
            raise InvalidPath(f"{named.urn} is a schema and takes no filter in brackets.")
        target = named
    steps = 1
    if isinstance(target, PatchPath) and target.filter is not None:
        _check_size(target)
        steps += size(target.filter)
    return ReadPath(target, repairs.fired, steps, repairs.ignored)


def _is_readable(shape: re.Match[str]) -> bool:
    """Whether the names are visible and the filter has no control characters.

    The values in a filter are values of attributes, which may contain all kinds of spaces, and the
    joiners of emoji and of Indic and Arabic script.
    """
    names = f"{shape['name']}{shape['sub'] or ''}"
    return names.isprintable() and _CONTROL.search(shape["filter"] or "") is None


def _check_size(path: PatchPath) -> None:
    """Refuse a path whose canonical text, with all quotes, is too long to be read from the log."""
    around = len(path.attribute.path) + (len(path.sub.name) + 1 if path.sub is not None else 0)
    size_of_filter = len(path.text.encode()) - around - len("[]")
    if max(len(path.text), size_of_filter) > MAX_FILTER_BYTES:
        raise InvalidPath(f"The path is longer than {MAX_FILTER_BYTES} bytes; shorten it.")


def _resolve(
    name: str, schema: ResourceSchema, repairs: Repairs
) -> AttributePath | Extension | None:
    """What the part before the brackets names; None if that is to be ignored."""
    found = resolve_path(name, schema)
    if found is not None:
        return found
    if name.lower() == "password" and repairs.fire("password-dropped"):
        return None
    whole = quirks.repair_name(name, schema, repairs)
    if whole is None and not is_well_formed(name):
        raise InvalidPath("The path begins with something that is no attribute's name.")
    if isinstance(whole, Attribute):
        return AttributePath(whole)
    if whole is not None:
        return whole
    head, dot, last = name.rpartition(".")
    attribute = None
    if dot:
        attribute = schema.resolve(head) or quirks.repair_name(head, schema, repairs)
    if isinstance(attribute, Attribute):
        sub = _sub(attribute, last, repairs)
        return AttributePath(attribute, sub) if sub is not None else None
    _ignore(name, repairs)
    return None


def _sub(
    attribute: Attribute, name: str, repairs: Repairs, *, is_selected: bool = False
) -> Attribute | None:
    if not attribute.is_complex:
        raise InvalidPath(
            f"{attribute.path} has no sub-attributes; end the path with its name.",
            attribute=attribute.path,
        )
    found = attribute.sub(name) or quirks.repair_sub_name(attribute, name, repairs)
    if found is None:
        if repairs.lenient and (attribute.name == "members" or _may_select(attribute, is_selected)):
            raise InvalidPath(
                f"{attribute.path} has no such sub-attribute; select an element by a filter, such "
                f'as `{attribute.path}[type eq "work"]`.',
                attribute=attribute.path,
            )
        _ignore(f"{attribute.path}.{name}", repairs)
    return found


def _may_select(attribute: Attribute, is_selected: bool) -> bool:
    """Whether an unknown name after a list may be meant as a selection, as in `emails.work`."""
    return attribute.multi_valued and not is_selected


def _ignore(name: str, repairs: Repairs) -> None:
    if repairs.lenient and is_of_the_standard(name):
        raise InvalidPath(
            f"{name[:200]} is in no schema of this resource type; correct the URN.",
            attribute=name[:200],
        )
    if not repairs.ignore(name):
        raise InvalidSyntax(
            f"The path's attribute {name[:200]} is in no schema of this resource type.",
            attribute=name[:200],
        )


def _select(
    path: AttributePath,
    filter_text: str | None,
    sub_name: str | None,
    schema: ResourceSchema,
    repairs: Repairs,
) -> PatchPath | None:
    attribute = path.attribute
    if filter_text is None:
        return PatchPath(attribute, None, path.sub)
    if path.sub is not None or not attribute.is_complex:
        _refuse_filter(path.text)
    if not attribute.multi_valued and not repairs.fire("filter-on-one"):
        _refuse_filter(path.text)
    read = read_filter(filter_text, schema, repairs.profile, attribute)
    for name in read.repairs:
        repairs.fire(name)
    condition = read.filter
    if not attribute.multi_valued:
        condition = filter_of_one(condition, repairs)
    if sub_name is None:
        return PatchPath(attribute, condition)
    sub = _sub(attribute, sub_name, repairs, is_selected=True)
    return PatchPath(attribute, condition, sub) if sub is not None else None
