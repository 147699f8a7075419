"""The part of a topic that is replayed, from an offset or a time to another, by partition."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from rollcall.control.dead_letters import parse_since
from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.kafka.offsets import Extent, extents, offsets_at

Boundary = int | datetime
"""An offset, the same in each partition, or a moment of append time."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is replayed of one partition, from offset `begin` to below `end`.

    `held`: what the log holds. `is_short`: the log begins after the requested time, so records may
    be missing.
    """

    partition: int
    begin: int
    end: int
    held: Extent
    is_short: bool = False

    def __len__(self) -> int:
        return max(0, self.end - self.begin)


def parse_boundary(text: str) -> Boundary:
    """A whole number is an offset, anything else a date or a time. Raises NotPossible."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    return parse_since(text)


async def parts_of(
    deployment: Deployment,
    topic: str,
    begin: Boundary,
    end: Boundary | None,
    partitions: Collection[int] | None = None,
) -> list[Part]:
    """The parts of a topic between two boundaries; `partitions` None: of all of them.

    Raises NotPossible where the log does not hold the offset to begin with, Unavailable.
    """
    held = await extents(deployment.settings, topic)
    if not held:
        raise NotPossible(f"Kafka has no topic {topic}; run `rollcall topics apply`")
    chosen = {
        number: extent
        for number, extent in sorted(held.items())
        if partitions is None or number in partitions
    }
    begins = await _offsets(deployment, topic, chosen, begin)
    ends = (
        {number: extent.end for number, extent in chosen.items()}
        if end is None
        else await _offsets(deployment, topic, chosen, end)
    )
    parts = []
    for number, extent in chosen.items():
        if begins[number] < extent.first:
            raise NotPossible(
                f"partition {number} of {topic} begins at offset {extent.first}, above "
                f"{begins[number]}: retention deleted what was before; begin there, or at a time"
            )
        is_short = isinstance(begin, datetime) and begins[number] == extent.first > 0
        last = min(extent.end, ends[number])
        parts.append(Part(number, min(begins[number], last), last, extent, is_short))
    return parts


async def _offsets(
    deployment: Deployment, topic: str, held: Mapping[int, Extent], boundary: Boundary
) -> Mapping[int, int]:
    if isinstance(boundary, int):
        # A partition that ends before the offset has nothing to replay.
        return {number: min(boundary, extent.end) for number, extent in held.items()}
    return await offsets_at(deployment.settings, topic, held, round(boundary.timestamp() * 1000))
