"""The effect of one canonical PATCH operation on one attribute (RFC 7644 §3.5.2.1 to 3.5.2.3).

Values are built new and never changed in place, so the stored resource is unchanged if a later
operation fails.
"""

from typing import Any

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidValue, NoTarget
from rollcall.scim.filter import And, Comparison, Filter
from rollcall.scim.limits import MAX_ELEMENTS
from rollcall.scim.match import chosen_elements
from rollcall.scim.patch.path import PatchPath
from rollcall.scim.quirks import Repairs
from rollcall.scim.values import canonical_element, settle_elements


def changed_value(old: Any, operation: Json, path: PatchPath, repairs: Repairs) -> Any:
    """The attribute's value after the operation, None for unassigned.

    Raises NoTarget if a filter selects nothing and no element can be created from it, and
    InvalidValue for two primary elements or too many.
    """
    op: str = operation["op"]
    value = operation.get("value")
    attribute = path.attribute
    if path.filter is not None and not attribute.multi_valued:
        return changed_one(old, operation, path, repairs)
    if attribute.multi_valued:
        if path.filter is None and path.sub is None:
            elements = _whole_list(old or [], op, value)
        else:
            elements = _selected(old or [], op, path, value, repairs)
        settled = settle_elements(attribute, elements, repairs)
        if settled is not None and len(settled) > MAX_ELEMENTS:
            raise InvalidValue(
                f"{attribute.path} would have more than {MAX_ELEMENTS} elements; remove some.",
                attribute=attribute.path,
            )
        return settled
    if path.sub is not None:
        return _without_none({**(old or {}), path.sub.name: value})
    if attribute.is_complex and value is not None and (op == "add" or repairs.lenient):
        return {**(old or {}), **value}
    return value


def changed_one(
    old: Json | None, operation: Json, path: PatchPath, repairs: Repairs
) -> Json | None:
    """A single complex value after an operation with a filter, None for unassigned.

    A value that the filter does not select is not removed. Raises NoTarget if the filter selects
    nothing to write to. An absent value is created like an element of a list.
    """
    assert path.filter is not None
    op, value = operation["op"], operation.get("value")
    is_meant = old is not None and chosen_elements(path.filter, [old], repairs.work)[0]
    if op == "remove":
        if old is None or not is_meant:
            return old
        return _without_none({**old, path.sub.name: None}) if path.sub is not None else None
    new = {path.sub.name: value} if path.sub is not None else dict(value or {})
    if is_meant:
        return {**(old or {}), **new}
    given = equalities(path.filter)
    if old is not None or given is None:
        raise _no_target(path)
    return {**given, **new}


def _without_none(value: Json) -> Json | None:
    return {name: item for name, item in value.items() if item is not None} or None


def _whole_list(elements: list[Json], op: str, value: Any) -> list[Json]:
    if op == "remove":
        return []
    if op == "replace":
        return list(value)
    if any(element.get("primary") is True for element in value):
        elements = [_not_primary(element) for element in elements]
    return [*elements, *value]


def _not_primary(element: Json) -> Json:
    return {**element, "primary": False} if element.get("primary") is True else element


def _selected(
    elements: list[Json], op: str, path: PatchPath, value: Any, repairs: Repairs
) -> list[Json]:
    """Apply an operation to the elements that the filter selects; to all without a filter."""
    if path.filter is None:
        chosen = [True] * len(elements)
    else:
        chosen = chosen_elements(path.filter, elements, repairs.work)
    if op == "remove":
        return _removed(elements, chosen, path)
    if not any(chosen):
        return _created(elements, path, value, repairs)
    result: list[Json] = []
    for element, is_chosen in zip(elements, chosen, strict=True):
        result.append(_written(element, op, path, value, repairs) if is_chosen else element)
    becomes_primary = value is True if path.sub is not None else value.get("primary") is True
    if becomes_primary and (path.sub is None or path.sub.name == "primary"):
        result = [
            element if is_chosen else _not_primary(element)
            for element, is_chosen in zip(result, chosen, strict=True)
        ]
    return result


def _removed(elements: list[Json], chosen: list[bool], path: PatchPath) -> list[Json]:
    """Remove the chosen elements. Removing what does not exist is not an error."""
    pairs = zip(elements, chosen, strict=True)
    if path.sub is None:
        return [element for element, is_chosen in pairs if not is_chosen]
    gone = path.sub.name
    return [
        {name: item for name, item in element.items() if name != gone} if is_chosen else element
        for element, is_chosen in pairs
    ]


def _written(element: Json, op: str, path: PatchPath, value: Any, repairs: Repairs) -> Json:
    if path.sub is not None:
        return {**element, path.sub.name: value}
    if op == "add":
        return {**element, **value}
    # The value need not repeat what selected the element: replacing `emails[type eq "work"]` by an
    # address leaves it the work address.
    given = equalities(path.filter) if repairs.lenient and path.filter is not None else None
    return {**(given or {}), **value}


def _created(elements: list[Json], path: PatchPath, value: Any, repairs: Repairs) -> list[Json]:
    """The list with an element made from filter and value, for a filter that selects nothing."""
    given = equalities(path.filter) if path.filter is not None else {}
    if given is None or not repairs.fire("create-by-filter"):
        raise _no_target(path)
    new = {path.sub.name: value} if path.sub is not None else value
    element = canonical_element(path.attribute, {**given, **new}, repairs)
    if element is None:
        raise _no_target(path)
    if path.filter is not None and not chosen_elements(path.filter, [element], repairs.work)[0]:
        # A repeated `emails[value eq "old"].value = "new"` is done already or was never possible.
        if any(new.items() <= present.items() for present in elements):
            return elements
        raise _no_target(path)
    if element.get("primary") is True:
        elements = [_not_primary(present) for present in elements]
    return [*elements, element]


def _no_target(path: PatchPath) -> NoTarget:
    return NoTarget(
        f"The filter of the path selects no element of {path.attribute.path}; add it first.",
        attribute=path.attribute.path,
    )


def equalities(node: Filter) -> Json | None:
    """The values that a filter requires of an element, if it consists of `eq` joined by `and`."""
    match node:
        case Comparison(path, "eq", value) if value is not None:
            return {path.target.name: value}
        case And(terms):
            result: Json = {}
            for term in terms:
                part = equalities(term)
                if part is None:
                    return None
                result |= part
            return result
    return None
