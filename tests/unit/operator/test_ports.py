"""A chosen port belongs to its chooser until a server listens there."""

import os
import subprocess
import sys

import pytest

from rollcall_local.stack import ports

ANOTHER_PROCESS = """
import sys
from rollcall_local.stack import ports
ports._LOWEST, ports._highest = int(sys.argv[1]), lambda: int(sys.argv[2])
print(ports.choose())
"""


def chosen_elsewhere(lowest: int, beyond: int) -> int | None:
    """What another process chooses in that range, or None where it finds nothing."""
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(lowest), str(beyond)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(ran.stdout) if ran.returncode == 0 else None


def test_a_port_is_chosen_once_on_a_machine() -> None:
    port = ports.choose()
    assert ports.is_free(port), "no server listens there yet"
    assert chosen_elsewhere(port, port + 1) is None
    os.close(ports._spoken_for.pop())
    assert chosen_elsewhere(port, port + 1) == port


def test_a_process_chooses_no_port_twice() -> None:
    chosen = [ports.choose() for _ in range(100)]
    assert len(set(chosen)) == len(chosen)


def test_what_was_chosen_long_ago_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_REMEMBERED", 3)
    for _ in range(5):
        ports.choose()
    assert len(ports._spoken_for) == 3
