"""The whole path: creates that wait for their reply, with 1, 10 and 50 clients (`make bench`).

    python -m benchmarks.path [--data DIR] [--seconds 5] [--clients 1,10,50]

Uses the stack that runs on DIR, or starts one in a temporary folder. For each number of clients it
prints rate, p50 and p99 of the answers, and the CPU that each process used per request. Machines
differ, so two ratios from the same run are printed too: a create against a bare acknowledged send
to the same Kafka (the cost of durability alone), and against `GET /livez` (the cost of HTTP alone).
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.stack import BenchOrganisation, bench_organisation

SCIM = {"Content-Type": "application/scim+json"}
MEASURED = ("ingress", "provisioner", "notifier", "kafka", "postgres")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one kind of request: seconds of each answer, wall seconds, answers by status."""

    seconds: list[float]
    wall_s: float
    pending: int
    failed: int

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.wall_s

    def percentile_ms(self, hundredths: int) -> float:
        """A percentile of the answers in milliseconds."""
        if len(self.seconds) < 2:
            return self.seconds[0] * 1000
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[hundredths - 1] * 1000


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU that these processes and, for Postgres, their children have used, in seconds."""
    ticks = os.sysconf("SC_CLK_TCK")
    wanted = set(pids)
    total = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(entry.name) in wanted:
            # Its own time and that of children that have ended.
            total += sum(int(fields[index]) for index in (11, 12, 13, 14))
        elif int(fields[1]) in wanted:
            total += int(fields[11]) + int(fields[12])
    return total / ticks


async def drive(clients: int, seconds: float, call: Callable[[int], Awaitable[str]]) -> Measured:
    """`clients` call one after another for `seconds`; `call` returns `ok`, `pending`, `failed`."""
    taken: list[float] = []
    results = {"ok": 0, "pending": 0, "failed": 0}
    end = time.perf_counter() + seconds
    counter = iter(range(10**9))

    async def client() -> None:
        while time.perf_counter() < end:
            start = time.perf_counter()
            results[await call(next(counter))] += 1
            taken.append(time.perf_counter() - start)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    wall_s = time.perf_counter() - start
    return Measured(taken, wall_s, results["pending"], results["failed"])


def creator(session: aiohttp.ClientSession, base: str, run: str) -> Callable[[int], Awaitable[str]]:
    """A call that creates one member and waits for the answer."""

    async def create(number: int) -> str:
        name = f"m{number}.{run}@bench.example"
        body = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": name,
            "externalId": f"{run}-{number}",
            "active": False,
            "name": {"givenName": "Ana", "familyName": f"Number {number}"},
            "emails": [{"value": name, "type": "work", "primary": True}],
        }
        async with session.post(f"{base}/Users", data=json.dumps(body), headers=SCIM) as answer:
            await answer.read()
            if answer.status != 201:
                return "failed"
            return answer.headers.get("Rollcall-Outcome", "ok")

    return create


async def measure(target: BenchOrganisation, args: argparse.Namespace) -> None:
    """All runs against one stack; prints each figure when it is measured."""
    connector = aiohttp.TCPConnector(limit=0)
    stack, base = target.stack, target.base
    headers = {"Authorization": f"Bearer {target.key}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await drive(10, 1.0, creator(session, base, "warm"))
        livez = stack["metrics"]["ingress"][0].rsplit("/", 1)[0] + "/livez"

        async def alive(_: int) -> str:
            async with session.get(livez) as answer:
                return "ok" if answer.status == 200 else "failed"

        http = await drive(1, 1.0, alive)
        bare = await bare_kafka(target.kafka)
        print(f"GET /livez, 1 client          p50 {http.percentile_ms(50):7.2f} ms")
        print(f"bare acknowledged send        p50 {bare.percentile_ms(50):7.2f} ms")
        print()
        names = " ".join(f"{name:>11}" for name in MEASURED)
        print(f"clients   rate/s   p50 ms   p99 ms  pending  failed | CPU µs a request: {names}")
        for clients in args.clients:
            before = {name: cpu_seconds(stack["pids"][name]) for name in MEASURED}
            run = f"c{clients}-{os.getpid()}-{time.time_ns()}"
            found = await drive(clients, args.seconds, creator(session, base, run))
            spent = {
                name: (cpu_seconds(stack["pids"][name]) - before[name]) / len(found.seconds) * 1e6
                for name in MEASURED
            }
            cpu = " ".join(f"{spent[name]:11.0f}" for name in MEASURED)
            print(
                f"{clients:7d} {found.rate:8.0f} {found.percentile_ms(50):8.2f} "
                f"{found.percentile_ms(99):8.2f} {found.pending:8d} {found.failed:7d} "
                f"|{'':18}{cpu}"
            )
            if clients == 1:
                print(
                    f"        a create is {found.percentile_ms(50) / bare.percentile_ms(50):.1f}× "
                    f"a bare acknowledged send, "
                    f"{found.percentile_ms(50) / http.percentile_ms(50):.1f}× a GET /livez (p50)"
                )


async def bare_kafka(kafka: dict[str, Any]) -> Measured:
    """Send 1 kB to a topic of its own and wait for the acknowledgement, one at a time."""
    topic = f"bench.{time.time_ns()}"
    admin = AIOKafkaAdminClient(**kafka)
    producer = AIOKafkaProducer(**kafka, acks="all", enable_idempotence=True)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await producer.start()
        payload = b"x" * 1000

        async def send(_: int) -> str:
            await producer.send_and_wait(topic, payload, partition=0)
            return "ok"

        return await drive(1, 1.0, send)
    finally:
        await producer.stop()
        await admin.delete_topics([topic])
        await admin.close()


def main() -> None:
    """Find or start a stack, make an organisation, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", default="1,10,50")
    args = parser.parse_args()
    args.clients = [int(number) for number in args.clients.split(",")]
    with bench_organisation(args.data) as target:
        asyncio.run(measure(target, args))


if __name__ == "__main__":
    main()
