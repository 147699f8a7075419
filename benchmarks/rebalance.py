"""How long requests of a partition wait when a provisioner joins, leaves, dies or freezes.

    python -m benchmarks.rebalance [--sessions 3,6,10] [--rounds 2]

Starts a broker and a Postgres of its own. Each partition gets one request every 20 ms. The pause is
the longest time between the append time of a request and the start of the transaction that applied
it, over all partitions and during the event and what follows it. Heartbeats are a twelfth of the
session. A frozen member is stopped for `--freeze` seconds, like a machine that is being moved: with
a shorter session its partitions are given away and taken back.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import asyncpg

from rollcall.events.bodies import Create
from rollcall.events.request import Request, to_event
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics
from rollcall.kafka.producer import Producer
from rollcall.kafka.pump import Pump, PumpOptions
from rollcall.postgres.migrate import migrate
from rollcall.postgres.pool import open_pool
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings, load
from rollcall.runtime.ids import new_id
from rollcall.runtime.lifecycle import FaultPoint, stop_on_signals
from rollcall_local.stack import ports
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.native import PostgresServer, ServerSettings
from rollcall_provisioner.config import ProvisionerSettings
from rollcall_provisioner.partition import PartitionWorker
from rollcall_provisioner.worker_context import WorkerContext

PARTITIONS: Final = 4
EVERY_S: Final = 0.02
SETTLE_S: Final = 2.0
DATABASE: Final = "rollcall_rebalance"
REACHED: Final = """SELECT count(DISTINCT partition) FROM audit.event
    WHERE topic = $1 AND append_time > to_timestamp($2::float8)"""
"""The number of partitions in which a request appended after this moment is applied."""
LONGEST: Final = """SELECT max(extract(epoch FROM recorded - append_time)) FROM audit.event
    WHERE topic = $1 AND append_time > to_timestamp($2::float8)"""


# A member of the group: a process of its own


async def be_member(settings: ProvisionerSettings, session_ms: int) -> None:
    """Consume like the provisioner, with another session time-out; prints what it owns."""
    pool = await open_pool(
        settings.database_url.get_secret_value(),
        role_hint="provisioner",
        max_size=PARTITIONS,
        statement_timeout_s=20,
        application_name="benchmark",
    )
    producer = Producer(settings, client_id="benchmark")
    await producer.start()
    topics = Topics(settings.topic_prefix, requests_partitions=PARTITIONS)
    context = WorkerContext(pool, producer, topics, FaultPoint(""))
    options = PumpOptions(
        topic=topics.requests,
        group_id=settings.group_id,
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // 12,
    )
    pump = Pump(settings, options, lambda partition: PartitionWorker(context, partition))
    stop = stop_on_signals()
    running = asyncio.create_task(pump.run(stop))
    said: list[int] | None = None
    while not running.done():
        if pump.has_joined and pump.partitions != said:
            said = pump.partitions
            print("OWNS", *said, flush=True)
        await asyncio.wait([running], timeout=0.02)
    running.result()
    await producer.stop()
    await pool.close()


@dataclass(slots=True)
class Member:
    """The process of a member, and the partitions that it says it owns."""

    process: asyncio.subprocess.Process
    reading: "asyncio.Task[None]"
    owns: list[int]

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def end(self, number: signal.Signals) -> None:
        """Send a signal that ends it, and wait for that."""
        self.send(number)
        await asyncio.wait_for(self.process.wait(), 30)
        await self.reading


@dataclass(slots=True)
class Group:
    """All members with one session time-out, and the requests that they apply."""

    environment: dict[str, str]
    session_ms: int
    database_url: str
    topic: str

    async def join(self) -> Member:
        """Start a new member, and wait for its first assignment, which may be empty."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.rebalance", "--member", str(self.session_ms)),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        member = Member(process, asyncio.create_task(asyncio.sleep(0)), [])

        async def read() -> None:
            assert process.stdout is not None
            async for line in process.stdout:
                if line.startswith(b"OWNS"):
                    member.owns = [int(number) for number in line.split()[1:]]

        member.reading = asyncio.create_task(read())
        return member

    async def pause_s(self, since_s: float) -> float:
        """The longest wait of a request appended since then, once all until now are applied."""
        now_s = time.time()
        connection = await asyncpg.connect(self.database_url)
        try:
            async with asyncio.timeout(60):
                while await connection.fetchval(REACHED, self.topic, now_s) < PARTITIONS:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            return float(await connection.fetchval(LONGEST, self.topic, since_s))
        finally:
            await connection.close()


