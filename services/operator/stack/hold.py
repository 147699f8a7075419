"""Stop single services of a running stack, and start them again: for what needs them away."""

from collections.abc import Collection
from pathlib import Path
from signal import Signals
from typing import Any, Final

from services.operator.stack.errors import StackError
from services.operator.stack.folder import Folder, read_json
from services.operator.stack.plan import SERVICES
from services.operator.stack.process import send, wait_until

TIMEOUT_S: Final = 60.0


def stop(data: Path, services: Collection[str]) -> None:
    """Stop them in order (SIGTERM); they stay so until `start`, or the next `rollcall up`.

    Blocks. Raises StackError: no stack runs, there is no such service, or one does not end.
    """
    folder = _running(data, services)
    folder.hold(folder.held() | set(services))
    for part in _parts(folder, services):
        if part["pid"] is not None:
            send(part["pid"], Signals.SIGTERM)
    _until(folder, services, "stopped")


def start(data: Path, services: Collection[str]) -> None:
    """Start them again and wait until they are ready. Blocks. Raises StackError."""
    folder = _running(data, services)
    folder.hold(folder.held() - set(services))
    _until(folder, services, "ready")


def _running(data: Path, services: Collection[str]) -> Folder:
    unknown = sorted(set(services) - set(SERVICES))
    if unknown:
        raise StackError(
            f"there is no service {unknown[0]}; there are {', '.join(SERVICES)}", exit_code=2
        )
    folder = Folder(data.resolve())
    if folder.supervisor() is None:
        raise StackError(
            f"no stack runs in {folder.data}; name its folder with --data", exit_code=2
        )
    return folder


def _parts(folder: Folder, services: Collection[str]) -> list[dict[str, Any]]:
    parts = read_json(folder.status_file).get("parts", [])
    return [part for part in parts if part["service"] in services]


def _until(folder: Folder, services: Collection[str], state: str) -> None:
    def is_so() -> bool:
        return all(part["state"] == state for part in _parts(folder, services))

    if not wait_until(is_so, TIMEOUT_S, every_s=0.05):
        raise StackError(
            f"{', '.join(services)}: not {state} within {TIMEOUT_S:.0f} s; see `rollcall status`"
        )
