"""The shape of the source tree."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"


@pytest.mark.parametrize(
    "folder", sorted({each.parent.relative_to(TESTS) for each in TESTS.rglob("test_*.py")}), ids=str
)
def test_every_folder_of_tests_is_a_package(folder: Path) -> None:
    """Two modules of one name in folders that are none stop pytest before it runs one test."""
    assert (TESTS / folder / "__init__.py").exists()
