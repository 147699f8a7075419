"""Which part of the log a fold has to cover, from the position of a directory on."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.control.rebuild.fold_log import Range
from rollcall.kafka.admin import partition_count
from rollcall.kafka.feed import Look
from rollcall.kafka.log_identity import difference
from rollcall.kafka.worker import RECORD_DIFFERS, PartitionHalted, log_differs
from rollcall.postgres import progress
from rollcall.postgres.progress import Progress
from rollcall.postgres.upkeep import refold

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection


class CannotKnow(NotPossible):
    """The log alone does not say what the directory must be; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class LivePartition:
    """One partition of the requests: its position in the live directory, and its log.

    `end` is the offset up to which the live directory has applied it. Where `progress` and the log
    do not agree (`trouble` says how), `end` is one beyond the last event in the audit: events
    between there and the true position were dropped, and a fold drops them again.
    """

    partition: int
    progress: Progress | None
    log: Look
    end: int
    epoch: int
    trouble: PartitionHalted | None = None


async def live_partitions(deployment: Deployment, connection: "Connection") -> list[LivePartition]:
    """Every partition of the requests, as `connection` sees the directory. Raises Unavailable."""
    topic = deployment.topics.requests
    known = {each.partition: each for each in await progress.read_all(connection, topic)}
    count = await partition_count(deployment.settings, topic)
    if count == 0:
        raise NotPossible(f"Kafka has no topic {topic}")
    looks = await asyncio.gather(
        *(deployment.probe.look(number, _next_offset(known.get(number))) for number in range(count))
    )
    return [
        await _live_partition(connection, topic, number, known.get(number), look)
        for number, look in enumerate(looks)
    ]


async def _live_partition(
    connection: "Connection", topic: str, partition: int, found: Progress | None, log: Look
) -> LivePartition:
    epoch = 0 if found is None else found.epoch
    trouble = None if found is None else difference(found, log)
    if found is not None and trouble is None:
        decided = await refold.epoch_decided(connection, found)
        if decided is None or decided == epoch:
            return LivePartition(partition, found, log, found.next_offset, epoch)
        trouble = log_differs(RECORD_DIFFERS, f"its last event was decided in epoch {decided}")
        epoch = decided
    last = await refold.last_decided(connection, topic, partition, epoch)
    return LivePartition(partition, found, log, 0 if last is None else last + 1, epoch, trouble)


def _next_offset(position: Progress | None) -> int:
    return 0 if position is None else position.next_offset


def ranges(live: list[LivePartition], begin: Mapping[int, Progress]) -> list[Range]:
    """What is left to fold of each partition; `begin`: the positions of the scratch directory.

    Raises CannotKnow where the log does not hold it, or holds another one.
    """
    found = []
    for each in live:
        start = begin.get(each.partition)
        position = 0 if start is None else start.next_offset
        epoch = 0 if start is None else start.epoch
        if each.end <= position:
            continue
        if epoch != each.epoch:
            raise CannotKnow(
                f"partition {each.partition} is in epoch {each.epoch} of its log, and what was "
                f"folded ends in epoch {epoch}: name a snapshot of epoch {each.epoch}",
                hint="fold from a snapshot",
            )
        if each.log.first_offset > position:
            raise CannotKnow(
                f"the log of partition {each.partition} begins at offset {each.log.first_offset}, "
                f"above {position}: name a snapshot that reaches it",
                hint="fold from a snapshot",
            )
        if each.log.end_offset < each.end:
            raise CannotKnow(
                f"the log of partition {each.partition} ends at offset {each.log.end_offset}, "
                f"below {each.end}, which was applied: it was truncated, or is another log"
            )
        found.append(Range(each.partition, position, each.end, epoch))
    return found


async def check_begin(deployment: Deployment, begin: Mapping[int, Progress]) -> None:
    """Check that the log is the one of the snapshot. Raises CannotKnow, Unavailable."""
    for partition, position in begin.items():
        differs = difference(position, await deployment.probe.look(partition, position.next_offset))
        if differs is not None:
            raise CannotKnow(
                f"the log is not that of the snapshot, partition {partition}: {differs}"
            )
