"""Neighbours: how much one organisation may cost the others.

    python -m benchmarks.neighbours [--seconds 20] [--only traffic,group,crowd,filter]

Four quiet organisations together send 20 requests per second (a create, a look-up and two reads by
id in turn), each on time whether earlier ones are answered or not. Their p99 is measured first
alone, then beside each neighbour:

- `traffic`: one organisation with 90 % of all requests, 180 per second;
- `group`: one that puts one group of 100,000 members (5 MB) after another, among small requests; no
  member has these ids, so that only the request is large;
- `crowd`: the same with the ids of 100,000 existing members: they are written the first time,
  compared each time, and answered;
- `filter`: one with 20,000 members that sends, four times at once, filters that no index serves.

The claim: the p99 of organisations in other partitions than the neighbour's is at most 2× the p99
alone. Both figures and the ratio are printed; exit status 1 if one does not hold. Organisations in
the neighbour's partition are printed too, without a claim: a partition is applied in order, so
requests behind 5 MB wait for them.
"""

import argparse
import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import uvloop

from benchmarks.callers import GROUP, Answer, Call, Caller, Load, burst, creator, pace, together
from benchmarks.deployment import Deployment, deployed, load_average
from rollcall.runtime.ids import new_id
from tests.support.stack import Organisation

QUIET, QUIET_RATE, LOUD_RATE = 4, 5.0, 180.0
MEMBERS = 100_000
MOST_RATIO = 2.0


@dataclass(slots=True)
class QuietOrganisation:
    """A quiet organisation and the ids of its members."""

    organisation: Organisation
    ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Bench:
    """One deployment with its quiet organisations."""

    at: Deployment
    seconds: float
    quiet: list[QuietOrganisation] = field(default_factory=list)
    runs: int = 0

    async def others(self) -> "Others":
        """The load of the quiet organisations for some seconds."""
        self.runs += 1
        loads = {quiet.organisation.partition: Load() for quiet in self.quiet}
        async with asyncio.TaskGroup() as group:
            for quiet in self.quiet:
                group.create_task(
                    pace(
                        quiet.organisation.base,
                        quiet.organisation.key,
                        QUIET_RATE,
                        self.seconds,
                        everyday(quiet, f"r{self.runs}"),
                        load=loads[quiet.organisation.partition],
                    )
                )
        return loads


Others = dict[int, Load]
"""Partition of the requests topic → the load of its quiet organisations."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The loads of the others beside a neighbour, and the neighbour's partition."""

    partition: int
    others: Others


def everyday(quiet: QuietOrganisation, run: str) -> Call:
    """A create, a look-up, two reads by id in turn."""

    async def call(caller: Caller, number: int) -> Answer:
        match number % 4:
            case 0:
                return await creator(f"{run}.{os.getpid()}")(caller, number)
            case 1:
                name = f"m{number % 20}.seed%40bench.example"
                return await caller.call("GET", f"/Users?filter=userName%20eq%20%22{name}%22")
            case _:
                return await caller.call("GET", f"/Users/{quiet.ids[number % len(quiet.ids)]}")

    return call


async def quiet_organisation(at: Deployment, name: str) -> QuietOrganisation:
    """A quiet organisation with twenty members."""
    quiet = QuietOrganisation(await at.stack.organisation(name))

    async def create(caller: Caller, number: int) -> Answer:
        answer = await creator("seed")(caller, number)
        quiet.ids.append(json.loads(answer.body)["id"])
        return answer

    await burst(quiet.organisation.base, quiet.organisation.key, range(20), 1, create)
    return quiet


