"""The cost of a PATCH, in units that depend only on the request and the resource, not on a clock.

A unit is about a tenth of a microsecond of CPU. Each step of a PATCH whose cost grows with its
input (parts of filters, elements, characters of texts) is charged before it is done. So ingress,
the provisioner and each replay refuse the same PATCH at the same operation, and none computes
longer than `MAX_WORK` allows. `benchmarks/costliest.py` measures units against time
(docs/decisions/0037).

The charge is for the worst case: it does not consider that the first part of a filter may already
decide, or that a text may be quick to fold.
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
"""The order of magnitude, on a core of 2020 or later."""

OPERATION: Final = 60
PART: Final = 120
"""Cost of reading one part of a filter in a path."""
VALUE: Final = 10
"""Cost of reading one value of a body."""
UNKNOWN: Final = 200
"""Cost of finding out that a name is in no schema and is no near name either."""
ELEMENT: Final = 16
"""Cost of one element: choosing, writing, and looking for blanks, doubles and primaries."""
COLUMN: Final = 2
"""Cost of collecting one sub-attribute of one element for all conditions on it."""
CONDITION: Final = 1
"""Cost of one part of a filter on one element."""
CONDITIONS: Final = 10
"""Additional cost of one part of a filter on all elements together."""

ASCII: Final = 1
CASE: Final = 25
KEY: Final = 4500
TEXT: Final = 10
JSON: Final = 100
"""Hundredths of a unit per character: for `casefold` within and beyond ASCII, for a name's key
(PRECIS), for looking for characters that are not allowed, for JSON in a text."""

ELEMENT_FRAME: Final = 32
"""Bytes of JSON around what is written into an element: commas, brackets, `"primary":false`."""
_LEAST_ELEMENT_BYTES: Final = 13
"""Bytes of the shortest element as JSON, with its comma: `{"type":"x"},`."""
_LONGEST_NEEDLE: Final = 64
"""For longer texts Python searches with another algorithm, which is linear."""
_NEEDLE_SHARE: Final = 250
_FOLDS_TO: Final = 3
"""The most characters that folding makes of one."""
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
    """The units of one request so far. Without `most` they are counted but not bounded.

    It also caches folded texts, so that each text is folded once.
    """

    __slots__ = ("_made", "most", "units")

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.units = 0
        self._made: dict[Callable[[str], Any], dict[str, Any]] = {}

    @property
    def is_bounded(self) -> bool:
        """Whether a request that costs too much is refused."""
        return self.most is not None

    def charge(self, units: int) -> None:
        """Count the cost of the next step. Raises InvalidValue if the total is too much."""
        self.units += units
        if self.most is not None and self.units > self.most:
            raise InvalidValue(
                f"The request comes to more than {self.most} units of work (values, and parts of "
                "filters times the elements and texts that they look at); send it in parts, or "
                "with shorter filters."
            )

    def once(self, make: Callable[[str], T], text: str, rate: int = CASE) -> T:
        """`make(text)`, computed once; `rate` is its cost in hundredths of a unit per character."""
        made = self._made.get(make)
        if made is None:
            made = self._made[make] = {}
        found = made.get(text)
        if found is None:
            self.charge(of_fold(len(text), ASCII if text.isascii() else rate))
            found = made[text] = make(text)
        return cast("T", found)


def of_path(text: str, parts: int) -> int:
    """Cost of reading the path of an operation, whose filter has `parts` parts, from the log."""
    return PART * parts + len(text)


def of_filter(parts: int, columns: int, elements: int) -> int:
    """Cost of evaluating a filter on elements, without its texts; `columns` are its attributes."""
    return parts * (CONDITIONS + CONDITION * elements) + COLUMN * columns * elements


def of_search(needle: int, characters: int) -> int:
    """Worst-case cost of searching a text of `needle` characters in `characters` characters."""
    return characters * min(max(needle, 1), _LONGEST_NEEDLE) // _NEEDLE_SHARE + 1


def of_fold(characters: int, rate: int = CASE) -> int:
    """Cost of folding a text, or of another step with `rate` hundredths per character."""
    return characters * rate // 100 + 1


def of_bytes(size: int) -> int:
    """Cost of writing or reading `size` bytes of JSON."""
    return size // 32 + 1


def most_work(operations: Sequence[Json], resource_bytes: int, enough: int | None = None) -> int:
    """An upper bound, computed quickly, of the units that a PATCH of these operations costs.

    `resource_bytes` is the length of the canonical resource as JSON. What `apply_patch` charges is
    never more, and usually far less. Counting stops beyond `enough`.
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
            # Each text is folded once, into at most three times as many characters.
            characters = _FOLDS_TO * (held + given)
            total += parts * of_search(1, characters)
            searches = path.count(" co ")
            if searches:
                total += searches * of_search(-(-len(path) // searches), characters)
        total += of_path(path, parts + 1)
        grown = 0  # a remove adds nothing
        if given:
            grown = (elements + added) * (given + len(path.encode()) + ELEMENT_FRAME)
        held, at_most = min(held + grown, MAX_RESOURCE_BYTES), at_most + grown
        if given and at_most > MAX_RESOURCE_BYTES:
            total += of_bytes(held)
        if enough is not None and total > enough:
            break
    return total + 2 * of_fold(held)
