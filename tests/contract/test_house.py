"""The shape of the source tree: what tests may import, and how much may stand in one folder.

Who may import whom inside the product is in `[tool.importlinter]` of `pyproject.toml`. Here is what
import-linter does not see: that the product imports no tests, the library nothing that stands on
it, and no folder of tests another one.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
ROOMS = ("services", "shared", "local", "tests", "benchmarks", "docs")
PRODUCT = ("services", "shared", "local")
MOST_MODULES = 24
MOST_LETTERS = 80
"""Of a test's name: it stands on one line of a report."""
LISTS = {
    "services/operator/rollcall_operator/commands": "one module per command",
    "tests/hostile/catalogue": "one module per kind of hostile input",
}
"""Folders that are lists: a reader looks a name up, and does not read the neighbours."""


@cache
def _paths() -> list[Path]:
    """Every Python module of the rooms."""
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _folders(*rooms: str) -> dict[str, list[Path]]:
    """Folder → its modules; `__init__.py` is none."""
    found: dict[str, list[Path]] = {}
    for path in _paths():
        name = path.parent.relative_to(ROOT).as_posix()
        if name.split("/")[0] in rooms and path.name != "__init__.py":
            found.setdefault(name, []).append(path)
    return found


@cache
def _imports() -> dict[Path, frozenset[str]]:
    """Module → all it imports, wherever in it; for `from a import b` both `a` and `a.b`."""
    return {path: frozenset(_names(_parsed(path))) for path in _paths()}


def _names(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            within = "." * node.level + (node.module or "")
            yield within
            yield from (f"{within}.{alias.name}" for alias in node.names)


def _packages(room: str) -> set[str]:
    """The top-level packages of a room, and its own name."""
    return {room} | {
        path.parent.name
        for path in (ROOT / room).rglob("__init__.py")
        if not (path.parent.parent / "__init__.py").exists()
    }


@pytest.mark.parametrize(
    "folder", sorted({each.parent.relative_to(TESTS) for each in TESTS.rglob("test_*.py")}), ids=str
)
def test_every_folder_of_tests_is_a_package(folder: Path) -> None:
    """Two modules of one name in folders that are none stop pytest before it runs one test."""
    assert (TESTS / folder / "__init__.py").exists()


def test_the_library_imports_nothing_that_stands_on_it() -> None:
    """Beside import-linter, which sees only what is installed: here every file is read."""
    above = _packages("services") | _packages("local") | {"tests", "benchmarks", "docs"}
    assert {"rollcall_ingress", "rollcall_operator", "rollcall_local"} <= above

    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, names in _imports().items()
        if path.is_relative_to(ROOT / "shared")
        for name in names
        if name.split(".")[0] in above
    ]

    assert found == []


def test_no_import_is_relative() -> None:
    """The tests below read names from the top."""
    found = {str(path) for path, names in _imports().items() if any(n[0] == "." for n in names)}

    assert found == set()


def test_the_product_imports_no_tests() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, names in _imports().items()
        if path.relative_to(ROOT).parts[0] in PRODUCT
        for name in names
        if name.split(".")[0] in {"tests", "benchmarks", "docs"}
    ]

    assert found == []


def test_no_folder_is_a_crowd() -> None:
    found = {
        folder: len(modules)
        for folder, modules in _folders(*ROOMS).items()
        if len(modules) > MOST_MODULES and folder not in LISTS
    }

    assert found == {}


@pytest.mark.parametrize("folder", sorted(LISTS))
def test_every_list_is_still_there(folder: str) -> None:
    assert folder in _folders(*ROOMS)


@pytest.mark.parametrize("folder", sorted(_folders(*PRODUCT, "tests")))
def test_every_folder_says_what_it_is(folder: str) -> None:
    init = ROOT / folder / "__init__.py"
    if not init.exists():
        pytest.fail(f"{folder} has modules and no __init__.py")

    said = ast.get_docstring(_parsed(init)) or ""

    assert len(said.split()) > 2, f"{init.relative_to(ROOT)}: no docstring that says what is there"


def test_no_test_module_or_conftest_is_imported() -> None:
    """What several modules need stands in `tests/support`, or beside them under another name."""
    is_private = re.compile(r"\btests\.(\w+\.)*(test_\w+|conftest)(\.|$)")
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, names in _imports().items()
        for name in names
        if is_private.match(name)
    ]

    assert found == []


def test_conftest_files_hold_fixtures_and_hooks_only() -> None:
    """A class or a helper there cannot be imported, so a second test copies it."""
    found = []
    for path in _paths():
        if path.name != "conftest.py":
            continue
        for node in _parsed(path).body:
            if isinstance(node, ast.ClassDef):
                found.append(f"{path.relative_to(ROOT)}: {node.name}")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                is_fixture = any("fixture" in ast.dump(each) for each in node.decorator_list)
                if not is_fixture and not node.name.startswith("pytest_"):
                    found.append(f"{path.relative_to(ROOT)}: {node.name}")

    assert found == []


def test_no_folder_of_tests_imports_from_another() -> None:
    """Except from `tests/support`: else two folders change together, and nobody knows why."""
    found = set()
    for path, names in _imports().items():
        room, *rest = path.relative_to(ROOT).parts
        for name in names:
            parts = name.split(".")
            if parts[0] != "tests" or len(parts) < 2 or parts[1] == "support":
                continue
            if room != "tests" or rest[0] != parts[1] or rest[0] == "support":
                found.add(f"{path.relative_to(ROOT)}: {name}")

    assert found == set()


def test_no_test_has_a_name_longer_than_a_line() -> None:
    name = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
    found = [
        each
        for path in TESTS.rglob("test_*.py")
        for each in name.findall(path.read_text(encoding="utf-8"))
        if len(each) > MOST_LETTERS
    ]

    assert found == []
