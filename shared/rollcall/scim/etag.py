"""Entity tags and the conditions that name them (RFC 7644 §3.14, RFC 9110 §8.8.3, §13.1).

The entity tag of a resource is its version, in weak form: two representations of one version may
differ by their projection. A condition is compared weakly (RFC 9110 §8.8.3.2): the `W/` says
nothing. A tag that is no version of ours is well-formed and matches nothing, so it is dropped here
and never travels.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal
from uuid import UUID

from rollcall.scim.errors import InvalidValue

ANY: Final = "*"
Versions = Literal["*"] | tuple[str, ...]
"""Versions that a condition names: `ANY` for whichever there is, or these (none: none of ours)."""

_TAG: Final = re.compile(r'(?:W/)?"(?P<opaque>[^"\x00-\x20\x7f]*)"[ \t]*(?:,|\Z)')
_NOTHING: Final = re.compile(r"[ \t]*(?:,[ \t]*)*")


def weak_etag(version: str) -> str:
    """The weak entity tag of a resource's version, for `ETag` and `meta.version`."""
    return f'W/"{version}"'


def read_versions(values: Sequence[str], header: str) -> Versions | None:
    """What the field lines of `If-Match` or `If-None-Match` name; None where there is no line.

    Several lines are one list (RFC 9110 §5.3); empty elements are nothing. Raises InvalidValue,
    whose detail says the form, for anything else: also for `*` beside tags.
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
    """Whether a resource that exists in this version is among those that the condition names."""
    return versions == ANY or version in versions


def none_match(values: Sequence[str], version: str) -> bool:
    """Whether `If-None-Match` (its field lines) says that the client's copy is current: 304.

    False where there is no such line. Raises InvalidValue for a malformed one.
    """
    versions = read_versions(values, "If-None-Match")
    return versions is not None and names(versions, version)


def _after_nothing(text: str, place: int) -> int:
    """The place behind white space and empty elements of the list."""
    nothing = _NOTHING.match(text, place)
    return place if nothing is None else nothing.end()


def _is_version(text: str) -> bool:
    """Whether it is written as our versions are: the id of an event, a UUID in lower case."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
