"""The query part of an address: strict in what it means, tolerant in how it is written.

`+` is a space, a dangling `?` or `&` is nothing, and our parameters are known in any letter case: a
`Filter` that was not one would list everybody. Refused are names that come twice, bytes that are no
UTF-8, U+0000 and other control characters, and line separators.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from shared.scim.errors import InvalidFilter, InvalidValue, ScimError

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
KNOWN: Final = frozenset(
    {"filter", "attributes", "excludedAttributes", "startIndex", "count", "sortBy", "sortOrder"}
)
_BY_NAME: Final = {name.lower(): name for name in KNOWN}

Query = Mapping[str, str]


def parse_query(text: str) -> Query:
    """Name → value of the query `text`, as it came, without its `?`; our names spelt as they are.

    Raises InvalidFilter for a bad value of `filter`, otherwise InvalidValue; the detail names a
    parameter only if it is one of ours.
    """
    found: dict[str, str] = {}
    if not text:
        return found
    for part in text.split("&"):
        if not part:
            continue
        raw_name, _, raw_value = part.partition("=")
        name = _decode(raw_name, "")
        name = _BY_NAME.get(name.lower(), name)
        value = _decode(raw_value, name)
        if name in found:
            raise _refusal(name, "comes twice; send it once")
        found[name] = value
    return found


def _decode(raw: str, name: str) -> str:
    try:
        text = unquote_to_bytes(raw.replace("+", " ")).decode()
    except UnicodeError as error:
        raise _refusal(name, "is no valid UTF-8") from error
    return check_characters(text, name)


def check_characters(text: str, name: str) -> str:
    """The value of the parameter, if it has only characters that may stand in a line."""
    if _CONTROL.search(text):
        raise _refusal(name, "has control characters; remove them")
    return text


def _refusal(name: str, what: str) -> ScimError:
    if name not in KNOWN:
        return InvalidValue(f"A parameter of the query {what}.")
    kind = InvalidFilter if name == "filter" else InvalidValue
    return kind(f"The parameter {name} {what}.", attribute=name)
