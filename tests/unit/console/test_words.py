"""The catalogues: the same keys and names in both languages, and none missing that is asked for."""

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_console.web.words import CATALOGUES, LANGUAGES, Words, wanted

HOME = Path(__file__).parents[3] / "services/console/rollcall_console"
TEMPLATES = sorted((HOME / "templates").rglob("*.html"))
ENGLISH, DUTCH = CATALOGUES["en"], CATALOGUES["nl"]
PLURAL = re.compile(r'\bt\.count\(\s*"([^"]+)"')
PLAIN = re.compile(r'\bt\(\s*"([^"~]+)"\s*[,)]')
CHOICE = re.compile(r'\bt\(\s*"([^"]+)" if [^)]*? else "([^"]+)"')
BEGUN = re.compile(r'\bt\(\s*"([^"]+\.)" ~')


def names(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys() -> None:
    assert set(ENGLISH) == set(DUTCH)
    assert len(ENGLISH) > 150


@pytest.mark.parametrize("key", sorted(ENGLISH))
def test_a_text_has_the_same_names_in_both_languages(key: str) -> None:
    assert names(ENGLISH[key]) == names(DUTCH[key])
    assert ENGLISH[key].strip() == ENGLISH[key] != ""
    assert DUTCH[key].strip() == DUTCH[key] != ""


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_asks_for_a_text_that_is_missing(path: Path) -> None:
    text = path.read_text()
    plain = PLAIN.findall(text) + [key for pair in CHOICE.findall(text) for key in pair]
    plural = PLURAL.findall(text)

    assert [key for key in plain if key not in ENGLISH] == []
    assert [key for key in plural for n in ("one", "other") if f"{key}.{n}" not in ENGLISH] == []
    begun = BEGUN.findall(text)
    assert [each for each in begun if not any(key.startswith(each) for key in ENGLISH)] == []


def test_templates_are_read_by_the_patterns_above() -> None:
    everything = "".join(path.read_text() for path in TEMPLATES)

    assert len(PLAIN.findall(everything)) > 80
    assert PLURAL.findall(everything)
    assert CHOICE.findall(everything)


def test_no_text_stands_in_a_template_itself() -> None:
    """Words of a page come from the catalogue, so that both languages have them."""
    bare = re.compile(r">\s*([A-Za-z][^<{]*?)\s*<")
    found = {
        path.name: [text for text in bare.findall(_markup(path)) if text != "Rollcall"]
        for path in TEMPLATES
    }

    assert {name: texts for name, texts in found.items() if texts} == {}


def _markup(path: Path) -> str:
    text = re.sub(r"{#.*?#}", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"<code.*?</code>|<title>.*?</title>", "", text, flags=re.DOTALL)
    return re.sub(r"{%.*?%}", "", text, flags=re.DOTALL).replace(" UTC<", "<")


def test_keys_in_python_are_there() -> None:
    """`see_other(path, "x")` says `done.x`, `Refused("error.x")` is a text."""
    missing = []
    for path in HOME.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            last = node.args[-1]
            if not isinstance(last, ast.Constant):
                continue
            if node.func.id == "see_other" and len(node.args) == 2:
                missing += [last.value] if f"done.{last.value!s}" not in ENGLISH else []
            if node.func.id == "Refused":
                missing += [last.value] if last.value not in ENGLISH else []

    assert missing == []


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("nl", "nl"),
        ("nl-BE,nl;q=0.9,en;q=0.8", "nl"),
        ("en-GB,en;q=0.9,nl;q=0.8", "en"),
        ("de,nl;q=0.5", "nl"),
        ("fr", "en"),
        ("nl;q=nonsense", "en"),
        ("," * 100, "en"),
    ],
)
def test_the_browser_s_language_is_taken(header: str, language: str) -> None:
    assert wanted(header) == language


@given(st.text())
def test_any_header_gives_a_language(header: str) -> None:
    assert wanted(header) in LANGUAGES


@pytest.mark.parametrize(
    ("ago", "english", "dutch"),
    [
        (timedelta(seconds=20), "just now", "zojuist"),
        (timedelta(seconds=70), "1 minute ago", "1 minuut geleden"),
        (timedelta(minutes=40), "40 minutes ago", "40 minuten geleden"),
        (timedelta(hours=3), "3 hours ago", "3 uur geleden"),
        (timedelta(days=3), "3 days ago", "3 dagen geleden"),
    ],
)
def test_how_long_ago(ago: timedelta, english: str, dutch: str) -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)

    assert Words("en").ago(now - ago, now) == english
    assert Words("nl").ago(now - ago, now) == dutch


def test_numbers_and_dates_are_those_of_the_language() -> None:
    moment = datetime(2026, 3, 9, 8, 5, tzinfo=UTC)

    assert Words("en").number(1234567) == "1,234,567"
    assert Words("nl").number(1234567) == "1.234.567"
    assert Words("en").moment(moment) == "9 March 2026, 08:05 UTC"
    assert Words("nl").moment(moment) == "9 maart 2026, 08:05 UTC"
    assert Words("nl").count("behind.waiting", 1).endswith("Er wacht 1 wijziging.")
    assert Words("nl").count("behind.waiting", 2140).endswith("Er wachten 2.140 wijzigingen.")
