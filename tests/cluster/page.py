"""What a page of the documentation tells people to run. No test in here."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_ANY_BLOCK: Final = re.compile(r"```.*?```", re.DOTALL)
_IN_TEXT: Final = re.compile(r"`((?:kubectl|docker) [^`]+)`")
_TIMEOUT_S: Final = 600


def blocks(text: str) -> list[list[str]]:
    """The commands of each shell block, in order; one that goes over several lines is one."""
    return [_commands(found) for found in _BLOCK.findall(text)]


def _commands(block: str) -> list[str]:
    found: list[str] = []
    for line in block.splitlines():
        if found and (found[-1].endswith("\\") or found[-1].count("'") % 2):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def in_text(text: str) -> list[str]:
    """Commands within sentences and tables, each once."""
    return list(dict.fromkeys(_IN_TEXT.findall(_ANY_BLOCK.sub("", text))))


def run(
    command: str, where: Path, variables: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run it as a shell would; fails with what it said."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=where,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done
