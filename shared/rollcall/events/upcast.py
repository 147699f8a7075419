"""Upcasting: bring older versions of a request's data to the newest one, step by step. No I/O.

A reader knows only the newest version of each kind. Data that an older release wrote goes through
these steps first. A released step never changes: the records that it reads are in logs and backups,
and a log must give the same directory whenever it is folded. A new version needs a new step, a new
golden file, and a reader of the new version.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

Json = dict[str, Any]
Upcast = Callable[[Json], Json]
"""From the data of version n to that of version n + 1; its argument is not modified."""


def _without_precondition(data: Json) -> Json:
    """Version 1 was applied unconditionally; version 2 has a precondition or None."""
    return {**data, "precondition": None}


UPCASTS: Final[Mapping[tuple[str, int], Upcast]] = MappingProxyType(
    {
        ("member.replace", 1): _without_precondition,
        ("member.patch", 1): _without_precondition,
        ("member.delete", 1): _without_precondition,
        ("group.replace", 1): _without_precondition,
        ("group.patch", 1): _without_precondition,
        ("group.delete", 1): _without_precondition,
    }
)
"""(kind, version) → the step to the next version."""


def upcast(kind: str, version: int, newest: int, data: Json) -> Json:
    """Bring `data` from `version` to `newest`. Raises KeyError if a step is missing."""
    for number in range(version, newest):
        data = UPCASTS[kind, number](data)
    return data
