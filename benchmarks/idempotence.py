"""Producer idempotence on and off, under faults: what senders learn, and what is on the log.

    python -m benchmarks.idempotence [--outage 60] [--only killed,frozen,…]

Starts its own brokers: three for a dead or frozen leader, one (behind a proxy that swallows
answers) for the other faults. Ten senders use the producer of the services; only its switch
differs. A row shows how many sends were acknowledged and failed; how many of the acknowledged are
lost; how many records are doubled; how many acknowledgements name another copy than the first, so
that the two readers of the append time could disagree; how many failed sends are on the log all the
same; how many records of one sender are out of order; and the longest time without an
acknowledgement.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from aiokafka import AIOKafkaProducer

from benchmarks.faulty_kafka import (
    LAUNCHER,
    Logged,
    Proxy,
    delete_topic,
    folder,
    launch,
    make_topic,
    read_log,
)
from rollcall.events.envelope import Event
from rollcall.events.topics import MAX_RECORD_BYTES, MEBIBYTE
from rollcall.kafka.client import client_options
from rollcall.kafka.producer import REQUEST_TIMEOUT_MS, Acknowledged, Producer
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id
from rollcall_local.stack import ports
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings
from tests.support.kafka_cluster import KafkaCluster

SENDERS: Final = 10
PAUSE_S: Final = 0.002


class Switchable(Producer):
    """The services' producer with idempotence on or off, and nothing else changed."""

    def __init__(self, settings: Settings, *, is_idempotent: bool) -> None:
        super().__init__(settings, client_id="benchmark")
        self._is_idempotent = is_idempotent

    def _new(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **client_options(self._settings),
            client_id=self._client_id,
            enable_idempotence=self._is_idempotent,
            acks="all",
            linger_ms=0,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=100,
            max_request_size=MAX_RECORD_BYTES,
            max_batch_size=MEBIBYTE,
        )


@dataclass(slots=True)
class Run:
    """One load: the result of each send."""

    producer: Producer
    topic: str
    sent: list[str] = field(default_factory=list)
    """Ids in the order of sending; `sender/number` is in the subject."""
    acknowledged: dict[str, Acknowledged] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    moments: list[float] = field(default_factory=list)
    is_over: bool = False
    size: int = 300

    async def send_one(self, sender: int, number: int, size: int) -> None:
        """Send one record and note the result."""
        event = Event(
            new_id(), "io.rollcall.benchmark.v1", "/b", f"{sender}/{number}", now(), "x" * size
        )
        self.sent.append(event.id)
        try:
            answer = await self.producer.send(self.topic, partition=0, key="k", event=event)
        except Unavailable:
            self.failed.add(event.id)
            await asyncio.sleep(0.1)
        else:
            self.acknowledged[event.id] = answer
            self.moments.append(time.monotonic())

    async def _one_sender(self, sender: int) -> None:
        number = 0
        while not self.is_over:
            number += 1
            await self.send_one(sender, number, self.size)
            await asyncio.sleep(PAUSE_S)

    async def until_acknowledged(self, more: int, timeout_s: float = 120) -> None:
        """Wait until `more` further records are acknowledged."""
        wanted = len(self.acknowledged) + more
        async with asyncio.timeout(timeout_s):
            while len(self.acknowledged) < wanted:  # noqa: ASYNC110 a count, no event
                await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        """Senders that run during the block; their sends are awaited at its end."""
        async with asyncio.TaskGroup() as group:
            for sender in range(SENDERS):
                group.create_task(self._one_sender(sender))
            try:
                await self.until_acknowledged(300)
                yield
                await self.until_acknowledged(300)
            finally:
                self.is_over = True


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault needs: the run, and the brokers to act on."""

    run: Run
    settings: Settings
    topic: str
    cluster: KafkaCluster | None = None
    broker: KafkaBroker | None = None
    proxy: "Proxy | None" = None
    outage_s: float = 60.0


Fault = Callable[[Scene], Awaitable[None]]


async def leader_killed(scene: Scene) -> None:
    """SIGKILL, and a restart after eight seconds."""
    assert scene.cluster is not None
    broker = scene.cluster.brokers[scene.cluster.leader_of(scene.topic, 0)]
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(8)
    await launch(broker.start)


async def leader_frozen(scene: Scene) -> None:
    """SIGSTOP for fifteen seconds."""
    assert scene.cluster is not None
    broker = scene.cluster.brokers[scene.cluster.leader_of(scene.topic, 0)]
    broker.pause()
    await asyncio.sleep(15)
    broker.resume()


async def answers_lost(scene: Scene) -> None:
    """Forty times: the broker's answers are swallowed for a moment, then the connection is cut."""
    assert scene.proxy is not None
    for _ in range(40):
        scene.proxy.is_swallowing = True
        await asyncio.sleep(0.03)
        scene.proxy.cut()
        scene.proxy.is_swallowing = False
        await scene.run.until_acknowledged(20)


async def too_large(scene: Scene) -> None:
    """A record that the producer accepts and the broker refuses: fatal for an idempotent one."""
    await scene.run.send_one(99, 1, 50_000)


async def recreated(scene: Scene) -> None:
    """The topic is deleted and created again while senders send; its earlier records are gone."""
    run = scene.run
    await delete_topic(scene.settings, scene.topic)
    await make_topic(scene.settings, scene.topic, 1)
    for known in (run.sent, run.acknowledged, run.failed):
        known.clear()  # records acknowledged before the deletion are gone, which is correct


