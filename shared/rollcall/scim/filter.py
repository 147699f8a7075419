"""Filters (RFC 7644 §3.4.2.2): from text to a small tree, resolved and typed against a schema.

    or     = and *( "or" and )
    and    = term *( "and" term )
    term   = [ "not" ] "(" or ")" / path "pr" / path operator value / path "[" or "]"

Operators and names have no letter case. A comparison with a complex attribute means its `value`.
`null` compares as absent, and `ne` matches if the attribute is absent.

The compatible profile also reads values without quotation marks, and Entra's
`emails[type eq "work"].value eq "x"`, which becomes one value path with both conditions. The length
of the text and the number of parts and levels are limited, so no input can exhaust the stack.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, NoReturn, cast

import orjson

from rollcall.scim.errors import InvalidFilter
from rollcall.scim.limits import MAX_FILTER_BYTES, MAX_FILTER_DEPTH, MAX_FILTER_NODES
from rollcall.scim.path import AttributePath, read_attribute_path
from rollcall.scim.profile import Profile
from rollcall.scim.quirks import Repairs, repair_boolean, repair_date_time
from rollcall.scim.schema import Attribute, Extension, ResourceSchema
from rollcall.scim.values import is_date_time

MAX_CACHED = 256

Operator = Literal["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]
Value = str | bool | int | float | None

_OPERATORS = frozenset({"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"})
_IN_TEXT = frozenset({"co", "sw", "ew"})
_ORDERED = frozenset({"gt", "ge", "lt", "le"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path op value`. The kind of the value is that of `path.target`; None only for eq and ne."""

    path: AttributePath
    op: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Present:
    """`path pr`: the attribute has a value."""

    path: AttributePath


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more terms match."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of two or more terms matches."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The term does not match."""

    term: "Filter"


@dataclass(frozen=True, slots=True)
class ValuePath:
    """One element of the attribute matches the filter, whose paths are its sub-attributes."""

    path: AttributePath
    filter: "Filter"


Filter = Comparison | Present | And | Or | Not | ValuePath


@dataclass(frozen=True, slots=True)
class ReadFilter:
    """A filter, and the names of the quirk rules that were needed to read it."""

    filter: Filter
    repairs: tuple[str, ...]


def parse_filter(text: str, schema: ResourceSchema, profile: Profile) -> Filter:
    """The filter that `text` means at this resource type's endpoint.

    Raises InvalidFilter, which names the unknown operator or attribute, or the limit.
    """
    return read_filter(text, schema, profile).filter


def read_filter(
    text: str, schema: ResourceSchema, profile: Profile, inside: Attribute | None = None
) -> ReadFilter:
    """As `parse_filter`, with the repairs; `inside` the brackets of that attribute's PATCH path."""
    if len(text) > MAX_FILTER_BYTES or (
        len(text.encode("utf-8", "surrogatepass")) > MAX_FILTER_BYTES
    ):
        raise InvalidFilter(f"The filter is longer than {MAX_FILTER_BYTES} bytes; shorten it.")
    if len(text) > MAX_CACHED:
        return _read_filter.__wrapped__(text, schema, profile, inside)
    return _read_filter(text, schema, profile, inside)


@lru_cache(maxsize=2048)
def _read_filter(
    text: str, schema: ResourceSchema, profile: Profile, inside: Attribute | None
) -> ReadFilter:
    repairs = Repairs(profile)
    return ReadFilter(_Parser(text, schema, inside, repairs).whole(), repairs.fired)


_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[A-Za-z$][A-Za-z0-9_$.:-]*")
_WORDS = {
    word: re.compile(rf"[ \t\r\n]*{word}(?![A-Za-z0-9_$.:-])", re.IGNORECASE | re.ASCII)
    for word in ("and", "or", "not")
}
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE = re.compile(r'[^\s()\[\]"]+')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?")
_CONDITION = re.compile(
    rf"[ ]*({_WORD.pattern})[ ]+(eq|ne|co|sw|ew|gt|ge|lt|le)[ ]+"
    '"([^"\\\\\x00-\x1f\ud800-\udfff]*+)"'
)
"""A condition in its usual form, with a text in which nothing is escaped."""
_LITERALS: dict[str, Value] = {"true": True, "false": False, "null": None}


