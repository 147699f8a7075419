"""Filters as predicates over representations and their elements (RFC 7644 §3.4.2.2).

On a multi-valued attribute one value that meets the comparison is enough. No value at all
equals null, and is `ne` to everything else.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any

from shared.scim.errors import InvalidValue
from shared.scim.filter import And, Comparison, Filter, Not, Or, Present, ValuePath
from shared.scim.json_body import Json
from shared.scim.path import AttributePath
from shared.scim.schema import Attribute
from shared.scim.username import display_name_key, user_name_key
from shared.scim.values import parse_date_time

Predicate = Callable[[Json], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "ge": ge, "lt": lt, "le": le}


@lru_cache(maxsize=4096)
def compile_filter(node: Filter) -> Predicate:
    """A predicate over a representation, or a canonical resource."""
    match node:
        case ValuePath(path, inner):
            matches = compile_element_filter(inner)
            return lambda resource: any(map(matches, _elements(resource, path.attribute)))
        case Comparison(path, op, value):
            test = _test(path.target, op, value)
            return lambda resource: test(_values(resource, path))
        case Present(path):
            return lambda resource: bool(_values(resource, path))
        case _:
            return _combine(node, compile_filter)


@lru_cache(maxsize=4096)
def compile_element_filter(node: Filter) -> Predicate:
    """A predicate over one element of the attribute that the filter is about."""
    match node:
        case Comparison(path, op, value):
            test = _test(path.target, op, value)
            name = path.target.name
            return lambda element: test(_present([element.get(name)]))
        case Present(path):
            name = path.target.name
            return lambda element: bool(_present([element.get(name)]))
        case _:
            return _combine(node, compile_element_filter)


def _combine(node: Filter, compiled: Callable[[Filter], Predicate]) -> Predicate:
    match node:
        case And(terms):
            parts = [compiled(term) for term in terms]
            return lambda value: all(part(value) for part in parts)
        case Or(terms):
            parts = [compiled(term) for term in terms]
            return lambda value: any(part(value) for part in parts)
        case Not(term):
            inner = compiled(term)
            return lambda value: not inner(value)
        case _:
            raise TypeError("a value path cannot stand inside another")


def _present(values: list[Any]) -> list[Any]:
    return [value for value in values if value not in (None, "", [], {})]


def _elements(resource: Json, attribute: Attribute) -> list[Any]:
    """The values of an attribute as a list, whether or not it is multi-valued."""
    container = resource if attribute.urn is None else resource.get(attribute.urn, {})
    value = container.get(attribute.name)
    return _present(value if isinstance(value, list) else [value])


def _values(resource: Json, path: AttributePath) -> list[Any]:
    elements = _elements(resource, path.attribute)
    if path.sub is None:
        return elements
    return _present([element.get(path.sub.name) for element in elements])


def _test(attribute: Attribute, op: str, wanted: Any) -> Callable[[list[Any]], bool]:
    """Whether any of the present values meets the comparison."""
    if wanted is None:
        return (lambda values: not values) if op == "eq" else (lambda values: bool(values))
    fold = folding(attribute)
    right = fold(wanted)
    if op == "ne":
        return lambda values: not values or any(fold(value) != right for value in values)
    if op == "eq":
        return lambda values: any(fold(value) == right for value in values)
    if op == "co":
        return lambda values: any(right in fold(value) for value in values)
    if op == "sw":
        return lambda values: any(fold(value).startswith(right) for value in values)
    if op == "ew":
        return lambda values: any(fold(value).endswith(right) for value in values)
    compare = _ORDER[op]
    return lambda values: any(compare(fold(value), right) for value in values)


def folding(attribute: Attribute) -> Callable[[Any], Any]:
    """What makes of a value the form in which values of the attribute are compared and sorted."""
    if attribute.kind == "dateTime":
        return parse_date_time
    if attribute.check == "user_name":
        return _folded_user_name
    if attribute.path == "displayName":
        return folded_display_name
    if attribute.kind == "string" and not attribute.case_exact:
        return str.casefold
    return lambda value: value


def folded_display_name(value: str) -> str:
    """The key by which display names are unique; a blank text has none and stays as it is."""
    return display_name_key(value) or value


def _folded_user_name(value: str) -> str:
    """The key of a name; a text that can be nobody's name has none and is folded as it is."""
    try:
        return user_name_key(value)
    except InvalidValue:
        return value.casefold()
