"""The name by which a mail greets its reader: it comes from strangers, so little is let through.

A directory can put any text into a name, and a mail program makes a link of whatever looks like an
address, also in other scripts and with other dots. So a greeting holds what names are made of and
nothing else; a name with anything more is left out, and the mail says "Hello".
"""

import re
import unicodedata
from typing import Any, Final

Json = dict[str, Any]
MAX_GREETING: Final = 40
MAX_MARKS: Final = 3
"""Marks on one letter: more of them only draw over the lines above and below."""
_APOSTROPHES: Final = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u2010": "-", "\u2011": "-"})
_NAME: Final = re.compile(rf"(?:L(?:M{{0,{MAX_MARKS}}})|[ '-]|L(?:M{{0,{MAX_MARKS}}})\.(?= |$))+")
"""Over the text's kinds: L for a letter, M for a mark, other characters as they are."""


def greeting_name(resource: Json) -> str:
    """The first of display name, formatted name, given and family name that may stand in a mail.

    `resource` is the canonical User. Empty where there is none: the mail says Hello.
    """
    name = resource.get("name")
    parts = name if isinstance(name, dict) else {}
    candidates = (
        resource.get("displayName"),
        parts.get("formatted"),
        " ".join(str(parts[part]) for part in ("givenName", "familyName") if parts.get(part)),
    )
    for candidate in candidates:
        if isinstance(candidate, str) and (greeting := _as_greeting(candidate)):
            return greeting
    return ""


def _as_greeting(text: str) -> str:
    """The text as one line of at most 40 characters in NFKC, empty if it is more than a name.

    Compatibility forms come first: a full-width letter or dot is read as what it looks like.
    """
    line = " ".join(unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).split())
    if len(line) > MAX_GREETING or _NAME.fullmatch(_kinds(line)) is None:
        return ""
    return line if any(character.isalpha() for character in line) else ""


def _kinds(line: str) -> str:
    """One character for each: the kind of a letter or a mark, everything else as it is.

    A letter `L` or `M` of the text is a letter all the same, so nothing is mistaken for a kind.
    """
    return "".join(
        kind if (kind := unicodedata.category(character)[0]) in "LM" else character
        for character in line
    )
