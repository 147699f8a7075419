"""A read-only provisioner in every replica: an organisation's tail, folded where somebody asks.

Nothing is folded for an organisation without pending records, or of which nobody asks anything
here. Of one that is asked for, its records are folded once each, in order, in batches that load
together; what is asked meanwhile waits and finds the result. Everything is dropped when nothing is
pending any more, and whenever the ground moves (`PartitionTail.generation`, `GroundMoved`).

Where the outcome cannot be known, `Uncertain` is raised, and says why.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rollcall.applying.dead_letters import SourceLog
from rollcall.directory.state import State
from rollcall.directory.touch import Touch
from rollcall.events.bodies import Endpoint
from rollcall.events.reply import Reply
from rollcall.kafka.feed import Record
from rollcall.postgres import tail_read
from rollcall.postgres.directory_search import Resource
from rollcall.postgres.tail_read import Read, Wanted
from rollcall.runtime.clock import machine_ms
from rollcall.tail import lookup
from rollcall.tail.batch import Uncertain, calculated, is_heavy, understood
from rollcall.tail.fold import OrganisationFold
from rollcall.tail.held import GroundMoved, Held
from rollcall.tail.lookup import Target
from rollcall.tail.names import Names
from rollcall.tail.partition import PartitionTail
from rollcall.tail.reader import Tails

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

AT_ONCE: Final = 100
"""Records that are loaded for together."""
ROUNDS: Final = 6
"""Loads for one batch; more than two only where Postgres moves on while it is loaded."""
MOST_PENDING: Final = 20_000
"""Pending records of one organisation, beyond which nothing is folded for it."""
MOST_HELD: Final = 5_000
"""Folded records after which a fold begins again where Postgres is."""
CURRENT_S: Final = 3.0
"""Seconds since Postgres last answered, up to which it is taken to be there."""
IN_TIME_MS: Final = 300
"""A record that is not applied for as long is one that a replica may decide by itself. Each waits
for the provisioner's reply for 500 ms, longer by more than a record takes from the broker."""
HEARD_MS: Final = 400
"""The broker holds a fetch without records for less (250 ms)."""
MOST_FOLDED: Final = 30_000
"""Folded records of all organisations together; beyond that the folds not asked for longest go."""
MOST_ORGANISATIONS: Final = 500
"""Organisations of which a fold is kept."""
THREAD_ROWS: Final = 300
"""Rows of a look-up, from which on it is put together in a thread: some milliseconds."""

Connect = Callable[[str], "AbstractAsyncContextManager[Connection]"]
"""Organisation id → a connection for its reads; entering it raises Unavailable."""


