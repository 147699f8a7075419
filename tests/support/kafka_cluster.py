"""Three Apache Kafka brokers in KRaft mode on one machine: a leader may die and writes go on.

Each is broker and controller at once, so two of three must live for anything to be written, and
for a leader to be elected. Clients need two in-sync replicas (`min.insync.replicas`), which is
what production has. For tests and benchmarks; a stack on a developer's machine has one broker.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from rollcall_local.stack import ports
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.kafka import settings as kafka_settings
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings
from rollcall_local.stack.process import wait_until
from tests.support import kafka_wire
from tests.support.kafka_wire import Partition

SIZE: Final = 3
_START_TIMEOUT_S: Final = 60.0


class KafkaCluster:
    """Three brokers, numbered 1 to 3, of which each can be killed, frozen and started again.

    Start it, and a broker of it, from a thread that lives on (see `process`).
    """

    def __init__(self, folder: Path, *, heap_mib: int = 256) -> None:
        chosen: list[int] = []
        for _ in range(2 * SIZE):
            chosen.append(ports.choose(chosen))
        numbers = range(1, SIZE + 1)
        controllers = dict(zip(numbers, chosen[SIZE:], strict=True))
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in controllers.items())
        cluster_id = kafka_settings.new_cluster_id()
        self.brokers: dict[int, KafkaBroker] = {}
        for number, port in zip(numbers, chosen[:SIZE], strict=True):
            self.brokers[number] = KafkaBroker(
                BrokerSettings(
                    folder=folder / f"broker-{number}",
                    port=port,
                    controller_port=controllers[number],
                    heap_mib=heap_mib,
                    extra=broker_properties(number, voters),
                    cluster_id=cluster_id,
                )
            )

    @property
    def bootstrap(self) -> str:
        """The addresses for clients, `host:port,host:port,host:port`."""
        return ",".join(broker.bootstrap for broker in self.brokers.values())

    def start(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Format what is new, start all, wait until each knows of all. Raises StackError."""
        with ThreadPoolExecutor(SIZE) as pool:
            list(pool.map(lambda each: kafka_native.prepare(each.settings), self.brokers.values()))
        try:
            for broker in self.brokers.values():
                broker.spawn()
            for broker in self.brokers.values():
                broker.until_ready(timeout_s)
            self.until_complete(timeout_s)
        except StackError:
            self.stop()
            raise

    def stop(self) -> None:
        """End every broker. By SIGKILL: an orderly stop of the last two waits for a quorum."""
        for broker in self.brokers.values():
            broker.kill()

    def until_complete(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until every broker answers and knows of every other. Raises StackError."""
        everybody = set(self.brokers)
        self._until(
            lambda: all(
                kafka_wire.members(broker.settings.port) == everybody
                for broker in self.brokers.values()
            ),
            "be complete",
            timeout_s,
        )

    def partition(self, topic: str, partition: int) -> Partition:
        """Who leads and who is in sync, as the first broker that answers says.

        One that is dead or frozen is believed to lead until its session ends. Raises StackError
        when no broker answers or knows of the partition.
        """
        for broker in self.brokers.values():
            found = kafka_wire.partitions(broker.settings.port, topic)
            if found is not None and partition in found:
                return found[partition]
        raise StackError(f"no broker knows partition {partition} of {topic}")

    def leader_of(self, topic: str, partition: int) -> int:
        """The number of the broker that leads the partition. Raises StackError."""
        leader = self.partition(topic, partition).leader
        if leader is None:
            raise StackError(f"partition {partition} of {topic} has no leader")
        return leader

    def until_in_sync(self, topic: str, partition: int, timeout_s: float = 60.0) -> None:
        """Wait until every broker is in sync on the partition. Raises StackError."""

        def is_whole() -> bool:
            try:
                found = self.partition(topic, partition)
            except StackError:
                return False
            return found.leader is not None and set(found.in_sync) == set(self.brokers)

        self._until(is_whole, f"be in sync on partition {partition} of {topic}", timeout_s)

    def features(self) -> dict[str, int]:
        """The features in force and their levels. Raises StackError."""
        for broker in self.brokers.values():
            found = kafka_wire.features(broker.settings.port)
            if found is not None:
                return found
        raise StackError("no broker answers")

    def _until(self, holds: Callable[[], bool], what: str, timeout_s: float) -> None:
        if not wait_until(holds, timeout_s, every_s=0.1):
            raise StackError(f"the three brokers did not {what} within {timeout_s:g} s")


def broker_properties(number: int, voters: str) -> dict[str, str]:
    """Return what the settings of a broker of three add to those of a lone one.

    `voters` is Kafka's `controller.quorum.voters`.
    """
    internal = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return {
        **{f"{topic}.replication.factor": str(SIZE) for topic in internal},
        "transaction.state.log.min.isr": "2",
        "share.coordinator.state.topic.min.isr": "2",
        "node.id": str(number),
        "controller.quorum.voters": voters,
        "default.replication.factor": str(SIZE),
        "min.insync.replicas": "2",
        "broker.session.timeout.ms": "2000",
        "controller.quorum.fetch.timeout.ms": "1000",
        "controller.quorum.election.timeout.ms": "500",
        "replica.lag.time.max.ms": "5000",
    }
