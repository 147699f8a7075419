"""Outcomes replayed into the notifier: it reads them again, and no mail leaves a second time.

Notices that the notifier has stay as they are. Those that it lost (its table was restored from an
older backup) are planned again, and the outcomes topic says which of their mails were sent: each is
reported there, behind the outcome that caused it. So while a partition is read again, none of its
mails are sent before it is read up to the end that it had when the replay began. The rule is in the
notifier's claim (`notice.progress`: `next_offset` below `published_offset`), so it holds for every
replica and after any crash.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotNow, NotPossible
from rollcall.control.meter import Meter
from rollcall.control.replay.bounds import Boundary, Part, parts_of
from rollcall.events.envelope import format_time, from_milliseconds
from rollcall.kafka.log_identity import event_id_of
from rollcall.kafka.log_probe import LogProbe
from rollcall.postgres import progress
from rollcall.postgres.progress import Progress
from rollcall.postgres.upkeep import replay

TRIES: Final = 50
POLL_S: Final = 0.2
SILENT_S: Final = 60.0
"""After this long without progress the notifier counts as not running."""


@dataclass(frozen=True, slots=True)
class Again:
    """One partition that is read again from `begin` to `until`; its position was `was`."""

    partition: int
    begin: int
    was: int
    until: int

    def __len__(self) -> int:
        return self.until - self.begin


@dataclass(slots=True)
class Report:
    """What is read again, or would be. `is_read`: the notifier has read it."""

    parts: list[Again] = field(default_factory=list)
    is_read: bool = False
    taken_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        return {
            "into": "notifier",
            "records": sum(map(len, self.parts)),
            "partitions": [
                {"partition": each.partition, "begin": each.begin, "was": each.was}
                for each in self.parts
            ],
            "read": self.is_read,
            "seconds": round(self.taken_s, 3),
        }


async def into_notifier(
    deployment: Deployment,
    begin: Boundary,
    partitions: Collection[int] | None,
    meter: Meter,
    *,
    dry_run: bool = False,
    waits: bool = True,
) -> Report:
    """Set the notifier back, and wait until it has read. Raises NotPossible, NotNow, Unavailable.

    Interrupted while it waits, the notifier goes on; run again, it reads once more. Both are safe.
    """
    began_s = time.monotonic()
    report = Report()
    probe = LogProbe(deployment.settings, deployment.topics.outcomes)
    try:
        parts = await parts_of(deployment, deployment.topics.outcomes, begin, None, partitions)
        found = await _positions(deployment)
        _check(parts, found)
        await _check_due(deployment, probe, parts, found)
        for part in parts:
            position = found.get(part.partition)
            if position is not None and part.begin < position.next_offset:
                again = Again(part.partition, part.begin, position.next_offset, part.held.end)
                report.parts.append(again)
                if not dry_run:
                    await _rewind(deployment, probe, part)
    finally:
        await probe.close()
    if waits and not dry_run:
        await _until_read(deployment, report, meter)
    report.taken_s = time.monotonic() - began_s
    return report


async def _positions(deployment: Deployment) -> dict[int, Progress]:
    async with deployment.database.connection() as connection:
        rows = await progress.read_all(connection, deployment.topics.outcomes, schema="notice")
    return {each.partition: each for each in rows}


def _check(parts: Sequence[Part], found: dict[int, Progress]) -> None:
    """Raise NotPossible where a partition is halted, or its log is another one."""
    for part in parts:
        position = found.get(part.partition)
        if position is None:
            continue
        if position.state != "running":
            raise NotPossible(
                f"partition {part.partition} is {position.state}: {position.detail}; see "
                f"`rollcall partition show {part.partition} --topic outcomes`"
            )
        if position.next_offset > part.held.end:
            raise NotPossible(
                f"the log of partition {part.partition} ends at offset {part.held.end}, below "
                f"{position.next_offset}, which the notifier had read: it is another one"
            )


async def _check_due(
    deployment: Deployment, probe: LogProbe, parts: Sequence[Part], found: dict[int, Progress]
) -> None:
    """Refuse to begin after a due notice: only what is read again says that its mail was sent."""
    async with deployment.database.connection() as connection:
        due = await replay.oldest_due(connection)
    for part in parts:
        position, oldest = found.get(part.partition), due.get(part.partition)
        if position is None or oldest is None or part.begin >= position.next_offset:
            continue
        first = await _append_time(probe, part, part.begin)
        if part.begin > part.held.first and first is not None and oldest < first:
            raise NotPossible(
                f"notices of partition {part.partition} are due since {format_time(oldest)}, "
                "before the beginning, where their mails may be announced as sent; begin there"
            )


async def _rewind(deployment: Deployment, probe: LogProbe, part: Part) -> None:
    """Set one partition back, while the notifier may be moving it on."""
    before = None
    if part.begin > part.held.first:
        before = (await probe.look(part.partition, part.begin)).before
    if before is not None and before.offset != part.begin - 1:
        before = None
    for _ in range(TRIES):
        async with deployment.database.connection() as connection:
            found = await progress.read(
                connection, deployment.topics.outcomes, part.partition, schema="notice"
            )
            if found is None or found.next_offset <= part.begin:
                return
            if await replay.rewind(
                connection,
                found,
                part.begin,
                part.held.end,
                last_event_id=None if before is None else event_id_of(before.headers),
                last_append_time=None if before is None else from_milliseconds(before.timestamp),
            ):
                return
    raise NotNow(f"partition {part.partition} moves too fast; try again")


async def _append_time(probe: LogProbe, part: Part, offset: int) -> datetime | None:
    """When the first record from an offset on was appended; None: there is none."""
    if offset >= part.held.end:
        return None
    record = (await probe.look(part.partition, offset + 1)).before
    return None if record is None else from_milliseconds(record.timestamp)


async def _until_read(deployment: Deployment, report: Report, meter: Meter) -> None:
    """Wait until the notifier has read everything again. Raises NotNow where it does not run."""
    meter.note("the notifier reads", sum(map(len, report.parts)))
    seen, seen_s = 0, time.monotonic()
    while True:
        found = await _positions(deployment)
        done = sum(
            min(len(each), max(0, found[each.partition].next_offset - each.begin))
            for each in report.parts
        )
        if done > seen:
            meter.add(done - seen)
            seen, seen_s = done, time.monotonic()
        if all(found[each.partition].next_offset >= each.until for each in report.parts):
            report.is_read = True
            return
        if time.monotonic() - seen_s > SILENT_S:
            raise NotNow(
                "the notifier is set back, and does not read: start it, and it goes on by itself"
            )
        await asyncio.sleep(POLL_S)
