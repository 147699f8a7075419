"""What docs/scim.md and docs/idp say exists: tests by name, rules by name."""

import re
from pathlib import Path

import pytest

from rollcall.scim.quirks import RULES

ROOT = Path(__file__).parents[2]
SCIM = ROOT / "docs/scim.md"
PAGES = sorted((ROOT / "docs/idp").glob("*.md"))
TESTS = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROW = re.compile(r"^\| `([a-z-]+)` \| (.+) \|$", re.MULTILINE)
RULE_CELL = re.compile(r"`([a-z]+(?:-[a-z]+)+)`")


def test_every_test_that_the_table_names_exists() -> None:
    named = TESTS.findall(SCIM.read_text())
    missing = [
        f"{path}::{test}"
        for path, test in named
        if not (ROOT / path).is_file()
        or re.search(rf"^(?:async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE) is None
    ]

    assert len(named) > 60
    assert missing == []


def test_every_row_of_the_table_names_a_test() -> None:
    rows = [
        line
        for line in SCIM.read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| section", "| document"))
    ]

    assert [row for row in rows if TESTS.search(row) is None] == []


def test_every_rule_is_described_as_in_the_code() -> None:
    described = dict(ROW.findall((ROOT / "docs/idp/generic.md").read_text()))

    assert described == {rule.name: rule.doc for rule in RULES.values()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_rule_that_a_page_names_exists(page: Path) -> None:
    for line in page.read_text().splitlines():
        if line.startswith("| ") and line.count("|") == 3:
            cell = line.rsplit("|", 2)[1]
            assert set(RULE_CELL.findall(cell)) <= RULES.keys() | {"interop-profile"}, line


def test_every_client_has_its_page() -> None:
    wanted = {
        "entra", "okta", "onelogin", "jumpcloud", "google-workspace", "ping", "keycloak",
        "authentik", "sailpoint", "generic",
    }  # fmt: skip

    assert wanted <= {page.stem for page in PAGES}
    for name in wanted:
        text = (ROOT / f"docs/idp/{name}.md").read_text()
        for heading in ("## Set up", "## While the directory is behind", "## Known limits"):
            assert heading in text, (name, heading)