@dataclass(slots=True)
class _Folding:
    """The fold of one organisation; only the holder of `lock` touches it."""

    fold: OrganisationFold
    generation: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Replica:
    """Folds the tails of organisations. One per process."""

    def __init__(self, tails: Tails, connect: Connect, topic: str) -> None:
        self._tails = tails
        self._connect = connect
        self._topic = topic
        self._foldings: OrderedDict[str, _Folding] = OrderedDict()
        self._expected: dict[str, Reply | None] = {}
        self._names = Names(MOST_PENDING)

    def is_behind(self, organisation_id: str, partition: int) -> bool:
        """Whether the organisation has pending records in a partition that is behind.

        True where the partition is not read as far as it went when this replica began with it.
        """
        tail = self._tails.tail(partition)
        if tail is None or not tail.is_caught_up:
            return True
        if not tail.has_pending(organisation_id):
            self._foldings.pop(organisation_id, None)
            return False
        return tail.is_late(machine_ms())

    def is_current(self, partition: int) -> bool:
        """Whether the partition is read to its end, and Postgres said just now how far it is."""
        tail = self._tails.tail(partition)
        is_read = tail is not None and tail.is_caught_up
        return is_read and self._tails.asked_age_s < CURRENT_S

    async def become_current(self, partition: int, timeout_s: float) -> bool:
        """Whether `is_current`; where only the log is not read yet, it is waited for."""
        if CURRENT_S <= self._tails.asked_age_s < float("inf"):
            return False
        await self._tails.until(lambda: self.is_current(partition), timeout_s)
        return self.is_current(partition)

    async def become_readable(self, partition: int, timeout_s: float) -> bool:
        """Whether the log of the partition is read; waited for, unless it cannot be now."""
        if self.cannot_read(partition):
            return False
        return await self._tails.until(lambda: self._tails.tail(partition) is not None, timeout_s)

    def cannot_read(self, partition: int) -> bool:
        """Whether the log is known not to be the one that is applied, or to be too much to hold."""
        return self._tails.cannot_read(partition)

    def is_late(self, partition: int) -> bool:
        """Whether something of the partition has been pending for longer than in time."""
        tail = self._tails.tail(partition)
        return tail is not None and tail.is_late(machine_ms())

    async def is_in_time(self, partition: int) -> bool:
        """Whether Postgres has everything that any replica was answered for until now.

        A replica answers with its own decision only behind a record that it has known for longer
        than `IN_TIME_MS`. So where this one hears the log, and knows of no such record, there is no
        such answer. Raises Unavailable (Postgres).
        """
        if self._has_only_young(partition):
            return True
        await self._tails.refresh()
        return self._has_only_young(partition)

    def _has_only_young(self, partition: int) -> bool:
        tail = self._tails.tail(partition)
        return (
            tail is not None
            and tail.is_caught_up
            and self._tails.is_heard(partition, HEARD_MS)
            and not tail.is_late(machine_ms(), IN_TIME_MS)
        )

    def settled(self, partition: int, offset: int) -> None:
        """The provisioner has replied to the record at this offset: all up to it is applied."""
        self._tails.settled(partition, offset)

    def last_applied(self, partition: int) -> datetime | None:
        """The append time of the last record of the partition that is known to be applied."""
        tail = self._tails.tail(partition)
        return None if tail is None or tail.applied is None else tail.applied.last_append_time

    def position(self, partition: int) -> int | None:
        """Everything below it was read; None where the log is not read."""
        tail = self._tails.tail(partition)
        return None if tail is None else tail.position

    def applied(self, partition: int) -> tuple[int, int] | None:
        """The epoch of the log that is applied, and below which offset all of it is."""
        tail = self._tails.tail(partition)
        if tail is None or tail.applied is None:
            return None
        return tail.applied.epoch, tail.next_offset

    async def reach(self, partition: int, position: int, timeout_s: float) -> None:
        """Wait until everything below `position` was read. Raises Uncertain.

        At once where the partition is not read at all, which may last.
        """
        is_read = self._tails.tail(partition) is not None
        if not is_read or await self._tails.reach(partition, position, timeout_s) is None:
            raise Uncertain("the log is not read that far")

    @contextlib.contextmanager
    def expecting(self, event_id: str) -> Iterator[None]:
        """Keep the verdict of this event, from before it is published until nobody waits for it."""
        self._expected[event_id] = None
        try:
            yield
        finally:
            del self._expected[event_id]

    async def advance(self, organisation_id: str, partition: int) -> None:
        """Fold all of the organisation that was read. Raises Uncertain, Unavailable (Postgres)."""
        tail = self._tails.tail(partition)
        if tail is None:
            raise Uncertain("the log is not read")
        await self._advanced(self._folding(organisation_id, tail), tail)

    async def verdict(
        self, organisation_id: str, partition: int, event_id: str, offset: int, timeout_s: float
    ) -> Reply | None:
        """The reply that the provisioner will send to the expected event, which is at this offset.

        None where it was applied before it was folded here. Raises Uncertain, Unavailable
        (Postgres).
        """
        tail = await self._tails.reach(partition, offset + 1, timeout_s)
        if tail is None:
            raise Uncertain("the log is not read that far")
        if self._expected[event_id] is None:
            try:
                await self._advanced(self._folding(organisation_id, tail), tail)
            except Uncertain:
                if self._expected[event_id] is None:
                    raise  # otherwise what is uncertain stands behind it
        return self._expected[event_id]

    async def changed(
        self, organisation_id: str, partition: int, endpoint: Endpoint
    ) -> frozenset[str]:
        """Ids of the resources that pending records change. Raises Uncertain, Unavailable."""
        tail = self._tails.tail(partition)
        if tail is None:
            raise Uncertain("the log is not read")
        folding = self._folding(organisation_id, tail)
        await self._advanced(folding, tail)
        async with folding.lock:
            held = folding.fold.held
            return frozenset() if held is None else frozenset(held.changed[endpoint])

    async def has_pending_name(self, organisation_id: str, partition: int, name_key: str) -> bool:
        """Whether a pending create of the organisation takes this `userName`; without Postgres.

        False where the log is not read, or too much is pending.
        """
        tail = self._tails.tail(partition)
        return tail is not None and await self._names.has(tail, organisation_id, name_key)

    async def find_applied(self, target: Target, partition: int) -> list[Resource]:
        """The resources that the target means, as far as all is applied.

        Raises Unavailable (Postgres).
        """
        held, more = Held(State(target.organisation_id)), frozenset[str]()
        while True:
            wanted = lookup.wanted(None, target, more)
            async with self._connect(target.organisation_id) as connection:
                read = await tail_read.read(
                    connection, target.organisation_id, self._topic, partition, wanted
                )
            found = lookup.find(held, read, target)
            if not found.without_display - more:
                return found.resources
            more |= found.without_display

    async def find(self, target: Target, partition: int) -> list[Resource]:
        """The resources that the target means, as everything that was read leaves them.

        Raises Uncertain, Unavailable (Postgres).
        """
        organisation_id, more = target.organisation_id, frozenset[str]()
        for _ in range(ROUNDS):
            tail = self._tails.tail(partition)
            if tail is None:
                raise Uncertain("the log is not read")
            folding = self._folding(organisation_id, tail)
            await self._advanced(folding, tail)
            async with folding.lock:
                wanted = lookup.wanted(folding.fold.held, target, more)
            read = await self._load(folding.fold, wanted)
            async with folding.lock:
                fold = folding.fold
                if not fold.covers(read):
                    self._begin_again(folding, read)
                    continue
                is_large = len(read.displays) + len(read.state.members) > THREAD_ROWS
                found = await calculated(is_large, lookup.find, fold.held, read, target)
            if not found.without_display - more:
                return found.resources
            more |= found.without_display
        raise Uncertain("Postgres moves on faster than it is read")

    def _folding(self, organisation_id: str, tail: PartitionTail) -> _Folding:
        found = self._foldings.get(organisation_id)
        if found is None or found.generation != tail.generation:
            place = SourceLog(
                self._topic, tail.number, 0 if tail.applied is None else tail.applied.epoch
            )
            found = _Folding(OrganisationFold(organisation_id, place), tail.generation)
            self._foldings[organisation_id] = found
            while len(self._foldings) > MOST_ORGANISATIONS or (
                sum(each.fold.folded for each in self._foldings.values()) > MOST_FOLDED
            ):
                self._foldings.popitem(last=False)
        self._foldings.move_to_end(organisation_id)
        return found

    def _begin_again(self, folding: _Folding, read: Read) -> None:
        """Begin where this was read; a read from before the fold began is of no use."""
        try:
            folding.fold.take(read, Wanted(Touch()))
        except GroundMoved:
            self._drop(folding)

    def _drop(self, folding: _Folding) -> None:
        if self._foldings.get(folding.fold.organisation_id) is folding:
            del self._foldings[folding.fold.organisation_id]

    async def _advanced(self, folding: _Folding, tail: PartitionTail) -> None:
        """Fold all that was read; it goes on if its caller goes away, also in its thread.

        Raises Uncertain, Unavailable.
        """
        task = asyncio.create_task(self._advance_locked(folding, tail), name="fold the tail")
        task.add_done_callback(_note_failure)
        await asyncio.shield(task)

    async def _advance_locked(self, folding: _Folding, tail: PartitionTail) -> None:
        async with folding.lock:
            await self._advance(folding, tail)

    async def _advance(self, folding: _Folding, tail: PartitionTail) -> None:
        """Fold everything of the organisation that has been read. Raises Uncertain, Unavailable."""
        fold = folding.fold
        is_much = fold.folded > MOST_HELD and tail.next_offset > fold.begin
        # What is applied is dropped from the tail, so records beyond the position may be missing.
        if is_much or tail.next_offset > fold.position:
            folding.fold = fold = OrganisationFold(fold.organisation_id, fold.source)
            fold.reached(tail.next_offset)
        try:
            while True:
                if folding.generation != tail.generation or tail.position is None:
                    raise Uncertain("the log was replaced")
                upto = tail.position
                begin = max(fold.position, tail.next_offset)
                records = tail.records(fold.organisation_id, begin, upto)
                if len(records) > MOST_PENDING:
                    raise Uncertain("too much is pending")
                if not records:
                    fold.reached(upto)
                    return
                await self._fold(fold, tail, records[:AT_ONCE])
        except GroundMoved as moved:
            self._drop(folding)
            raise Uncertain(str(moved)) from moved

    async def _fold(
        self, fold: OrganisationFold, tail: PartitionTail, records: Sequence[Record]
    ) -> None:
        entries = await understood(records)
        heavy = is_heavy(entries)
        for _ in range(ROUNDS):
            wanted = await calculated(heavy, fold.wanted, entries)
            read = await self._load(fold, wanted)
            if read.next_offset < tail.next_offset and read.next_offset < fold.position:
                raise GroundMoved("less is applied than was known")
            if read.has_left:
                raise Uncertain("the organisation has left")
            stayed = await calculated(heavy, fold.take, read, wanted)
            entries = [each for each in entries if each.record.offset >= fold.position]
            if not entries:
                return
            if stayed and await calculated(heavy, fold.is_loaded, entries):
                break
        else:
            raise Uncertain("Postgres moves on faster than it is read")
        verdicts = await calculated(heavy, fold.fold, entries, read.applied_ids)
        for each in verdicts:
            if each.event_id in self._expected:
                self._expected[each.event_id] = each.reply

    async def _load(self, fold: OrganisationFold, wanted: Wanted) -> Read:
        partition = fold.source.partition
        async with self._connect(fold.organisation_id) as connection:
            read = await tail_read.read(
                connection, fold.organisation_id, self._topic, partition, wanted
            )
        tail = self._tails.tail(partition)
        if tail is None or tail.applied is None or tail.applied.epoch != read.epoch:
            raise Uncertain("another log is applied than the one that was read")
        tail.trim(read.next_offset)
        return read


def _note_failure(task: "asyncio.Task[None]") -> None:
    """Read the error: asyncio reports one that is never read, and the caller may have gone."""
    if not task.cancelled():
        task.exception()
