"""A batch applied inside its transaction: at once, or in halves where Postgres refuses it.

At once is the rule: load, fold, write set-based. If Postgres refuses the data of a batch, nothing
says which event it was. The batch is then written again in halves, and what is refused in halves of
that, each in a savepoint that ends with a check of the deferred constraints. The first event that
is refused alone is a dead letter from then on, and what comes behind it is folded again, since it
may have stood on it. To write 500 events one by one would keep the others of the partition waiting
for seconds; so one is found in a score of set-based writes. As in a batch at once, what a later
event of the same part replaces is never written, so Postgres is not asked about it.

What is dead is counted before anything is written (causes.py). An organisation that is too much
alone is parked behind the letter that is one too many, and everything is folded again.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

from services.provisioner import causes, dead_letters
from services.provisioner.dead_letters import Place
from services.provisioner.decided import Decided, Places, decide_batch
from services.provisioner.understand import Entry, understand
from shared.directory.cause import cause_of
from shared.directory.changes import Change
from shared.directory.fold import NONE, Folded, Refusals, collapse, fold_batch
from shared.directory.quarantine import Event, Held, Key, Quarantine, Refused
from shared.directory.release import BYTES_AT_ONCE, EVENTS_AT_ONCE
from shared.directory.state import State
from shared.directory.touch import Touch, touches
from shared.events.request import Request
from shared.postgres import audit, busy, dead_letter, parked
from shared.postgres.dead_letter import Dead, HeldRecord
from shared.postgres.directory_load import load_states
from shared.postgres.directory_write import write_changes
from shared.postgres.refusal import refusal_of, savepoint

if TYPE_CHECKING:
    from shared.postgres.pool import Connection

P = ParamSpec("P")
T = TypeVar("T")
Batch = list[tuple[Event, datetime]]
Resource = tuple[str, str, str]
"""(organisation, endpoint, resource)"""
NEXT_TO_IT: Final = 4
"""So many events are written at first behind one that was refused."""


def _nobody_watches() -> None:
    """Nobody wants to know that a batch goes on."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a batch is applied.

    `limit`: so many dead letters are too many, None: no number is. Events in `known` are dead
    whatever would be decided of them; nothing is loaded for them. Behind those in `parks` their
    organisation is parked if they die. `in_thread`: what is calculated would hold the event loop.
    `broker_ms`: the broker's time is this or later, epoch milliseconds. `alive` is called whenever
    a step of a long batch is done.
    """

    limit: int | None
    known: Refusals = field(default_factory=lambda: NONE)
    parks: frozenset[str] = frozenset()
    in_thread: bool = False
    broker_ms: int | None = None
    alive: Callable[[], None] = _nobody_watches


class Apply(Protocol):
    """One of the two ways."""

    async def __call__(
        self, connection: "Connection", place: Place, entries: Sequence[Entry], manner: Manner
    ) -> Decided: ...


class _Culprit(Exception):
    """The event that Postgres refuses; `at`: the place in the batch at which that was seen."""

    def __init__(self, event_id: str, refusal: Refused) -> None:
        super().__init__(event_id)
        self.event_id = event_id
        self.refusal = refusal
        self.at = 0


async def apply_at_once(
    connection: "Connection", place: Place, entries: Sequence[Entry], manner: Manner
) -> Decided:
    """Decide the entries and write what they lead to, set-based.

    Raises what Postgres says of the data (see `refusal_of`), here or from the commit, and
    PartitionHalted where too many are dead.
    """
    folded = await _decide(connection, place, entries, manner)
    decided = await _calculate(
        connection, manner, decide_batch, place, entries, folded, broker_ms=manner.broker_ms
    )
    await write_changes(connection, decided.changes, alive=manner.alive)
    await _write_records(connection, decided)
    await _check_row(connection, place, decided, manner.limit)
    return decided


async def apply_one_by_one(
    connection: "Connection", place: Place, entries: Sequence[Entry], manner: Manner
) -> Decided:
    """The same in as small parts as it takes; what Postgres refuses becomes a dead letter.

    What stands before that is written by then, so only the rest is loaded and folded again. Raises
    PartitionHalted where too many are dead.
    """
    refusals: dict[str, Exception] = dict(manner.known)
    places = {
        dead_letters.audit_id(place, each): place.name(each.record.offset) for each in entries
    }
    folded: list[Folded] = []
    first = (len(entries) + 1) // 2  # the whole was refused already
    while len(folded) < len(entries):
        rest = entries[len(folded) :]
        found = await _decide(connection, place, rest, replace(manner, known=refusals))
        part = _Part(place, rest, found, places, manner)
        try:
            await part.write(connection, first)
            folded.extend(found)
        except _Culprit as culprit:
            if culprit.event_id in refusals:
                raise culprit.refusal from culprit  # even as a dead letter: our bug
            refusals[culprit.event_id] = culprit.refusal
            folded.extend(found[: culprit.at])
            first = NEXT_TO_IT
    decided = await _calculate(
        connection,
        manner,
        decide_batch,
        place,
        entries,
        folded,
        places,
        broker_ms=manner.broker_ms,
    )
    await _check_row(connection, place, decided, manner.limit)
    return decided


@dataclass(frozen=True, slots=True)
class _Part:
    """Entries of a batch, with what the fold made of each, to be written together.

    `at`: the place of the first among those that are written.
    """

    place: Place
    entries: Sequence[Entry]
    folded: Sequence[Folded]
    places: Places
    manner: Manner
    at: int = 0

    async def write(self, connection: "Connection", first: int) -> None:
        """Write `first` of them, then twice as many, and so on: what is refused is seldom alone.

        Raises _Culprit: what stands before it is written, the rest is not.
        """
        begin, size = 0, first
        while begin < len(self.entries):
            await self.only(begin, begin + size).write_halved(connection)
            begin, size = begin + size, 2 * size

    def only(self, begin: int, end: int | None) -> "_Part":
        """A part of it."""
        entries, folded = self.entries[begin:end], self.folded[begin:end]
        return replace(self, entries=entries, folded=folded, at=self.at + begin)

    async def write_halved(self, connection: "Connection") -> None:
        """Write all of it at once, or in halves where it is refused."""
        if len(self.entries) == 1:
            await self._write_one(connection)
        elif not await self._is_written(connection):
            half = len(self.entries) // 2
            await self.only(0, half).write_halved(connection)
            await self.only(half, None).write_halved(connection)

    async def _write_one(self, connection: "Connection") -> None:
        [result] = self.folded
        try:
            async with savepoint(connection):  # of a redrive, what is written before its culprit
                await _write_changes(connection, result, self.manner)
                write = partial(_write_records, connection, self._decided())
                await _guarded(connection, result.request.id, write)
        except _Culprit as culprit:
            culprit.at = self.at
            raise

    async def _is_written(self, connection: "Connection") -> bool:
        """Write it; False, and nothing of it is, where Postgres refuses it."""
        decided = await _calculate(connection, self.manner, self._decided)
        try:
            async with savepoint(connection):
                await write_changes(connection, decided.changes, alive=self.manner.alive)
                await _write_records(connection, decided)
        except Exception as error:
            if refusal_of(error) is None:
                raise
            return False
        return True

    def _decided(self) -> Decided:
        return decide_batch(
            self.place, self.entries, self.folded, self.places, self.manner.broker_ms
        )


async def _decide(
    connection: "Connection", place: Place, entries: Sequence[Entry], manner: Manner
) -> list[Folded]:
    """Load and fold, again for each organisation that has to be parked. Raises PartitionHalted."""
    batch: Batch = [(dead_letters.to_event(place, entry), entry.append_time) for entry in entries]
    parks = manner.parks
    while True:
        states = await _load(connection, batch, manner)
        folded = await _calculate(
            connection, manner, fold_batch, states, batch, manner.known, parks
        )
        if manner.limit is None:
            return folded
        behind = await _too_many(connection, place, entries, folded, manner.limit)
        if behind is None or behind in parks:
            return folded
        parks |= {behind}


async def _too_many(
    connection: "Connection",
    place: Place,
    entries: Sequence[Entry],
    folded: Sequence[Folded],
    limit: int,
) -> str | None:
    """The event behind which its organisation is to be parked. Raises PartitionHalted."""
    fresh = [
        _dead(entry, result)
        for entry, result in zip(entries, folded, strict=True)
        if result.error is not None
    ]
    if not fresh:
        return None
    first = fresh[0].offset - causes.RECENT_OFFSETS + 1
    where = (place.topic, place.partition, place.epoch)
    standing = await dead_letter.recent(connection, *where, first, fresh[-1].offset)
    closed = set(_closed(folded))
    errors = [result.error for result in folded if result.error is not None]
    classes = _classes(map(dead_letters.error_class, errors))
    still = [each for each in standing if each.id not in closed]
    return causes.judge(still, fresh, limit, classes)


def _dead(entry: Entry, result: Folded) -> Dead:
    event = result.request
    is_somebodys = isinstance(event, Request) or event.has_resource
    return Dead(
        id=event.id,
        offset=entry.record.offset,
        organisation_id=event.organisation_id if is_somebodys else None,
        cause=cause_of(event) or event.id,
        is_parked=result.parks,
    )


def _closed(folded: Sequence[Folded]) -> Iterator[str]:
    """Ids of the letters that are dead no longer when these are decided."""
    for result in folded:
        if result.redriven is not None:
            yield from (step.held.event.id for step in result.redriven.applied)
            if result.redriven.discarded is not None:
                yield result.redriven.discarded.event.id


async def _load(connection: "Connection", batch: Batch, manner: Manner) -> dict[str, State]:
    """What the batch touches; for each redrive also what is held, and what that touches.

    For what is known to be dead nothing is loaded: that may be what could not be done in time.
    """
    events = [event for event, _ in batch]
    held = await _load_held(connection, events, manner)
    waiting = await _load_waiting(connection, events, manner)
    requests = [event for event in events if isinstance(event, Request)]
    kept = [each for found, _ in waiting.values() for each in found]
    for quarantine in held.values():
        kept.extend(each for each in (quarantine.dead, *quarantine.parked) if each is not None)
    requests.extend(each.event for each in kept if isinstance(each.event, Request))
    alive = [request for request in requests if request.id not in manner.known]
    touched = await _calculate(connection, manner, touches, alive)
    for event in events:
        if event.organisation_id and (isinstance(event, Request) or event.has_resource):
            touched.setdefault(event.organisation_id, Touch())
    states = await load_states(connection, touched)
    for (organisation_id, key), quarantine in held.items():
        quarantine.cause = states[organisation_id].quarantines[key].cause
        states[organisation_id].quarantines[key] = quarantine
    for organisation_id, (found, behind) in waiting.items():
        if (park := states[organisation_id].park) is not None:
            park.waiting, park.behind = found, behind
    return states


async def _calculate(
    connection: "Connection",
    manner: Manner,
    make: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    if manner.in_thread:
        return await busy.calculated(connection, manner.alive, make, *args, **kwargs)
    return make(*args, **kwargs)


async def _load_held(
    connection: "Connection", events: Sequence[Event], manner: Manner
) -> dict[tuple[str, Key], Quarantine]:
    """(organisation, resource) → its dead event and all that is parked, of the redriven ones."""
    wanted: dict[Resource, tuple[str, Key]] = {
        (event.organisation_id, event.endpoint, event.resource_id): (
            event.organisation_id,
            (event.endpoint, event.resource_id),
        )
        for event in events
        if isinstance(event, Request) and event.is_about_dead and not event.is_release
    }
    if not wanted:
        return {}
    dead = await dead_letter.load_dead(connection, list(wanted))
    waiting = await parked.load(connection, list(dead)) if dead else {}

    def read() -> dict[tuple[str, Key], Quarantine]:
        return {
            wanted[resource]: Quarantine(
                record.id, _held(record), list(map(_held, waiting[resource]))
            )
            for resource, record in dead.items()
        }

    return await _calculate(connection, manner, read)


async def _load_waiting(
    connection: "Connection", events: Sequence[Event], manner: Manner
) -> Mapping[str, tuple[list[Held], int]]:
    """Parked organisation that is to go on → what a release takes up, and how many are behind."""
    found: dict[str, tuple[list[Held], int]] = {}
    for event in events:
        if not isinstance(event, Request) or not event.is_release or event.id in manner.known:
            continue
        records, behind = await parked.load_waiting(
            connection, event.organisation_id, EVENTS_AT_ONCE, BYTES_AT_ONCE
        )

        def read(records: Sequence[HeldRecord] = records) -> list[Held]:
            return list(map(_held, records))

        found[event.organisation_id] = await _calculate(connection, manner, read), behind
    return found


def _held(record: HeldRecord) -> Held:
    """A kept record, read again by this release. Raises PartitionHalted for a newer version."""
    understood = understand([record])
    if understood.halt is not None:
        raise understood.halt
    [entry] = understood.entries
    place = Place(record.topic, record.partition, record.epoch)
    return Held(
        dead_letters.to_event(place, entry),
        entry.append_time,
        attempts=record.attempts,
        told=record.told,
        place=place.name(record.offset),
        is_late=entry.is_expired,
    )


async def _write_records(connection: "Connection", decided: Decided) -> None:
    await audit.record(connection, decided.rows)
    await decided.fates.write(connection)


async def _write_changes(connection: "Connection", result: Folded, manner: Manner) -> None:
    """Write one event's changes step by step. Raises _Culprit: the event that is refused."""
    organisation_id = result.request.organisation_id
    for event_id, changes in _effects(result):
        net = collapse((organisation_id, change) for change in changes)
        write = partial(write_changes, connection, net, alive=manner.alive)
        await _guarded(connection, event_id, write)


def _effects(result: Folded) -> Iterator[tuple[str, Sequence[Change]]]:
    """Event id → its changes: of a redrive each step's on their own, then what it mends."""
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


async def _check_row(
    connection: "Connection", place: Place, decided: Decided, limit: int | None
) -> None:
    """Halt where all of the last events are dead, however far apart they stand."""
    fresh = [letter for letter in decided.fates.letters() if letter.state == "dead"]
    if limit is None or not fresh:
        return
    where = (place.topic, place.partition, place.epoch)
    classes = _classes(letter.error_class for letter in fresh)
    causes.check_row(await dead_letter.in_a_row(connection, *where, limit), limit, classes)


def _classes(error_classes: Iterable[str]) -> str:
    return ", ".join(sorted(set(error_classes)))
