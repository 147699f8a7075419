"""A Rollcall deployment on servers of its own that a benchmark may stop.

It makes no claim; `bursts`, `shapes` and `neighbours` measure on it.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.path import cpu_seconds
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.native import PostgresServer as NativePostgres
from tests.support.databases import TestDatabase, create_database
from tests.support.load import applied
from tests.support.servers import PostgresServer, own_kafka, own_postgres
from tests.support.stack import Organisation, Process, Stack, running

MEASURED = ("ingress", "provisioner", "notifier", "kafka", "postgres", "client")


@dataclass(frozen=True, slots=True)
class Deployment:
    """The services and the servers behind them."""

    stack: Stack
    broker: KafkaBroker
    postgres: NativePostgres

    def process(self, service: str) -> Process:
        """The running process of a service."""
        return self.stack.running(service)[0]

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far, by part; this process is the client."""
        found = {
            name: cpu_seconds([each.pid for each in self.stack.running(name)])
            for name in ("ingress", "provisioner", "notifier")
        }
        found["kafka"] = cpu_seconds([self.broker.pid])
        found["postgres"] = cpu_seconds([self.postgres.pid])
        found["client"] = time.process_time()
        return found

    async def caught_up(self, *organisations: Organisation, timeout_s: float = 120.0) -> float:
        """Seconds until everything on the log is applied."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for organisation in organisations:
            while not await applied(self.stack, organisation):
                if loop.time() - began_s > timeout_s:
                    return float("inf")
                await asyncio.sleep(0.05)
        return loop.time() - began_s

    @contextlib.contextmanager
    def frozen_postgres(self) -> Iterator[None]:
        """Freeze every process of Postgres; connections to it stay open."""
        pids = [self.postgres.pid, *_children(self.postgres.pid)]
        _signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pids, signal.SIGCONT)

    @contextlib.contextmanager
    def frozen_kafka(self) -> Iterator[None]:
        """Freeze the broker; connections to it stay open."""
        _signal([self.broker.pid], signal.SIGSTOP)
        try:
            yield
        finally:
            _signal([self.broker.pid], signal.SIGCONT)


@contextlib.asynccontextmanager
async def deployed(
    ingress: int = 1, *, partitions: int = 4, **environment: str
) -> AsyncIterator[Deployment]:
    """All services, ready, on servers of their own, with the default wait of two seconds.

    `ingress`: the number of its processes, each with a port of its own.
    """
    with (
        own_kafka() as broker,
        own_postgres() as postgres,
        tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder,
    ):
        server = PostgresServer(postgres.admin_url, "native")
        await postgres_roles.bootstrap(server.admin_url, server.passwords, database=None)
        database = TestDatabase(await create_database(server), server)
        settings = {"ROLLCALL_INGRESS_REPLY_BUDGET_S": "2", **environment}
        prefix = f"b{uuid.uuid4().hex[:10]}"
        async with running(
            Path(folder),
            broker.bootstrap,
            prefix,
            database.url,
            replication=1,
            partitions=partitions,
            **settings,
        ) as up:
            await up.start_all()
            for _ in range(ingress - 1):
                await up.start("ingress")
            yield Deployment(up, broker, postgres)


def load_average() -> str:
    """The load average of the machine, printed with each figure."""
    return "load average " + " ".join(f"{each:.1f}" for each in os.getloadavg())


def per_request(before: Mapping[str, float], after: Mapping[str, float], requests: int) -> str:
    """CPU microseconds per request, by part."""
    spent = {name: (after[name] - before[name]) / max(1, requests) * 1e6 for name in MEASURED}
    return "CPU µs a request: " + ", ".join(f"{name} {spent[name]:.0f}" for name in MEASURED)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
