"""Preconditions: the resource versions that a request requires (RFC 7644 §3.14, RFC 9110 §13.1).

The precondition is part of the event, because the version that it is compared with depends on the
request's place in the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rollcall.scim.etag import ANY, Versions, names

Json = dict[str, Any]
_FIELDS: Final = ("if_match", "if_none_match")


@dataclass(frozen=True, slots=True)
class Precondition:
    """`If-Match` and `If-None-Match`, each None where the client did not send it."""

    if_match: Versions | None = None
    if_none_match: Versions | None = None

    def holds(self, version: str) -> bool:
        """Whether a resource that exists in this version may be changed."""
        return self.is_matched(version) and not self.is_excluded(version)

    def is_matched(self, version: str) -> bool:
        """Whether `If-Match` is absent or names the version."""
        return self.if_match is None or names(self.if_match, version)

    def is_excluded(self, version: str) -> bool:
        """Whether `If-None-Match` is present and names the version."""
        return self.if_none_match is not None and names(self.if_none_match, version)


def to_data(precondition: Precondition) -> Json:
    """The precondition in a request's data; what was not sent is left out."""
    given = {name: getattr(precondition, name) for name in _FIELDS}
    return {
        name: versions if versions == ANY else list(versions)
        for name, versions in given.items()
        if versions is not None
    }


def from_data(data: Mapping[str, Any]) -> Precondition:
    """The precondition that `to_data` wrote. Raises TypeError or ValueError for anything else."""
    if not isinstance(data, dict) or not data or not data.keys() <= set(_FIELDS):
        raise ValueError("a precondition has if_match, if_none_match, or both")
    return Precondition(**{name: _versions(value) for name, value in data.items()})


def _versions(value: object) -> Versions:
    if value == ANY:
        return ANY
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError("versions are a list of texts")
    return tuple(value)
