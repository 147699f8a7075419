"""What the pages point at exists: links, headings, files in back-ticks. No merge is left open."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    ".github", "benchmarks", "deploy", "docs", "local", "requirements", "services", "shared",
    "tests",
)  # fmt: skip
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *(
            page
            for room in ROOMS
            for page in (ROOT / room).rglob("*.md")
            if "node_modules" not in page.parts
        ),
    }
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)|(?:href|src|srcset)=\"([^\"]+)\"")
# A file below one of our folders, or a name that can only be a file of ours.
BELOW_A_ROOM = re.compile(rf"(?:{'|'.join(map(re.escape, ROOMS))})/[\w./*-]*")
MADE_ON_A_MACHINE = (ROOT / ".gitignore").read_text().split()
SOURCE = re.compile(r"[\w./*-]*\w\.(?:py|sql|md)")
CONFLICT = re.compile(rb"^(?:(?:<{7}|>{7}|\|{7})(?: .*)?|={7})\r?$", re.MULTILINE)
"""A line that git writes into a file where two branches changed the same lines."""


@cache
def paths() -> tuple[str, ...]:
    """All files and folders of ours, from the root."""
    below = (each for room in ROOMS for each in (ROOT / room).rglob("*"))
    every = [*ROOT.iterdir(), *below]
    return tuple(
        each.relative_to(ROOT).as_posix()
        for each in every
        if not {"__pycache__", "node_modules"} & set(each.parts)
    )


def is_there(named: str, page: Path) -> bool:
    """Whether a name in back-ticks is a path from the root, from the page, or the end of one.

    In the README of a service or a package a bare name is one of a file below its folder, or below
    a folder that the page names in full.
    """
    tail = re.escape(named.rstrip("/")).replace(r"\*", "[^/]*")
    if BELOW_A_ROOM.fullmatch(named):
        return any(re.fullmatch(tail, path) for path in paths())
    homes = homes_of(page) if "/" not in named else ("",)
    return any(path.startswith(homes) and re.fullmatch(f"(?:.*/)?{tail}", path) for path in paths())


@cache
def homes_of(page: Path) -> tuple[str, ...]:
    """The folders, with a slash at the end, in which a bare name of a page may stand."""
    home = page.parent.relative_to(ROOT).as_posix()
    if not home.startswith(("services/", "shared/", "local/")):
        return ("",)
    in_full = (name.rstrip("/") for name in named_files(page) if BELOW_A_ROOM.fullmatch(name))
    folders = (name if (ROOT / name).is_dir() else name.rpartition("/")[0] for name in in_full)
    return tuple(f"{folder}/" for folder in {home, *folders} - set(ROOMS))


def named_files(page: Path) -> set[str]:
    """What stands in back-ticks and looks like a file of ours, without `::test` and `#anchor`."""
    text = FENCE.sub("", page.read_text())
    codes = (code for code in CODE.findall(text) if not code.startswith("kubectl "))
    words = (word for code in codes for word in code.split())
    names = (re.split(r"::|#", word)[0].rstrip(",;:") for word in words)
    return {
        name
        for name in names
        if not name.startswith(("/", "http"))
        and name not in MADE_ON_A_MACHINE
        and (BELOW_A_ROOM.fullmatch(name) or SOURCE.fullmatch(name))
    }


def links(page: Path) -> set[str]:
    found = LINK.findall(FENCE.sub("", page.read_text()))
    return {
        link
        for link in (first or second for first, second in found)
        if not re.match(r"[a-z]+:", link)
    }


@cache
def anchors(page: Path) -> frozenset[str]:
    """The headings of a page as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return frozenset(heading.replace(" ", "-") for heading in plain)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in sorted(named_files(page)) if not is_there(name, page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in sorted(links(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            broken.append(link)

    assert broken == []


def test_the_pages_are_found_and_name_files() -> None:
    """Neither test above can pass by finding nothing."""
    assert len(PAGES) > 60
    assert sum(len(named_files(page)) for page in PAGES) > 200
    assert sum(len(links(page)) for page in PAGES) > 100


def test_a_file_that_is_not_there_is_noticed() -> None:
    readme = ROOT / "services/ingress/README.md"

    assert is_there("scim_write.py", readme)
    assert not is_there("announce.py", readme)  # of another service
    assert is_there("applying/apply.py", readme)  # of the library
    assert is_there("announce.py", ROOT / "README.md")
    assert is_there("services/*/README.md", ROOT / "README.md")
    assert not is_there("services/ingress/scim_write.py", ROOT / "README.md")


def test_the_index_of_decisions_has_a_line_for_each() -> None:
    index = ROOT / "docs/decisions/README.md"

    listed = {link for link in links(index) if link[0].isdigit()}
    assert listed == {page.name for page in index.parent.glob("[0-9]*.md")}


def test_the_index_of_pages_leads_to_each_page_outside_the_decisions() -> None:
    index = ROOT / "docs/README.md"
    pages = {
        page.relative_to(index.parent).as_posix()
        for page in index.parent.rglob("*.md")
        if page.parent.name != "decisions" and page != index
    }

    assert pages - links(index) == set()


def test_a_method_that_the_readme_names_is_in_the_file_that_it_links_to() -> None:
    text = (ROOT / "README.md").read_text()

    named = re.findall(r"\[`([A-Z]\w+)\.(\w+)`\]\(([\w/]+\.py)\)", text)

    assert len(named) == 3
    for class_name, method, path in named:
        source = (ROOT / path).read_text()
        assert re.search(rf"^class {class_name}\b", source, re.MULTILINE), (class_name, path)
        assert re.search(rf"^    (?:async )?def {method}\(", source, re.MULTILINE), (method, path)


def conflicts(folder: Path) -> dict[str, int]:
    """File that git tracks below `folder` → how many lines of it mark an open merge."""
    command = ("git", "-C", str(folder), "ls-files", "-z")
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    texts = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    found = {name: len(CONFLICT.findall(text)) for name, text in texts.items()}
    return {name: lines for name, lines in found.items() if lines and b"\0" not in texts[name]}


def test_no_tracked_file_has_a_conflict_marker() -> None:
    assert conflicts(ROOT) == {}


def test_an_open_merge_is_found_whatever_the_file_is_called(tmp_path: Path) -> None:
    ours, base, theirs = "<" * 7, "|" * 7, ">" * 7
    merge = f"{ours} HEAD\nour line\n{base}\nold line\n{'=' * 7}\ntheirs\n{theirs} 3a99dbe (Say)\n"
    rule = f"Heading\n{'=' * 8}\n{'>' * 8} a prompt\n x {ours} y\n"
    for name, text in {"a.md": merge, "b.SQL": merge.replace("\n", "\r\n"), "c": rule}.items():
        (tmp_path / name).write_text(text, newline="")
    subprocess.run(("git", "init", "-q", str(tmp_path)), check=True)
    subprocess.run(("git", "-C", str(tmp_path), "add", "a.md", "b.SQL", "c"), check=True)

    assert conflicts(tmp_path) == {"a.md": 4, "b.SQL": 4}
