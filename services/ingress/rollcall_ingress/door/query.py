"""The query part of an address: strict in what it means, tolerant in how it is written.

A dangling `?` or `&` is nothing, and our parameters are known in any letter case: a `Filter` that
was not one would list everybody. Refused are names that come twice, bytes that are no UTF-8, U+0000
and other control characters, and line separators.

A bare `+` is a plus to RFC 3986 and a space to HTML forms. A client writes all its spaces in one
way: beside a `%20` the `+` is a plus, as Okta's SDK has it in `userName%20eq%20"a+b@x"`; but never
between the words of a filter. Without one it is a space, except inside a quoted value where it
cannot be one: an address with its `@` unescaped, or compared with a `userName` or an address.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from rollcall.scim.errors import InvalidFilter, InvalidValue, ScimError

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
KNOWN: Final = frozenset(
    {"filter", "attributes", "excludedAttributes", "startIndex", "count", "sortBy", "sortOrder"}
)
_PLUS: Final = "\0"
"""Stands for a bare `+` until it is known what that is; a value cannot hold it."""
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ADDRESS: Final = re.compile(r'"[^\s"]*[^\s"\0]@[^\s"\0@][^\s"@]*"')
_NO_SPACES: Final = re.compile(
    r"(?:userName|emails(?:\.value)?|\bvalue)\s+(?:eq|ne|co|sw|ew)\s*$", re.IGNORECASE
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
    text = check_characters(_unquoted(raw.replace("+", " "), name), name)
    if "+" not in raw:
        return text
    marked = _unquoted(raw.replace("+", _PLUS), name)
    spaces_are_escaped = "%20" in raw
    if name == "filter" and '"' in marked:
        return _plus_in_filter(marked, spaces_are_escaped, "%40" not in raw)
    return marked.replace(_PLUS, "+") if spaces_are_escaped else text


def _plus_in_filter(marked: str, spaces_are_escaped: bool, at_is_bare: bool) -> str:
    """The filter with each bare `+` as a space between words, and as what fits inside quotes."""
    pieces: list[str] = []
    end = 0
    for match in _QUOTED.finditer(marked):
        between = marked[end : match.start()].replace(_PLUS, " ")
        value = match[0]
        is_plus = spaces_are_escaped or (
            _ADDRESS.fullmatch(value) is not None
            and (at_is_bare or _is_compared_with_a_name(between))
        )
        pieces += between, value.replace(_PLUS, "+" if is_plus else " ")
        end = match.end()
    return "".join((*pieces, marked[end:].replace(_PLUS, " ")))


def _is_compared_with_a_name(before: str) -> bool:
    """Whether what stands in front of a value asks for a `userName` or an address."""
    return _NO_SPACES.search(before) is not None


def _unquoted(raw: str, name: str) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeError as error:
        raise _refusal(name, "is no valid UTF-8") from error


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
