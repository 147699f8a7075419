"""The part *Set up* of each page of `docs/idp/`, from the guides that the console shows."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rollcall_console.guides.guides import PROVIDERS, URL, Guide, MappingRow, guide

FOLDER: Final = Path(__file__).parent / "idp"
BEGIN: Final = (
    "<!-- Written from services/console/rollcall_console/guides (make docs): do not edit. -->"
)
END: Final = "<!-- End of what is written by make docs. -->"
WIDTH: Final = 118


def page(provider: str) -> str:
    """The page as it is, with the part *Set up* as the guide has it. Raises ValueError."""
    text = (FOLDER / f"{provider}.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"docs/idp/{provider}.md has no place for the guide")
    return f"{before}{BEGIN}\n\n{set_up(guide(provider, 'en'))}\n{END}{after}"


def write() -> None:
    """Write all pages."""
    for provider in PROVIDERS:
        (FOLDER / f"{provider}.md").write_text(page(provider), encoding="utf-8")


def set_up(found: Guide) -> str:
    """The part of a page, in Markdown."""
    return "\n".join([*_parts(found), ""])


def _parts(found: Guide) -> Iterator[str]:
    yield "## Set up\n"
    for number, step in enumerate(found.steps, 1):
        yield _item(f"{number}. ", step)
    if found.template:
        yield f"\n```json\n{found.template}\n```"
    yield from _table("People", found.users)
    if found.groups:
        yield from _table("Groups", found.groups)
    yield "\n### Pitfalls\n"
    for pitfall in found.pitfalls:
        yield _item("- ", pitfall)
    yield "\n### When something is wrong\n"
    yield _item("", found.look)


def _table(title: str, rows: Sequence[MappingRow]) -> Iterator[str]:
    yield f"\n### {title}: mappings\n\n| there | here | remark |\n|---|---|---|"
    for row in rows:
        yield f"| {row.source} | `{row.target}` | {row.remark} |".replace("  |", " |")


def _item(mark: str, text: str) -> str:
    return textwrap.fill(
        text.replace(URL, "the SCIM URL"),
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
