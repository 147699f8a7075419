"""Commands whose output goes nowhere: a closed pipe, a full disk."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rollcall_operator import cli
from rollcall_operator.exits import Exit


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "commands",
    [
        pytest.param(["", "doctor", "org", "partition show", "dead list"], id="some"),
        pytest.param(["", *dict(cli.commands())], id="all", marks=pytest.mark.long),
    ],
)
def test_a_reader_that_stops_is_no_result_and_no_noise(commands: list[str]) -> None:
    """The output of each command goes into a pipe that is closed."""

    def closed(words: str) -> tuple[str, int, bytes]:
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "rollcall_operator", *words.split(), "-h"]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        return words, done.returncode, done.stderr

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(closed, commands))

    assert found == [(words, Exit.CLOSED_PIPE, b"") for words in commands]


def test_a_disk_that_is_full_is_said() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "rollcall_operator", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == Exit.UNAVAILABLE
    assert done.stderr == "rollcall: it cannot be written: No space left on device\n"
