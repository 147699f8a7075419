"""Guides: the steps, mappings and pitfalls of each identity provider, from the files beside. Pure.

A file has `name` (and `short`, `title`, `template`), the tables `users` and `groups` (from → to,
with a remark in each language), and for each language `steps`, `pitfalls` and `look`: where to
look when something is wrong. In its sentences `*…*` is a label of the product, `**…**` is
emphasised, `…` in backticks is typed as it is, and `{url}` is the organisation's SCIM URL.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from rollcall.postgres.console.console_accounts import Language

FOLDER: Final = Path(__file__).parent
PROVIDERS: Final = (
    "entra",
    "okta",
    "onelogin",
    "jumpcloud",
    "ping",
    "google-workspace",
    "keycloak",
    "authentik",
    "sailpoint",
    "generic",
)
"""In the order in which they are shown; each is a file, and a page of `docs/idp/`."""
URL: Final = "{url}"
Style = Literal["plain", "label", "strong", "code", "url"]
_MARKED: Final = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|(\{url\})")


@dataclass(frozen=True, slots=True)
class MappingRow:
    """A row of a table: an attribute there → ours, and a remark."""

    source: str
    target: str
    remark: str


@dataclass(frozen=True, slots=True)
class Guide:
    """The guide of one identity provider in one language."""

    provider: str
    name: str
    short: str
    template: str | None
    users: Sequence[MappingRow]
    groups: Sequence[MappingRow]
    before: Sequence[str]
    steps: Sequence[str]
    test: Sequence[str]
    pitfalls: Sequence[str]
    look: str


@cache
def guide(provider: str, language: Language) -> Guide:
    """The guide of a provider. Raises KeyError for one that has none."""
    if provider not in PROVIDERS:
        raise KeyError(provider)
    read, common = _read(provider), _read("common")[language]
    own = read[language]
    name = _in(read, "name", language)
    return Guide(
        provider=provider,
        name=name,
        short=_in(read, "short", language) or name,
        template=read["template"].strip() if "template" in read else None,
        users=_rows(read.get("users", ()), language),
        groups=_rows(read.get("groups", ()), language),
        before=common["before"],
        steps=own["steps"],
        test=common["test"],
        pitfalls=own["pitfalls"],
        look=own["look"],
    )


def guides(language: Language) -> list[Guide]:
    """All guides, in their order."""
    return [guide(provider, language) for provider in PROVIDERS]


def pieces(text: str) -> Iterator[tuple[Style, str]]:
    """A sentence as pieces, each with how it is shown; the marks are left out."""
    at = 0
    for found in _MARKED.finditer(text):
        if found.start() > at:
            yield "plain", text[at : found.start()]
        code, strong, label, url = found.groups()
        if url is not None:
            yield "url", URL
        elif code is not None:
            yield "code", code
        elif strong is not None:
            yield "strong", strong
        else:
            yield "label", label
        at = found.end()
    if at < len(text):
        yield "plain", text[at:]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def _in(read: Mapping[str, Any], key: str, language: Language) -> str:
    """A text of its own in Dutch (`key_nl`), else the one for both."""
    if language == "nl" and f"{key}_nl" in read:
        return str(read[f"{key}_nl"])
    return str(read.get(key, ""))


def _rows(rows: Sequence[Mapping[str, Any]], language: Language) -> list[MappingRow]:
    return [
        MappingRow(_in(row, "from", language), row["to"], str(row.get(language, "")))
        for row in rows
    ]
