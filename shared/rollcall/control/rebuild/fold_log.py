"""The log folded into a scratch directory by the provisioner's own steps.

Read `fold_records` first: it is the provisioner's batch, over other tables, without announcements.
Two things are taken from the live audit, because they are not in the log: which events were dead
when they were decided, and which organisations were parked behind one, and when. Such events stay
dead: a fix that was rolled out since must not apply them at their old place, because later events
were decided without them. Each batch is cut at redrives, which may have applied a dead event.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rollcall.applying.apply import apply_at_once
from rollcall.applying.dead_letters import SourceLog, audit_id
from rollcall.applying.foreign import OwnedOrganisations, drop_departed
from rollcall.applying.measure import assumed, load_sizes, needs_sizes, parts_of
from rollcall.applying.one_by_one import apply_one_by_one
from rollcall.applying.options import ApplyOptions
from rollcall.applying.understand import Entry, drop_duplicates, drop_expired, runs, understand
from rollcall.applying.weight import Part
from rollcall.control.errors import NotPossible
from rollcall.control.meter import Meter
from rollcall.events.request import Request
from rollcall.events.topics import Topics
from rollcall.kafka.feed import Record
from rollcall.kafka.log_identity import event_id_of
from rollcall.kafka.reading import read
from rollcall.postgres import audit, progress
from rollcall.postgres.pool import KEYS_ONLY, Database, as_unavailable
from rollcall.postgres.refusal import refusal_of, savepoint
from rollcall.postgres.upkeep import refold
from rollcall.postgres.upkeep.scratch import InScratch, Names
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

AT_ONCE: Final = 2
"""Partitions that are folded at the same time: Python and Postgres keep one core busy each."""
FAST: Final = "; ".join(
    [f"SET LOCAL {name} = {value}" for name, value in KEYS_ONLY.items()]
    + ["SET LOCAL synchronous_commit = off"]  # what a crash takes is folded again
)


@dataclass(frozen=True, slots=True)
class Folding:
    """What a fold needs: the log, the scratch directory, and how strict it is.

    `applies_dead`: events that are recorded as dead are tried as if they were new. `is_strict`: the
    fold ends at an event that was applied before and cannot be applied now.
    """

    settings: Settings
    topics: Topics
    names: Names
    meter: Meter
    applies_dead: bool = False
    is_strict: bool = True


@dataclass(frozen=True, slots=True)
class Range:
    """A part of the log: records of a partition from `begin` to below `end`."""

    partition: int
    begin: int
    end: int
    epoch: int = 0

    def __len__(self) -> int:
        return max(0, self.end - self.begin)


async def fold(database: Database, folding: Folding, ranges: Sequence[Range]) -> None:
    """Fold the ranges, each batch in a transaction of its own.

    Raises Unavailable, NotPossible.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(part: Range) -> None:
        owned = OwnedOrganisations(part.partition)
        async with slots:
            position = part.begin
            async for records in read(
                folding.settings, folding.topics.requests, part.partition, part.begin, part.end
            ):
                async with database.transaction() as connection:
                    await connection.execute(FAST)
                    await fold_records(connection, folding, owned, part, position, records)
                position = records[-1].offset + 1
                folding.meter.add(len(records))
        if position != part.end:
            raise Unavailable(f"the log of partition {part.partition}")

    try:
        async with asyncio.TaskGroup() as tasks:
            for part in ranges:
                tasks.create_task(one(part))
    except BaseExceptionGroup as group:
        raise first_error(group) from group


async def fold_here(connection: "Connection", folding: Folding, ranges: Sequence[Range]) -> None:
    """Fold the ranges inside the caller's transaction: it sees both directories as of its start."""
    await connection.execute(FAST)
    for part in ranges:
        owned, position = OwnedOrganisations(part.partition), part.begin
        async for records in read(
            folding.settings, folding.topics.requests, part.partition, part.begin, part.end
        ):
            await fold_records(connection, folding, owned, part, position, records)
            position = records[-1].offset + 1
            folding.meter.add(len(records))


async def fold_records(
    connection: "Connection",
    folding: Folding,
    owned: OwnedOrganisations,
    part: Range,
    position: int,
    records: Sequence[Record],
) -> None:
    """Fold one batch in the caller's transaction; `position` is the scratch directory's.

    Raises NotPossible where another process fills the same scratch directory, or this release
    cannot read or apply what was applied before.
    """
    # All of it was decided before, also what the live audit does not hold any more.
    source = SourceLog(folding.topics.requests, part.partition, part.epoch, decided_below=part.end)
    scratch = InScratch(connection, folding.names)
    understood = understand(records)
    for part_ in await _parts(scratch, understood.entries):
        last = part_.entries[-1]
        moved = await progress.advance(
            scratch,  # type: ignore[arg-type]  # the part of a connection that queries use
            source.topic,
            source.partition,
            expected=position,
            epoch=part.epoch,
            new=last.record.offset + 1,
            published=last.record.offset + 1,
            last_event_id=event_id_of(last.record.headers),
            last_append_time=last.append_time,
        )
        if not moved:
            raise NotPossible("the scratch directory has moved; another rebuild is under way")
        await _apply(connection, scratch, folding, owned, source, part_)
        position = last.record.offset + 1
    if understood.halt is not None:
        raise NotPossible(f"partition {part.partition}: {understood.halt}")


async def _parts(scratch: InScratch, entries: Sequence[Entry]) -> list[Part]:
    """The entries in order, cut by what they load and calculate, as the provisioner cuts them.

    Sizes are those before the first part; what the parts before one add is counted.
    """
    sizes = assumed(entries)
    if needs_sizes(entries):
        sizes = await load_sizes(scratch, entries)  # type: ignore[arg-type]
    return [part for run in runs(entries, _stands_alone) for part in await parts_of(run, sizes)]


async def _apply(
    connection: "Connection",
    scratch: InScratch,
    folding: Folding,
    owned: OwnedOrganisations,
    source: SourceLog,
    part: Part,
) -> None:
    ours = await owned.refuse_misplaced(connection, part.entries)
    kept = await _kept_though_late(connection, source, ours)
    in_time = await drop_departed(scratch, drop_expired(ours, kept))  # type: ignore[arg-type]
    ids = [entry.event_id for entry in in_time if entry.event_id is not None]
    applied = await audit.already_applied(scratch, ids)  # type: ignore[arg-type]
    fresh = drop_duplicates(in_time, applied)
    if not fresh:
        return
    known = (
        refold.NOTHING_KNOWN
        if folding.applies_dead
        else await refold.known_deaths(connection, [audit_id(source, entry) for entry in fresh])
    )
    options = ApplyOptions(None, known.deaths, known.parks, in_thread=part.weight.is_heavy)
    try:
        async with savepoint(connection):
            decided = await apply_at_once(scratch, source, fresh, options)  # type: ignore[arg-type]
    except Exception as error:
        if refusal_of(error) is None or as_unavailable(error) is not None:
            raise
        decided = await apply_one_by_one(scratch, source, fresh, options)  # type: ignore[arg-type]
    if folding.is_strict and decided.deaths:
        names = {death.name for death in decided.deaths}
        dead = [entry for entry in fresh if source.name(entry.record.offset) in names]
        await _check_deaths(connection, source, dead)


async def _kept_though_late(
    connection: "Connection", source: SourceLog, entries: Sequence[Entry]
) -> set[int]:
    """Offsets of late events that were kept: the release that decided them could not read them.

    They set their resource's quarantine, and later events were parked behind it. Only their own row
    in the audit says so: an event that could not be read has no rules.
    """
    late = {audit_id(source, each): each for each in entries if each.is_expired}
    rows = await audit.find(connection, list(late)) if late else {}
    return {
        entry.record.offset
        for identifier, entry in late.items()
        if (row := rows.get(identifier)) is not None
        and (row.topic, row.partition, row.epoch) == (source.topic, source.partition, source.epoch)
        and row.offset == entry.record.offset
    }


async def _check_deaths(connection: "Connection", source: SourceLog, dead: Sequence[Entry]) -> None:
    """Raise NotPossible where an event that was applied before cannot be applied now."""
    rows = await audit.find(connection, [audit_id(source, entry) for entry in dead])
    for entry in dead:
        row = rows.get(audit_id(source, entry))
        if row is not None and all(each["fact"] != "request.failed" for each in row.outcomes):
            raise NotPossible(
                f"this release cannot apply {source.name(entry.record.offset)}, which was applied "
                "before; rebuild with the release that applied it"
            )


def _stands_alone(request: Request) -> bool:
    return request.is_about_dead or request.stands_alone


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a task group, to be reported in one line."""
    error: BaseException = group.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error
