"""Stop single services of a running stack, and start them again: for what needs them away."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any, Final

from rollcall_local.stack import noted
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.folder import Folder, read_json
from rollcall_local.stack.process import wait_until
from rollcall_local.stack.services import SERVICES, module_of

TIMEOUT_S: Final = 60.0


def stop(data: Path, services: Collection[str]) -> None:
    """Stop them in order (SIGTERM); they stay so until `start`, or the next `rollcall up`.

    Blocks. Raises StackError: no stack runs, there is no such service, or one does not end.
    """
    folder = _running(data, services)
    folder.hold(folder.held() | set(services))
    for part in _parts(folder, services):
        _send(part, Signals.SIGTERM)
    _until(folder, services, "stopped")


def start(data: Path, services: Collection[str]) -> None:
    """Start them again and wait until they are ready. Blocks. Raises StackError."""
    folder = _running(data, services)
    folder.hold(folder.held() - set(services))
    _until(folder, services, "ready")


@contextmanager
def frozen(data: Path, service: str) -> Iterator[None]:
    """Freeze a service (SIGSTOP) for as long as the block runs; it always goes on after it.

    Raises StackError.
    """
    parts = _parts(_running(data, [service]), [service])
    stopped = []
    try:
        for part in parts:
            _send(part, Signals.SIGSTOP)
            stopped.append(part)
        yield
    finally:
        for part in stopped:
            _send(part, Signals.SIGCONT)


def _send(part: Mapping[str, Any], number: Signals) -> None:
    if part["pid"] is not None:
        looks_ours = noted.is_module(module_of(part["service"]))
        noted.send(int(part["pid"]), part.get("started"), number, looks_ours)


def _running(data: Path, services: Collection[str]) -> Folder:
    unknown = sorted(set(services) - set(SERVICES))
    if unknown:
        raise StackError(
            f"there is no service {unknown[0]}; there are {', '.join(SERVICES)}", exit_code=2
        )
    folder = Folder.at(data)
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
