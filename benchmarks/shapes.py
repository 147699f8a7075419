"""Load shapes of identity providers, scaled to two cores.

    python -m benchmarks.shapes [--only A,B,…]

- A, first cycles of Entra ID, staggered: 60 organisations at 3.5 requests per second, three at 25,
  for 20 s;
- B, mass assignment of Okta, then a group push: 1,000 users (a look-up and a create each) over 30
  connections; ten batches of 100 members, one of 1,000;
- C, leaver storm: 5,000 `active=false` in one organisation; caught up within 60 s;
- D, herd after an outage of Kafka: 40 organisations that got 503, 50 requests each, at once;
- E, big group: PUT with 20,000 members, then 500 PATCHes of one member, each sent twenty times,
  over 8 connections;
- F, test user: created, and deleted at once, fifty times; no mail is sent;
- G, import: a walk over 20,000 users in pages of 100, during writes;
- H, list of all groups: 1,000 groups without their members, ten times.

Each prints its answers, the CPU per request, and whether its claims held: no failures, and the
claim in its last line. Two parts are missing: the brake of C (there is none yet), and the cursors
of G.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.callers import (
    GROUP,
    PATCH,
    Answer,
    Call,
    Caller,
    Load,
    burst,
    creator,
    pace,
    user,
)
from benchmarks.deployment import Deployment, deployed, load_average, per_request
from tests.support.stack import Organisation

LAG_S = 60.0


@dataclass(slots=True)
class Bench:
    """One deployment, and the claims that did not hold on it."""

    at: Deployment
    missed: list[str] = field(default_factory=list)
    before: dict[str, float] = field(default_factory=dict)

    def judge(self, holds: bool, claim: str) -> None:
        """Print whether a claim holds, and record one that does not."""
        print(f"  {'ok ' if holds else 'NOT'}  {claim}")
        if not holds:
            self.missed.append(claim)

    def begin(self) -> None:
        """Start counting CPU."""
        self.before = self.at.cpu()

    def tell(self, shape: str, what: str, load: Load, *, may_fail: int = 0) -> None:
        """Print one load and check that nothing failed."""
        print(f"{shape}  {what:28} {load}")
        print(f"   {per_request(self.before, self.at.cpu(), len(load.seconds))}, {load_average()}")
        failed = load.failed - may_fail
        self.judge(failed == 0, f"{shape}: {what}: {failed} failed")
        self.begin()

    async def organisations(self, shape: str, number: int) -> list[Organisation]:
        """`number` new organisations."""
        return [await self.at.stack.organisation(f"{shape}{each}") for each in range(number)]


def first_look_up(run: str) -> Call:
    """A look-up that finds nothing, then the create: even and odd numbers."""

    async def call(caller: Caller, number: int) -> Answer:
        if number % 2 == 0:
            name = f"m{number + 1}.{run}%40bench.example"
            return await caller.call("GET", f"/Users?filter=userName%20eq%20%22{name}%22")
        return await creator(run)(caller, number)

    return call


async def created(organisation: Organisation, run: str, number: int) -> list[str]:
    """Create `number` members; returns their ids in order."""
    ids: dict[int, str] = {}

    async def call(caller: Caller, each: int) -> Answer:
        answer = await creator(run)(caller, each)
        ids[each] = json.loads(answer.body)["id"]
        return answer

    await burst(organisation.base, organisation.key, range(number), 50, call)
    return [ids[each] for each in range(number)]


def patched(paths: Sequence[str], operation: dict[str, Any]) -> Call:
    """The same operation on each path."""
    body = json.dumps({"schemas": [PATCH], "Operations": [operation]}).encode()

    async def call(caller: Caller, number: int) -> Answer:
        return await caller.call("PATCH", paths[number], body)

    return call


async def a(bench: Bench) -> None:
    """First cycles."""
    quiet = await bench.organisations("A", 60)
    fast = await bench.organisations("AF", 3)
    load = Load()
    bench.begin()
    async with asyncio.TaskGroup() as tasks:
        for each, rate in [*((each, 3.5) for each in quiet), *((each, 25.0) for each in fast)]:
            call = first_look_up(f"a{os.getpid()}")
            tasks.create_task(pace(each.base, each.key, rate, 20.0, call, connections=4, load=load))
    bench.tell("A", "first cycles", load)


async def b(bench: Bench) -> None:
    """Mass assignment and group push."""
    [organisation] = await bench.organisations("B", 1)
    run = f"b{os.getpid()}"
    bench.begin()
    load = await burst(organisation.base, organisation.key, range(2000), 30, first_look_up(run))
    bench.tell("B", "1,000 users, look-up, create", load)
    ids = await created(organisation, f"{run}g", 1000)
    made = await Caller(organisation.base, organisation.key).call(
        "POST", "/Groups", json.dumps({"schemas": [GROUP], "displayName": "Push"}).encode()
    )
    path = f"/Groups/{json.loads(made.body)['id']}"
    batches = [ids[start : start + 100] for start in range(0, 1000, 100)] + [ids]

    async def push(caller: Caller, number: int) -> Answer:
        value = [{"value": each} for each in batches[number]]
        operation = {"op": "add", "path": "members", "value": value}
        body = json.dumps({"schemas": [PATCH], "Operations": [operation]}).encode()
        return await caller.call("PATCH", path, body)

    bench.begin()
    pushed = await burst(organisation.base, organisation.key, range(len(batches)), 2, push)
    bench.tell("B", "group push", pushed)


async def c(bench: Bench) -> None:
    """Leaver storm."""
    [organisation] = await bench.organisations("C", 1)
    ids = await created(organisation, f"c{os.getpid()}", 5000)
    bench.begin()
    paths = [f"/Users/{each}" for each in ids]
    leave = patched(paths, {"op": "replace", "path": "active", "value": False})
    load = await burst(organisation.base, organisation.key, range(5000), 50, leave)
    bench.tell("C", "5,000 leavers", load)
    lag_s = await bench.at.caught_up(organisation)
    bench.judge(lag_s < LAG_S, f"C: caught up {lag_s:.1f} s after the last, < {LAG_S:g} s")


async def d(bench: Bench) -> None:
    """Herd after an outage."""
    herd = await bench.organisations("D", 40)
    run = f"d{os.getpid()}"
    with bench.at.frozen_kafka():
        loads = await asyncio.gather(
            *(burst(each.base, each.key, range(1, 4, 2), 1, first_look_up(run)) for each in herd)
        )
    refused = sum(load.statuses[503] for load in loads)
    print(f"D  {refused} told 503 during the outage")
    began_s = time.perf_counter()
    first = herd[0]
    while (await burst(first.base, first.key, range(1), 1, creator(f"d{time.time_ns()}"))).failed:
        pass  # each try waits for Kafka by itself, or is refused at once
    print(f"   writes go on after {time.perf_counter() - began_s:.1f} s")
    bench.begin()
    loads = await asyncio.gather(
        *(burst(each.base, each.key, range(50), 4, first_look_up(f"{run}x")) for each in herd)
    )
    load = Load()
    for each in loads:
        load.seconds += each.seconds
        load.statuses += each.statuses
        load.pending += each.pending
        load.wall_s = max(load.wall_s, each.wall_s)
    bench.tell("D", "herd", load)


async def e(bench: Bench) -> None:
    """Big group."""
    [organisation] = await bench.organisations("E", 1)
    ids = await created(organisation, f"e{os.getpid()}", 20_000)
    caller = Caller(organisation.base, organisation.key)
    made = await caller.call(
        "POST", "/Groups", json.dumps({"schemas": [GROUP], "displayName": "Big"}).encode()
    )
    path = f"/Groups/{json.loads(made.body)['id']}"
    body = json.dumps(
        {"schemas": [GROUP], "displayName": "Big", "members": [{"value": i} for i in ids]}
    ).encode()
    bench.begin()

    async def put(each: Caller, _: int) -> Answer:
        return await each.call("PUT", path, body)

    load = await burst(organisation.base, organisation.key, range(1), 1, put)
    bench.tell("E", f"PUT of {len(body) / 1e6:.1f} MB", load)

    async def add(each: Caller, number: int) -> Answer:
        operation = {"op": "add", "path": "members", "value": [{"value": ids[number // 20]}]}
        patch = json.dumps({"schemas": [PATCH], "Operations": [operation]}).encode()
        return await each.call("PATCH", path, patch)

    load = await burst(organisation.base, organisation.key, range(10_000), 8, add)
    bench.tell("E", "PATCHes of one member", load)


async def f(bench: Bench) -> None:
    """Test users."""
    [organisation] = await bench.organisations("F", 1)
    before = len(bench.at.stack.mails())
    ids: dict[int, str] = {}

    async def make(caller: Caller, number: int) -> Answer:
        name = f"t{number}.f{os.getpid()}@bench.example"
        answer = await caller.call("POST", "/Users", user(name, active=True))
        ids[number] = json.loads(answer.body)["id"]
        return answer

    async def remove(caller: Caller, number: int) -> Answer:
        return await caller.call("DELETE", f"/Users/{ids[number]}")

    bench.begin()
    load = await burst(organisation.base, organisation.key, range(50), 10, make)
    bench.tell("F", "test users made", load)
    load = await burst(organisation.base, organisation.key, range(50), 10, remove)
    bench.tell("F", "test users removed", load)
    await bench.at.caught_up(organisation)
    due: list[Any] = [None]
    while due:
        due = await bench.at.stack.rows(
            "SELECT 1 FROM notice.notification WHERE organisation_id = $1::uuid "
            "AND state = 'due' LIMIT 1",
            organisation.id,
        )
        await asyncio.sleep(0.1)
    mailed = len(bench.at.stack.mails()) - before
    bench.judge(mailed == 0, f"F: {mailed} mails")


async def g(bench: Bench) -> None:
    """Import."""
    [organisation] = await bench.organisations("G", 1)
    await created(organisation, f"g{os.getpid()}", 20_000)
    await bench.at.caught_up(organisation)
    bench.begin()

    async def page(caller: Caller, number: int) -> Answer:
        return await caller.call("GET", f"/Users?startIndex={number * 100 + 1}&count=100")

    writing = asyncio.create_task(
        pace(organisation.base, organisation.key, 20.0, 5.0, creator(f"gw{os.getpid()}"))
    )
    walk = await burst(organisation.base, organisation.key, range(200), 1, page)
    bench.tell("G", "walk of 200 pages", walk)
    bench.tell("G", "writes beside it", await writing)


async def h(bench: Bench) -> None:
    """All groups."""
    [organisation] = await bench.organisations("H", 1)

    async def make(caller: Caller, number: int) -> Answer:
        body = json.dumps({"schemas": [GROUP], "displayName": f"Group {number}"}).encode()
        return await caller.call("POST", "/Groups", body)

    await burst(organisation.base, organisation.key, range(1000), 20, make)
    await bench.at.caught_up(organisation)
    bench.begin()

    async def everything(caller: Caller, _: int) -> Answer:
        return await caller.call("GET", "/Groups?count=1000&excludedAttributes=members")

    load = await burst(organisation.base, organisation.key, range(10), 1, everything)
    bench.tell("H", "list of 1,000 groups", load)


SHAPES: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "A": a, "B": b, "C": c, "D": d, "E": e, "F": f, "G": g, "H": h,
}  # fmt: skip


async def measure(args: argparse.Namespace) -> bool:
    """Run the requested shapes on one deployment; returns whether every claim held."""
    async with deployed(ROLLCALL_NOTIFIER_INVITATION_GRACE_S="3") as at:
        bench = Bench(at)
        for shape in args.only.split(","):
            await SHAPES[shape](bench)
    print(f"\n{len(bench.missed)} claims did not hold")
    for claim in bench.missed:
        print(f"NOT  {claim}")
    return not bench.missed


def main() -> None:
    """Measure, and fail if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(SHAPES))
    raise SystemExit(0 if uvloop.run(measure(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
