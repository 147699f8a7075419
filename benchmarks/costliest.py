"""The costliest requests within all limits: the cost of each, in CPU and in units of work.

    python -m benchmarks.costliest

First, for each shape: CPU milliseconds to read it (`parse`) and to apply it (`apply`, which is the
cost of predicting and of deciding it), the units charged, nanoseconds per unit, and whether it was
refused. The best of several rounds counts, so a busy machine disturbs it little. Then, for each
shape, a heartbeat on an event loop while the shape is computed where ingress would compute it: the
longest time that the heartbeat waited, and its longest time without any load.

The claims: no shape of a PATCH takes more than 0.2 s in either, and no unit takes twenty times as
long as another. Exit status 1 if one does not hold. Bodies of megabytes are listed without a claim:
reading their JSON alone takes that long, in a thread.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from rollcall.scim.body.json_body import Json, parse_object
from rollcall.scim.errors import ScimError
from rollcall.scim.limits import MAX_CONTAINERS, MAX_NAMES, MAX_OPERATIONS, MAX_TEXT, MAX_WORK
from rollcall.scim.patch.patch import PATCH_URN, Patch, apply_patch, parse_patch
from rollcall.scim.profile import Profile
from rollcall.scim.schema import USER
from rollcall.scim.work import Work, most_work
from rollcall_ingress.aside import THREAD_FROM_BYTES, aside

ROUNDS: Final = 3
MOST_MS: Final = 200.0
MOST_RATIO: Final = 20.0
LARGE_BODY: Final = 1024 * 1024
BEAT_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class Shape:
    """A resource, and the operations of a PATCH on it as sent."""

    name: str
    resource: Json
    operations: list[Json]

    @property
    def body(self) -> bytes:
        """The PATCH."""
        return orjson.dumps({"schemas": [PATCH_URN], "Operations": self.operations})


def main() -> int:
    """Print one line per shape; returns 1 if a claim does not hold."""
    print(f"{'shape':<34}{'kB':>8}{'parse ms':>10}{'apply ms':>10}{'units':>10}{'ns/unit':>9}")
    rates: list[float] = []
    slow: list[str] = []
    shapes = list(all_shapes())
    for shape in shapes:
        body = shape.body
        parse_ms, patch = timed(partial(read, body))
        line = f"{shape.name:<34}{len(body) / 1000:>8.0f}{parse_ms:>10.1f}"
        if parse_ms > MOST_MS and len(body) < LARGE_BODY:
            slow.append(shape.name)
        if patch is None:
            print(f"{line}  refused as it is read")
            continue
        work = Work(MAX_WORK)
        is_applied = run(shape, patch, work)
        apply_ms, _ = timed(partial(apply, shape, patch))
        rate = apply_ms * 1e6 / work.units
        rates.append(rate)
        if apply_ms > MOST_MS:
            slow.append(shape.name)
        end = "" if is_applied else "  refused"
        print(f"{line}{apply_ms:>10.1f}{work.units:>10}{rate:>9.0f}{end}")
    ratio = max(rates) / min(rates)
    print(f"dearest unit to cheapest: {ratio:.1f}; claimed: {MOST_RATIO:.0f}")
    print(f"over {MOST_MS:.0f} ms: {', '.join(slow) or 'none'}")
    asyncio.run(heartbeats(shapes))
    return int(bool(slow) or ratio > MOST_RATIO)


def timed(make: Callable[[], Any]) -> tuple[float, Any]:
    """CPU milliseconds, the least of several rounds, and the result."""
    least, made = float("inf"), None
    for _ in range(ROUNDS):
        began = time.process_time()
        made = make()
        least = min(least, time.process_time() - began)
    return least * 1000, made


def read(body: bytes) -> Patch | None:
    """Read it as ingress does; None if it is refused."""
    try:
        return parse_patch(parse_object(body), USER, Profile.COMPATIBLE)
    except ScimError:
        return None


def run(shape: Shape, patch: Patch, work: Work) -> bool:
    """Apply it as the decision does; returns whether it was accepted."""
    try:
        apply_patch(shape.resource, patch.operations, USER, Profile.COMPATIBLE, work)
    except ScimError:
        return False
    return True


def apply(shape: Shape, patch: Patch) -> bool:
    """Apply it with a budget of its own; returns whether it was accepted."""
    return run(shape, patch, Work(MAX_WORK))


async def heartbeats(shapes: list[Shape]) -> None:
    """Print the longest waits of a heartbeat."""
    print(f"{'heartbeat beside':<34}{'ms':>8}{'alone':>8}")
    for shape in shapes:
        alone_ms = await longest_ms(asyncio.sleep(0.2))
        beside_ms = await longest_ms(both(shape))
        print(f"{shape.name:<34}{beside_ms:>8.1f}{alone_ms:>8.1f}")


async def both(shape: Shape) -> None:
    """Read it and predict its result where ingress would."""
    body = shape.body
    patch = await asyncio.to_thread(read, body) if len(body) > THREAD_FROM_BYTES else read(body)
    if patch is not None:
        units = most_work(patch.operations, len(orjson.dumps(shape.resource)))
        await aside(units, apply, shape, patch)


async def longest_ms(work: Any) -> float:
    """The longest time that a beat of two milliseconds waited while the work was done.

    In CPU time of this process if that is less, so that other processes do not count.
    """
    task = asyncio.ensure_future(work)
    longest = 0.0
    while not task.done():
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(BEAT_S)
        waited = min(time.perf_counter() - wall - BEAT_S, time.process_time() - cpu)
        longest = max(longest, waited)
    await task
    return longest * 1000


def all_shapes() -> Iterator[Shape]:
    """The costliest shapes that a search by hand over values, paths and filters found."""
    many = range(MAX_OPERATIONS)
    emails = user(emails=[{"value": f"u{n}@example.org", "type": "work"} for n in range(100)])
    wide = user(addresses=[{"locality": str(n), "region": "r" * 2000} for n in range(100)])

    addresses = [{"streetAddress": "İ" * MAX_TEXT, "locality": str(n)} for n in range(31)]
    path = f"addresses[{either('streetAddress', 'co', range(95))}].locality"
    yield Shape("letters that fold to two", user(addresses=addresses), [remove(path)] * 26)
    elements = [{"value": f"{n:03}" + "é" * 1200} for n in range(100)]
    removes = [remove(f"entitlements[{either('value', 'eq', range(75))}]")] * 32
    operations = [add("entitlements", elements), *removes, remove("entitlements")]
    yield Shape("added and removed again", user(), operations)
    elements = [{"value": f"{n}{'a' * 1280}"} for n in range(100)]
    terms = either("value", "co", [f"{'a' * 48}b{'a' * n}" for n in range(30)])
    near = [remove(f"entitlements[{terms}].display")] * 12
    yield Shape("texts that nearly match", user(entitlements=elements), near)
    yield Shape(
        "each operation writes to all", wide, [put("addresses.country", str(n)) for n in many]
    )
    yield Shape("elements without a value", wide, [remove("addresses.country")] * MAX_OPERATIONS)
    lines = user(addresses=[{"streetAddress": "\n" * 4000}] * 32)
    grow = [put("title", f"{n}{'x' * 900}") for n in many]
    yield Shape("measured again and again", lines, grow)
    each = [put(f'emails[value eq "u{n % 100}@example.org"].type', f"t{n}") for n in many]
    yield Shape("1,000 filters over 100 elements", emails, each)
    flips = [put(f'emails[value eq "u{n % 100}@example.org"].primary', True) for n in many]
    yield Shape("primary moves 1,000 times", emails, flips)
    long = [remove(f'entitlements[value eq "{"é" * 3900}{n}"]') for n in range(250)]
    yield Shape("filters of one long text", user(entitlements=elements), long)
    nots = " or ".join(["not (value pr)"] * 60)
    yield Shape("5,000 steps", emails, [remove(f"emails[{nots}].type")] * 40)
    made = [add(f'phoneNumbers[type eq "{n}"].value', str(n)) for n in range(100)]
    yield Shape("100 elements made by filters", user(), made)
    yield Shape("1,000 plain operations", emails, [put("title", str(n)) for n in many])
    hard = [put("userName", f"{'İ' * 317}{n:03}") for n in range(60)]
    yield Shape("names that are hard to prepare", user(), hard)
    lists = [put("addresses", [{"locality": f"{n}{m}"} for m in range(100)]) for n in range(250)]
    yield Shape("lists of 100 elements", user(), lists)
    boxes = [
        put("emails", [{"value": f"{m}{n}@{'é' * 50}"} for m in range(100)]) for n in range(80)
    ]
    yield Shape("mailboxes beyond ASCII", user(), boxes)
    keys = [put("x509Certificates", [{"value": "A" * 16_380}] * 15)] * 30
    yield Shape("certificates (8 MB)", user(), keys)
    unknown = {f"x{n}": "" for n in range(MAX_NAMES - 100)}
    yield Shape("unknown names", user(), [add(None, unknown)])
    impossible = {f"é{n}": 1 for n in range(MAX_NAMES - 100)}
    yield Shape("names that are no names", user(), [add(None, impossible)])
    objects: Json = {f"x{n}": {} for n in range(MAX_CONTAINERS - 100)}
    yield Shape("unknown names of objects (2 MB)", user(), [add(None, objects)])


def user(**attributes: Any) -> Json:
    """A canonical user."""
    return {"userName": "ana", **attributes}


def either(sub: str, op: str, values: Any) -> str:
    """A filter with one condition per value."""
    return " or ".join(f'{sub} {op} "{value}"' for value in values)


def add(path: str | None, value: Any) -> Json:
    """An add; with None as path, an add without a path."""
    operation = {"op": "add", "value": value}
    return operation if path is None else {**operation, "path": path}


def put(path: str, value: Any) -> Json:
    """A replace."""
    return {"op": "replace", "path": path, "value": value}


def remove(path: str) -> Json:
    """A remove."""
    return {"op": "remove", "path": path}


if __name__ == "__main__":
    sys.exit(main())
