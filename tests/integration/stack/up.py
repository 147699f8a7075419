"""`rollcall up` and `down` as processes. No test in here."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "tests.integration.stack.up_with_stand_ins"]
TIMEOUT_S = 90


def rollcall(*words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("ROLLCALL_KAFKA")}
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**own, **env},
    )


def read(data: Path) -> dict[str, Any]:
    """The content of `stack.json`."""
    return dict(json.loads((data / ".rollcall" / "stack.json").read_text()))


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody has collected counts as ended."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()[:1] in ("", "Z", "X")  # `Zsl`: some of its threads still end


@contextmanager
def a_stack(data: Path, *words: str, **env: str) -> Iterator[dict[str, Any]]:
    """Start a detached stack; stop it and remove its data at the end."""
    started = rollcall("up", "--detach", "--data", str(data), *words, **env)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield read(data)
    finally:
        rollcall("down", "--data", str(data), "--remove")
