"""Find the event that Postgres refuses: write a refused batch again in ever smaller halves.

When Postgres refuses the data of a batch, the error does not say which event is at fault. The batch
is written again in halves, and a refused half again in halves, each in a savepoint that ends with a
check of the deferred constraints. The first event that is refused alone becomes a dead letter. The
events behind it are folded again, because they may depend on it. Writing 500 events one by one
would block the partition for seconds; with halves about twenty set-based writes find one. As in
`apply_at_once`, what a later event of the same part replaces is never written, so Postgres does not
check it.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from rollcall.applying import dead_letters
from rollcall.applying.apply import check_row, decide, write_records
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import Decided, RecordNames, decide_batch
from rollcall.applying.options import ApplyOptions, calculate
from rollcall.applying.understand import Entry
from rollcall.directory.changes import Change
from rollcall.directory.fold import Folded, collapse
from rollcall.directory.quarantine import Refused
from rollcall.postgres.directory_write import write_changes
from rollcall.postgres.refusal import refusal_of, savepoint

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection


NEXT_TO_IT: Final = 4
"""How many events are written at first after one that was refused."""


class _Culprit(Exception):
    """The event that Postgres refuses; `at` is its index in the batch."""

    def __init__(self, event_id: str, refusal: Refused) -> None:
        super().__init__(event_id)
        self.event_id = event_id
        self.refusal = refusal
        self.at = 0


async def apply_one_by_one(
    connection: "Connection", source: SourceLog, entries: Sequence[Entry], options: ApplyOptions
) -> Decided:
    """Apply the batch in parts as small as needed. An event that Postgres refuses is a dead letter.

    What comes before a refused event is written, so only the rest is loaded and folded again.
    Raises PartitionHalted for too many dead letters.
    """
    refusals: dict[str, Exception] = dict(options.known)
    record_names = {
        dead_letters.audit_id(source, each): source.name(each.record.offset) for each in entries
    }
    folded: list[Folded] = []
    first = (len(entries) + 1) // 2  # the whole batch was refused before
    while len(folded) < len(entries):
        rest = entries[len(folded) :]
        found = await decide(connection, source, rest, replace(options, known=refusals))
        part = _Part(source, rest, found, record_names, options)
        try:
            await part.write(connection, first)
            folded.extend(found)
        except _Culprit as culprit:
            if culprit.event_id in refusals:
                raise culprit.refusal from culprit  # refused even as a dead letter: our bug
            refusals[culprit.event_id] = culprit.refusal
            folded.extend(found[: culprit.at])
            first = NEXT_TO_IT
    decided = await calculate(
        connection,
        options,
        decide_batch,
        source,
        entries,
        folded,
        record_names,
        broker_ms=options.broker_ms,
    )
    await check_row(connection, source, decided, options.limit)
    return decided


@dataclass(frozen=True, slots=True)
class _Part:
    """Entries of a batch with their results of the fold, to be written together.

    `at`: the index of the first entry within the batch.
    """

    source: SourceLog
    entries: Sequence[Entry]
    folded: Sequence[Folded]
    record_names: RecordNames
    options: ApplyOptions
    at: int = 0

    async def write(self, connection: "Connection", first: int) -> None:
        """Write `first` entries, then twice as many, and so on: refused events come in groups.

        Raises _Culprit; what comes before it is written, the rest is not.
        """
        begin, size = 0, first
        while begin < len(self.entries):
            await self.only(begin, begin + size).write_halved(connection)
            begin, size = begin + size, 2 * size

    def only(self, begin: int, end: int | None) -> "_Part":
        """The entries from `begin` to `end` as a part."""
        entries, folded = self.entries[begin:end], self.folded[begin:end]
        return replace(self, entries=entries, folded=folded, at=self.at + begin)

    async def write_halved(self, connection: "Connection") -> None:
        """Write all entries at once, or in halves if that is refused."""
        if len(self.entries) == 1:
            await self._write_one(connection)
        elif not await self._is_written(connection):
            half = len(self.entries) // 2
            await self.only(0, half).write_halved(connection)
            await self.only(half, None).write_halved(connection)

    async def _write_one(self, connection: "Connection") -> None:
        [result] = self.folded
        try:
            async with savepoint(connection):  # undoes the steps of a redrive before its culprit
                await _write_changes(connection, result, self.options)
                write = partial(write_records, connection, self._decided())
                await _guarded(connection, result.request.id, write)
        except _Culprit as culprit:
            culprit.at = self.at
            raise

    async def _is_written(self, connection: "Connection") -> bool:
        """Write the part; False, with nothing written, if Postgres refuses it."""
        decided = await calculate(connection, self.options, self._decided)
        try:
            async with savepoint(connection):
                await write_changes(connection, decided.changes, alive=self.options.alive)
                await write_records(connection, decided)
        except Exception as error:
            if refusal_of(error) is None:
                raise
            return False
        return True

    def _decided(self) -> Decided:
        return decide_batch(
            self.source, self.entries, self.folded, self.record_names, self.options.broker_ms
        )


async def _write_changes(connection: "Connection", result: Folded, options: ApplyOptions) -> None:
    """Write one event's changes step by step. Raises _Culprit for the step that is refused."""
    organisation_id = result.request.organisation_id
    for event_id, changes in _effects(result):
        net = collapse((organisation_id, change) for change in changes)
        write = partial(write_changes, connection, net, alive=options.alive)
        await _guarded(connection, event_id, write)


def _effects(result: Folded) -> Iterator[tuple[str, Sequence[Change]]]:
    """Event id → its changes; for a redrive those of each step, then those of its end."""
    if result.redriven is None:
        if result.decision is not None:
            yield result.request.id, result.decision.changes
        return
    for step in result.redriven.applied:
        if step.result.decision is not None:
            yield step.held.event.id, step.result.decision.changes
    yield result.request.id, result.redriven.mended


async def _guarded(
    connection: "Connection", event_id: str, write: Callable[[], Awaitable[None]]
) -> None:
    try:
        async with savepoint(connection):
            await write()
    except Exception as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise _Culprit(event_id, refusal) from error
