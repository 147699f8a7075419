"""Check the `schemas` of a POST or PUT body (RFC 7643 §3, RFC 7644 §3.3)."""

from collections.abc import Collection
from functools import cache
from typing import Any, NoReturn

from rollcall.scim import quirks
from rollcall.scim.errors import InvalidSyntax
from rollcall.scim.near_names import is_of_the_standard
from rollcall.scim.quirks import Repairs
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall.scim.values import shown_name


def check_schemas(
    value: Any, schema: ResourceSchema, repairs: Repairs, names: Collection[str] | None
) -> None:
    """Raise InvalidSyntax if `schemas` does not name the resource type, or names an unknown schema.

    The compatible profile ignores a vendor's extension, like other unknown names, if its object is
    among the `names` of the body. For a create `names` is None and the object is not required:
    Entra sends an old URN of its own with each group, and that must not keep a new group out.
    """
    if value is None or value == []:
        if not repairs.fire("missing-schemas"):
            raise InvalidSyntax(f'schemas must contain "{schema.urn}".', attribute="schemas")
        return
    if type(value) is str and quirks.names_schema(value, schema):
        value = [value] if repairs.fire("object-for-list") else value
    if type(value) is not list or not all(type(urn) is str for urn in value):
        raise InvalidSyntax("schemas must be a list of URNs, as texts.", attribute="schemas")
    if schema.urn in value and _own_urns(schema).issuperset(value):
        return
    is_named = False
    for urn in value:
        if quirks.names_schema(urn, schema):
            is_named = True
            _is_today(urn.lower() == schema.urn.lower(), schema, repairs)
        elif quirks.map_urn(urn, schema) is not None:
            _is_today(schema.extension(urn) is not None, schema, repairs)
        else:
            _ignore_stranger(urn, schema, repairs, names)
    if not is_named:
        _refuse(schema)


def _is_today(is_spelt: bool, schema: ResourceSchema, repairs: Repairs) -> None:
    if not is_spelt and not repairs.fire("old-urn"):
        _refuse(schema)


def _ignore_stranger(
    urn: str, schema: ResourceSchema, repairs: Repairs, names: Collection[str] | None
) -> None:
    other = GROUP if schema is USER else USER
    if quirks.names_schema(urn, other):
        raise InvalidSyntax(
            f'schemas names another resource type; here it must contain "{schema.urn}" alone.',
            attribute="schemas",
        )
    is_there = ":" in urn and (names is None or urn in names)
    if is_of_the_standard(urn) or not is_there or not repairs.ignore(urn):
        raise InvalidSyntax(
            f"schemas names {shown_name(urn)}, which is no schema of this resource type; leave it "
            "out.",
            attribute="schemas",
        )


def _refuse(schema: ResourceSchema) -> NoReturn:
    raise InvalidSyntax(
        f'schemas must contain "{schema.urn}" and nothing but its extensions.',
        attribute="schemas",
    )


@cache
def _own_urns(schema: ResourceSchema) -> frozenset[str]:
    return frozenset((schema.urn, *schema.extension_urns))
