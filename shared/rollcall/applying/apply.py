"""Apply a batch inside its transaction: load, fold, write. All SQL is set-based.

Dead letters are counted before anything is written (causes.py). If one organisation alone has too
many, it is parked behind the first letter that exceeds its share, and the batch is folded again. If
Postgres refuses the data, one_by_one.py finds the event at fault.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from rollcall.applying import causes, dead_letters
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import Decided, decide_batch
from rollcall.applying.load import Batch, load
from rollcall.applying.options import ApplyOptions, calculate
from rollcall.applying.understand import Entry
from rollcall.directory.cause import cause_of
from rollcall.directory.fold import Folded, fold_batch
from rollcall.events.request import Request
from rollcall.postgres import audit, batch_write, dead_letter
from rollcall.postgres.dead_letter import Dead
from rollcall.postgres.directory_write import write_changes

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection


class Apply(Protocol):
    """Applies the entries of a batch: `apply_at_once` or `apply_one_by_one`."""

    async def __call__(
        self,
        connection: "Connection",
        source: SourceLog,
        entries: Sequence[Entry],
        options: ApplyOptions,
    ) -> Decided: ...


async def apply_at_once(
    connection: "Connection", source: SourceLog, entries: Sequence[Entry], options: ApplyOptions
) -> Decided:
    """Decide the entries and write the result, set-based.

    Raises the Postgres error if the data is refused (see `refusal_of`), here or at the commit, and
    PartitionHalted for too many dead letters.
    """
    folded = await decide(connection, source, entries, options)
    decided = await calculate(
        connection, options, decide_batch, source, entries, folded, broker_ms=options.broker_ms
    )
    if not (options.in_few_calls and await _written_at_once(connection, decided, options)):
        await write_changes(connection, decided.changes, alive=options.alive)
        await audit.record(connection, decided.rows)
    await decided.event_results.write(connection)
    await check_row(connection, source, decided, options.limit)
    return decided


async def _written_at_once(
    connection: "Connection", decided: Decided, options: ApplyOptions
) -> bool:
    """Whether changes and audit were written, in one call; False: they are too much for that."""
    return await batch_write.write(
        connection,
        decided.changes,
        decided.rows,
        in_thread=options.in_thread,
        alive=options.alive,
    )


async def decide(
    connection: "Connection", source: SourceLog, entries: Sequence[Entry], options: ApplyOptions
) -> list[Folded]:
    """Load and fold; repeated for each organisation to park. Raises PartitionHalted."""
    batch: Batch = [(dead_letters.to_event(source, entry), entry.append_time) for entry in entries]
    parks, loaded = options.parks, options.states
    while True:
        # A fold modifies the states, so a second one loads them again.
        states = await load(connection, batch, options) if loaded is None else loaded
        loaded = None
        folded = await calculate(
            connection, options, fold_batch, states, batch, options.known, parks
        )
        if options.limit is None:
            return folded
        behind = await _too_many(connection, source, entries, folded, options.limit)
        if behind is None or behind in parks:
            return folded
        parks |= {behind}


async def _too_many(
    connection: "Connection",
    source: SourceLog,
    entries: Sequence[Entry],
    folded: Sequence[Folded],
    limit: int,
) -> str | None:
    """The id of the event behind which to park its organisation. Raises PartitionHalted."""
    fresh = [
        _dead(entry, result)
        for entry, result in zip(entries, folded, strict=True)
        if result.error is not None
    ]
    if not fresh:
        return None
    first = fresh[0].offset - causes.RECENT_OFFSETS + 1
    where = (source.topic, source.partition, source.epoch)
    earlier = await dead_letter.recent(connection, *where, first, fresh[-1].offset)
    closed = set(_closed(folded))
    errors = [result.error for result in folded if result.error is not None]
    classes = _classes(map(dead_letters.error_class, errors))
    still = [each for each in earlier if each.id not in closed]
    return causes.judge(still, fresh, limit, classes)


def _dead(entry: Entry, result: Folded) -> Dead:
    event = result.request
    has_resource = isinstance(event, Request) or event.has_resource
    return Dead(
        id=event.id,
        offset=entry.record.offset,
        organisation_id=event.organisation_id if has_resource else None,
        cause=cause_of(event) or event.id,
        is_parked=result.parks,
    )


def _closed(folded: Sequence[Folded]) -> Iterator[str]:
    """Ids of the letters that the redrives and discards of this batch close."""
    for result in folded:
        if result.redriven is not None:
            yield from (step.held.event.id for step in result.redriven.applied)
            if result.redriven.discarded is not None:
                yield result.redriven.discarded.event.id


async def write_records(connection: "Connection", decided: Decided) -> None:
    await audit.record(connection, decided.rows)
    await decided.event_results.write(connection)


async def check_row(
    connection: "Connection", source: SourceLog, decided: Decided, limit: int | None
) -> None:
    """Halt if the last events are all dead, however far apart their offsets are."""
    fresh = [letter for letter in decided.event_results.letters() if letter.state == "dead"]
    if limit is None or not fresh:
        return
    where = (source.topic, source.partition, source.epoch)
    classes = _classes(letter.error_class for letter in fresh)
    causes.check_row(await dead_letter.in_a_row(connection, *where, limit), limit, classes)


def _classes(error_classes: Iterable[str]) -> str:
    return ", ".join(sorted(set(error_classes)))
