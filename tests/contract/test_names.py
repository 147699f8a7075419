"""Names that others stand on: log events, runbooks, metrics, settings, lock files."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from docs import generate
from rollcall.observability import log_events, metrics

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for top in ("services", "shared", "local") for path in (ROOT / top).glob("**/*.py")
)
RUNBOOKS = {
    line.removeprefix("## ").strip()
    for line in (ROOT / "docs/operations/runbooks.md").read_text().splitlines()
    if line.startswith("## ")
}


@cache
def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def runbooks_named() -> set[str]:
    found: set[str] = set()
    for path in SOURCES:
        for call in calls(path):
            found.update(
                keyword.value.value
                for keyword in call.keywords
                if keyword.arg == "runbook"
                and isinstance(keyword.value, ast.Constant)
                and isinstance(keyword.value.value, str)
            )
            if isinstance(call.func, ast.Name) and call.func.id == "PartitionHalted":
                found.update(
                    argument.value
                    for argument in call.args[1:]
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                )
    return found


def runbooks_of_alerts() -> set[str]:
    rules = (ROOT / "deploy/prometheus/rules.yaml").read_text()
    return set(re.findall(r"runbooks\.md#([a-z-]+)", rules))


def logged() -> dict[str, set[str]]:
    """Log event → the keywords that any of its lines carries."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        for call in calls(path):
            if (
                isinstance(call.func, ast.Attribute)
                and call.func.attr in {"debug", "info", "warning", "error"}
                and call.args
                and isinstance(call.args[0], ast.Constant)
                and isinstance(call.args[0].value, str)
            ):
                keywords = {keyword.arg for keyword in call.keywords if keyword.arg}
                found.setdefault(call.args[0].value, set()).update(keywords)
    return found


def test_every_runbook_named_is_written_and_every_page_is_named() -> None:
    assert runbooks_named() | runbooks_of_alerts() == RUNBOOKS


def test_every_error_line_names_a_runbook_or_the_caller_reports_it() -> None:
    """`request.failed` is answered with its request id, which the caller reports."""
    without = set()
    for path in SOURCES:
        for call in calls(path):
            if (
                isinstance(call.func, ast.Attribute)
                and call.func.attr == "error"
                and isinstance(call.func.value, ast.Attribute | ast.Name)
                and "log" in ast.unparse(call.func.value)
                and not any(keyword.arg == "runbook" for keyword in call.keywords)
            ):
                first = call.args[0]
                without.add(first.value if isinstance(first, ast.Constant) else ast.unparse(call))

    assert without <= {"request.failed"}


def test_every_log_event_of_the_list_is_logged_somewhere() -> None:
    assert set(get_args(log_events.LogEvent)) == set(logged())


@pytest.mark.parametrize("private", ["name", "user_name", "address", "email", "token", "body"])
def test_no_log_line_has_a_field_for_what_is_private(private: str) -> None:
    assert not {event for event, keywords in logged().items() if private in keywords}


def test_every_metric_is_used_and_none_is_labelled_by_organisation() -> None:
    names = [name for name in vars(metrics) if name.isupper()]
    everything = "\n".join(path.read_text() for path in SOURCES if path.name != "metrics.py")

    unused = [name for name in names if name not in everything]
    labelled = [
        name for name in names if "organisation" in " ".join(getattr(metrics, name)._labelnames)
    ]

    assert names
    assert (unused, labelled) == ([], [])


def test_the_settings_reference_is_the_code_s() -> None:
    """`make docs` writes it."""
    published = (ROOT / "docs/reference/settings.md").read_text()

    assert published == generate.settings_reference()


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=str)
def test_a_lock_file_pins_by_hash_and_names_no_address(path: Path) -> None:
    text = path.read_text()

    pinned = re.findall(r"^[a-z0-9][^=\s]*==", text, re.MULTILINE)
    assert "://" not in text
    assert pinned
    assert text.count("--hash=sha256:") >= len(pinned)
