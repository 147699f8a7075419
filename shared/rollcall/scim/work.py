"""What a PATCH costs, in units that the request and the resource alone decide: no clock.

A unit is about a tenth of a microsecond of CPU. Every step of a PATCH whose cost grows with what
it looks at (parts of filters, elements, characters of texts) is charged before it is done, so that
ingress, the provisioner and each replay refuse the same PATCH at the same operation, and none
computes for longer than `MAX_WORK` allows. `benchmarks/costliest.py` measures the two in each
other (docs/decisions/0037).

What is charged is what might have to be done: that a filter's first part already says it all, or
that a text is short to fold, is not looked for.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

import orjson

from rollcall.scim import limits
from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidValue
from rollcall.scim.limits import MAX_ELEMENTS, MAX_RESOURCE_BYTES
from rollcall.scim.schema import GROUP, USER, Extension, ResourceSchema

T = TypeVar("T")

MAX_WORK: Final = limits.MAX_WORK
UNITS_PER_SECOND: Final = 10_000_000
"""Order of magnitude, on a core of 2020 or later."""

OPERATION: Final = 60
PART: Final = 120
"""Reading one part of a filter in a path."""
VALUE: Final = 10
"""Reading one value of a body."""
UNKNOWN: Final = 200
"""Finding out that no schema knows a name, nor anything near it."""
ELEMENT: Final = 16
"""Going through one element: choosing, writing, and looking for blanks, doubles and primaries."""
COLUMN: Final = 2
"""Taking one sub-attribute of one element for all conditions on it."""
CONDITION: Final = 1
"""One part of a filter on one element."""
CONDITIONS: Final = 10
"""One part of a filter on all elements, beside that."""

ASCII: Final = 1
CASE: Final = 25
KEY: Final = 4500
TEXT: Final = 10
JSON: Final = 100
"""Hundredths of a unit a character: of `casefold` in and beyond ASCII, of a name's key (PRECIS),
of looking for characters that do not belong, of JSON in a text."""

ELEMENT_FRAME: Final = 32
"""Bytes of JSON around what is written into an element: commas, brackets, `"primary":false`."""
_LEAST_ELEMENT_BYTES: Final = 13
"""Of an element as JSON, with its comma: `{"type":"x"},`."""
_LONGEST_NEEDLE: Final = 64
"""Beyond that Python looks for a text in another in another way, which is linear."""
_NEEDLE_SHARE: Final = 250
_FOLDS_TO: Final = 3
"""A character becomes so many at most."""
_MOST_COLUMNS: Final = 10
_TABLES: Final[tuple[ResourceSchema | Extension, ...]] = (
    USER,
    GROUP,
    *USER.extensions.values(),
    *GROUP.extensions.values(),
)
_LISTS: Final = frozenset(
    attribute.path
    for table in _TABLES
    for attribute in table.attributes.values()
    if attribute.multi_valued
)
"""Paths of the multi-valued attributes."""


class Work:
    """The units of one request so far. Without `most` they are counted and not bounded.

    It also keeps what was made of a text, so that each is folded once however often it is asked
    for.
    """

    __slots__ = ("_made", "most", "units")

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.units = 0
        self._made: dict[Callable[[str], Any], dict[str, Any]] = {}

    @property
    def is_bounded(self) -> bool:
        """Whether too much is refused."""
        return self.most is not None

    def charge(self, units: int) -> None:
        """Count what is about to be done. Raises InvalidValue if that is too much."""
        self.units += units
        if self.most is not None and self.units > self.most:
            raise InvalidValue(
                f"The request comes to more than {self.most} units of work (values, and parts of "
                "filters times the elements and texts that they look at); send it in parts, or "
                "with shorter filters."
            )

    def once(self, make: Callable[[str], T], text: str, rate: int = CASE) -> T:
        """What `make` makes of the text, made once; `rate` is hundredths of a unit a character."""
        made = self._made.get(make)
        if made is None:
            made = self._made[make] = {}
        found = made.get(text)
        if found is None:
            self.charge(of_fold(len(text), ASCII if text.isascii() else rate))
            found = made[text] = make(text)
        return cast("T", found)


def of_path(text: str, parts: int) -> int:
    """Reading the path of an operation again, whose filter has so many parts."""
    return PART * parts + len(text)


def of_filter(parts: int, columns: int, elements: int) -> int:
    """Asking the parts of a filter of the elements, texts apart; `columns` are its attributes."""
    return parts * (CONDITIONS + CONDITION * elements) + COLUMN * columns * elements


def of_search(needle: int, characters: int) -> int:
    """Looking for a text of so many characters in texts of so many, at worst."""
    return characters * min(max(needle, 1), _LONGEST_NEEDLE) // _NEEDLE_SHARE + 1


def of_fold(characters: int, rate: int = CASE) -> int:
    """Taking the letter case off a text, or what else costs `rate` hundredths a character."""
    return characters * rate // 100 + 1


def of_bytes(size: int) -> int:
    """Writing or reading so many bytes of JSON."""
    return size // 32 + 1


def most_work(operations: Sequence[Json], resource_bytes: int, enough: int | None = None) -> int:
    """The most units that a PATCH of these canonical operations comes to, cheaply.

    `resource_bytes` is the length of the canonical resource as JSON. What `apply_patch` really
    charges is never more, and mostly far less. Beyond `enough` it is not counted further.
    """
    held = at_most = resource_bytes
    total = of_bytes(held)
    for operation in operations:
        path: str = operation["path"]
        given = len(orjson.dumps(operation["value"])) if "value" in operation else 0
        name, bracket, _ = path.partition("[")
        total += OPERATION + of_bytes(given) + of_fold(given + len(path))
        parts, elements, added = 0, 1, 0
        if bracket or not _LISTS.isdisjoint((name, name.rpartition(".")[0])):
            elements = min(held // _LEAST_ELEMENT_BYTES + 1, MAX_ELEMENTS)
            added = min(given // _LEAST_ELEMENT_BYTES + 1, MAX_ELEMENTS)
            total += ELEMENT * (elements + added)
        if bracket:
            parts = path.count(" ") + 1
            columns = min(parts, _MOST_COLUMNS)
            total += of_filter(parts, columns, elements) + of_filter(parts, columns, 1)
            total += 2 * VALUE * (1 + _MOST_COLUMNS)
            # Each text is folded once, into at most three times its characters.
            characters = _FOLDS_TO * (held + given)
            total += parts * of_search(1, characters)
            searches = path.count(" co ")
            if searches:
                total += searches * of_search(-(-len(path) // searches), characters)
        total += of_path(path, parts + 1)
        grown = 0  # what removes adds nothing
        if given:
            grown = (elements + added) * (given + len(path.encode()) + ELEMENT_FRAME)
        held, at_most = min(held + grown, MAX_RESOURCE_BYTES), at_most + grown
        if given and at_most > MAX_RESOURCE_BYTES:
            total += of_bytes(held)
        if enough is not None and total > enough:
            break
    return total + 2 * of_fold(held)
