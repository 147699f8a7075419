"""Bursts: 20,000 creates over 200 connections, in normal operation and with each part away.

    python -m benchmarks.bursts [--requests 20000] [--connections 200] [--ingress 2]
                                [--only healthy,stopped,…]

There is one organisation per process of ingress, and each sends its share of the burst to its own
process, as hashing by organisation does in front of replicas. One process of ingress uses one core,
so `--ingress 1` shows what a burst of one organisation gets.

The claims, checked at the end (exit status 1 if one does not hold):

- `healthy`: at most 8 s, no failures, p99 below 1 s;
- `stopped`: the provisioner is stopped: every answer is 2xx, in at most 6 s; after the provisioner
  is started again and ready, it catches up within 8 s;
- `postgres`: Postgres is frozen: every answer is 2xx; after it resumes everything is applied;
- `kafka`: Kafka is frozen for 20 s: only 503 with `Retry-After`, reads work, and nothing that was
  refused is applied.

Machines differ, so the seconds are printed with the CPU that each part used per request, and with
two ratios of the same run: to `GET /livez` through the same client (the cost of HTTP alone in
ingress), and to a bare acknowledged send of as many records (the cost of durability alone).
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import uvloop

from benchmarks.callers import Answer, Caller, Load, burst, creator, together
from benchmarks.deployment import Deployment, deployed, load_average, per_request
from rollcall.events.envelope import Event
from rollcall.kafka.producer import Producer
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from tests.support.stack import Organisation, Stack

HEALTHY_S, STOPPED_S, CATCH_UP_S, P99_MS = 8.0, 6.0, 8.0, 1000.0
FROZEN_S = 20.0


@dataclass(slots=True)
class Bench:
    """One deployment, and the claims checked on it."""

    at: Deployment
    requests: int
    connections: int
    verdicts: list[tuple[bool, str]] = field(default_factory=list)

    def judge(self, holds: bool, claim: str) -> None:
        """Print whether a claim holds, and record it."""
        self.verdicts.append((holds, claim))
        print(f"  {'ok ' if holds else 'NOT'}  {claim}")

    async def organisations(self, name: str) -> list[Organisation]:
        """A new organisation for each process of ingress, with that process in its address."""
        made = []
        for process in self.at.stack.running("ingress"):
            organisation = await self.at.stack.organisation(name)
            base = f"http://127.0.0.1:{process.door_port}/v2/{organisation.id}"
            made.append(replace(organisation, base=base))
        return made

    async def creates(self, title: str, organisations: Sequence[Organisation]) -> Load:
        """A burst of creates; prints the answers and the cost."""
        run = f"{title}{os.getpid()}"
        shares = len(organisations)
        before = self.at.cpu()
        load = together(
            await asyncio.gather(
                *(
                    burst(
                        organisation.base,
                        organisation.key,
                        range(number, self.requests, shares),
                        self.connections // shares,
                        creator(run),
                    )
                    for number, organisation in enumerate(organisations)
                )
            )
        )
        print(f"{title:9} {load}\n          {per_request(before, self.at.cpu(), self.requests)}")
        print(f"          {load_average()}")
        return load

    async def directory(self, organisations: Sequence[Organisation]) -> int:
        """The number of members of the organisations."""
        [row] = await self.at.stack.rows(
            "SELECT count(*) AS n FROM directory.member WHERE organisation_id = ANY($1::uuid[])",
            [organisation.id for organisation in organisations],
        )
        return int(row["n"])


async def baseline(bench: Bench) -> tuple[float, float]:
    """(ingress CPU seconds of a `GET /livez`, wall seconds of the bare sends)."""
    ingress = bench.at.process("ingress")
    before = bench.at.cpu()

    async def alive(caller: Caller, _: int) -> Answer:
        return await caller.call("GET", "/livez")

    url = f"http://127.0.0.1:{ingress.admin_port}"
    load = await burst(url, "none", range(bench.requests), bench.connections, alive)
    cpu_s = (bench.at.cpu()["ingress"] - before["ingress"]) / bench.requests
    print(f"livez     {load}")
    bare_s = await bare_sends(bench.at.stack, bench.requests, bench.connections)
    print(f"bare      {bench.requests:,} acknowledged sends in {bare_s:.2f} s")
    return cpu_s, bare_s


async def bare_sends(stack: Stack, records: int, connections: int) -> float:
    """Seconds for as many records of 1 kB, sent at once, on a topic without readers."""
    producer = Producer(stack.settings, client_id="benchmark")
    await producer.start()
    numbers = iter(range(records))
    event = Event(new_id(), "bench.v1", "/bench", "bench", now(), {"x": "x" * 700})

    async def one() -> None:
        for _ in numbers:
            await producer.send(stack.topics.dead, partition=0, key="bench", event=event)

    began_s = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    taken_s = time.perf_counter() - began_s
    await producer.stop()
    return taken_s


async def healthy(bench: Bench) -> None:
    """Everything works."""
    livez_cpu_s, bare_s = await baseline(bench)
    organisations = await bench.organisations("Healthy")
    before = bench.at.cpu()
    load = await bench.creates("healthy", organisations)
    cpu_s = (bench.at.cpu()["ingress"] - before["ingress"]) / bench.requests
    print(f"          a create costs ingress {cpu_s / livez_cpu_s:.1f}× a GET /livez (CPU); ")
    print(f"          the burst takes {load.wall_s / bare_s:.1f}× the bare sends (wall clock)")
    bench.judge(load.failed == 0, "healthy: nothing failed")
    bench.judge(load.wall_s <= HEALTHY_S, f"healthy: {load.wall_s:.2f} s ≤ {HEALTHY_S:g} s")
    p99 = load.percentile_ms(99)
    bench.judge(p99 < P99_MS, f"healthy: p99 {p99:.0f} ms < {P99_MS:g} ms")
    await bench.at.caught_up(*organisations)
    found = await bench.directory(organisations)
    bench.judge(found == bench.requests, f"healthy: {found:,} members of {bench.requests:,}")


async def stopped(bench: Bench) -> None:
    """The provisioner is stopped, then started again."""
    organisations = await bench.organisations("Stopped")
    bench.at.process("provisioner").terminate()
    load = await bench.creates("stopped", organisations)
    bench.judge(load.failed == 0, "stopped: every answer is 2xx")
    bench.judge(load.wall_s <= STOPPED_S, f"stopped: {load.wall_s:.2f} s ≤ {STOPPED_S:g} s")
    began_s = time.perf_counter()
    await bench.at.stack.start("provisioner")
    ready_s = time.perf_counter() - began_s
    taken_s = await bench.at.caught_up(*organisations)
    print(f"          ready after {ready_s:.1f} s, caught up {taken_s:.1f} s later")
    bench.judge(taken_s <= CATCH_UP_S, f"stopped: caught up {taken_s:.1f} s ≤ {CATCH_UP_S:g} s")
    found = await bench.directory(organisations)
    bench.judge(found == bench.requests, f"stopped: {found:,} members of {bench.requests:,}")


async def postgres(bench: Bench) -> None:
    """Postgres is frozen during the burst."""
    organisations = await bench.organisations("Postgres")
    with bench.at.frozen_postgres():
        load = await bench.creates("postgres", organisations)
    bench.judge(load.failed == 0, "postgres frozen: every answer is 2xx")
    taken_s = await bench.at.caught_up(*organisations)
    print(f"          caught up {taken_s:.1f} s after it went on")
    found = await bench.directory(organisations)
    bench.judge(found == bench.requests, f"postgres frozen: {found:,} members")


async def kafka(bench: Bench) -> None:
    """Kafka is frozen; reads of what exists still work."""
    organisations = await bench.organisations("Kafka")
    organisation = organisations[0]
    seed = await burst(organisation.base, organisation.key, range(20), 1, creator("seed"))
    await bench.at.caught_up(organisation)
    [row] = await bench.at.stack.rows(
        "SELECT id::text FROM directory.member WHERE organisation_id = $1::uuid LIMIT 1",
        organisation.id,
    )
    member, reads, is_over = row["id"], Load(), asyncio.Event()

    async def read() -> None:
        caller = Caller(organisation.base, organisation.key)
        while not is_over.is_set():
            began_s = time.perf_counter()
            reads.note(await caller.call("GET", f"/Users/{member}"), time.perf_counter() - began_s)
            await asyncio.sleep(0.05)
        caller.close()

    with bench.at.frozen_kafka():
        reading = asyncio.create_task(read())
        until_s = time.monotonic() + FROZEN_S
        load = await bench.creates("kafka", organisations)
        await asyncio.sleep(max(0.0, until_s - time.monotonic()))
        is_over.set()
        await reading
    print(f"reads     {reads}")
    only_503 = set(load.statuses) == {503} and not load.without_retry_after
    bench.judge(only_503, "kafka frozen: only 503, each with Retry-After")
    bench.judge(set(reads.statuses) == {200}, f"kafka frozen: all {len(reads.seconds)} reads 200")
    began_s = time.perf_counter()
    again = await burst(organisation.base, organisation.key, range(50), 1, creator("again"))
    while again.failed and time.perf_counter() - began_s < 60:
        again = await burst(
            organisation.base, organisation.key, range(50), 1, creator(f"a{time.time_ns()}")
        )
    print(f"          writes go on {time.perf_counter() - began_s:.1f} s after it went on")
    await bench.at.caught_up(*organisations)
    [row] = await bench.at.stack.rows(
        "SELECT count(*) AS n FROM directory.member WHERE organisation_id = ANY($1::uuid[]) "
        "AND document ->> 'userName' LIKE '%.kafka%'",
        [each.id for each in organisations],
    )
    # In general a send without acknowledgement in 12 s may have been appended; here it cannot.
    bench.judge(row["n"] == 0, f"kafka frozen: {row['n']} of the refused are there")
    bench.judge(
        seed.failed == 0 and again.failed == 0, "kafka frozen: before and after all is well"
    )


PARTS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "healthy": healthy,
    "stopped": stopped,
    "postgres": postgres,
    "kafka": kafka,
}


async def measure(args: argparse.Namespace) -> bool:
    """Run the requested parts on one deployment; returns whether every claim held."""
    async with deployed(args.ingress) as at:
        bench = Bench(at, args.requests, args.connections)
        for warm in await bench.organisations("Warm"):
            await burst(warm.base, warm.key, range(500), 20, creator("warm"))
        for part in args.only.split(","):
            await PARTS[part](bench)
            print()
    missed = [claim for holds, claim in bench.verdicts if not holds]
    print(f"{len(bench.verdicts) - len(missed)} of {len(bench.verdicts)} claims held")
    for claim in missed:
        print(f"NOT  {claim}")
    return not missed


def main() -> None:
    """Measure, and fail if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--ingress", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARTS))
    raise SystemExit(0 if uvloop.run(measure(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
