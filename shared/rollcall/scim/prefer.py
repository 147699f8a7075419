"""What a client prefers in the answer: `Prefer` (RFC 7240 §2, §4; RFC 7644 §3.5.2).

A preference is a wish. One that is unknown, unreadable or has a meaningless value is ignored, never
an error. Names have no letter case, and neither have the values of `return` and `handling`, which
are from a small list. Parameters are skipped, because none of our preferences has one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rollcall.scim.profile import Profile

Return = Literal["representation", "minimal"]
Handling = Literal["strict", "lenient"]

_RETURNS: Final[dict[str, Return]] = {"representation": "representation", "minimal": "minimal"}
_HANDLINGS: Final[dict[str, Handling]] = {"strict": "strict", "lenient": "lenient"}
_PROFILES: Final[dict[Handling, Profile]] = {
    "strict": Profile.INTEROP,
    "lenient": Profile.COMPATIBLE,
}
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = re.compile(
    rf"""[ \t]*(?P<name>{_WORD})"""
    rf"""(?:[ \t]*=[ \t]*(?:(?P<token>{_WORD})|"(?P<quoted>(?:[^"\\]|\\.)*)"))?[ \t]*\Z"""
)
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\Z)|")+')
_PARAMETERS: Final = re.compile(r'(?P<preference>(?:[^;"]|"(?:[^"\\]|\\.)*")*)')
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences that we know; None if the client did not send one.

    `respond_async` and `wait_s` (seconds) are read, but ignored for now.
    """

    returns: Return | None = None
    handling: Handling | None = None
    respond_async: bool = False
    wait_s: int | None = None

    def profile(self, organisation_profile: str) -> Profile:
        """The profile for this one request: `handling` decides, else the organisation's setting."""
        if self.handling is None:
            return Profile(organisation_profile)
        return _PROFILES[self.handling]

    def applied(self, *, returns: bool = True) -> str | None:
        """The value of `Preference-Applied` (RFC 7240 §3); None if no preference was honoured.

        `returns`: whether the answer is one to which `return` applies at all.
        """
        honoured = []
        if returns and self.returns is not None:
            honoured.append(f"return={self.returns}")
        if self.handling is not None:
            honoured.append(f"handling={self.handling}")
        return ", ".join(honoured) or None


NO_PREFERENCES: Final = Preferences()


def parse_prefer(values: Sequence[str]) -> Preferences:
    """The preferences in the field lines of `Prefer`, as one list (RFC 7240 §2).

    If a preference occurs more than once, only the first counts. Raises nothing.
    """
    if not values:
        return NO_PREFERENCES
    found: dict[str, str] = {}
    for name, value in _preferences(",".join(values)):
        found.setdefault(name, value)
    wait = found.get("wait", "")
    return Preferences(
        returns=_RETURNS.get(found.get("return", "").lower()),
        handling=_HANDLINGS.get(found.get("handling", "").lower()),
        respond_async="respond-async" in found,
        wait_s=int(wait) if _SECONDS.fullmatch(wait) else None,
    )


def _preferences(text: str) -> Iterator[tuple[str, str]]:
    """Name (lower case) and value (empty if absent) of each readable preference."""
    for element in _ELEMENT.findall(text):
        head = _PARAMETERS.match(element)
        pair = _PAIR.match(head["preference"]) if head is not None else None
        if pair is not None:
            quoted = re.sub(r"\\(.)", r"\1", pair["quoted"] or "")
            yield pair["name"].lower(), pair["token"] or quoted
