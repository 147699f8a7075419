"""Page numbers that Python's own `int` would take, or die of."""

from typing import Final
from urllib.parse import quote

from tests.hostile.entry import SEARCH, Entry, get, send

_NUMBERS: Final = [
    ("Arabic digit", "١", {400}, 'int("١") is 1'),
    ("full-width digit", "１", {400}, 'int("１") is 1'),
    ("superscript", "²", {400}, "isdigit() holds"),
    ("underscore", "1_0", {400}, 'int("1_0") is 10'),
    ("hexadecimal", "0x10", {400}, "no whole number"),
    ("NaN", "NaN", {400}, "no whole number"),
    ("infinity", "inf", {400}, "no whole number"),
    ("exponent", "1e3", {400}, "no whole number"),
    ("fraction", "1.5", {400}, "no whole number"),
    ("fraction of nothing", "1.0", {400}, "no whole number"),
    ("two signs", "--1", {400}, "no whole number"),
    ("a word", "<<mark>>", {400}, "no whole number"),
    ("a list", "1,2", {400}, "no whole number"),
    ("SQL", "1; DROP TABLE directory.member", {400}, "no whole number"),
    ("quotes", "'1'", {400}, "no whole number"),
    ("true", "true", {400}, "no whole number"),
    ("null", "null", {400}, "no whole number"),
    ("minus alone", "-", {400}, "no whole number"),
    ("a letter behind", "1a", {400}, "no whole number"),
    ("a space inside", "1 0", {400}, "no whole number"),
    ("NUL", "1\0", {400}, "U+0000 is refused"),
    ("line break", "1\n", {400}, "no control characters"),
    ("zero", "0", {200}, "RFC 7644 §3.4.2.4: less than 1 is 1; count 0 is the total only"),
    ("negative", "-1", {200}, "RFC 7644 §3.4.2.4"),
    ("very negative", "-99999999999999999999", {200}, "RFC 7644 §3.4.2.4"),
    ("zeros before", "0" * 5000 + "1", {200}, "one"),
    ("5,000 digits", "9" * 5000, {200}, "int() of more than 4,300 digits raises; merely many"),
    ("beyond 32 bits", "4294967297", {200}, "more than there is"),
    ("beyond 64 bits", "18446744073709551617", {200}, "more than there is"),
    ("empty", "", {200}, "nothing said"),
    ("plus sign", "+1", {200, 400}, "one, or a space and one"),
]

_BODIES: Final = [
    ("text", "1"),
    ("fraction", 1.5),
    ("true", True),
    ("list", [1]),
    ("object", {"$gt": 0}),
    ("word", "<<mark>>"),
]

ENTRIES: Final[tuple[Entry, ...]] = (
    *(
        get(
            f"{parameter} {name}",
            f"/{endpoint}?{parameter}={quote(text, safe='<>')}",
            expected,
            why,
        )
        for endpoint, parameter in (
            ("Users", "startIndex"),
            ("Users", "count"),
            ("Groups", "count"),
        )
        for name, text, expected, why in _NUMBERS
    ),
    get("far and large", "/Users?startIndex=2147483647&count=2147483647", {200}, "an empty page"),
    get("bits 63", "/Users?startIndex=9223372036854775807&count=1", {200}, "no overflow"),
    *(
        send(
            f".search {field} {name}",
            "POST",
            "/Users/.search",
            {"schemas": [SEARCH], field: value},
            {200, 400},
            "RFC 7644 §3.4.3: a number",
        )
        for field in ("startIndex", "count")
        for name, value in _BODIES
    ),
    *(
        send(
            f".search {field} is {value!r}"[:40],
            "POST",
            "/Users/.search",
            {"schemas": [SEARCH], field: value},
            {400},
            "of the wrong kind",
        )
        for field, value in (
            ("filter", 5),
            ("filter", ["a"]),
            ("filter", 'userName eq "a'),
            ("attributes", 5),
            ("attributes", {"a": 1}),
            ("attributes", [5]),
            ("excludedAttributes", [["id"]]),
            ("sortBy", 5),
            ("sortOrder", 5),
            ("schemas", 5),
        )
    ),
    send(".search list", "POST", "/Users/.search", [], {400}, "an object"),
    send(".search no JSON", "POST", "/Users/.search", b"{", {400}, "no JSON"),
)
