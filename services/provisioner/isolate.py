"""A batch applied inside its transaction: at once, or one by one where Postgres refuses it.

At once is the rule: load, fold, write set-based. If Postgres refuses the data of a batch, nothing
says which event it was. The batch is then run again with a savepoint for each event, which ends
with a check of the deferred constraints. The first that is refused is a dead letter from then on,
and everything is folded again without it, since those after it may have stood on it.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

from services.provisioner import dead_letters
from services.provisioner.dead_letters import Place
from services.provisioner.decided import Decided, decide_batch, places_of
from services.provisioner.understand import Entry, understand
from shared.directory.changes import Change
from shared.directory.fold import NONE, Folded, Refusals, collapse, fold_batch
from shared.directory.quarantine import Event, Held, Key, Quarantine, Refused
from shared.directory.state import State
from shared.directory.touch import Touch, touches
from shared.events.request import Request
from shared.kafka.worker import PartitionHalted
from shared.postgres import audit, busy, dead_letter, parked
from shared.postgres.dead_letter import HeldRecord
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
RECENT_OFFSETS: Final = 1000


def _nobody_watches() -> None:
    """Nobody wants to know that a batch goes on."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a batch is applied.

    `limit`: so many dead letters are too many, None: no number is. Events in `known` are dead
    whatever would be decided of them; nothing is loaded for them. `in_thread`: what is calculated
    would hold the event loop. `broker_ms`: the broker's time is this or later, epoch milliseconds.
    `alive` is called whenever a step of a long batch is done.
    """

    limit: int | None
    known: Refusals = field(default_factory=lambda: NONE)
    in_thread: bool = False
    broker_ms: int | None = None
    alive: Callable[[], None] = _nobody_watches


class Apply(Protocol):
    """One of the two ways."""

    async def __call__(
        self, connection: "Connection", place: Place, entries: Sequence[Entry], manner: Manner
    ) -> Decided: ...


class _Culprit(Exception):
    """The event that Postgres refuses."""

    def __init__(self, event_id: str, refusal: Refused) -> None:
        super().__init__(event_id)
        self.event_id = event_id
        self.refusal = refusal


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
    await _check_limit(connection, place, decided, manner.limit)
    return decided


async def apply_one_by_one(
    connection: "Connection", place: Place, entries: Sequence[Entry], manner: Manner
) -> Decided:
    """The same with a savepoint for each event; what Postgres refuses becomes a dead letter.

    Raises PartitionHalted where too many are dead.
    """
    refusals: dict[str, Exception] = dict(manner.known)
    limit = manner.limit
    while True:
        try:
            async with connection.transaction():
                folded = await _decide(connection, place, entries, replace(manner, known=refusals))
                places = places_of(place, entries, folded)
                for entry, result in zip(entries, folded, strict=True):
                    await _write_changes(connection, result, manner)
                    one = decide_batch(place, [entry], [result], places, manner.broker_ms)
                    write = partial(_write_records, connection, one)
                    await _guarded(connection, result.request.id, write)
                decided = await _calculate(
                    connection,
                    manner,
                    decide_batch,
                    place,
                    entries,
                    folded,
                    broker_ms=manner.broker_ms,
                )
                await _check_limit(connection, place, decided, limit)
                return decided
        except _Culprit as culprit:
            if culprit.event_id in refusals:
                raise culprit.refusal from culprit  # even as a dead letter: our bug
            refusals[culprit.event_id] = culprit.refusal
            if limit is not None and len(refusals) - len(manner.known) >= limit:
                last = culprit.refusal.error_class
                raise PartitionHalted(
                    f"Postgres refuses {limit} events of one batch, the last with {last}",
                    "too-many-dead-letters",
                ) from culprit


async def _decide(
    connection: "Connection", place: Place, entries: Sequence[Entry], manner: Manner
) -> list[Folded]:
    batch: Batch = [(dead_letters.to_event(place, entry), entry.append_time) for entry in entries]
    states = await _load(connection, batch, manner)
    return await _calculate(connection, manner, fold_batch, states, batch, manner.known)


async def _load(connection: "Connection", batch: Batch, manner: Manner) -> dict[str, State]:
    """What the batch touches; for each redrive also what is held, and what that touches.

    For what is known to be dead nothing is loaded: that may be what could not be done in time.
    """
    events = [event for event, _ in batch]
    held = await _load_held(connection, events, manner)
    requests = [event for event in events if isinstance(event, Request)]
    for quarantine in held.values():
        kept = [each.event for each in (quarantine.dead, *quarantine.parked) if each is not None]
        requests.extend(event for event in kept if isinstance(event, Request))
    alive = [request for request in requests if request.id not in manner.known]
    touched = await _calculate(connection, manner, touches, alive)
    for event in events:
        if event.organisation_id and (isinstance(event, Request) or event.has_resource):
            touched.setdefault(event.organisation_id, Touch())
    states = await load_states(connection, touched)
    for (organisation_id, key), quarantine in held.items():
        states[organisation_id].quarantines[key] = quarantine
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
        if isinstance(event, Request) and event.is_about_dead
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


async def _check_limit(
    connection: "Connection", place: Place, decided: Decided, limit: int | None
) -> None:
    """Halt before the dead letter that is one too many: then it is our bug, not the data's."""
    fresh = [letter for letter in decided.fates.letters() if letter.state == "dead"]
    if limit is None or not fresh:
        return
    where = (place.topic, place.partition, place.epoch)
    classes = _classes(letter.error_class for letter in fresh)
    for letter in fresh:
        first = letter.offset - RECENT_OFFSETS + 1
        if await dead_letter.count_recent(connection, *where, first, letter.offset) >= limit:
            raise PartitionHalted(
                f"{limit} dead letters among {RECENT_OFFSETS} offsets up to {letter.offset} "
                f"({classes})",
                "too-many-dead-letters",
            )
    if await dead_letter.count_in_a_row(connection, *where, limit) >= limit:
        raise PartitionHalted(f"{limit} dead letters in a row ({classes})", "too-many-dead-letters")


def _classes(error_classes: Iterable[str]) -> str:
    return ", ".join(sorted(set(error_classes)))