class _Parser:
    """Recursive descent over the text; `inside` is the attribute in whose brackets it stands."""

    def __init__(
        self, text: str, schema: ResourceSchema, inside: Attribute | None, repairs: Repairs
    ) -> None:
        self.text = text
        self.schema = schema
        self.inside = inside
        self.repairs = repairs
        self.at = 0
        self.nodes = 0
        self.depth = 0

    def whole(self) -> Filter:
        result = self._or()
        self._skip_space()
        if self.at != len(self.text):
            self._refuse("expected `and`, `or` or the end")
        return result

    def _or(self) -> Filter:
        self.depth += 1
        if self.depth > MAX_FILTER_DEPTH:
            raise InvalidFilter(
                f"The filter is nested deeper than {MAX_FILTER_DEPTH} levels; split it."
            )
        terms = [self._and()]
        while self._take_word("or"):
            terms.append(self._and())
        self.depth -= 1
        return terms[0] if len(terms) == 1 else self._node(Or(tuple(terms)))

    def _and(self) -> Filter:
        terms = [self._term()]
        while self._take_word("and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else self._node(And(tuple(terms)))

    def _term(self) -> Filter:
        usual = _CONDITION.match(self.text, self.at)
        if usual is not None:
            self.at = usual.end()
            return self._usual(usual[1], cast("Operator", usual[2]), usual[3])
        if self._take("("):
            return self._close(")")
        begin = self.at
        if self._take_word("not"):
            if self._take("("):
                return self._node(Not(self._close(")")))
            self.at = begin
        return self._expression()

    def _close(self, bracket: str) -> Filter:
        result = self._or()
        if not self._take(bracket):
            self._refuse(f"expected `{bracket}`")
        return result

    def _expression(self) -> Filter:
        path = self._path()
        if self._take("["):
            return self._value_path(path)
        return self._condition(path)

    def _condition(self, path: AttributePath) -> Filter:
        match = self._match(_WORD)
        if match is None:
            self._refuse("expected an operator such as `eq`")
        op = match.lower()
        if op == "pr":
            return self._node(Present(path))
        if op not in _OPERATORS:
            raise InvalidFilter(
                f"The filter's operator `{match[:40]}` is unknown; use one of "
                "eq, ne, co, sw, ew, gt, ge, lt, le, pr."
            )
        path = self._comparable(path)
        value = self._value(path.target)
        return self._node(self._typed(path, cast("Operator", op), value))

    def _usual(self, name: str, op: Operator, value: str) -> Filter:
        """The same as `_expression` for a text in the usual form, without reading it twice."""
        path = self._comparable(self._named(name))
        return self._node(self._typed(path, op, value))

    def _value_path(self, path: AttributePath) -> Filter:
        attribute = path.attribute
        if self.inside is not None or path.sub is not None or not attribute.is_complex:
            self._refuse(f"`{path.text}` takes no filter in brackets")
        self.inside = attribute
        inner = self._close("]")
        if self.text.startswith(".", self.at) and self.repairs.fire("value-path-continued"):
            self.at += 1
            condition = self._condition(self._path())
            inner = self._node(And((inner, condition)))
        self.inside = None
        return self._node(ValuePath(path, inner))

    def _path(self) -> AttributePath:
        name = self._match(_WORD)
        if name is None:
            self._refuse("expected the name of an attribute")
        return self._named(name)

    def _named(self, name: str) -> AttributePath:
        if self.inside is not None:
            sub = self.inside.sub(name)
            if sub is not None:
                return AttributePath(self.inside, sub)
        else:
            path = read_attribute_path(name, self.schema, self.repairs)
            if path is not None and not isinstance(path, Extension):
                return path
        raise InvalidFilter(
            f"The filter's attribute `{name[:200]}` is unknown here; correct its name.",
            attribute=name[:200],
        )

    def _comparable(self, path: AttributePath) -> AttributePath:
        """The path, with `value` added if the attribute is complex."""
        if not path.target.is_complex:
            return path
        value = path.target.sub("value")
        if value is None:
            raise InvalidFilter(
                f"`{path.text}` has no value of its own; name one of its sub-attributes.",
                attribute=path.text,
            )
        return AttributePath(path.attribute, value)

    def _value(self, attribute: Attribute) -> Value:
        quoted = self._match(_QUOTED)
        if quoted is not None:
            try:
                value: str = orjson.loads(quoted.encode())
            except ValueError as error:
                raise InvalidFilter("A value of the filter is no valid JSON string.") from error
            if "\0" in value:
                raise InvalidFilter("A value of the filter holds the character U+0000.")
            return value
        bare = self._match(_BARE)
        if bare is None:
            self._refuse('expected a value such as "x", true or 5')
        return self._bare_value(bare, attribute)

    def _bare_value(self, bare: str, attribute: Attribute) -> Value:
        """A literal, if the attribute takes one of its kind; otherwise a text without quotes."""
        is_text = attribute.kind not in ("boolean", "integer", "decimal")
        if bare == "null" or (bare in _LITERALS and not is_text):
            return _LITERALS[bare]
        if _NUMBER.fullmatch(bare) and not is_text:
            number: int | float = orjson.loads(bare)
            return number
        is_readable = bare.isprintable() and not bare.startswith("'")
        if not is_readable or not self.repairs.fire("unquoted-filter-value"):
            raise InvalidFilter('A value of the filter is not quoted; write it as "value".')
        return bare

    def _typed(self, path: AttributePath, op: Operator, value: Value) -> Comparison:
        """The comparison. Raises InvalidFilter if operator or value do not fit the attribute."""
        kind = path.target.kind
        is_text = kind in ("string", "reference")
        if (op in _IN_TEXT and not is_text) or (op in _ORDERED and kind in ("boolean", "binary")):
            raise InvalidFilter(
                f"`{op}` cannot be used with `{path.text}`, which is a {kind}.",
                attribute=path.text,
            )
        if value is None:
            suits = op in ("eq", "ne")
        elif kind == "boolean":
            value = repair_boolean(value, self.repairs)
            suits = isinstance(value, bool)
        elif kind in ("integer", "decimal"):
            suits = isinstance(value, int | float) and not isinstance(value, bool)
        elif kind == "dateTime":
            if isinstance(value, str) and not is_date_time(value):
                value = repair_date_time(value, self.repairs)
            suits = isinstance(value, str) and is_date_time(value)
        else:
            suits = isinstance(value, str)
        if not suits:
            raise InvalidFilter(
                f"`{path.text}` is a {kind} and cannot be compared with a value of this kind.",
                attribute=path.text,
            )
        return Comparison(path, op, value)

    def _node(self, node: Filter) -> Filter:
        self.nodes += 1
        if self.nodes > MAX_FILTER_NODES:
            raise InvalidFilter(f"The filter has more than {MAX_FILTER_NODES} parts; split it.")
        return node

    def _skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match is not None else self.at

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        self._skip_space()
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match[0]

    def _take(self, character: str) -> bool:
        self._skip_space()
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False

    def _take_word(self, word: str) -> bool:
        match = _WORDS[word].match(self.text, self.at)
        if match is None:
            return False
        self.at = match.end()
        return True

    def _refuse(self, why: str) -> NoReturn:
        raise InvalidFilter(f"The filter cannot be read at character {self.at + 1}: {why}.")


def size(node: Filter | None) -> int:
    """The number of comparisons, connections and brackets of a filter; 0 for None."""
    match node:
        case None:
            return 0
        case And(terms) | Or(terms):
            return 1 + sum(map(size, terms))
        case Not(term) | ValuePath(_, term):
            return 1 + size(term)
        case _:
            return 1


def format_value_filter(node: Filter) -> str:
    """The canonical text of a filter between brackets, as it is written into a PATCH path."""
    match node:
        case Comparison(path, op, value):
            return f"{path.target.name} {op} {_format_value(value)}"
        case Present(path):
            return f"{path.target.name} pr"
        case And(terms):
            return " and ".join(_grouped(term, And | Or) for term in terms)
        case Or(terms):
            return " or ".join(_grouped(term, Or) for term in terms)
        case Not(term):
            return f"not ({format_value_filter(term)})"
        case ValuePath():
            raise TypeError("a value path cannot stand inside another")


def _grouped(node: Filter, in_brackets: type | UnionType) -> str:
    """A term, in brackets only where it had them: another level might exceed the limit."""
    text = format_value_filter(node)
    return f"({text})" if isinstance(node, in_brackets) else text


def _format_value(value: Any) -> str:
    return orjson.dumps(value).decode()
