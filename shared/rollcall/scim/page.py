"""Index paging (RFC 7644 §3.4.2.4) and the ListResponse message."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import InvalidValue

LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"

# Not `int()`, which also accepts `１` and `1_0`, and raises for thousands of digits. Beyond 18
# digits a number is simply larger than any result.
_WHOLE_NUMBER = re.compile(r"(?P<sign>[+-]?)(?P<digits>[0-9]+)")
_MOST_DIGITS = 18
MAX_START_INDEX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """The first resource wanted, counted from 1, and the largest number of resources."""

    start_index: int
    count: int

    @property
    def offset(self) -> int:
        """The number of resources before the page."""
        return self.start_index - 1


def parse_page(start_index: str | None, count: str | None, *, default: int, maximum: int) -> Page:
    """The page that the query parameters ask for.

    A start below 1 is 1, a negative count is 0, a count above `maximum` is `maximum`, and an absent
    or empty count is `default`. Raises InvalidValue for anything but a whole number.
    """
    start = _whole_number("startIndex", start_index, 1)
    size = _whole_number("count", count, default)
    return Page(min(max(start, 1), MAX_START_INDEX), min(max(size, 0), maximum))


def _whole_number(name: str, text: str | None, default: int) -> int:
    if text is None or not text.strip(" "):
        return default
    match = _WHOLE_NUMBER.fullmatch(text.strip(" "))
    if match is None:
        raise InvalidValue(f"{name} must be a whole number.", attribute=name)
    digits = match["digits"].lstrip("0") or "0"
    size = int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS
    return -size if match["sign"] == "-" else size


def list_response(resources: Sequence[Json], total: int, page: Page) -> Json:
    """The ListResponse message of one page out of `total` resources."""
    return {
        "schemas": [LIST_URN],
        "totalResults": total,
        "startIndex": page.start_index,
        "itemsPerPage": len(resources),
        "Resources": list(resources),
    }
