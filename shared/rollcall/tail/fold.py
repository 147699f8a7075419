"""One organisation's records of the tail, folded in order with the provisioner's own steps. Pure.

What the fold of an organisation gives at an offset is the very reply that the provisioner will
send, because both run `rollcall.directory.fold` over the same records and rows. It takes turns with
its caller: `wanted` says what to load for some entries, the caller loads it, `take` takes it in,
`fold` goes on to the last of the entries.

Some records end that. What they do is not known here before it is applied (`Barrier`): the fold
stops in front of one, and begins behind it once Postgres has applied it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rollcall.applying import dead_letters
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.understand import Entry, ForeignEvent, drop_duplicates, drop_expired
from rollcall.directory.changes import Change
from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.state import State
from rollcall.directory.touch import Touch, touches
from rollcall.events.bodies import EndOrganisation
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.postgres.tail_read import Read, Wanted
from rollcall.tail.held import GroundMoved, Held

Why = Literal["left", "about dead letters", "erasure"]


@dataclass(frozen=True, slots=True)
class Barrier:
    """A record behind which nothing is known until it is applied."""

    offset: int
    why: Why


@dataclass(frozen=True, slots=True)
class Verdict:
    """What will be answered to the event that stands at this offset."""

    event_id: str
    offset: int
    reply: Reply


@dataclass(slots=True)
class OrganisationFold:
    """The records of one organisation below `position`, folded over what was applied at `begin`.

    `held` is None before the first load; `directory` is the one that was loaded. `source` is the
    organisation's partition in the epoch of the log that is applied. `folded` counts the records
    since `begin`.
    """

    organisation_id: str
    source: SourceLog
    position: int = 0
    begin: int = 0
    folded: int = 0
    held: Held | None = None
    directory: int = 0
    _seen: set[str] = field(default_factory=set)

    def wanted(self, entries: Sequence[Entry]) -> Wanted:
        """What to load before these entries can be folded. Never nothing: copies are asked for."""
        touch = self._touch(entries)
        ids = [each.event_id for each in entries if each.event_id is not None]
        return Wanted(
            touch if self.held is None else self.held.missing(touch),
            event_ids=frozenset(ids),
        )

    def take(self, read: Read, wanted: Wanted) -> bool:
        """Take in what was loaded; False where `position` has changed by that.

        Raises GroundMoved where the log that is applied is another one, or goes back.
        """
        if self.held is not None:
            if read.epoch != self.source.epoch:
                raise GroundMoved("another log was accepted")
            if read.directory != self.directory:
                raise GroundMoved("the directory was rebuilt")
            if read.next_offset < self.begin:
                raise GroundMoved("less is applied than before")
            if read.next_offset <= self.position:
                self.held.take(read.state, wanted.touch)
                return True
        self._begin(read)
        return False

    def covers(self, read: Read) -> bool:
        """Whether what is held and what was read give the directory at `position` together."""
        return (
            self.held is not None
            and (read.epoch, read.directory) == (self.source.epoch, self.directory)
            and self.begin <= read.next_offset <= self.position
        )

    def is_loaded(self, entries: Sequence[Entry]) -> bool:
        """Whether nothing is missing to fold these entries, but for the question about copies."""
        return self.held is not None and self.held.missing(self._touch(entries)) == Touch()

    def fold(self, entries: Sequence[Entry], applied_ids: set[str]) -> list[Verdict]:
        """Fold entries at or above `position`, none of them a barrier; what each is answered.

        `applied_ids`: of their ids, those that were applied before. A late record, a copy and a
        foreign one are answered nothing.
        """
        if self.held is None:
            raise LookupError("nothing was loaded")
        fresh = drop_duplicates(drop_expired(entries), self._seen | applied_ids)
        self._seen.update(each.event_id for each in fresh if each.event_id is not None)
        batch = [(dead_letters.to_event(self.source, each), each.append_time) for each in fresh]
        folded = fold_batch({self.organisation_id: self.held.state}, batch)
        self.held.note(_changes(folded))
        self.folded += len(entries)
        if entries:
            self.position = entries[-1].record.offset + 1
        return [
            Verdict(each.request.id, entry.record.offset, reply)
            for entry, each in zip(fresh, folded, strict=True)
            if (reply := self._reply(entry, each)) is not None
        ]

    def reached(self, position: int) -> None:
        """There is no record of the organisation from `self.position` up to this offset."""
        self.position = max(self.position, position)

    def _touch(self, entries: Sequence[Entry]) -> Touch:
        requests = [each.request for each in entries if each.request is not None]
        return touches(requests).get(self.organisation_id) or Touch()

    def _begin(self, read: Read) -> None:
        """Begin where Postgres is, with nothing held: what was loaded is loaded again as needed."""
        self.source = SourceLog(self.source.topic, self.source.partition, read.epoch)
        self.begin = self.position = read.next_offset
        self.directory = read.directory
        self.folded = 0
        self._seen = set()
        self.held = Held(State(self.organisation_id))

    def _reply(self, entry: Entry, folded: Folded) -> Reply | None:
        if folded.error is None:
            return folded.reply
        if isinstance(entry.error, ForeignEvent):
            return None
        waiting = dead_letters.to_reply(self.source, entry)
        return None if waiting is None else waiting[1]


def barrier(entry: Entry) -> Barrier | None:
    """The barrier that a record is, if it is one."""
    request = entry.request
    if request is None:
        event = entry.event
        if event is not None and event.type.startswith(dead_letters.ABOUT_DEAD):
            return Barrier(entry.record.offset, "about dead letters")
        return None
    if entry.is_expired or not (request.is_about_dead or request.is_final):
        return None
    return Barrier(entry.record.offset, _why(request))


def _why(request: Request) -> Why:
    if request.is_about_dead:
        return "about dead letters"
    return "left" if isinstance(request.body, EndOrganisation) else "erasure"


def _changes(folded: Sequence[Folded]) -> list[Change]:
    return [
        change for each in folded if each.decision is not None for change in each.decision.changes
    ]
