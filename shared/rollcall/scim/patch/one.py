"""A filter on a single complex value, such as Entra's `manager[value eq "7"]`."""

from rollcall.scim.errors import InvalidFilter
from rollcall.scim.filter import And, Comparison, Filter, Not, Or, Present
from rollcall.scim.path import AttributePath
from rollcall.scim.quirks import Repairs, repair_reference


def filter_of_one(node: Filter, repairs: Repairs) -> Filter:
    """The filter on the stored sub-attributes: a `$ref` becomes the id at its end.

    Raises InvalidFilter for a sub-attribute that only the server knows, such as
    `manager.displayName`: it would never match, and a removal would do nothing.
    """
    match node:
        case And(terms):
            return And(tuple(filter_of_one(term, repairs) for term in terms))
        case Or(terms):
            return Or(tuple(filter_of_one(term, repairs) for term in terms))
        case Not(term):
            return Not(filter_of_one(term, repairs))
        case Comparison(path, "eq", str(value)) if path.target.name == "$ref":
            meant = repair_reference(value, repairs)
            if meant is not None:
                owner = AttributePath(path.attribute, path.attribute.subs["value"])
                return Comparison(owner, "eq", meant)
        case Comparison(path) | Present(path) if not (
            path.target.is_read_only or path.target.name == "$ref"
        ):
            return node
    raise InvalidFilter(
        "A single value can be selected only by what a client may write of it, such as its `value`."
    )
