"""What happens to dead and parked events in one batch, collapsed so that each row is written once.

An event may die, be redriven and wait again within one batch; only the net result is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from rollcall.applying import dead_letters
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.understand import Entry
from rollcall.directory.cause import cause_of
from rollcall.directory.quarantine import Held
from rollcall.directory.redrive import Redriven
from rollcall.postgres import dead_letter, parked
from rollcall.postgres.dead_letter import DeadLetter, State, Tried
from rollcall.postgres.parked import Parked, ParkedOrganisation

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

EventResult = Literal["dead", "parked", "redriven", "discarded", "applied"]
_NO_LETTER: Final = frozenset({"parked", "applied"})


@dataclass(slots=True)
class _Event:
    """One event: its state before the batch (None if it arrived in the batch) and its state now."""

    was: Literal["dead", "parked"] | None
    now: EventResult
    entry: Entry | None = None
    error: Exception | None = None
    attempts: int = 0
    announced: int = 1
    by_organisation: bool = False
    cause: str | None = None


@dataclass(slots=True)
class EventResults:
    """Collects what happens to events, in order, and writes the net result."""

    source: SourceLog
    parks: list[ParkedOrganisation] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)
    _events: dict[str, _Event] = field(default_factory=dict)
    _moved: list[str] = field(default_factory=list)

    def died(self, event_id: str, entry: Entry, error: Exception) -> None:
        """Note that an event of the batch could not be applied."""
        self._events[event_id] = _Event(None, "dead", entry, error, attempts=1)

    def parked(self, event_id: str, entry: Entry, *, by_organisation: bool) -> None:
        """Note that an event of the batch waits, behind its resource or for its organisation."""
        self._events[event_id] = _Event(None, "parked", entry, by_organisation=by_organisation)

    def parks_organisation(self, event_id: str, organisation_id: str, entry: Entry) -> None:
        """Note that all later events of an organisation wait behind this one."""
        self.parks.append(
            ParkedOrganisation(
                organisation_id,
                event_id,
                self.source.topic,
                self.source.partition,
                entry.record.offset,
                entry.append_time,
                self.source.epoch,
            )
        )

    def released(self, organisation_id: str, *, is_free: bool) -> None:
        """Note that a release processed waiting events; `is_free`: none are left."""
        if is_free:
            self.freed.append(organisation_id)

    def redriven(self, redriven: Redriven) -> None:
        """Note that held events were discarded, were applied, or failed."""
        if redriven.discarded is not None:
            self._of(redriven.discarded).now = "discarded"
        for step in redriven.applied:
            event = self._of(step.held)
            event.now = "redriven" if step.held.attempts else "applied"
        self._moved.extend(held.event.id for held in redriven.moved)
        for step in redriven.failures:
            event = self._of(step.held)
            event.now, event.error = "dead", step.result.error
            event.attempts, event.announced = step.held.attempts + 1, step.held.announced + 1
            event.cause = cause_of(step.held.event)

    def letters(self) -> list[DeadLetter]:
        """The batch's records to keep as letters: those that were dead at any time in it."""
        return [
            dead_letters.to_letter(
                self.source,
                event.entry,
                event.error or LookupError("discarded"),
                state=_state(event.now),
                attempts=event.attempts,
                announced=event.announced,
            )
            for event in self._events.values()
            if event.entry is not None and event.now not in _NO_LETTER
        ]

    def waiting(self) -> list[Parked]:
        """The batch's records that are parked."""
        return [
            dead_letters.to_parked(self.source, event.entry, by_organisation=event.by_organisation)
            for event in self._events.values()
            if event.entry is not None and event.now == "parked"
        ]

    async def write(self, connection: "Connection") -> None:
        """Write the rows inside the batch's transaction: first what ends, then what begins."""
        if not (self._events or self._moved or self.freed):
            return
        await dead_letter.update(connection, self._tried("dead"))
        await parked.make_dead(connection, self._tried("parked"))
        await parked.delete(
            connection,
            [
                event_id
                for event_id, event in self._events.items()
                if event.was == "parked" and event.now == "applied"
            ],
        )
        await parked.move_behind_resources(connection, self._moved)
        await parked.free_organisations(connection, self.freed)
        await dead_letter.record(connection, self.letters())
        await parked.park_organisations(connection, self.parks)
        await parked.record(connection, self.waiting())

    def _tried(self, was: Literal["dead", "parked"]) -> Sequence[Tried]:
        return [
            Tried(
                event_id,
                _state(event.now),
                event.attempts,
                event.announced,
                None if event.error is None else dead_letters.error_class(event.error),
                None if event.error is None else dead_letters.summary(event.error),
                event.cause,
            )
            for event_id, event in self._events.items()
            if event.was == was and event.now not in _NO_LETTER
        ]

    def _of(self, held: Held) -> _Event:
        """The note of an event; made from the loaded row if the batch has none yet."""
        was: Literal["dead", "parked"] = "dead" if held.attempts else "parked"
        return self._events.setdefault(
            held.event.id, _Event(was, was, attempts=held.attempts, announced=held.announced)
        )


def _state(result: EventResult) -> State:
    """The state of a letter. Raises LookupError if the event is not a letter."""
    match result:
        case "dead" | "redriven" | "discarded":
            return result
        case _:
            raise LookupError(f"what is {result} is no dead letter")
