"""A request body as a strict JSON object.

orjson is fast but has four habits that a directory cannot accept: of several equal names it keeps
the last one silently, it turns integers beyond 64 bits into floats, it accepts U+0000, and it reads
1,024 levels although it can write only 254. Each is caught here without a second parse:

- **Equal names.** If no colon is escaped in the text, the number of its colons is that of the pairs
  plus the colons inside strings. A dropped pair leaves at least one colon without an explanation.
  Only if the count is wrong, or a colon is escaped, does the standard library read the text again
  and keep all pairs.
- **Names equal except for letter case** are two names in JSON. The code that knows their meaning
  refuses them: the canonical form of a resource, and `fold_names` for messages.
- **Numbers.** What fits into 64 bits is an `int`, so a float of 2^63 or more was too large.
- **U+0000** can only be written as the escape `\\u0000`, so it is searched for only if those six
  bytes occur.

Most bodies are recognised as sound without visiting each value (`_is_plainly_sound`); the others
are walked.

A large body is read by the standard library if nothing in it is unusual. orjson does not release
the interpreter for 20 ms when a group has 100,000 members, and all other requests of the process
would wait. Unusual bodies are left to orjson, so that both give the same result.

A byte order mark is tolerated, because some exports begin with one.

One byte of text can become thirty bytes of memory: `[],[],[],…`. So brackets and commas are counted
before parsing, and the limit is what the largest group needs. Colons are counted too, because the
standard library reads one object to its end without releasing the interpreter.
"""

import json
import re
from typing import Any, Final, NoReturn

import orjson

from rollcall.scim.errors import InvalidSyntax, InvalidValue, PayloadTooLarge, ScimError
from rollcall.scim.limits import MAX_CONTAINERS, MAX_DEPTH, MAX_NAMES, MAX_VALUES, NAMES_PER_OBJECT

Json = dict[str, Any]

LONGEST_NAME: Final = 1024
"""Characters. No schema has a name this long, even with its URN in front."""
_LARGE_BYTES: Final = 256 * 1024
_BEYOND_64_BITS = float(2**63)
_LONGEST_INTEGER: Final = 18
_SPECIAL_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LETTER_E = ord("e")


def parse_object(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Json:
    """The JSON object in `raw`, at most `max_depth` levels deep.

    Raises InvalidSyntax (not JSON, not an object, not UTF-8, too deep, a repeated name),
    InvalidValue (U+0000, a number beyond 64 bits) or PayloadTooLarge (too many values), and no
    other error for any bytes.
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
    """The result that orjson would give for a sound body, with a step of Python for each object.

    None if the body is not sound or both parsers might disagree: a repeated name, unusual numbers,
    U+0000 and surrogates, or possibly too deep. Each level is a list, an object directly in a list,
    an object that is another's value, or the first.
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
    r"""Whether `body`, read from `raw`, needs no walk. False does not mean that it is not sound.

    Without `\u` there is no U+0000 and no hidden colon. With few brackets it is not deep. If no
    pair was dropped, writing it again takes as many colons. A float beyond 64 bits is written with
    an exponent after `e+`.
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
    """The object with its names in lower case: names have no letter case (RFC 7643 §2.1).

    Raises InvalidSyntax for two names that differ only in letter case.
    """
    folded = {small_letters(name): item for name, item in value.items()}
    if len(folded) != len(value):
        refuse_twin()
    return folded


def small_letters(name: str) -> str:
    """A name in lower case. To save time, one that is too long to be a name is unchanged."""
    return name.lower() if len(name) <= LONGEST_NAME else name


def refuse_twin() -> NoReturn:
    """Raise the error for a name that occurs twice in one object."""
    raise InvalidSyntax("An object has the same name twice; names have no letter case.")


class _Walk:
    """One pass over the parsed values that checks them and counts the colons they explain."""

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
    """Raise PayloadTooLarge for too many. Those inside texts count too; real texts have few."""
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
    """Read again and keep all pairs. The text is known to be JSON and not deep.

    The first walk did not see the value of a dropped pair, so its depth is unknown. A
    RecursionError here means that there was such a pair.
    """
    try:
        json.loads(raw, object_pairs_hook=_distinct, parse_int=float)
    except (RecursionError, ValueError) as error:
        raise InvalidSyntax("An object has the same name twice.") from error


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        refuse_twin()
