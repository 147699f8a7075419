"""Filters as SQL: the only module that composes SQL, from constant fragments and `$n`.

What is supported is what an identity provider looks a resource up by, and has an index: `eq`,
joined by `and`. Values only ever become parameters. A value that no row can have (an id that is no
UUID, a blank user name) makes the condition false, never an error of Postgres.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, assert_never

from shared.postgres import search_keys
from shared.postgres.rows import is_id, is_storable
from shared.scim.errors import InvalidFilter, InvalidValue
from shared.scim.filter import And, Comparison, Filter, Not, Or, Present, ValuePath
from shared.scim.username import display_name_key, user_name_key

ResourceType = Literal["User", "Group"]

PLACEHOLDER: Final = "/* condition */ true"
"""Stands in a query where the condition goes; as it stands it is the condition of no filter."""
FIRST_PARAMETER: Final = 5
"""Number of a condition's first parameter: the searches have four of their own."""

SUPPORTED: Final[dict[ResourceType, str]] = {
    "User": (
        'userName, externalId, displayName, id, emails.value, emails[type eq "…"].value '
        'and emails[type eq "…" and value eq "…"]'
    ),
    "Group": "displayName, externalId, id, members and members.value",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL over the table of one resource type, and the values of its `$5`, `$6`, …"""

    sql: str
    parameters: tuple[Any, ...] = ()


ANYTHING: Final = Condition("true")
NOTHING: Final = "false"


def compile_filter(filter_ast: Filter | None, resource_type: ResourceType) -> Condition:
    """The condition that a filter means; without a filter all rows match.

    Raises InvalidFilter, which says what is supported, for any operator, attribute or combination
    without an index (RFC 7644 §3.4.2.2 lets a server refuse what it cannot serve).
    """
    if filter_ast is None:
        return ANYTHING
    parameters: list[Any] = []

    def bind(value: Any) -> str:
        parameters.append(value)
        return f"${FIRST_PARAMETER + len(parameters) - 1}"

    fragments = [
        _comparison(path, value, resource_type, bind)
        for path, value in _equalities(filter_ast, resource_type)
    ]
    if NOTHING in fragments:
        return Condition(NOTHING)
    return Condition(" AND ".join(fragments), tuple(parameters))


def compose(query: str, condition: Condition) -> str:
    """The query with the condition in each of its places."""
    return query.replace(PLACEHOLDER, f"({condition.sql})")


def _equalities(
    node: Filter, resource_type: ResourceType
) -> Iterator[tuple[str, str | tuple[str, str]]]:
    """Pairs (path, value) that must all hold; of a typed address the value is (type, value)."""
    match node:
        case And(terms):
            for term in terms:
                yield from _equalities(term, resource_type)
        case Comparison(path, "eq", str(value)):
            yield path.text, value
        case ValuePath(path, inner):
            yield _value_path(path.text, inner, resource_type)
        case Comparison() | Present() | Or() | Not():
            raise _refusal(resource_type)
        case _:
            assert_never(node)


def _value_path(
    attribute: str, inner: Filter, resource_type: ResourceType
) -> tuple[str, str | tuple[str, str]]:
    """`emails[type eq "t" and value eq "v"]`, `emails[value eq "v"]`, `members[value eq "v"]`."""
    found: dict[str, str] = {}
    for term in inner.terms if isinstance(inner, And) else (inner,):
        match term:
            case Comparison(path, "eq", str(value)) if path.target.name not in found:
                found[path.target.name] = value
            case _:
                raise _refusal(resource_type)
    if found.keys() == {"value"}:
        return f"{attribute}.value", found["value"]
    if attribute == "emails" and found.keys() == {"type", "value"}:
        return "emails[type]", (found["type"], found["value"])
    raise _refusal(resource_type)


def _comparison(
    path: str,
    value: str | tuple[str, str],
    resource_type: ResourceType,
    bind: Callable[[Any], str],
) -> str:
    """One equality as SQL; `bind` turns a value into a parameter."""
    match resource_type, path, value:
        case _, "id", str(text):
            return f"id = {bind(text)}::uuid" if is_id(text.lower()) else NOTHING
        case _, "externalId", str(text):
            return f"external_id = {bind(text)}" if is_storable(text) else NOTHING
        case "User", "userName", str(text):
            return _user_name(text, bind)
        case _, "displayName", str(text):
            return _display_name(text, bind)
        case "User", "emails.value", str(text):
            return _email(search_keys.email_key(text), text, bind)
        case "User", "emails[type]", (str(kind), str(text)):
            return _email(search_keys.typed_email_key(kind, text), kind + text, bind)
        case "Group", "members.value", str(text):
            return _has_member(text, bind)
        case _:
            raise _refusal(resource_type)


def _user_name(text: str, bind: Callable[[Any], str]) -> str:
    try:
        key = user_name_key(text)
    except InvalidValue:
        return NOTHING
    return f"user_name_key = {bind(key)}" if is_storable(key) else NOTHING


def _display_name(text: str, bind: Callable[[Any], str]) -> str:
    key = display_name_key(text)
    if not is_storable(key):
        return NOTHING
    number = bind(key)
    # The index holds the beginning only; the second half makes it exact.
    return (
        f"left(display_name_key, 256) = left({number}::text, 256) AND display_name_key = {number}"
    )


def _email(key: str, texts: str, bind: Callable[[Any], str]) -> str:
    """`texts` is what the key was made from: a separator in there would be another's key."""
    if not is_storable(key) or search_keys.TYPE_SEPARATOR in texts:
        return NOTHING
    return f"email_keys @> ARRAY[{bind(key)}::text]"


def _has_member(text: str, bind: Callable[[Any], str]) -> str:
    if not is_id(text.lower()):
        return NOTHING
    return (
        "EXISTS (SELECT FROM directory.group_member AS wanted"
        " WHERE wanted.organisation_id = $1 AND wanted.group_id = found.id"
        f" AND wanted.member_id = {bind(text)}::uuid)"
    )


def _refusal(resource_type: ResourceType) -> InvalidFilter:
    return InvalidFilter(
        f"This filter is not supported for {resource_type}s; use `eq`, joined by `and`, on "
        f"{SUPPORTED[resource_type]}."
    )
