"""Keys by which names are compared and kept unique.

`user_name_key` is PRECIS UsernameCaseMapped (RFC 8265 §3.3, which RFC 7643 §4.1.1 requires): width
mapped, lower case, NFC. PRECIS refuses some names that directories have, among them names with a
space, with compatibility characters (`ſ`, `ﬁ`), or in a right-to-left script beside a Latin domain.
Such a name gets the same three mappings without the refusal. NFKC is never used, because it would
give two people the same name. Invisible characters are refused: controls, formatting characters
(zero width, direction), line separators, private use, surrogates.
"""

import unicodedata
from functools import lru_cache
from typing import Final

from precis_i18n import get_profile

from rollcall.scim.errors import InvalidValue

MAX_CACHED: Final = 320
MAX_KEY_BYTES: Final = 2_500
"""Bytes. Unique keys are in an index whose entries hold little more (Postgres: 2,704)."""

_PRECIS = get_profile("UsernameCaseMapped")
_LINE_BREAKING = frozenset({"Cc", "Zl", "Zp"})
_INVISIBLE = frozenset({"Cf", "Cs", "Co", "Cn"})


def user_name_key(value: str) -> str:
    """The key of a `userName`, equal for names that must not both exist.

    White space around the name does not count, nor does the amount of it inside. Raises
    InvalidValue for a blank name or one with invisible characters.
    """
    if value.isascii() and value.isprintable():
        key = " ".join(value.lower().split())
        if key:
            return key
    if len(value) > MAX_CACHED:
        return _slow_user_name_key.__wrapped__(value)
    return _slow_user_name_key(value)


@lru_cache(maxsize=16_384)
def _slow_user_name_key(value: str) -> str:
    categories = {unicodedata.category(character) for character in value}
    if categories & _LINE_BREAKING:
        raise _invisible()
    name = " ".join(value.split())
    if not name:
        raise InvalidValue("userName must not be blank.", attribute="userName")
    try:
        key: str = _PRECIS.enforce(name)
    except UnicodeError:
        if categories & _INVISIBLE:
            raise _invisible() from None
        lower = unicodedata.normalize("NFC", _map_width(name).lower())
        key = " ".join(lower.split())
    return key


def _invisible() -> InvalidValue:
    return InvalidValue(
        "userName has characters that cannot be seen (controls, zero width, direction); "
        "remove them.",
        attribute="userName",
    )


def display_name_key(value: str) -> str:
    """The key of a group's `displayName`, without width, letter case and amount of white space."""
    if value.isascii():
        return " ".join(value.lower().split())
    mapped = unicodedata.normalize("NFC", _map_width(value))
    return " ".join(unicodedata.normalize("NFC", mapped.casefold()).split())


def checked_key(key: str, attribute: str) -> str:
    """`key`, if it fits into an index. Raises InvalidValue, which names the attribute."""
    if len(key) * 4 > MAX_KEY_BYTES and len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidValue(
            f"{attribute} is longer than {MAX_KEY_BYTES} bytes as it is compared; shorten it.",
            attribute=attribute,
        )
    return key


def _map_width(text: str) -> str:
    """Full-width and half-width characters as their usual forms (RFC 8264 §5.2.1)."""
    return "".join(_usual_width(character) for character in text)


def _usual_width(character: str) -> str:
    kind, _, code_points = unicodedata.decomposition(character).partition(" ")
    if kind in ("<wide>", "<narrow>"):
        return "".join(chr(int(code_point, 16)) for code_point in code_points.split())
    return character
