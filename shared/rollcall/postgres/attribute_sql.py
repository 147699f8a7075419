"""SQL expressions for the values of an attribute; used by `filter_sql.py`.

A value is an expression that is null if the attribute has no value. It has the form in which values
are compared: folded like `scim.match.folding`, texts in the order of their code points. The values
of a multi-valued attribute are rows of a sub-select, one for each element.

Names in all expressions: `found` is the row of the resource, `$1` the organisation, `element` an
element in the document, `link` a membership and `held` the resource at its other end.
"""

from dataclasses import dataclass
from typing import Final, Literal

from rollcall.scim.match import folding
from rollcall.scim.path import AttributePath
from rollcall.scim.schema import Attribute

ResourceType = Literal["User", "Group"]
Form = Literal["text", "time", "boolean"]

BASE: Final = "{base}"
"""Placeholder for the organisation's SCIM base URL, which becomes a parameter."""

_EQUAL: Final = frozenset({"eq"})
_IN_ORDER: Final = frozenset({"eq", "gt", "ge", "lt", "le"})


@dataclass(frozen=True, slots=True)
class Value:
    """The SQL of one value, which is null if there is none.

    `folds` is the attribute whose rules fold the other side of a comparison. `indexed` lists the
    operators for which an index is used; `is_sorted`: an index gives the order.
    """

    sql: str
    form: Form
    folds: Attribute
    indexed: frozenset[str] = frozenset()
    is_sorted: bool = False


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a multi-valued or complex attribute: the parts of `FROM … WHERE …`.

    For memberships, `anchor` is the id of the resource at the other end. `source` without
    `correlation` then gives the memberships of all resources, and `owner` the id of the resource
    that has each.
    """

    source: str
    condition: str = "true"
    order: str = "true"
    anchor: str | None = None
    owner: str = "found.id"
    correlation: str = "true"


def value_of(path: AttributePath, resource_type: ResourceType) -> Value | None:
    """The value of a path with a single value; None if there may be several."""
    attribute, target = path.attribute, path.target
    if attribute.multi_valued:
        return None
    column = _COLUMNS.get(target.path)
    if column is not None:
        sql, form, indexed, is_sorted = column
        return Value(
            sql.replace("{type}", resource_type), form, target, indexed, is_sorted=is_sorted
        )
    if path.sub is None:
        return _in_document(_container(attribute), attribute)
    return _in_document(f"({_container(attribute)} -> {_text(attribute.name)})", path.sub)


def value_in(attribute: Attribute, sub: Attribute, resource_type: ResourceType) -> Value:
    """The value of a sub-attribute in one of the `elements_of` an attribute."""
    if attribute.name == "meta":
        path = AttributePath(attribute, sub)
        found = value_of(path, resource_type)
        assert found is not None
        return found
    related = _RELATED.get((attribute.name, sub.name))
    if related is not None:
        return Value(_folded(related, sub), "text", sub)
    return _in_document("element", sub)


def elements_of(attribute: Attribute) -> Elements:
    """The elements of an attribute: from the document, or memberships."""
    if attribute.urn is None and attribute.name in _MEMBERSHIPS:
        return _MEMBERSHIPS[attribute.name]
    if attribute.name == "meta":
        return Elements("(SELECT) AS once")
    names = [name for name in (attribute.urn, attribute.name) if name is not None]
    steps = "".join(f'."{name}"' for name in names)
    many = "[*]" if attribute.multi_valued else ""
    return Elements(
        f"jsonb_path_query(found.document, {_text(f'lax ${steps}{many}')})"
        " WITH ORDINALITY AS part (element, place)",
        order="(element -> 'primary' = 'true') IS TRUE DESC, place",
    )


def presence(attribute: Attribute) -> str:
    """Whether a complex attribute that is not a list has any content."""
    whole = f"({_container(attribute)} -> {_text(attribute.name)})"
    return f"coalesce({whole}, 'null') NOT IN ('null', '{{}}', '[]', '\"\"')"


def _container(attribute: Attribute) -> str:
    if attribute.urn is None:
        return "found.document"
    return f"(found.document -> {_text(attribute.urn)})"


def _in_document(container: str, attribute: Attribute) -> Value:
    """A value inside `container`, a jsonb expression that may be null."""
    name = _text(attribute.name)
    if attribute.kind == "boolean":
        indexed = _EQUAL if attribute.path == "active" else frozenset[str]()
        return Value(f"({container} -> {name})", "boolean", attribute, indexed)
    return Value(_folded(f"nullif({container} ->> {name}, '')", attribute), "text", attribute)


def _folded(sql: str, attribute: Attribute) -> str:
    """The text in the form in which it is compared. Names with key columns do not come here."""
    if attribute.kind == "string" and not attribute.case_exact:
        assert folding(attribute) is str.casefold
        sql = f"directory.fold({sql})"
    return f'{sql} COLLATE "C"'


def _text(constant: str) -> str:
    """A name of the schema as an SQL literal."""
    return "'" + constant.replace("'", "''") + "'"


_COLUMNS: Final[dict[str, tuple[str, Form, frozenset[str], bool]]] = {
    "userName": ('found.user_name_key COLLATE "C"', "text", frozenset({"eq", "sw"}), True),
    "externalId": ('found.external_id COLLATE "C"', "text", _EQUAL, True),
    "displayName": ("nullif(found.display_name_key, '') COLLATE \"C\"", "text", _EQUAL, False),
    "id": ('found.id::text COLLATE "C"', "text", _EQUAL, False),
    "meta.created": ("found.created", "time", _IN_ORDER, True),
    "meta.lastModified": ("found.last_modified", "time", _IN_ORDER, True),
    "meta.version": (
        "('W/\"' || found.version::text || '\"') COLLATE \"C\"",
        "text",
        frozenset(),
        False,
    ),
    "meta.resourceType": ("'{type}'::text COLLATE \"C\"", "text", frozenset(), False),
    "meta.location": (
        f"({BASE}::text || '/{{type}}s/' || found.id::text) COLLATE \"C\"",
        "text",
        frozenset(),
        False,
    ),
}

_MEMBERSHIPS: Final = {
    "groups": Elements(
        "directory.group_member AS link"
        ' JOIN directory."group" AS held'
        " ON held.organisation_id = $1 AND held.id = link.group_id",
        condition="link.organisation_id = $1",
        order="link.group_id",
        anchor="link.group_id",
        owner="link.member_id",
        correlation="link.member_id = found.id",
    ),
    "members": Elements(
        "directory.group_member AS link"
        " JOIN directory.member AS held"
        " ON held.organisation_id = $1 AND held.id = link.member_id",
        condition="link.organisation_id = $1",
        order="link.member_id",
        anchor="link.member_id",
        owner="link.group_id",
        correlation="link.group_id = found.id",
    ),
    # The URN of the resource type, and those of the extensions in the document.
    "schemas": Elements(
        "unnest({schemas}) WITH ORDINALITY AS part (element, place)",
        condition="element IS NOT NULL",
        order="place",
    ),
}
_RELATED: Final = {
    ("groups", "value"): "link.group_id::text",
    ("groups", "$ref"): f"({BASE}::text || '/Groups/' || link.group_id::text)",
    ("groups", "type"): "'direct'::text",
    ("groups", "display"): "nullif(held.document ->> 'displayName', '')",
    ("members", "value"): "link.member_id::text",
    ("members", "$ref"): f"({BASE}::text || '/Users/' || link.member_id::text)",
    ("members", "type"): "'User'::text",
    ("members", "display"): "nullif(held.document ->> 'displayName', '')",
}
