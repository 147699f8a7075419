"""One real Postgres server as a child process: the postmaster itself, no script between.

It listens on 127.0.0.1 only, has no Unix socket (whose path may have 107 bytes and no more) and
asks everybody for a password.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rollcall_local.stack import owned
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.owned import tail
from rollcall_local.stack.postgres.binaries import account, binaries, is_reachable
from rollcall_local.stack.process import Account, Child, descendants, freeze, send, wait_until

SUPERUSER = "postgres"
_START_TIMEOUT_S = 60.0
# As root only. Not /var/tmp if it can be helped: some systems empty that after a month.
_ELSEWHERE = (Path("/var/lib/rollcall"), Path("/var/tmp/rollcall"))  # noqa: S108
_NOTE = "elsewhere"
_NAME = re.compile(r"postgres-[0-9a-f]{16}")
# A server killed a moment ago may still have a child that holds its memory or its lock file.
_PASSING = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server keeps its data, where it listens, and the superuser's password.

    `durable=False` is for tests: the data survives a SIGKILL of the server all the same, and not
    a loss of power.
    """

    folder: Path
    port: int
    password: str
    durable: bool = True

    def url(self, role: str, password: str, database: str) -> str:
        """Return a connection URL."""
        return (
            f"postgresql://{quote(role)}:{quote(password, safe='')}"
            f"@127.0.0.1:{self.port}/{quote(database)}"
        )

    @property
    def admin_url(self) -> str:
        """The superuser's URL, of the database `postgres`."""
        return self.url(SUPERUSER, self.password, "postgres")


