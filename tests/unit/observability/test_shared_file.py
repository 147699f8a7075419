"""Replicas of a service may log into one file: none writes into another's line."""

import subprocess
import sys
from pathlib import Path

import orjson

LINES = 20_000
WRITER = f"""
from rollcall.observability.logging import configure, get_logger
configure("ingress", level="info", log_format="json")
for number in range({LINES}):
    get_logger().info("request.answered", number=number)
"""


def test_two_processes_that_share_a_file_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "ingress.log"
    with path.open("ab") as file:
        writers = [
            subprocess.Popen([sys.executable, "-u", "-c", WRITER], stdout=file) for _ in range(2)
        ]
        statuses = [writer.wait(60) for writer in writers]

    numbers = [orjson.loads(line)["number"] for line in path.read_bytes().splitlines()]
    assert statuses == [0, 0]
    assert sorted(numbers) == sorted([*range(LINES), *range(LINES)])
