"""Catching up: how fast a partition's backlog is applied after the provisioner was away.

    python -m benchmarks.catch_up [--events 50000]

On a deployment of its own with native servers, `--events` creates of one organisation are put on
the log, then a provisioner starts. Prints events per second from its first batch to lag 0, the CPU
that provisioner, Kafka and Postgres used per event, and the ratio to the rate at which the same
records were produced: above 1 the log fills faster than it drains.
"""

import argparse
import asyncio
import tempfile
import time
import uuid
from pathlib import Path

from benchmarks.batches import creates
from benchmarks.path import cpu_seconds
from rollcall.events.request import to_event
from rollcall.kafka.producer import Producer
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.native import PostgresServer as NativePostgres
from tests.support.databases import TestDatabase, create_database
from tests.support.load import applied
from tests.support.servers import PostgresServer, own_kafka, own_postgres
from tests.support.stack import Organisation, Stack, running

CHUNK = 2_000


async def fill(stack: Stack, organisation: Organisation, events: int) -> float:
    """Put the creates on the log; returns the seconds until all are acknowledged."""
    producer = Producer(stack.settings, client_id="benchmark")
    await producer.start()
    requests = creates(organisation.id, events, "c")
    began_s = time.perf_counter()
    for start in range(0, events, CHUNK):
        sent = [
            await producer.enqueue(
                stack.topics.requests,
                partition=organisation.partition,
                key=organisation.id,
                event=to_event(request),
            )
            for request in requests[start : start + CHUNK]
        ]
        await asyncio.gather(*sent)
    taken_s = time.perf_counter() - began_s
    await producer.stop()
    return taken_s


async def run(broker: KafkaBroker, postgres: NativePostgres, events: int) -> None:
    """Fill the log, start a provisioner, wait until it has caught up."""
    server = PostgresServer(postgres.admin_url, "native")
    await postgres_roles.bootstrap(server.admin_url, server.passwords, database=None)
    database = TestDatabase(await create_database(server), server)
    prefix = f"b{uuid.uuid4().hex[:10]}"
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        async with running(Path(folder), broker.bootstrap, prefix, database.url) as stack:
            organisation = await stack.organisation()
            filled_s = await fill(stack, organisation, events)
            provisioner = await stack.start("provisioner")
            pids = {
                "provisioner": [provisioner.pid],
                "kafka": [broker.pid],
                "postgres": [postgres.pid],
            }
            before = {name: cpu_seconds(pids[name]) for name in pids}
            began_s = time.perf_counter()
            while not await applied(stack, organisation):  # noqa: ASYNC110 as a monitor asks
                await asyncio.sleep(0.05)
            taken_s = time.perf_counter() - began_s
            spent = {name: (cpu_seconds(pids[name]) - before[name]) / events * 1e6 for name in pids}
    print(f"produced  {events} events in {filled_s:.1f} s: {events / filled_s:.0f}/s")
    print(f"caught up {events} events in {taken_s:.1f} s: {events / taken_s:.0f}/s")
    print("CPU µs an event: " + ", ".join(f"{name} {spent[name]:.0f}" for name in spent))
    print(f"draining takes {taken_s / filled_s:.1f}× the time of filling (one partition)")


def main() -> None:
    """Start servers of its own and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    args = parser.parse_args()
    with own_kafka() as broker, own_postgres() as postgres:
        asyncio.run(run(broker, postgres, args.events))


if __name__ == "__main__":
    main()
