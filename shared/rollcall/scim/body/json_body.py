"""A request body as a strict JSON object.

orjson is fast and has four habits that a directory cannot have: the last of several equal
names wins in silence, integers beyond 64 bits become floats, U+0000 passes, and 1,024 levels
are read though only 254 can be written. Each is caught here without a second parse:

- **Equal names.** If no colon is escaped in the text, the colons of the text are those between
  names and values plus those inside strings, and a dropped pair leaves at least one colon that
  the parsed values do not account for. Only when the count is off, or a colon is escaped, the
  standard library reads the text again, with its pairs kept.
- **Names equal but for letter case** are two names to JSON. Whoever knows what the names mean
  refuses them: the canonical form of a resource, and `fold_names` for messages.
- **Numbers.** What fits into 64 bits is an `int`, so a float of 2^63 or more was too large.
- **U+0000** can only come as the escape `\\u0000`; without those six bytes it cannot be there.

Nearly every body can be seen to be sound without looking at its values one by one
(`_is_plainly_sound`); the others are walked.

A large body is read by the standard library, as long as nothing in it is unusual: orjson lets no
other thread run for 20 ms where a group has 100,000 members, and with it every other request of
the process would wait. Whatever is unusual is left to orjson, so both say the same.

A byte order mark is tolerated: some exports put one in front.

A byte of text becomes up to thirty of memory: `[],[],[],…`. So brackets and commas are counted
before anything is parsed, and there may be no more than the largest group needs. So are colons: the
standard library reads an object to its end without letting another thread run.
"""

import json
import re
from typing import Any, Final, NoReturn

import orjson

from rollcall.scim.errors import InvalidSyntax, InvalidValue, PayloadTooLarge, ScimError
from rollcall.scim.limits import MAX_CONTAINERS, MAX_DEPTH, MAX_NAMES, MAX_VALUES, NAMES_PER_OBJECT

Json = dict[str, Any]

LONGEST_NAME: Final = 1024
"""Characters; no schema has a name as long, not even with its URN in front."""
_LARGE_BYTES: Final = 256 * 1024
_BEYOND_64_BITS = float(2**63)
_LONGEST_INTEGER: Final = 18
_SPECIAL_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LETTER_E = ord("e")


