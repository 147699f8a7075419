"""Words: a catalogue per language, keys with dots, values with `{names}`.

A catalogue may be in several files, `en.json` and `en.access.json`.

A number that changes the words has two keys, `….one` and `….other`. Both languages have the same
keys and the same names in them; a test compares the two, and whether templates ask for a key that
is missing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from rollcall.postgres.console.console_accounts import Language

FOLDER: Final = Path(__file__).parents[1] / "words"
LANGUAGES: Final[tuple[Language, ...]] = ("en", "nl")
CATALOGUES: Final[dict[Language, dict[str, str]]] = {
    language: {
        key: text
        for path in sorted(FOLDER.glob(f"{language}*.json"))
        for key, text in orjson.loads(path.read_bytes()).items()
    }
    for language in LANGUAGES
}
_THOUSANDS: Final[dict[Language, str]] = {"en": ",", "nl": "."}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language."""

    language: Language

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key. Raises KeyError for one that is missing."""
        text = CATALOGUES[self.language][key]
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in CATALOGUES[self.language]

    def count(self, key: str, n: int, **values: Any) -> str:
        """The text of `key.one` or `key.other`; `{n}` in it is the number, with separators."""
        return self(f"{key}.{'one' if n == 1 else 'other'}", n=self.number(n), **values)

    def number(self, n: int) -> str:
        """With the separator of thousands."""
        return f"{n:,}".replace(",", _THOUSANDS[self.language])

    def duration(self, seconds: float) -> str:
        """A length of time, roughly: the largest unit of which there are two, or one."""
        minutes = seconds / 60
        if minutes < 1.5:
            return self.count("time.minutes", 1)
        if minutes < 90:
            return self.count("time.minutes", round(minutes))
        if minutes < 36 * 60:
            return self.count("time.hours", round(minutes / 60))
        return self.count("time.days", round(minutes / 60 / 24))

    def ago(self, moment: datetime, now: datetime) -> str:
        """How long ago."""
        seconds = (now - moment).total_seconds()
        return self("time.now") if seconds < 60 else self("time.ago", time=self.duration(seconds))

    def day(self, moment: datetime) -> str:
        """The date in UTC."""
        month = self(f"month.{moment.astimezone(UTC).month}")
        return f"{moment.astimezone(UTC).day} {month} {moment.astimezone(UTC).year}"

    def moment(self, moment: datetime) -> str:
        """Date and time in UTC; the page's script shows the viewer's own zone instead."""
        return f"{self.day(moment)}, {moment.astimezone(UTC):%H:%M} UTC"


def wanted(accept_language: str) -> Language:
    """The language for an `Accept-Language` (RFC 9110 §12.5.4); English where it names none."""
    best: tuple[float, Language] = (0.0, "en")
    for item in accept_language.split(",")[:20]:
        tag, _, weight = item.strip().partition(";")
        for language in LANGUAGES:
            if tag.lower() == language or tag.lower().startswith(f"{language}-"):
                best = max(best, (_quality(weight), language), key=lambda each: each[0])
    return best[1]


def _quality(text: str) -> float:
    try:
        return float(text.strip().removeprefix("q=")) if text.strip() else 1.0
    except ValueError:
        return 0.0
