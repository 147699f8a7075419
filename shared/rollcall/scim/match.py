"""Filters as predicates over representations and their elements (RFC 7644 §3.4.2.2).

For a multi-valued attribute it is enough that one value meets the comparison. A missing value
equals null, and is `ne` to everything else.

The theory. A filter of 200 conditions over 100 elements looks at each text 200 times, always
without its letter case. So the filter is not evaluated element by element, but condition by
condition: the values of a sub-attribute are collected and folded once, as a column, and each
condition is evaluated for its whole column. The cost is charged to the request's `Work` before it
is spent.
"""

from collections.abc import Callable, Sequence
from operator import ge, gt, le, lt
from typing import Any

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidValue
from rollcall.scim.filter import And, Comparison, Filter, Not, Or, Present, ValuePath
from rollcall.scim.path import AttributePath
from rollcall.scim.schema import Attribute
from rollcall.scim.username import display_name_key, user_name_key
from rollcall.scim.values import parse_date_time
from rollcall.scim.work import CASE, COLUMN, KEY, Work, of_filter, of_search

Predicate = Callable[[Json], bool]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "ge": ge, "lt": lt, "le": le}


def compile_filter(node: Filter, work: Work | None = None) -> Predicate:
    """A predicate over a representation or a canonical resource; each call is charged to `work`."""
    counted = Work() if work is None else work
    return lambda resource: _Resource(resource, counted).meets(node)


def chosen_elements(node: Filter, elements: Sequence[Json], work: Work) -> list[bool]:
    """For each element whether it matches the filter, whose paths are sub-attributes."""
    return _Elements(elements, work).meets(node)


class _Elements:
    """Elements of one attribute as columns: the folded values, or None, of each sub-attribute."""

    __slots__ = ("columns", "elements", "work")

    def __init__(self, elements: Sequence[Json], work: Work) -> None:
        self.elements = elements
        self.work = work
        self.columns: dict[str, list[Any]] = {}

    def meets(self, node: Filter) -> list[bool]:
        """For each element whether it matches the filter."""
        self.work.charge(of_filter(1, 0, len(self.elements)))
        match node:
            case Comparison(path, op, wanted):
                column = self._column(path.target)
                if wanted is None:
                    return [(value is None) == (op == "eq") for value in column]
                return _met(column, path.target, op, wanted, self.work)
            case Present(path):
                return [value is not None for value in self._column(path.target)]
            case And(terms):
                return [all(row) for row in zip(*map(self.meets, terms), strict=True)]
            case Or(terms):
                return [any(row) for row in zip(*map(self.meets, terms), strict=True)]
            case Not(term):
                return [not is_met for is_met in self.meets(term)]
            case ValuePath():
                raise TypeError("a value path cannot stand inside another")

    def _column(self, attribute: Attribute) -> list[Any]:
        column = self.columns.get(attribute.name)
        if column is None:
            self.work.charge(COLUMN * len(self.elements))
            values = [element.get(attribute.name) for element in self.elements]
            column = self.columns[attribute.name] = [
                None if _is_absent(value) else folded(attribute, value, self.work)
                for value in values
            ]
        return column


class _Resource:
    """One resource to be matched; the folded values of each attribute are collected once."""

    __slots__ = ("resource", "values", "work")

    def __init__(self, resource: Json, work: Work) -> None:
        self.resource = resource
        self.work = work
        self.values: dict[Attribute, list[Any]] = {}

    def meets(self, node: Filter) -> bool:
        """Whether it matches the filter."""
        self.work.charge(of_filter(1, 0, 0))
        match node:
            case ValuePath(path, inner):
                elements = _elements(self.resource, path.attribute)
                return any(_Elements(elements, self.work).meets(inner))
            case Comparison(path, op, wanted):
                values = self._of(path)
                if wanted is None:
                    return bool(values) == (op == "ne")
                if not values:
                    return op == "ne"
                return any(_met(values, path.target, op, wanted, self.work))
            case Present(path):
                return bool(self._of(path))
            case And(terms):
                return all(map(self.meets, terms))
            case Or(terms):
                return any(map(self.meets, terms))
            case Not(term):
                return not self.meets(term)

    def _of(self, path: AttributePath) -> list[Any]:
        values = self.values.get(path.target)
        if values is None:
            found = _elements(self.resource, path.attribute)
            if path.sub is not None:
                name = path.sub.name
                found = [item for element in found if not _is_absent(item := element.get(name))]
            self.work.charge(COLUMN * len(found))
            values = [folded(path.target, value, self.work) for value in found]
            self.values[path.target] = values
        self.work.charge(len(values))
        return values


def _met(
    values: Sequence[Any], attribute: Attribute, op: str, wanted: Any, work: Work
) -> list[bool]:
    """For each folded value whether it meets the comparison; None, no value, meets only `ne`."""
    right = folded(attribute, wanted, work)
    if isinstance(right, str):
        size = sum(len(value) for value in values if value is not None)
        work.charge(of_search(len(right) if op == "co" else 1, size))
    match op:
        case "eq":
            return [value == right for value in values]
        case "ne":
            return [value != right for value in values]
        case "co":
            return [value is not None and right in value for value in values]
        case "sw":
            return [value is not None and value.startswith(right) for value in values]
        case "ew":
            return [value is not None and value.endswith(right) for value in values]
    compare = _ORDER[op]
    return [value is not None and compare(value, right) for value in values]


def _is_absent(value: Any) -> bool:
    return value in (None, "", [], {})


def _elements(resource: Json, attribute: Attribute) -> list[Any]:
    """The values of an attribute as a list, whether or not it is multi-valued."""
    container = resource if attribute.urn is None else resource.get(attribute.urn, {})
    value = container.get(attribute.name)
    values = value if isinstance(value, list) else [value]
    return [each for each in values if not _is_absent(each)]


def folded(attribute: Attribute, value: Any, work: Work) -> Any:
    """The value in the form in which it is compared; computed once per text."""
    fold = folding(attribute)
    if fold is _as_it_is:
        return value
    return work.once(fold, value, CASE if fold is str.casefold else KEY)


def folding(attribute: Attribute) -> Callable[[Any], Any]:
    """The function that brings values of the attribute to the form for comparing and sorting."""
    if attribute.kind == "dateTime":
        return parse_date_time
    if attribute.check == "user_name":
        return _folded_user_name
    if attribute.path == "displayName":
        return folded_display_name
    if attribute.kind == "string" and not attribute.case_exact:
        return str.casefold
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def folded_display_name(value: str) -> str:
    """The key by which display names are unique; a blank text stays as it is."""
    return display_name_key(value) or value


def _folded_user_name(value: str) -> str:
    """The key of a user name; a text that cannot be a user name is only folded."""
    try:
        return user_name_key(value)
    except InvalidValue:
        return value.casefold()
