"""The blocks of commands in the pages about operations, and how to run one. No test in here."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.deployment import Deployment
from tests.support.postgres_tools import tool

PAGES = Path(__file__).parents[3] / "docs" / "operations"


def blocks(page: str) -> list[str]:
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


async def run_block(deployment: Deployment, block: str, folder: Path) -> str:
    """What a block prints; it must end well."""
    tools = [str(Path(sys.executable).parent), str(Path(tool("pg_dump")).parent)]
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("ROLLCALL_")},
            "PATH": os.pathsep.join([*tools, os.environ["PATH"]]),
            "ROLLCALL_KAFKA_BOOTSTRAP": deployment.settings.kafka_bootstrap,
            "ROLLCALL_TOPIC_PREFIX": deployment.settings.topic_prefix,
            "ROLLCALL_DATABASE_URL": deployment.database.url("owner"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout
