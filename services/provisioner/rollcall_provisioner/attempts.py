"""One attempt at a part, and what its failure means: an outage, or too much at once.

The retry is `Position.insist`. `batch.py` calls both, and divides what is too much.

The rule. While Postgres is away the batch waits, for hours if it has to, and no event is to blame.
A time-out that this service sets (a statement over its time, a session that was idle in its
transaction, an answer that did not come) may be an outage or the batch's own fault. So the same
part is tried twice. If it was cut off both times while Postgres answered another session at once,
it is too much: it is halved, and a half that is cut off once more is applied event by event. An
event that is cut off twice alone is a dead letter (`Refused`, with a class that says which time-out
it was). The end of an organisation, an erasure and a discard cannot be dead letters: they halt the
partition. Running out of memory counts as a time-out. Whether Postgres answers is asked by a small
write that commits: a Postgres that is slow for every session is slow for that as well.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rollcall.applying.understand import Entry
from rollcall.applying.weight import Part
from rollcall.directory.fold import Refusals
from rollcall.directory.quarantine import Refused
from rollcall.events.bodies import Redrive
from rollcall.kafka.worker import CUT_OFF, PartitionHalted
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres import progress
from rollcall.postgres.pool import IDLE_IN_TRANSACTION_S, CutOff, Database, is_lost_connection
from rollcall.runtime.errors import Unavailable

if TYPE_CHECKING:
    from rollcall.applying.dead_letters import SourceLog

ONCE: Final = 1
TWICE: Final = 2
ANSWERS_WITHIN_S: Final = 1.0
"""Longest time for a small write that commits; it takes milliseconds where Postgres is well."""

CLASSES: Final = {
    "statement-timeout": ("StatementTimeout", "a statement of it took longer than its time-out"),
    "idle-in-transaction": ("IdleTimeout", "its session was idle for longer than its time-out"),
    "transaction-timeout": ("TransactionTimeout", "its transaction took longer than its time-out"),
    "no-answer": ("NoAnswer", "Postgres did not answer in time, and answered others"),
    "memory": ("OutOfMemory", "the process has not got the memory that it takes"),
}
"""Cause → error class of a dead letter, and its description."""

log = get_logger()


class TooMuch(Exception):
    """A part was cut off twice while Postgres was well."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def refusals(self, entry: Entry) -> Refusals:
        """What makes one event a dead letter: its own id, of a redrive that of the dead event.

        A redrive then fails again, and a release too: all stays as it was. Raises PartitionHalted
        for what cannot be one.
        """
        error_class, words = CLASSES[self.cause]
        request = entry.request
        if request is not None and request.is_release:
            return {request.id: Refused(error_class, words)}
        if request is not None and isinstance(request.body, Redrive):
            return {request.body.dead_id: Refused(error_class, words)}
        if request is not None and not request.is_final and not request.is_about_dead:
            return {request.id: Refused(error_class, words)}
        kind = "a record that is no request" if request is None else request.kind
        raise PartitionHalted(f"offset {entry.record.offset}: {kind} was cut off: {words}", CUT_OFF)


def divided(part: Part, tries: int) -> list[tuple[Part, int]]:
    """What to try instead of a part that was too much, and how often each: halves, then events.

    To divide what was merely unlucky costs nothing, so a half is tried once; and to go on halving
    would cost a time-out each time.
    """
    if tries < TWICE:
        return [(each, TWICE) for each in part.divided(1)]
    half = (len(part.entries) + 1) // 2
    return [(each, ONCE if len(each.entries) > 1 else TWICE) for each in part.divided(half)]


@dataclass(slots=True)
class Attempts:
    """The attempts at one part of `size` events, which begins at `position`.

    After `most` attempts that were cut off while Postgres was well, the part is too much. Attempts
    that an outage cut off do not count.
    """

    database: Database
    source: "SourceLog"
    position: int
    size: int
    most: int = TWICE
    cuts: int = field(default=0)

    async def attempt(self, apply: Callable[[], Awaitable[None]]) -> None:
        """Try once. Raises TooMuch, Unavailable (CutOff among it: try again), what `apply` does."""
        began_s = time.monotonic()
        try:
            await apply()
        except CutOff as cut:
            await self._note(cut.cause)
            raise
        except Unavailable as away:
            took_s = time.monotonic() - began_s
            if took_s > IDLE_IN_TRANSACTION_S["provisioner"] and is_lost_connection(away):
                await self._note("idle-in-transaction")
            raise
        except MemoryError as error:
            await self._note("memory")
            raise CutOff("memory") from error

    async def _note(self, cause: str) -> None:
        is_well = await self._is_well(cause)
        self.cuts += is_well
        is_too_much = self.cuts >= self.most
        metrics.PROVISIONER_CUT_OFF.labels(cause).inc()
        said = log.bind(
            topic=self.source.topic,
            partition=self.source.partition,
            offset=self.position,
            events=self.size,
            cause=cause,
            times=self.cuts,
            postgres="well" if is_well else "slow",
        )
        if not is_too_much:  # once may be the end of an outage; no operator needs to look
            said.warning("batch.cut_off")
            return
        said.warning("batch.cut_off", runbook="cut-off")
        raise TooMuch(cause)

    async def _is_well(self, cause: str) -> bool:
        """Whether Postgres takes a small write at once: the note that this position is tried."""
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S), self.database.transaction() as connection:
                await progress.note_tried(
                    connection,
                    self.source.topic,
                    self.source.partition,
                    expected=self.position,
                    epoch=self.source.epoch,
                    because=cause,
                )
        except (Unavailable, TimeoutError):
            return False
        return time.monotonic() - began_s <= ANSWERS_WITHIN_S


class StuckPositions:
    """Per partition, the position that could not be applied, and since when.

    The process has one, because a worker that fails is followed by another at the same position.
    """

    def __init__(self) -> None:
        self._since: dict[int, tuple[int, float]] = {}

    def tried(self, partition: int, position: int) -> None:
        """What stands at the position could not be applied."""
        known = self._since.get(partition)
        if known is None or known[0] != position:
            self._since[partition] = position, time.monotonic()

    def passed(self, partition: int) -> None:
        """The position has moved, or another process owns the partition."""
        self._since.pop(partition, None)

    def seconds(self, partition: int) -> float:
        """For how many seconds the present position could not be applied; 0: it can."""
        known = self._since.get(partition)
        return 0.0 if known is None else time.monotonic() - known[1]