def parse_object(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Json:
    """The JSON object in `raw`, at most `max_depth` levels deep.

    Raises InvalidSyntax (no JSON, no object, not UTF-8, too deep, a name twice), InvalidValue
    (U+0000, a number beyond 64 bits) and PayloadTooLarge (too many values); nothing else,
    whatever the bytes.
    """
    _check_number_of_values(raw)
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    if len(raw) > _LARGE_BYTES and (read := _read_in_turns(raw, max_depth)) is not None:
        return read
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidSyntax(
            f"The body is no valid JSON in UTF-8: {error.msg}, at byte {error.pos}."
            if error.msg.isascii()
            else "The body is no valid JSON in UTF-8."
        ) from error
    if type(body) is not dict:
        raise InvalidSyntax("The body must be a JSON object, so it must begin with `{`.")
    if _is_plainly_sound(raw, body, max_depth):
        return body
    walk = _Walk(look_for_nul=b"\\u0000" in raw, max_depth=max_depth)
    walk.visit_object(body, 1)
    if b"\\u003" in raw or raw.count(b":") != walk.colons:
        _refuse_equal_names(raw)
    return body


def _read_in_turns(raw: bytes, max_depth: int) -> Json | None:
    """What orjson would make of a sound body, with a step of Python for each object in it.

    None where it is not sound, or might not mean the same to both: a name twice, numbers that are
    not everyday ones, U+0000 and surrogates, or perhaps too deep. Each level is a list, an object
    right in a list, an object that is another's value, or the first.
    """
    left = max_depth - 1 - 2 * raw.count(b"[")
    if left < 0 or _SPECIAL_ESCAPE.search(raw) is not None:
        return None

    def distinct(pairs: list[tuple[str, Any]]) -> Json:
        nonlocal left
        value = dict(pairs)
        if len(value) != len(pairs):
            refuse_twin()
        for item in value.values():
            if type(item) is dict:
                left -= 1
        return value

    decoder = json.JSONDecoder(
        object_pairs_hook=distinct,
        parse_int=_everyday_integer,
        parse_float=_everyday_float,
        parse_constant=_no_number,
    )
    try:
        body = decoder.decode(raw.decode())
    except (ValueError, RecursionError, ScimError):
        return None
    return body if type(body) is dict and left >= 0 else None


def _everyday_integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER or text == "-0":
        raise ValueError
    return int(text)


def _everyday_float(text: str) -> float:
    number = float(text)
    _check_number(number)
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _is_plainly_sound(raw: bytes, body: Json, max_depth: int) -> bool:
    r"""Whether `body`, read from `raw`, needs no walk. False says nothing against it.

    Without `\u` there is no U+0000 and no hidden colon. With few brackets it is not deep. If no
    pair was dropped, writing it again takes as many colons. A float beyond 64 bits is written
    with an exponent after `e+`.
    """
    if (b"\\" in raw and b"\\u" in raw) or raw.count(b"{") + raw.count(b"[") > max_depth:
        return False
    written = orjson.dumps(body)
    if raw != written and raw.count(b":") != written.count(b":"):
        return False
    plus = written.find(b"+")
    while plus >= 0 and written[plus - 1] != _LETTER_E:
        plus = written.find(b"+", plus + 1)
    return plus < 0


def fold_names(value: Json) -> Json:
    """The object with its names in small letters: names have no letter case (RFC 7643 §2.1).

    Raises InvalidSyntax for two names that differ in nothing else.
    """
    folded = {small_letters(name): item for name, item in value.items()}
    if len(folded) != len(value):
        refuse_twin()
    return folded


def small_letters(name: str) -> str:
    """A name in small letters. What is too long to be any name stays: it would take too long."""
    return name.lower() if len(name) <= LONGEST_NAME else name


def refuse_twin() -> NoReturn:
    """Raise the error for a name that comes twice in one object."""
    raise InvalidSyntax("An object has the same name twice; names have no letter case.")


class _Walk:
    """One pass over the parsed values that checks them and accounts for their colons."""

    __slots__ = ("colons", "look_for_nul", "max_depth")

    def __init__(self, *, look_for_nul: bool, max_depth: int) -> None:
        self.colons = 0
        self.look_for_nul = look_for_nul
        self.max_depth = max_depth

    def visit_object(self, value: Json, depth: int) -> None:
        """Check an object's names and values."""
        if depth > self.max_depth:
            self._refuse_depth()
        self.colons += len(value)
        for name, item in value.items():
            self._visit_text(name)
            kind = type(item)
            if kind is str:
                self._visit_text(item)
            elif kind is dict:
                self.visit_object(item, depth + 1)
            elif kind is list:
                self._visit_list(item, depth + 1)
            elif kind is float:
                _check_number(item)

    def _visit_list(self, value: list[Any], depth: int) -> None:
        if depth > self.max_depth:
            self._refuse_depth()
        for item in value:
            kind = type(item)
            if kind is dict:
                self.visit_object(item, depth + 1)
            elif kind is str:
                self._visit_text(item)
            elif kind is list:
                self._visit_list(item, depth + 1)
            elif kind is float:
                _check_number(item)

    def _refuse_depth(self) -> NoReturn:
        raise InvalidSyntax(
            f"The body is nested deeper than {self.max_depth} levels; send simpler values."
        )

    def _visit_text(self, text: str) -> None:
        if ":" in text:
            self.colons += text.count(":")
        if self.look_for_nul and "\0" in text:
            raise InvalidValue("The body holds the character U+0000; remove it.")


def _check_number_of_values(raw: bytes) -> None:
    """Those in texts count as well, which no real text comes near."""
    if len(raw) <= MAX_NAMES:
        return
    objects = raw.count(b"{")
    if objects + raw.count(b"[") > MAX_CONTAINERS:
        raise PayloadTooLarge(
            f"The body has more than {MAX_CONTAINERS} objects and lists; send it in parts."
        )
    if raw.count(b",") >= MAX_VALUES:
        raise PayloadTooLarge(f"The body has more than {MAX_VALUES} values; send it in parts.")
    if raw.count(b":") > MAX_NAMES + NAMES_PER_OBJECT * objects:
        raise PayloadTooLarge(
            f"The body has more than {MAX_NAMES} names beside {NAMES_PER_OBJECT} an object; "
            "send it in parts."
        )


def _check_number(number: float) -> None:
    if not -_BEYOND_64_BITS < number < _BEYOND_64_BITS:
        raise InvalidValue("The body holds a number that does not fit into 64 bits.")


def _refuse_equal_names(raw: bytes) -> None:
    """Read again with all pairs kept. The depth is known to be small, the text to be JSON.

    A value under a name that comes twice was never walked, so its depth is not known: a
    RecursionError here means that there was such a name.
    """
    try:
        json.loads(raw, object_pairs_hook=_distinct, parse_int=float)
    except (RecursionError, ValueError) as error:
        raise InvalidSyntax("An object has the same name twice.") from error


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        refuse_twin()
