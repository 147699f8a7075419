"""Entity tags, and the conditions that name them (RFC 7644 §3.14, RFC 9110 §8.8.3, §13.1).

The entity tag of a resource is its version, in weak form, because two representations of one
version may differ by their projection. Conditions are compared weakly (RFC 9110 §8.8.3.2), so `W/`
does not matter. A well-formed tag that cannot be one of our versions matches nothing. It is dropped
here and is not part of the request event.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

from rollcall.scim.errors import InvalidValue

ANY: Final = "*"
Versions = Literal["*"] | tuple[str, ...]
"""The versions that a condition names: `ANY` for any version, or a tuple, which may be empty."""

_TAG: Final = re.compile(r'(?:W/)?"(?P<opaque>[^"\x00-\x20\x7f]*)"[ \t]*(?:,|\Z)')
_NOTHING: Final = re.compile(r"[ \t]*(?:,[ \t]*)*")


def weak_etag(version: str) -> str:
    """The weak entity tag of a resource's version, for `ETag` and `meta.version`."""
    return f'W/"{version}"'


def read_versions(values: Sequence[str], header: str) -> Versions | None:
    """The versions in the field lines of `If-Match` or `If-None-Match`; None without a line.

    Several lines form one list (RFC 9110 §5.3); empty elements are ignored. Raises InvalidValue for
    anything else, including `*` beside tags; its detail describes the form.
    """
    if not values:
        return None
    text = ",".join(values)
    if text.strip(" \t") == ANY:
        return ANY
    found: dict[str, None] = {}
    place = _after_nothing(text, 0)
    while place < len(text):
        tag = _TAG.match(text, place)
        if tag is None:
            raise InvalidValue(
                f"{header} must be * or entity tags as `ETag` and `meta.version` give them, "
                'W/"version" with the double quotes, separated by commas.',
                attribute=header,
            )
        if _is_version(tag["opaque"]):
            found[tag["opaque"]] = None
        place = _after_nothing(text, tag.end())
    return tuple(found)


def names(versions: Versions, version: str) -> bool:
    """Whether the condition names the version of an existing resource."""
    return versions == ANY or version in versions


def none_match(values: Sequence[str], version: str) -> bool:
    """Whether `If-None-Match` (its field lines) says that the client's copy is current: 304.

    False without such a line. Raises InvalidValue for a malformed one.
    """
    versions = read_versions(values, "If-None-Match")
    return versions is not None and names(versions, version)


def _after_nothing(text: str, place: int) -> int:
    """The index after white space and empty elements of the list."""
    nothing = _NOTHING.match(text, place)
    return place if nothing is None else nothing.end()


def _is_version(text: str) -> bool:
    """Whether it has the form of our versions: the id of an event, a UUID in lower case."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