@contextlib.asynccontextmanager
async def beside(work: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    """A neighbour that works while the block runs."""
    is_over = asyncio.Event()
    task = asyncio.ensure_future(work(is_over))
    try:
        yield
    finally:
        is_over.set()
        await task


async def traffic(bench: Bench) -> Neighbour:
    """Nine of ten requests are from one organisation."""
    loud = await quiet_organisation(bench.at, "Loud")
    own = Load()

    async def work(_: asyncio.Event) -> None:
        await pace(
            loud.organisation.base,
            loud.organisation.key,
            LOUD_RATE,
            bench.seconds,
            everyday(loud, "loud"),
            load=own,
        )

    async with beside(work):
        others = await bench.others()
    print(f"  the loud one   {own}")
    return Neighbour(loud.organisation.partition, others)


async def group(bench: Bench) -> Neighbour:
    """Groups of 5 MB, one after another, with unknown members."""
    large = await bench.at.stack.organisation("Large")
    return await putting(bench, large, [new_id() for _ in range(MEMBERS)])


async def crowd(bench: Bench) -> Neighbour:
    """Groups of 5 MB, one after another, with existing members."""
    large = await bench.at.stack.organisation("Crowd")
    ids = []

    async def create(caller: Caller, number: int) -> Answer:
        answer = await creator("crowd")(caller, number)
        ids.append(json.loads(answer.body)["id"])
        return answer

    await burst(large.base, large.key, range(MEMBERS), 100, create)
    await bench.at.caught_up(large)
    return await putting(bench, large, ids)


async def putting(bench: Bench, large: Organisation, ids: Sequence[str]) -> Neighbour:
    """One group with these members, put again and again."""
    members = [{"value": each} for each in ids]
    body = json.dumps({"schemas": [GROUP], "displayName": "All", "members": members}).encode()
    own = Load()

    async def work(is_over: asyncio.Event) -> None:
        caller = Caller(large.base, large.key)
        made = await caller.call(
            "POST", "/Groups", json.dumps({"schemas": [GROUP], "displayName": "All"}).encode()
        )
        path = f"/Groups/{json.loads(made.body)['id']}"
        loop = asyncio.get_running_loop()
        while not is_over.is_set():
            began_s = loop.time()
            own.note(await caller.call("PUT", path, body), loop.time() - began_s)
        caller.close()

    async with beside(work):
        others = await bench.others()
    print(f"  {len(body) / 1e6:.1f} MB        {own}")
    return Neighbour(large.partition, others)


async def filters(bench: Bench) -> Neighbour:
    """Filters that read all 20,000 documents, four at once."""
    wide = await bench.at.stack.organisation("Wide")
    await burst(wide.base, wide.key, range(20_000), 100, creator("wide"))
    await bench.at.caught_up(wide)
    own = Load()

    async def one(is_over: asyncio.Event) -> None:
        caller = Caller(wide.base, wide.key)
        loop = asyncio.get_running_loop()
        while not is_over.is_set():
            began_s = loop.time()
            path = "/Users?filter=name.familyName%20co%20%22nobody%22"
            own.note(await caller.call("GET", path), loop.time() - began_s)
        caller.close()

    async def work(is_over: asyncio.Event) -> None:
        await asyncio.gather(*(one(is_over) for _ in range(4)))

    async with beside(work):
        others = await bench.others()
    print(f"  full table     {own}")
    return Neighbour(wide.partition, others)


PARTS: dict[str, Callable[[Bench], Awaitable[Neighbour]]] = {
    "traffic": traffic,
    "group": group,
    "crowd": crowd,
    "filter": filters,
}


async def measure(args: argparse.Namespace) -> bool:
    """Measure the quiet ones alone and beside each neighbour; whether every claim held."""
    held = True
    async with deployed() as at:
        bench = Bench(at, args.seconds)
        bench.quiet = [await quiet_organisation(at, f"Quiet {number}") for number in range(QUIET)]
        await bench.others()  # warm up
        for part in args.only.split(","):
            before = await bench.others()
            neighbour = await PARTS[part](bench)
            apart = [number for number in before if number != neighbour.partition]
            alone = together(before[number] for number in apart)
            beside_it = together(neighbour.others[number] for number in apart)
            ratio = beside_it.percentile_ms(99) / alone.percentile_ms(99)
            is_so = ratio <= MOST_RATIO and beside_it.failed == 0
            held = held and is_so
            print(f"  others alone   {alone}")
            print(f"  beside it      {beside_it}")
            if shared := neighbour.others.get(neighbour.partition):
                print(f"  its partition  {shared}")
            print(
                f"{'ok ' if is_so else 'NOT'}  {part}: the others' p99 is "
                f"{alone.percentile_ms(99):.1f} ms alone and "
                f"{beside_it.percentile_ms(99):.1f} ms beside it: {ratio:.2f}×, "
                f"at most {MOST_RATIO:g}×   ({load_average()})\n"
            )
    return held


def main() -> None:
    """Measure, and fail if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", default=",".join(PARTS))
    raise SystemExit(0 if uvloop.run(measure(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