def home(folder: Path, runs_as: Account | None) -> Path:
    """Return the folder that holds the cluster (`data` below it), and make it.

    That is `folder`, except as root where the server's user cannot pass through the folders above
    it: then a folder of its own below /var/lib/rollcall, whose name is noted in `folder/elsewhere`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.close(owned.open_folder(folder, make=True))
    if runs_as is None:
        return folder
    if (elsewhere := _noted(folder)) is not None:
        if not elsewhere.is_dir():
            raise StackError(
                f"{elsewhere}, where {folder / _NOTE} says the data is, does not exist", exit_code=2
            )
        return elsewhere
    with owned.opened(folder) as descriptor:
        os.fchmod(descriptor, 0o711)
    if is_reachable(folder.resolve()):
        return folder
    other = _made_elsewhere()
    owned.replace(folder / _NOTE, f"{other}\n".encode())
    return other


def _noted(folder: Path) -> Path | None:
    """The folder that the note names, if there is a note; it may be gone.

    Raises StackError: it is none of ours. The note decides what is deleted, so it is believed
    only of a folder that we could have made.
    """
    note = folder / _NOTE
    try:
        named = Path(owned.read_bytes(note).decode(errors="replace").strip())
    except FileNotFoundError:
        return None
    if named.parent not in _ELSEWHERE or not _NAME.fullmatch(named.name):
        raise StackError(f"{note} names {named}, which is no place for our data", exit_code=2)
    with suppress(FileNotFoundError):
        os.close(owned.open_folder(named))
    return named


def _made_elsewhere() -> Path:
    for base in _ELSEWHERE:
        other = base / f"postgres-{secrets.token_hex(8)}"
        try:
            base.mkdir(mode=0o711, exist_ok=True)
            for folder in (base, other):  # another user's folder is not used
                with owned.opened(folder, make=True) as descriptor:
                    os.fchmod(descriptor, 0o711)  # whatever the umask
        except (OSError, owned.NotOurs):
            continue
        return other
    raise StackError("no place that Postgres's user can reach: use --data DIR", exit_code=2)


def remove(folder: Path) -> None:
    """Remove the data of a stopped server, from where `home` has put it.

    Raises StackError where the folder, or what it notes, is not ours; nothing is removed then.
    """
    elsewhere = _noted(folder)
    if elsewhere is not None:
        shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def prepare(settings: ServerSettings, runs_as: Account | None) -> list[str]:
    """Make the cluster once and return the postmaster's command. Blocks. Raises StackError."""
    installation = binaries(runs_as)
    base = home(settings.folder, runs_as)
    data = base / "data"
    with suppress(FileNotFoundError):
        os.close(owned.open_folder(data, None if runs_as is None else runs_as.uid))
    if not (data / "PG_VERSION").exists():
        _initialise(settings, installation, base, runs_as)
    chosen = {
        "listen_addresses": "127.0.0.1",
        "port": str(settings.port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "log_line_prefix": "%m [%p] %u ",
    }
    if not settings.durable:
        chosen |= {"fsync": "off", "full_page_writes": "off"}
    options = [word for key, value in chosen.items() for word in ("-c", f"{key}={value}")]
    return [str(installation / "bin" / "postgres"), "-D", str(data), *options]


def _initialise(
    settings: ServerSettings, installation: Path, base: Path, runs_as: Account | None
) -> None:
    # Made under another name and renamed: an initdb that was killed leaves nothing half done.
    draft = base / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    password_file = draft / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(settings.password)
    if runs_as is not None:
        os.chown(password_file, runs_as.uid, runs_as.gid)
        os.chown(draft, runs_as.uid, runs_as.gid)
    command = [str(installation / "bin" / "initdb"), "-D", str(draft / "data")]
    command += ["-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={password_file}"]
    command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    command += ["--builtin-locale=C.UTF-8", "--no-instructions"]
    command += [] if settings.durable else ["--no-sync"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=draft,
        timeout=_START_TIMEOUT_S,
        check=False,
        user=runs_as.uid if runs_as else None,
        group=runs_as.gid if runs_as else None,
        extra_groups=[] if runs_as else None,
    )
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()
        raise StackError("Postgres could not make its data folder", detail=reason)
    (draft / "data").rename(base / "data")
    shutil.rmtree(draft)


def answers(port: int, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Return whether the server takes logins: it asks for a password instead of sending us away."""
    wanted = b"user\0" + SUPERUSER.encode() + b"\0database\0postgres\0\0"
    message = struct.pack(">ii", len(wanted) + 8, 196608) + wanted
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(message)
            return connection.recv(1024)[:1] == b"R"
    except OSError:
        return False


def is_passing(log: Path) -> bool:
    """Return whether a failed start may succeed later: a killed server's remains are in the way.

    They end by themselves within a moment.
    """
    last = tail(log, lines=4)
    return any(sign in last for sign in _PASSING)


class PostgresServer:
    """A server that can be stopped, killed, frozen and started again on its port.

    For tests and by hand; `rollcall up` has its own supervisor. Start it from a thread that lives
    on (see `process`).
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.log = settings.folder / "postgres.log"
        self._child = Child()
        self._account = account()
        self._frozen: list[int] = []

    @property
    def admin_url(self) -> str:
        """The superuser's URL."""
        return self.settings.admin_url

    @property
    def pid(self) -> int:
        """The id of the postmaster."""
        return self._child.pid

    def start(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Start the server and wait until it takes logins. Raises StackError."""
        command = prepare(self.settings, self._account)
        deadline = time.monotonic() + timeout_s
        while not self._came_up(command, deadline):
            self.kill()
            if time.monotonic() > deadline or not is_passing(self.log):
                raise StackError("Postgres did not start", detail=tail(self.log))

    def _came_up(self, command: list[str], deadline: float) -> bool:
        cwd = Path(command[2]).parent
        self._child.spawn(command, log=self.log, env=os.environ, cwd=cwd, account=self._account)
        port = self.settings.port
        left_s = deadline - time.monotonic()
        wait_until(lambda: not self._child.is_alive or answers(port), left_s)
        return self._child.is_alive and answers(port)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Fast shutdown (SIGINT), immediate (SIGQUIT) or SIGKILL where that takes too long."""
        self.resume()
        self._child.end((signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), timeout_s)

    def kill(self) -> None:
        """SIGKILL the postmaster; its children see that and end."""
        self._child.end((signal.SIGKILL,), 10.0)
        self.resume()

    def pause(self) -> None:
        """Freeze the whole server, sessions included (SIGSTOP)."""
        freeze(self.pid)  # first, so that no new child appears
        self._frozen = [self.pid, *descendants(self.pid)]
        freeze(*self._frozen)

    def resume(self) -> None:
        """Resume a frozen server (SIGCONT)."""
        for pid in self._frozen:
            send(pid, signal.SIGCONT)
        self._frozen = []

    def restart(self) -> None:
        """Stop it if it runs, then start it on the same port with the same data."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Remove the data of the stopped server."""
        remove(self.settings.folder)
