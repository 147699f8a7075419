"""A member's attributes as lines: a name a person can read beside the identity provider's. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_HIDDEN: Final = frozenset({"schemas", "meta", "id", "groups", "password", "active"})
ENTERPRISE: Final = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MOST: Final = 200
"""Lines of one member."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One line: the path as the identity provider's mapping names it, and its value."""

    path: str
    value: str


def attributes_of(resource: dict[str, Any]) -> list[Attribute]:
    """The lines of a resource, in the order of its attributes."""
    lines: list[Attribute] = []
    for name, value in resource.items():
        if name in _HIDDEN:
            continue
        lines.extend(_lines(_short(name), value))
    return lines[:MOST]


def _short(name: str) -> str:
    """`enterprise` for its URN (RFC 7643 §4.3); the last part of any other; an attribute's name."""
    return "enterprise" if name == ENTERPRISE else name.rpartition(":")[2]


def _lines(path: str, value: Any) -> Iterator[Attribute]:
    match value:
        case dict():
            for name, inner in value.items():
                if name not in ("$ref", "schemas"):
                    yield from _lines(f"{path}.{name}", inner)
        case list():
            for item in value:
                yield _item(path, item)
        case None:
            return
        case bool():
            yield Attribute(path, "true" if value else "false")
        case _:
            yield Attribute(path, str(value))


def _item(path: str, item: Any) -> Attribute:
    if not isinstance(item, dict):
        return Attribute(path, str(item))
    kind = f'[type eq "{item["type"]}"]' if item.get("type") else ""
    value = item.get("value", item.get("formatted"))
    if value is None:
        rest = [f"{k}: {v}" for k, v in item.items() if k not in ("type", "primary", "$ref")]
        value = ", ".join(rest)
    return Attribute(f"{path}{kind}", str(value))
