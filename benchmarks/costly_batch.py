"""A costly batch: how much memory of the provisioner and how much time of its neighbours it takes.

    python -m benchmarks.costly_batch [--events 500] [--seconds 20]

One organisation has members of 256 kB, with an emoji in each text (Python uses four bytes per
character). Two quiet organisations each create ten members per second, one in the same partition,
one in another. Their p99 is measured first alone, then while small PATCHes of `--events` large
members, put on the log at once, are applied. Prints the growth of the provisioner's resident
memory, the seconds until everything is applied, both p99 and their ratios.

The claim: at most 256 MiB more for any number of events. Exit status 1 if it does not hold.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from benchmarks.callers import Load, creator, pace
from benchmarks.deployment import Deployment, deployed, load_average
from rollcall.events.bodies import Create, Patch
from rollcall.events.request import Request, to_event
from rollcall.kafka.producer import Producer
from rollcall.runtime.ids import new_id
from tests.support.stack import Organisation

MEBIBYTE = 1024 * 1024
MOST_GROWTH = 256 * MEBIBYTE
RATE = 10.0
LARGE = 250_000
SENT_AT_ONCE = 50


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"process {pid} has no resident memory")


@contextlib.asynccontextmanager
async def watched(pid: int) -> AsyncIterator[list[int]]:
    """Samples of a process's resident memory, taken while the block runs."""
    samples = [resident_bytes(pid)]
    is_over = asyncio.Event()

    async def sample() -> None:
        while not is_over.is_set():
            samples.append(resident_bytes(pid))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(is_over.wait(), 0.02)

    task = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        is_over.set()
        await task


def large_creates(organisation_id: str, count: int) -> list[Request]:
    """Creates of members of about 256 kB, with rules 1 as in an old log."""
    streets = [{"streetAddress": "a" * 4095 + "\U0001f600"} for _ in range(LARGE // 4100)]
    moment = datetime.now(UTC)
    return [
        Request(
            id=new_id(),
            endpoint="Users",
            organisation_id=organisation_id,
            resource_id=new_id(),
            time=moment,
            rules=1,
            body=Create(
                {"userName": f"l{n}@bench.example", "active": False, "addresses": streets},
                name_key=f"l{n}@bench.example",
            ),
        )
        for n in range(count)
    ]


def patches(made: Sequence[Request]) -> list[Request]:
    """A small change of each member."""
    moment = datetime.now(UTC)
    return [
        Request(
            id=new_id(),
            endpoint="Users",
            organisation_id=request.organisation_id,
            resource_id=request.resource_id,
            time=moment,
            body=Patch(({"op": "replace", "path": "title", "value": f"T{number}"},)),
        )
        for number, request in enumerate(made)
    ]


async def put(at: Deployment, organisation: Organisation, requests: Sequence[Request]) -> None:
    """Append the requests to the log."""
    producer = Producer(at.stack.settings, client_id="benchmark")
    await producer.start()
    for begin in range(0, len(requests), SENT_AT_ONCE):
        sent = [
            await producer.enqueue(
                at.stack.topics.requests,
                partition=organisation.partition,
                key=organisation.id,
                event=to_event(request),
            )
            for request in requests[begin : begin + SENT_AT_ONCE]
        ]
        await asyncio.gather(*sent)
    await producer.stop()


async def places(at: Deployment) -> tuple[Organisation, Organisation, Organisation]:
    """The costly organisation, one in its partition, and one in another."""
    costly = await at.stack.organisation("costly")
    same: Organisation | None = None
    other: Organisation | None = None
    while same is None or other is None:
        found = await at.stack.organisation("quiet")
        if found.partition == costly.partition:
            same = same or found
        else:
            other = other or found
    return costly, same, other


async def quiet(same: Organisation, other: Organisation, seconds: float, run: str) -> list[Load]:
    """The load of the two quiet organisations for some seconds."""
    return await asyncio.gather(
        *(
            pace(each.base, each.key, RATE, seconds, creator(f"{run}{number}"))
            for number, each in enumerate((same, other))
        )
    )


async def run(at: Deployment, events: int, seconds: float) -> bool:
    """Measure; returns whether the claim holds."""
    costly, same, other = await places(at)
    made = large_creates(costly.id, events)
    await put(at, costly, made)
    await at.caught_up(costly, timeout_s=600)
    await quiet(same, other, 3, "warm")
    alone = await quiet(same, other, seconds, "alone")
    pid = at.process("provisioner").pid
    async with watched(pid) as samples:
        beside = asyncio.create_task(quiet(same, other, seconds, "beside"))
        await put(at, costly, patches(made))
        took_s = await at.caught_up(costly, timeout_s=600)
        loads = await beside
    growth = max(samples) - samples[0]
    print(f"{events} changes of members of {LARGE // 1000} kB in {took_s:.1f} s")
    first, most = samples[0] / MEBIBYTE, max(samples) / MEBIBYTE
    print(f"resident memory {first:.0f} MiB before, {most:.0f} MiB at most; {load_average()}")
    for name, before, after in zip(
        ("the same partition", "another partition"), alone, loads, strict=True
    ):
        ratio = after.percentile_ms(99) / before.percentile_ms(99)
        print(f"{name}: alone  {before}")
        print(f"{name}: beside {after}")
        print(f"{name}: p99 {ratio:.1f}×")
    return growth <= MOST_GROWTH


async def measure(events: int, seconds: float) -> bool:
    """Start everything and measure."""
    async with deployed() as at:
        return await run(at, events, seconds)


def main() -> None:
    """Measure; the exit status says whether the claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    if not uvloop.run(measure(args.events, args.seconds)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
