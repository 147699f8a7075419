"""The servers that Rollcall is measured beside: installed by hash, started, stopped.

- `scimmy-routers` (Node.js, MIT), over a directory in memory (`scimmy/server.mjs`);
- `scim2-server` (Python, Apache-2.0), its own test server, in memory.

Both keep nothing on disk: they answer when they have changed a map. They are what a product can
have in an afternoon, so Rollcall is held to their speed, though it answers only what is durable.
"""

import contextlib
import secrets
import shutil
import socket
import subprocess
import time
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.path import cpu_seconds
from rollcall_local.stack import ports

HERE: Final = Path(__file__).parent
INSTALLED: Final = HERE.parents[1] / ".bench"
"""Where peers are installed; a second run finds them there."""
START_S: Final = 20.0


class PeerMissing(Exception):
    """A peer cannot be installed here; the message says what is needed."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that answers: its name with its version, its SCIM base, the token it takes."""

    name: str
    base: str
    key: str
    pid: int
    most_clients: int = 1_000
    """More connections than these it leaves waiting for a minute and longer."""

    def cpu(self) -> dict[str, float]:
        """CPU seconds that it has used."""
        return {"server": cpu_seconds([self.pid])}


def install() -> None:
    """Install all peers, pinned by hash. Raises PeerMissing, CalledProcessError."""
    if shutil.which("npm") is None:
        raise PeerMissing("Node.js with npm is needed for scimmy-routers (`make test-tools`)")
    _install_scimmy(INSTALLED / "scimmy")
    _install_scim2_server(INSTALLED / "scim2_server")


def _install_scimmy(folder: Path) -> None:
    lock = (HERE / "scimmy" / "package-lock.json").read_bytes()
    mark = folder / "installed-lock.json"
    if not mark.exists() or mark.read_bytes() != lock:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / "scimmy" / name, folder / name)
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"],
            cwd=folder,
            check=True,
        )
        mark.write_bytes(lock)
    shutil.copyfile(HERE / "scimmy" / "server.mjs", folder / "server.mjs")


def _install_scim2_server(folder: Path) -> None:
    wanted = HERE / "scim2_server" / "requirements.txt"
    mark = folder / "installed-requirements.txt"
    if mark.exists() and mark.read_bytes() == wanted.read_bytes():
        return
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run(
        [folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", wanted],
        check=True,
    )
    shutil.copyfile(wanted, mark)


@contextlib.contextmanager
def scimmy() -> Iterator[Peer]:
    """scimmy-routers, listening."""
    port, key = ports.choose(), secrets.token_hex(16)
    command = ["node", str(INSTALLED / "scimmy" / "server.mjs"), str(port), key]
    with _process(command, port) as pid:
        yield Peer("scimmy-routers 1.3.2", f"http://127.0.0.1:{port}/v2", key, pid)


@contextlib.contextmanager
def scim2_server() -> Iterator[Peer]:
    """scim2-server, listening."""
    port, key = ports.choose(), secrets.token_hex(16)
    python = INSTALLED / "scim2_server" / "bin" / "python"
    command = [
        *(str(python), "-m", "scim2_server.testserver.cli"),
        *("--bearer-token", key, "--port", str(port)),
    ]
    with _process(command, port) as pid:
        # Five connections may wait to be accepted (`socketserver`); a sixth tries again in seconds.
        yield Peer("scim2-server 0.8.3", f"http://127.0.0.1:{port}", key, pid, most_clients=10)


@contextlib.contextmanager
def _process(command: Sequence[str], port: int) -> Iterator[int]:
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(process, port)
            yield process.pid
        finally:
            process.terminate()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until somebody listens. Raises RuntimeError when the process ends, TimeoutError."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on {port}")