async def away(scene: Scene) -> None:
    """SIGKILL, and a restart after the length of the outage."""
    assert scene.broker is not None
    await asyncio.to_thread(scene.broker.kill)
    await asyncio.sleep(scene.outage_s)
    await launch(scene.broker.start)


async def frozen(scene: Scene) -> None:
    """SIGSTOP for the length of the outage."""
    assert scene.broker is not None
    scene.broker.pause()
    await asyncio.sleep(scene.outage_s)
    scene.broker.resume()


ON_THREE: Final[dict[str, Fault]] = {"killed": leader_killed, "frozen": leader_frozen}
ON_ONE: Final[dict[str, Fault]] = {
    "answers-lost": answers_lost,
    "too-large": too_large,
    "recreated": recreated,
    "away": away,
    "stands-still": frozen,
}


HEAD: Final = (
    f"{'fault':14} {'idempotent':10} {'acked':>7} {'failed':>7} {'lost':>5} {'doubled':>8} "
    f"{'2nd copy':>9} {'failed, there':>14} {'order':>6} {'silence s':>10} {'load':>5}"
)


def row(name: str, *, is_idempotent: bool, run: Run, log: list[Logged]) -> str:
    """One line of the table."""
    first: dict[str, tuple[int, int]] = {}
    newest: dict[str, int] = {}
    inversions = 0
    for record in log:
        if record.id in first:
            continue
        first[record.id] = (record.offset, record.append_ms)
        sender, number = record.subject.split("/")
        inversions += int(number) < newest.get(sender, 0)
        newest[sender] = max(newest.get(sender, 0), int(number))
    acknowledged = run.acknowledged.items()
    second = sum(
        first.get(id_, (each.offset, each.append_time_ms)) != (each.offset, each.append_time_ms)
        for id_, each in acknowledged
    )
    return (
        f"{name:14} {'on' if is_idempotent else 'off':10} {len(run.acknowledged):7d} "
        f"{len(run.failed):7d} {sum(id_ not in first for id_, _ in acknowledged):5d} "
        f"{len(log) - len(first):8d} {second:9d} {sum(id_ in first for id_ in run.failed):14d} "
        f"{inversions:6d} {max(b - a for a, b in pairwise(sorted(run.moments))):10.2f} "
        f"{os.getloadavg()[0]:5.1f}"
    )


async def play(name: str, fault: Fault, scene: Scene, *, is_idempotent: bool) -> None:
    """One fault in one mode; prints its row."""
    run = scene.run
    await run.producer.start()
    try:
        async with run.under_way():
            await fault(scene)
    finally:
        await run.producer.stop()
    log = await read_log(scene.settings, scene.topic)
    print(row(name, is_idempotent=is_idempotent, run=run, log=log), flush=True)


async def on_three(names: list[str], cluster: KafkaCluster) -> None:
    """The faults of a leader in a cluster of three."""
    settings = Settings(kafka_bootstrap=cluster.bootstrap)
    for name in names:
        for is_idempotent in (True, False):
            topic = f"t{new_id()}"
            await make_topic(settings, topic, 3)
            await asyncio.to_thread(cluster.until_in_sync, topic, 0)
            run = Run(Switchable(settings, is_idempotent=is_idempotent), topic)
            scene = Scene(run, settings, topic, cluster)
            await play(name, ON_THREE[name], scene, is_idempotent=is_idempotent)
            await asyncio.to_thread(cluster.until_complete)


async def on_one(names: list[str], broker: KafkaBroker, proxy: Proxy, outage_s: float) -> None:
    """The faults of a single broker behind the proxy."""
    settings = Settings(kafka_bootstrap=f"127.0.0.1:{proxy.port}")
    await proxy.start()
    for name in names:
        for is_idempotent in (True, False):
            topic = f"{'narrow' if name == 'too-large' else 'wide'}{new_id()}"
            await make_topic(settings, topic, 1)
            run = Run(Switchable(settings, is_idempotent=is_idempotent), topic)
            scene = Scene(run, settings, topic, None, broker, proxy, outage_s)
            await play(name, ON_ONE[name], scene, is_idempotent=is_idempotent)
    await proxy.stop()


def main() -> None:
    """Start brokers, play every fault in both modes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds of the long outages")
    parser.add_argument("--only", default=",".join([*ON_THREE, *ON_ONE]))
    args = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what happens to it is known
    wanted = args.only.split(",")
    print(HEAD)
    if three := [name for name in wanted if name in ON_THREE]:
        with folder() as path:
            cluster = KafkaCluster(path)
            LAUNCHER.submit(cluster.start).result()
            try:
                asyncio.run(on_three(three, cluster))
            finally:
                cluster.stop()
    if one := [name for name in wanted if name in ON_ONE]:
        port = ports.choose()
        controller = ports.choose([port])
        through = ports.choose([port, controller])
        advertised = f"PLAINTEXT://127.0.0.1:{through},CONTROLLER://127.0.0.1:{controller}"
        with folder() as path:
            extra = {"advertised.listeners": advertised}
            broker = KafkaBroker(BrokerSettings(path, port, controller, extra=extra))
            LAUNCHER.submit(broker.start).result()
            try:
                asyncio.run(on_one(one, broker, Proxy(through, port), args.outage))
            finally:
                broker.kill()


if __name__ == "__main__":
    main()
