"""Sorting (RFC 7644 §3.4.2.3): `sortBy` and `sortOrder`, and the order in Python.

Texts are sorted by code point, in the form in which filters compare them. For a multi-valued
attribute the primary element counts, or else the first. Resources without a value come last in
ascending and first in descending order. Equal ones are sorted by id, in the same direction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidValue
from rollcall.scim.match import folded
from rollcall.scim.path import AttributePath, read_attribute_path
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import Extension, ResourceSchema
from rollcall.scim.work import Work

MAX_LENGTH = 1000
_ORDERS = {"ascending": False, "descending": True}


@dataclass(frozen=True, slots=True)
class Sort:
    """The attribute to sort by, which is not complex, and the direction."""

    path: AttributePath
    descending: bool = False


def parse_sort(
    sort_by: str | None, sort_order: str | None, schema: ResourceSchema, repairs: Repairs
) -> Sort | None:
    """The sort that the two parameters ask for; None for no sort, which is the order of creation.

    A complex attribute means its `value`. Raises InvalidValue for another `sortOrder`, and for a
    `sortBy` that names nothing to sort by; the compatible profile ignores the latter, like unknown
    names elsewhere.
    """
    order = (sort_order or "").strip().lower()
    if order and order not in _ORDERS:
        raise InvalidValue("sortOrder must be `ascending` or `descending`.", attribute="sortOrder")
    name = (sort_by or "").strip()
    if not name:
        return None
    path = None if len(name) > MAX_LENGTH else read_attribute_path(name, schema, repairs)
    if path is not None and not isinstance(path, Extension) and path.target.is_complex:
        value = path.target.sub("value")
        path = None if value is None else AttributePath(path.attribute, value)
    if path is None or isinstance(path, Extension):
        if repairs.fire("unknown-attribute"):
            return None
        raise InvalidValue(
            "sortBy names no attribute to sort by; give the path of one, such as userName or "
            "name.familyName.",
            attribute="sortBy",
        )
    return Sort(path, _ORDERS.get(order, False))


def in_order(representations: Iterable[Json], sort: Sort, work: Work | None = None) -> list[Json]:
    """The representations, sorted; folding texts is charged to `work`."""
    counted = Work() if work is None else work
    by_id = sorted(representations, key=lambda item: item["id"], reverse=sort.descending)
    with_value, without = [], []
    for item in by_id:
        value = _value(item, sort.path)
        if value in (None, ""):
            without.append(item)
        else:
            with_value.append((folded(sort.path.target, value, counted), item))
    with_value.sort(key=lambda pair: pair[0], reverse=sort.descending)
    found = [item for _, item in with_value]
    return [*without, *found] if sort.descending else [*found, *without]


def _value(representation: Json, path: AttributePath) -> Any:
    """The value by which a representation is sorted; None if it has none."""
    attribute = path.attribute
    container = representation if attribute.urn is None else representation.get(attribute.urn, {})
    value = container.get(attribute.name)
    if isinstance(value, list):
        primaries = (item for item in value if isinstance(item, dict) and item.get("primary"))
        value = next(primaries, value[0] if value else None)
    if path.sub is None or value is None:
        return value
    return value.get(path.sub.name)
