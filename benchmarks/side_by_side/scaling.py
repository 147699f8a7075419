"""What more of each part gives: creates with one and two of ingress and provisioner.

Eight organisations, so that more than one partition has work; a number of clients that fills two
cores. On two cores, which client, broker and database share, a second process cannot double a
rate: the CPU of a request says whether it costs more to have it.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.callers import Load, burst, creator, together
from benchmarks.deployment import Deployment, deployed
from benchmarks.side_by_side.works import numbers_for

ORGANISATIONS: Final = 8
CLIENTS: Final = 48


@dataclass(frozen=True, slots=True)
class Shape:
    """How many of each."""

    ingress: int
    provisioners: int
    partitions: int

    def __str__(self) -> str:
        return (
            f"{self.ingress} ingress, {self.provisioners} provisioner, "
            f"{self.partitions} {'partition' if self.partitions == 1 else 'partitions'}"
        )


SHAPES: Final = (Shape(1, 1, 1), Shape(1, 1, 8), Shape(2, 1, 8), Shape(2, 2, 8))


@dataclass(frozen=True, slots=True)
class Scaled:
    """One shape's figures; CPU microseconds a request of everything but the client."""

    shape: Shape
    rate: float
    p99_ms: float
    failed: int
    total_us: float


async def play(seconds: float, shapes: Sequence[Shape] = SHAPES) -> list[Scaled]:
    """Every shape on a deployment of its own, since partitions cannot be taken away."""
    found = []
    for shape in shapes:
        async with deployed(shape.ingress, partitions=shape.partitions) as at:
            for _ in range(shape.provisioners - 1):
                await at.stack.start("provisioner")
            await _creates(at, 1.0)
            found.append(await _measure(at, shape, seconds))
            print(f"{shape!s:42} {found[-1].rate:7.0f}/s  p99 {found[-1].p99_ms:7.1f} ms")
    return found


async def _measure(at: Deployment, shape: Shape, seconds: float) -> Scaled:
    before = at.cpu()
    load = await _creates(at, seconds)
    after = at.cpu()
    spent = sum(after[part] - before[part] for part in before if part != "client")
    return Scaled(
        shape,
        len(load.seconds) / load.wall_s,
        load.percentile_ms(99),
        load.failed,
        spent / len(load.seconds) * 1e6,
    )


async def _creates(at: Deployment, seconds: float) -> Load:
    """Creates of new organisations, which go to the doors in turns."""
    bases = []
    for number in range(ORGANISATIONS):
        organisation = await at.stack.organisation(f"Scale {number}")
        door = at.stack.doors[number % len(at.stack.doors)]
        bases.append((f"{door}/v2/{organisation.id}", organisation.key))
    run = str(time.time_ns())
    loads = await asyncio.gather(
        *(
            burst(base, key, numbers_for(seconds), CLIENTS // ORGANISATIONS, creator(run))
            for base, key in bases
        )
    )
    return together(loads)
