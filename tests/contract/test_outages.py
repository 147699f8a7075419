"""The page of outages: every row names a test that exists, and metrics and commands that exist."""

import re
from pathlib import Path

import prometheus_client
import pytest

from rollcall.observability import metrics

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/operations/outages.md").read_text().splitlines()
    if re.match(r"\| \d+ \|", line)
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:40])
def test_a_row_names_the_test_that_plays_it(row: list[str]) -> None:
    path, _, name = row[-1].strip("`").partition("::")

    text = (ROOT / path).read_text()
    assert not name or f"def {name}(" in text


def test_the_rows_are_numbered_and_complete() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, len(ROWS) + 1))
    assert all(len(row) == 6 and all(row) for row in ROWS)


def test_every_metric_on_the_page_exists() -> None:
    assert metrics  # its import registers them
    known = {
        sample.name for family in prometheus_client.REGISTRY.collect() for sample in family.samples
    } | {family.name for family in prometheus_client.REGISTRY.collect()}
    named = {name for row in ROWS for name in re.findall(r"rollcall_[a-z_]+", " ".join(row))}

    assert named
    assert {name for name in named if name.removesuffix("_total") not in known} - known == set()
