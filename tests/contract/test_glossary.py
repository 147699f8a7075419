"""The glossary: sorted, with links that lead somewhere, and followed by the library's prose."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/glossary.md"
LIBRARY = ROOT / "shared/rollcall"
FOLDERS = (
    "directory",
    "events",
    "tenancy",
    "applying",
    "kafka",
    "postgres",
    "scim",
    "http",
    "observability",
)
FILLERS = (
    *("anew", "be it", "for ever", "nought", "so long", "so many"),
    *("nobody", "somebody", "whoever"),
)
"""Words that say less than a plain one: again, always, 0, at most `limit`, the sender."""
CODE = re.compile(r"`[^`]*`")


def section(title: str) -> str:
    """The text of the glossary below a heading."""
    text = PAGE.read_text(encoding="utf-8")
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def old_words() -> list[str]:
    """The fillers, and the left column of the table of words that are not used any more."""
    rows = re.findall(r"^\| (.+?) \| .+ \|$", section("Words that are not used any more"), re.M)
    return [*FILLERS, *(word for row in rows if row != "not" for word in row.split(", "))]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each docstring and comment, without code in back-ticks."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".sql":
        for number, line in enumerate(source.splitlines(), 1):
            if "--" in line:
                yield number, CODE.sub("", line.partition("--")[2])
        return
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.lineno, CODE.sub("", node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], CODE.sub("", token.string)


def test_entries_are_sorted_and_unique() -> None:
    entries = [
        name.replace("`", "").lower()
        for name in re.findall(r"^\*\*(.+?)\*\*:", section("Words"), re.M)
    ]
    assert len(entries) > 80
    assert entries == sorted(set(entries))


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_library_uses_no_word_that_is_not_used_any_more(folder: str) -> None:
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, old_words()))})\b", re.IGNORECASE)
    paths = [
        path
        for path in sorted((LIBRARY / folder).rglob("*"))
        if path.suffix in (".py", ".sql") and "migrations" not in path.parts
    ]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}"
        for path in paths
        for line, text in prose(path)
        for match in pattern.finditer(text)
    ]
    assert paths
    assert found == []
