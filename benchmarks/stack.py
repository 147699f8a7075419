"""A stack to measure: the one that runs in a folder, or a temporary one."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollcall.kafka.client import client_options
from rollcall_operator.deployment import find

ROLLCALL = Path(sys.executable).with_name("rollcall")


@dataclass(frozen=True, slots=True)
class BenchOrganisation:
    """One new organisation on a stack; `stack` is the content of its `stack.json`.

    `kafka` is what a client of its Kafka needs: address and login.
    """

    stack: dict[str, Any]
    kafka: dict[str, Any]
    organisation_id: str
    base: str
    key: str


@contextmanager
def bench_organisation(data: Path | None) -> Iterator[BenchOrganisation]:
    """A new organisation on the stack in `data`, or on one that is started and stopped here."""
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        where = data or Path(folder)
        is_own = not (where / ".rollcall" / "stack.json").exists()
        if is_own:
            subprocess.run([ROLLCALL, "up", "--detach", "--data", where], check=True)
        try:
            made = subprocess.run(
                [ROLLCALL, "org", "create", "Benchmark", "--json", "--data", where],
                check=True,
                capture_output=True,
            )
            organisation = json.loads(made.stdout)
            yield BenchOrganisation(
                stack=json.loads((where / ".rollcall" / "stack.json").read_text()),
                kafka=client_options(find(where)),
                organisation_id=organisation["organisation_id"],
                base=organisation["scim_base_url"],
                key=organisation["api_key"],
            )
        finally:
            if is_own:
                subprocess.run([ROLLCALL, "down", "--data", where], check=True)
