"""What an operator does in the middle of it all: `rollcall verify`, `rollcall rebuild`.

Each is a process of its own. What only says that Kafka or Postgres is away, or that the partitions
moved meanwhile, is tried again; whatever else is not success is a violation. Nothing in a run
makes a drift, or a log that does not hold what is needed, so 1 with drifts and 2 are never right.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.support.stack import ROOT

AWAY: Final = ("is unavailable, try again in", "no answer in time", "run it again")
"""Of a failure with nothing on standard output: what to try again, and no more."""
GIVE_UP_S: Final = 180.0
PAUSE_S: Final = 1.0
LONGEST_S: Final = 120.0
OUTPUT_CHARS: Final = 2000


@dataclass(frozen=True, slots=True)
class Operation:
    """One that has ended: how often it was tried, and the last try's status and words."""

    command: str
    tries: int
    status: int
    said: str
    taken_s: float

    @property
    def is_well(self) -> bool:
        """Whether it did what it is for."""
        return self.status == 0


async def operate(command: str, environment: Mapping[str, str]) -> Operation:
    """Run `rollcall COMMAND` until it succeeds, fails for another reason, or takes too long."""
    began_s, tries = time.monotonic(), 0
    while True:
        tries += 1
        status, output, error = await _run(command, environment)
        is_late = time.monotonic() - began_s > GIVE_UP_S
        if status == 0 or is_late or not is_outage(status, output, error):
            said = f"{output[-OUTPUT_CHARS:]}\n{error[-OUTPUT_CHARS:]}".strip()
            return Operation(command, tries, status, said, time.monotonic() - began_s)
        await asyncio.sleep(PAUSE_S)  # an operator looks, and tries again


def is_outage(status: int, output: str, error: str) -> bool:
    """Whether the words are those of an outage: one line, and no result."""
    is_line = error.startswith("rollcall: ") and error.count("\n") == 1
    return status in (2, 3) and not output and is_line and any(word in error for word in AWAY)


async def _run(command: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall_operator", command, "--json"),
        *(["--yes"] if command == "rebuild" else []),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LONGEST_S):
            output, error = await process.communicate()
    except TimeoutError:
        process.kill()
        output, error = await process.communicate()
        return -9, output.decode(), f"not ended within {LONGEST_S:g} s\n{error.decode()}"
    return process.returncode or 0, output.decode(), error.decode()
