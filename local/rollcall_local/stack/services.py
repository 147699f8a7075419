"""The services that a stack starts: their names, their modules, and where Python finds them."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

SERVICES: Final = ("ingress", "provisioner", "notifier", "console")
OURS: Final = ("rollcall", "rollcall_local", *(f"rollcall_{name}" for name in SERVICES))


def module_of(service: str) -> str:
    """What `python -m` is given to start a service."""
    return f"rollcall_{service}"


def installed() -> list[str]:
    """The services that this installation has."""
    return sorted(name for name in SERVICES if find_spec(module_of(name)) is not None)


def search_path() -> str:
    """The folders that hold our packages, as PYTHONPATH takes them: `-P` looks nowhere else."""
    folders = []
    for name in OURS:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            folders.append(str(Path(spec.origin).resolve().parent.parent))
    return os.pathsep.join(dict.fromkeys(folders))
