"""Where a broker keeps its data and listens, and the `server.properties` that follow from it."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rollcall_local.stack.kafka import login
from rollcall_local.stack.kafka.login import Login


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where a broker keeps its data, where it listens, and what differs from our defaults.

    `cluster_id` belongs to a broker of a cluster, whose voters are in `extra`. Without a `login`
    every client that reaches the port may do everything: for tests.
    """

    folder: Path
    port: int
    controller_port: int
    heap_mib: int = 256
    extra: Mapping[str, str] = field(default_factory=dict)
    cluster_id: str | None = None
    login: Login | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients, `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The folder of the log itself."""
        return self.folder / "data"

    @property
    def has_scram(self) -> bool:
        """Whether the storage has to know the login."""
        return self.login is not None and self.login.mechanism != "PLAIN"

    @property
    def login_note(self) -> Path:
        """The file that says which login the storage knows."""
        return self.folder / "login"

    @property
    def properties_file(self) -> Path:
        """The broker's `server.properties`."""
        return self.folder / "server.properties"


def server_properties(settings: BrokerSettings) -> dict[str, str]:
    """Return the settings of a lone broker on a developer's machine."""
    listener = f"PLAINTEXT://{settings.bootstrap}"
    controller = f"127.0.0.1:{settings.controller_port}"
    guard = (
        {}
        if settings.login is None
        else login.properties(settings.login, settings.bootstrap, controller)
    )
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
        **guard,
        **settings.extra,
    }


def new_cluster_id() -> str:
    """Return an id in the form that Kafka's own `random-uuid` prints."""
    # A first "-" would read as an option.
    return "R" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