async def until(holds: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        await asyncio.sleep(0.02)


# The rounds


async def play(group: Group, freeze_s: float) -> dict[str, float]:
    """Every event once; returns event → pause in seconds."""
    found: dict[str, float] = {}
    first = await group.join()
    await until(lambda: len(first.owns) == PARTITIONS, "the first one has all")
    await asyncio.sleep(SETTLE_S)

    @contextlib.asynccontextmanager
    async def measured(what: str) -> AsyncIterator[None]:
        began_s = time.time() - 0.1
        yield
        await asyncio.sleep(SETTLE_S)
        found[what] = await group.pause_s(began_s)

    def has_half() -> bool:
        return len(first.owns) == len(second.owns) == PARTITIONS // 2

    def has_all() -> bool:
        return len(first.owns) == PARTITIONS

    async with measured("joins"):
        second = await group.join()
        await until(has_half, "both have their half")
    async with measured("leaves"):
        await second.end(signal.SIGTERM)
        await until(has_all, "the first one has all again")
    second = await group.join()
    await until(has_half, "both have their half")
    await asyncio.sleep(SETTLE_S)
    async with measured("frozen"):
        second.send(signal.SIGSTOP)
        await asyncio.sleep(freeze_s)
        second.send(signal.SIGCONT)
        await asyncio.sleep(SETTLE_S)
        await until(has_half, "both have their half again")
    async with measured("killed"):
        await second.end(signal.SIGKILL)
        await until(has_all, "the first one has all again")
    await first.end(signal.SIGTERM)
    return found


async def feed(producer: Producer, topics: Topics) -> None:
    """One request per partition every 20 ms, each of an organisation in that partition."""
    organisations = [new_id() for _ in range(PARTITIONS)]
    number = 0
    while True:
        number += 1
        for partition, organisation in enumerate(organisations):
            request = a_create(organisation, f"m{number}@bench.example")
            await producer.enqueue(
                topics.requests, partition=partition, key=organisation, event=to_event(request)
            )
        await asyncio.sleep(EVERY_S)


def a_create(organisation: str, user_name: str) -> Request:
    """A create as ingress would publish it, without a request for a reply."""
    return Request(
        id=new_id(),
        endpoint="Users",
        organisation_id=organisation,
        resource_id=new_id(),
        time=now(),
        body=Create({"userName": user_name, "active": False}, name_key=user_name),
    )


async def measure(bootstrap: str, admin_url: str, args: argparse.Namespace) -> None:
    """Each session time-out in turn; prints a line for each."""
    passwords = dict.fromkeys(postgres_roles.ROLES, secrets.token_urlsafe(12))
    await postgres_roles.bootstrap(admin_url, passwords, database=DATABASE)
    scheme, rest = admin_url.split("://", 1)
    address = rest.rsplit("@", 1)[1].split("/", 1)[0]

    def url(service: str) -> str:
        role = f"rollcall_{service}"
        return f"{scheme}://{role}:{passwords[role]}@{address}/{DATABASE}"

    await migrate(url("owner"))
    print(f"{'session s':>9} {'heartbeat s':>11} " + " ".join(f"{e:>14}" for e in EVENTS))
    for session_s in args.sessions:
        prefix = f"b{session_s}-{secrets.token_hex(3)}"
        settings = Settings(kafka_bootstrap=bootstrap, topic_prefix=prefix)
        topics = Topics(prefix, requests_partitions=PARTITIONS)
        await apply_topics(settings, topics, replication=1)
        environment = {
            **{name: value for name, value in os.environ.items() if name[:9] != "ROLLCALL_"},
            "ROLLCALL_KAFKA_BOOTSTRAP": bootstrap,
            "ROLLCALL_TOPIC_PREFIX": prefix,
            "ROLLCALL_DATABASE_URL": url("provisioner"),
        }
        group = Group(environment, session_s * 1000, url("owner"), topics.requests)
        producer = Producer(settings, client_id="benchmark")
        await producer.start()
        feeding = asyncio.create_task(feed(producer, topics))
        try:
            rounds = [await play(group, args.freeze) for _ in range(args.rounds)]
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])
            await producer.stop()
        cells = [" / ".join(f"{each[event]:.1f}" for each in rounds) for event in EVENTS]
        print(
            f"{session_s:9d} {session_s / 12:11.2f} "
            + " ".join(f"{cell:>14}" for cell in cells)
            + f"   load average {os.getloadavg()[0]:.1f}",
            flush=True,
        )


EVENTS: Final = ("joins", "leaves", "frozen", "killed")


@contextlib.contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """A broker that allows short sessions, and a Postgres: bootstrap and a superuser's URL."""
    folder = Path(tempfile.mkdtemp(prefix="rollcall-bench-"))
    folder.chmod(0o711)  # Postgres may have to run as another user
    port = ports.choose()
    settings = BrokerSettings(folder / "kafka", port, ports.choose([port]))
    broker = KafkaBroker(replace(settings, extra={"group.min.session.timeout.ms": "1000"}))
    postgres = PostgresServer(
        ServerSettings(folder / "pg", ports.choose(), secrets.token_urlsafe(12), durable=False)
    )
    try:
        broker.start()
        postgres.start()
        yield broker.bootstrap, postgres.admin_url
    finally:
        broker.stop()
        postgres.stop()
        postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Be a member, or start the servers and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", default="3,6,10")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--freeze", type=float, default=4.0)
    parser.add_argument("--member", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.member is not None:
        asyncio.run(be_member(load(ProvisionerSettings), args.member))
        return
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    args.sessions = [int(text) for text in args.sessions.split(",")]
    print(f"seconds that a request waited at most; each of {args.rounds} rounds;", end=" ")
    print(f"frozen: for {args.freeze:g} s")
    with servers() as (bootstrap, admin_url):
        asyncio.run(measure(bootstrap, admin_url, args))


if __name__ == "__main__":
    main()
