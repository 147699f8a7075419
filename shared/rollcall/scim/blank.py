"""Tell an object that says it is blank from one in which nothing can be read.

Templates of identity providers fill in what a person has and send the rest blank, such as
`{"type": "work", "value": ""}`. That means unassigned (RFC 7643 §2.5). `{}` and `{"id": "7"}` do
not say so, and treating them as blank would remove a value.
"""

from typing import Any

from rollcall.scim.schema import Attribute

_LABELS = frozenset({"type", "primary"})


def says_blank(attribute: Attribute, value: Any) -> bool:
    """Whether a value of a complex attribute that has no content says that it is blank.

    It does if its `value` is null or blank, or if it has known sub-attributes only and none of them
    has content, except a label. A blank text says so too.
    """
    if not isinstance(value, dict):
        return isinstance(value, str) and is_blank(value)
    known = {}
    unknown = False
    for name, item in value.items():
        sub = attribute.sub(name)
        if sub is not None:
            known[sub.name] = item
        elif not is_blank(item):
            unknown = True
    if "value" in known and is_blank(known["value"]):
        return is_blank(known.get("$ref"))
    filled = {name for name, item in known.items() if not is_blank(item)}
    return bool(known) and not unknown and filled <= _LABELS


def is_blank(value: Any) -> bool:
    """Null, or a text of white space only."""
    return value is None or (isinstance(value, str) and (not value or value.isspace()))
