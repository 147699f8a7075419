"""Older versions of a request's data brought to the newest, one step after another. Pure.

A reader knows the newest version of each kind and nothing else; what an older release wrote comes
to it through here. A step that was released is never edited: the records that it reads are in logs
and backups, and a log must give the same directory whenever it is folded. A new version is a new
step, a new golden file, and a reader that knows the new version alone.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

Json = dict[str, Any]
Step = Callable[[Json], Json]
"""Data of version n → data of version n + 1; its argument is not modified."""


def _without_precondition(data: Json) -> Json:
    """Version 1 of a write was applied unconditionally; version 2 says what must hold first."""
    return {**data, "precondition": None}


STEPS: Final[Mapping[tuple[str, int], Step]] = MappingProxyType(
    {
        ("member.replace", 1): _without_precondition,
        ("member.patch", 1): _without_precondition,
        ("member.delete", 1): _without_precondition,
        ("group.replace", 1): _without_precondition,
        ("group.patch", 1): _without_precondition,
        ("group.delete", 1): _without_precondition,
    }
)
"""(kind, version) → the step to the version after it."""


def upcast(kind: str, version: int, newest: int, data: Json) -> Json:
    """`data` of `version` as `newest` has it. Raises KeyError where a step is missing."""
    for number in range(version, newest):
        data = STEPS[kind, number](data)
    return data
