"""Compile filters and sort orders to SQL. With `attribute_sql.py` the only code that composes SQL.

A filter means what `rollcall.scim.match` says about the representation. SQL text comes from
constants only. Values always become parameters, folded in Python by the same functions. A condition
is true, or else false or null; under `not` null is turned into false first, so that absence never
becomes presence.

The attributes by which identity providers look resources up have an index (`Condition.is_indexed`).
Any other filter reads all documents of the organisation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, assert_never

from rollcall.postgres import search_keys
from rollcall.postgres.attribute_sql import (
    BASE,
    Elements,
    ResourceType,
    Value,
    elements_of,
    presence,
    value_in,
    value_of,
)
from rollcall.postgres.rows import is_id, is_storable
from rollcall.scim.errors import InvalidFilter
from rollcall.scim.filter import And, Comparison, Filter, Not, Or, Present, ValuePath
from rollcall.scim.match import folding
from rollcall.scim.path import AttributePath
from rollcall.scim.schema import GROUP, USER, Attribute
from rollcall.scim.sort import Sort

CONDITION: Final = "/* condition */ true"
"""The place of the condition in a query; left as it is, it matches all rows."""
SORT_KEY: Final = "/* sort key */ NULL::text"
ORDER: Final = "/* order */ found.id"
MATCHING_ORDER: Final = "/* order */ matching.sort_key, matching.id"
FIRST_PARAMETER: Final = 6
"""Number of a condition's first parameter; the search queries have five of their own."""

_BINARY: Final = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_TEMPLATES: Final = {
    "eq": "{value} = {wanted}",
    "co": "strpos({value}, {wanted}) > 0",
    "sw": "starts_with({value}, {wanted})",
    "ew": "right({value}, length({wanted})) = {wanted}",
    **{op: f"{{value}} {sign} {{wanted}}" for op, sign in _BINARY.items()},
}


_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


class _BaseUrl:
    """A parameter that stands for the organisation's SCIM base URL."""


BASE_URL: Final = _BaseUrl()


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL over the table of one resource type, and the values of its parameters `$6`, `$7`, …

    `is_indexed`: an index finds the rows; otherwise each document of the organisation is read.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    is_indexed: bool = True

    def arguments(self, base_url: str) -> tuple[Any, ...]:
        """The parameters for an organisation with this SCIM base URL."""
        return tuple(base_url if value is BASE_URL else value for value in self.parameters)


@dataclass(frozen=True, slots=True)
class Order:
    """The sort order: an SQL expression, then the id, both ascending or both descending."""

    key: str | None = None
    descending: bool = False
    is_indexed: bool = True


@dataclass(frozen=True, slots=True)
class _Fragment:
    sql: str
    is_indexed: bool = False


ANYTHING: Final = Condition("true")
BY_ID: Final = Order()
_NOTHING: Final = _Fragment("false", is_indexed=True)
_ALL: Final = _Fragment("true")


@lru_cache(maxsize=1024)
def compile_filter(filter_ast: Filter | None, resource_type: ResourceType) -> Condition:
    """The condition of a filter; without a filter all rows match.

    Raises InvalidFilter for a comparison that rows cannot decide: a `$ref` to another resource that
    is not a membership (RFC 7644 §3.4.2.2 lets a server refuse what it cannot process).
    """
    if filter_ast is None:
        return ANYTHING
    compiler = _Compiler(resource_type)
    fragment = compiler.resource(filter_ast)
    return Condition(fragment.sql, tuple(compiler.parameters), fragment.is_indexed)


@lru_cache(maxsize=256)
def compile_sort(sort: Sort | None, resource_type: ResourceType) -> Order:
    """The order of a sort (RFC 7644 §3.4.2.3); without a sort the order of creation, by id."""
    if sort is None:
        return BY_ID
    path = sort.path
    if path.sub is not None and path.sub.name == "$ref":  # addresses sort like their targets
        path = AttributePath(path.attribute, path.attribute.subs["value"])
    if path.target.path in ("id", "meta.location"):
        return Order(None, sort.descending)
    value = value_of(path, resource_type)
    if value is not None:
        return Order(value.sql, sort.descending, value.is_sorted)
    rows, compiler = elements_of(path.attribute), _Compiler(resource_type)
    inner = compiler.inner_value(path.attribute, path.sub)
    key = (
        f"(SELECT {inner.sql} FROM {compiler.source(rows)}"  # noqa: S608 - constants of ours
        f" WHERE {rows.condition} AND {rows.correlation} ORDER BY {rows.order} LIMIT 1)"
    )
    return Order(key, sort.descending, is_indexed=False)


def compose(query: str, condition: Condition, order: Order = BY_ID) -> str:
    """The query with the condition and the order inserted."""
    direction = " DESC" if order.descending else ""
    keys = [] if order.key is None else [f"{order.key}{direction}"]
    matching = [] if order.key is None else [f"matching.sort_key{direction}"]
    for placeholder, text in (
        (CONDITION, f"({condition.sql})"),
        (SORT_KEY, order.key or SORT_KEY),
        (ORDER, ", ".join([*keys, f"found.id{direction}"])),
        (MATCHING_ORDER, ", ".join([*matching, f"matching.id{direction}"])),
    ):
        query = query.replace(placeholder, text)
    return query


