"""Histories of registers, and the checker that judges them (porcupine, in Go). No test in here."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pytest

SOURCE = Path(__file__).parent / "porcupine"
CHECK_WITHIN_S = 400


@dataclass(frozen=True, slots=True)
class Operation:
    """One request to a register and its answer; times are seconds of one monotonic clock.

    `value`: what was read or written; `expected`: what a swap replaces. `unknown`: it may have
    taken effect since its call, or never.
    """

    register: str
    client: int
    kind: Literal["read", "write", "swap"]
    value: str
    answer: Literal["yes", "no", "unknown"]
    call: float
    returned: float
    expected: str = ""


def checker(folder: Path) -> Path:
    """The built checker; skips the test where there is no Go."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("NO GO: linearizability is not judged (make test-tools)")
    built = folder / "porcupine"
    subprocess.run([go, "build", "-o", built, "."], cwd=SOURCE, check=True)
    return built


def unexplained(built: Path, history: Iterable[Operation]) -> list[str]:
    """The registers for which no order of their operations explains every answer."""
    given = [{**asdict(each), "return": each.returned} for each in history]
    ran = subprocess.run(
        [built],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=CHECK_WITHIN_S,
    )
    if ran.returncode not in (0, 1):
        raise AssertionError(ran.stderr)
    return ran.stdout.splitlines()