class _Compiler:
    """One compilation: `resource` for conditions on rows, `_element` for those inside brackets."""

    def __init__(self, resource_type: ResourceType) -> None:
        self.type = resource_type
        self.parameters: list[Any] = []
        self._base: str | None = None

    def resource(self, node: Filter) -> _Fragment:
        """A condition on `found`."""
        match node:
            case ValuePath(path, inner):
                return self._value_path(path.attribute, inner)
            case Comparison(path, op, wanted):
                return self._comparison(path, op, wanted)
            case Present(path):
                return self._present(path)
            case And() | Or() | Not():
                return self._combined(node, self.resource)
            case _:
                assert_never(node)

    def _combined(self, node: And | Or | Not, compiled: Callable[[Filter], _Fragment]) -> _Fragment:
        if isinstance(node, Not):
            return _Fragment(f"({compiled(node.term).sql}) IS NOT TRUE")
        parts = [compiled(term) for term in node.terms]
        if isinstance(node, And):
            sql = " AND ".join(f"({part.sql})" for part in parts)
            return _Fragment(sql, any(part.is_indexed for part in parts))
        sql = " OR ".join(f"({part.sql})" for part in parts)
        return _Fragment(sql, all(part.is_indexed for part in parts))

    def _comparison(self, path: AttributePath, op: str, wanted: Any) -> _Fragment:
        found = value_of(path, self.type)
        if found is not None:
            self._refuse_reference(path)
            return self._test(self._based(found), op, wanted)
        attribute, sub = path.attribute, path.sub
        inner = self.inner_value(attribute, sub)
        has_any = self._exists(attribute, f"{inner.sql} IS NOT NULL")
        if wanted is None:
            return _Fragment(f"NOT {has_any}" if op == "eq" else has_any)
        if op == "ne":
            differs = f"{inner.sql} <> {self._bind(inner, wanted)}" if _can_be(wanted) else "true"
            some = self._exists(attribute, f"{inner.sql} IS NOT NULL AND {differs}")
            return _Fragment(f"NOT {has_any} OR {some}")
        if sub is not None and sub.name == "value" and op == "eq":
            by_index = self._by_value(attribute, None, wanted)
            if by_index is not None:
                return by_index
        return _Fragment(self._exists(attribute, self._test(inner, op, wanted).sql))

    def _present(self, path: AttributePath) -> _Fragment:
        found = value_of(path, self.type) if not path.target.is_complex else None
        if found is not None:
            self._refuse_reference(path)
            return _Fragment(f"{self._based(found).sql} IS NOT NULL")
        attribute, sub = path.attribute, path.sub
        if sub is None and attribute.name == "meta":
            return _ALL
        if sub is None and not attribute.multi_valued:
            return _Fragment(presence(attribute))
        if sub is None and attribute.is_complex:
            return _Fragment(self._exists(attribute, "true"))
        return _Fragment(
            self._exists(attribute, f"{self.inner_value(attribute, sub).sql} IS NOT NULL")
        )

    def _value_path(self, attribute: Attribute, inner: Filter) -> _Fragment:
        """One element meets all of `inner`."""
        terms = inner.terms if isinstance(inner, And) else (inner,)
        for place, term in enumerate(terms):
            match term:
                case Comparison(path, "eq", str(wanted)) if path.target.name == "value":
                    rest = (*terms[:place], *terms[place + 1 :])
                    by_index = self._by_value(attribute, rest, wanted)
                    if by_index is not None:
                        return by_index
        condition = self._element(attribute, inner)
        return _Fragment(self._exists(attribute, condition.sql))

    def _element(self, attribute: Attribute, node: Filter) -> _Fragment:
        """A condition on one element of the attribute."""
        match node:
            case Comparison(path, op, wanted):
                self._refuse_reference(AttributePath(attribute, path.target))
                return self._test(self.inner_value(attribute, path.target), op, wanted)
            case Present(path):
                self._refuse_reference(AttributePath(attribute, path.target))
                return _Fragment(f"{self.inner_value(attribute, path.target).sql} IS NOT NULL")
            case And() | Or() | Not():
                return self._combined(node, lambda term: self._element(attribute, term))
            case ValuePath():
                raise TypeError("a value path cannot stand inside another")
            case _:
                assert_never(node)

    def _by_value(
        self, attribute: Attribute, rest: Sequence[Filter] | None, wanted: Any
    ) -> _Fragment | None:
        """`value eq wanted` in an element that also meets `rest`, by index.

        None if there is no index.
        """
        if attribute.urn is not None or attribute.name not in ("emails", "groups", "members"):
            return None
        if not _can_be(wanted):
            return _NOTHING
        if attribute.name == "emails":
            return self._by_address(attribute, rest or (), wanted)
        if not is_id(wanted):
            return _NOTHING
        rows = elements_of(attribute)
        conditions = [rows.condition, f"{rows.anchor} = {self._parameter(wanted)}::uuid"]
        conditions += [f"({self._element(attribute, term).sql})" for term in rest or ()]
        return _Fragment(
            f"found.id = ANY (ARRAY(SELECT {rows.owner} FROM {rows.source}"  # noqa: S608 - constants
            f" WHERE {' AND '.join(conditions)}))",
            is_indexed=True,
        )

    def _by_address(self, emails: Attribute, rest: Sequence[Filter], wanted: str) -> _Fragment:
        """By the stored keys; `rest`, except one type, is checked in the document."""
        kind = ""
        key = search_keys.email_key(wanted)
        match rest:
            case [Comparison(path, "eq", str(kind))] if path.target.name == "type" and kind:
                key, rest = search_keys.typed_email_key(kind, wanted), ()
        if search_keys.TYPE_SEPARATOR in kind + wanted or not wanted or not _can_be(kind):
            return _NOTHING
        sql = f"found.email_keys @> ARRAY[{self._parameter(key)}::text]"
        if rest:
            value = Comparison(AttributePath(emails, emails.subs["value"]), "eq", wanted)
            whole = self._element(emails, And((value, *rest)))
            sql = f"{sql} AND {self._exists(emails, whole.sql)}"
        return _Fragment(sql, is_indexed=True)

    def _test(self, value: Value, op: str, wanted: Any) -> _Fragment:
        """Compare one value; false or null if there is no value, except for `ne`."""
        if wanted is None:
            return _Fragment(f"{value.sql} IS {'' if op == 'eq' else 'NOT '}NULL")
        if not _can_be(wanted):
            return _ALL if op == "ne" else _NOTHING
        if op == "ne":
            return _Fragment(f"{value.sql} IS DISTINCT FROM {self._bind(value, wanted)}")
        if value.folds.path == "id" and op == "eq":
            if not is_id(wanted):
                return _NOTHING
            return _Fragment(f"found.id = {self._parameter(wanted)}::uuid", is_indexed=True)
        bound = self._bind(value, wanted)
        sql = _TEMPLATES[op].format(value=value.sql, wanted=bound)
        if value.folds.path == "displayName" and op == "eq":
            # The index holds only the beginning; the second condition makes it exact.
            sql = f"left(found.display_name_key, 256) = left({bound}, 256) AND {sql}"
        return _Fragment(sql, op in value.indexed)

    def inner_value(self, attribute: Attribute, sub: Attribute | None) -> Value:
        """The value of an element, or of its sub-attribute."""
        if sub is None:
            return Value('element COLLATE "C"', "text", attribute)
        return self._based(value_in(attribute, sub, self.type))

    def source(self, rows: Elements) -> str:
        """The FROM clause of the elements."""
        if "{schemas}" not in rows.source:
            return rows.source
        schema = USER if self.type == "User" else GROUP
        optional = "".join(
            f", CASE WHEN found.document ? '{urn}' THEN '{urn}' END"
            for urn in schema.extension_urns
        )
        return rows.source.replace("{schemas}", f"ARRAY['{schema.urn}'{optional}]")

    def _exists(self, attribute: Attribute, condition: str) -> str:
        rows = elements_of(attribute)
        return (
            f"EXISTS (SELECT FROM {self.source(rows)}"
            f" WHERE {rows.condition} AND {rows.correlation} AND ({condition}))"
        )

    def _bind(self, value: Value, wanted: Any) -> str:
        """The wanted value in the form in which it is compared with this one."""
        if value.form == "boolean":
            return "'true'::jsonb" if wanted else "'false'::jsonb"
        folded = folding(value.folds)(wanted)
        if value.form == "time":
            return f"{self._parameter(_in_utc(folded))}::timestamptz"
        return f"{self._parameter(folded)}::text"

    def _parameter(self, value: Any) -> str:
        self.parameters.append(value)
        return f"${FIRST_PARAMETER + len(self.parameters) - 1}"

    def _based(self, value: Value) -> Value:
        """The value; if it is an address, with the parameter of the SCIM base URL."""
        if BASE not in value.sql:
            return value
        if self._base is None:
            self._base = self._parameter(BASE_URL)
        return replace(value, sql=value.sql.replace(BASE, self._base))

    def _refuse_reference(self, path: AttributePath) -> None:
        """Refuse `manager.$ref`: its address is built from `value` only when it is answered."""
        if path.target.name == "$ref" and path.attribute.name not in ("groups", "members"):
            raise InvalidFilter(
                f"A filter on `{path.text}` is not supported; use `{path.attribute.path}.value`.",
                attribute=path.text,
            )


def _can_be(wanted: Any) -> bool:
    """Whether a row could hold the value."""
    return not isinstance(wanted, str) or is_storable(wanted)


def _in_utc(moment: datetime) -> datetime:
    """The moment in UTC; beyond the calendar its limit, at which no resource was made."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return _LATEST if moment.year > 1 else _EARLIEST
