"""The overlay: what this replica has accepted and has not seen applied yet. In memory, bounded.

A read is Postgres's state with these requests folded in. README.md of this folder has the rules by
which they are kept, dropped and forgotten.
"""

from collections.abc import Iterable, KeysView, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from rollcall.events.bodies import Create, Delete
from rollcall.events.envelope import from_milliseconds
from rollcall.events.request import Endpoint, Request
from rollcall.observability.metrics import (
    INGRESS_OVERLAY_BYTES,
    INGRESS_OVERLAY_FORGOTTEN,
    INGRESS_OVERLAY_REQUESTS,
)
from rollcall_ingress.behind.accepted import Accepted, Node, Prepared
from rollcall_ingress.behind.index import OrganisationIndex

MAX_REQUESTS: Final = 50_000
"""Requests kept at once: as many of the smallest (`accepted.ENTRY_BYTES`) as `MAX_BYTES` hold."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Memory that they may take: a sixteenth of what the manifests give to a replica."""
ANOTHER_LOG_MS: Final = 5_000
"""Append times follow offsets in one log, but for the clocks of two leaders."""
_NOTHING: Final[dict[str, int]] = {}

Sight = Literal["current", "outdated", "another log"]
"""What a read's epoch says: that it may be used, that it is older than the accepted log, or that
all that was selected for it belongs to a log that is no more."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: requests, and bytes of memory."""

    requests: int = MAX_REQUESTS
    bytes: int = MAX_BYTES


@dataclass(slots=True)
class _Partition:
    """Entries by offset, in about that order.

    What this process accepted begins at `began_at` (None: not known yet); of that, some below
    `forgotten_below` is forgotten. `last` is the greatest offset that an acknowledgement named,
    and its append time; `epoch` is that of the last read. `has_left_epoch`: an acknowledgement has
    shown another log than that of `epoch`, which the operator has not accepted yet. From
    `unbroken_from` on, every record up to `last` is one of ours (None: nothing is known).
    """

    entries: dict[int, Accepted] = field(default_factory=dict)
    began_at: int | None = None
    forgotten_below: int = 0
    doubted_until_s: float = float("-inf")
    last: tuple[int, int] = (-1, 0)
    epoch: int | None = None
    has_left_epoch: bool = False
    unbroken_from: int | None = None


Place = tuple[int, int]
"""(partition, offset)"""


class Overlay:
    """Accepted requests by organisation and partition, and which of them a look-up needs."""

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self._bounds = bounds
        self._partitions: dict[int, _Partition] = {}
        self._organisations: dict[str, OrganisationIndex] = {}
        self._places: dict[str, Place] = {}  # request id → place, the oldest first
        self._sending: dict[str, Request] = {}
        self._decided_early: set[str] = set()
        self._names_sending: dict[tuple[str, str], set[str]] = {}
        self._dropped_below: dict[str, tuple[int, int]] = {}  # organisation → partition, offset
        self._bytes = 0
        self._number = 0

    @property
    def last_number(self) -> int:
        """The number of the request that was accepted last."""
        return self._number

    @property
    def size_bytes(self) -> int:
        """Bytes of memory that the accepted requests take."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._places)

    def begin_at(self, ends: Mapping[int, int]) -> None:
        """Partition → the end of its log, asked for just now: below it may be what others sent."""
        for number, end in ends.items():
            self._partition(number).began_at = end

    def begin(self, request: Request) -> None:
        """The request is about to be sent."""
        self._sending[request.id] = request
        if request.is_member and isinstance(request.body, Create):
            name = (request.organisation_id, request.body.name_key)
            self._names_sending.setdefault(name, set()).add(request.id)

    def abandon(self, request: Request) -> None:
        """It was not accepted, or that is not known; its sender is answered 503."""
        self._end_sending(request)
        self._decided_early.discard(request.id)

    def doubt(self, partition: int, until_s: float) -> None:
        """Something unknown to this replica may be in the log, or be appended until `until_s`.

        Seconds of the clock that `resolve` is given.
        """
        known = self._partition(partition)
        known.began_at = None
        known.doubted_until_s = max(known.doubted_until_s, until_s)

    def resolve(self, partition: int, end: int, now_s: float) -> None:
        """The log's end was asked for: from now on it is what must be applied, if not doubted."""
        known = self._partition(partition)
        if known.began_at is None and now_s >= known.doubted_until_s:
            known.began_at = end

    def acknowledged(self, partition: int, offset: int, append_time_ms: int) -> None:
        """The broker has appended something of ours; called in the order of acknowledgements.

        Offsets rise in it, within one log. Where an acknowledgement was read late, and a later one
        before it, its append time is the earlier one as well.
        """
        known = self._partition(partition)
        last_offset, last_ms = known.last
        if offset <= last_offset and append_time_ms > last_ms:
            self._begin_another_log(partition)
            known.has_left_epoch = True
        if known.unbroken_from is None or offset != known.last[0] + 1:
            known.unbroken_from = max(offset, known.last[0] + 1)
        if offset > known.last[0]:
            known.last = offset, append_time_ms

    def settle(self, request: Request, partition: int, offset: int, append_time_ms: int) -> None:
        """Its sender has the reply: it is applied or refused, and so is all before it."""
        self._end_sending(request)
        self._decided_early.discard(request.id)
        self._note(request, partition, offset, append_time_ms)
        self._decided_at(partition, offset)

    def accept(self, prepared: Prepared, partition: int, offset: int, append_time_ms: int) -> None:
        """The broker appended it in time and it is not decided: from now on, reads see it."""
        request = prepared.request
        self._end_sending(request)
        self._note(request, partition, offset, append_time_ms)
        self._number += 1
        entry = Accepted(self._number, offset, from_milliseconds(append_time_ms), prepared)
        if request.id in self._decided_early:  # its reply overtook the acknowledgement
            self._decided_early.discard(request.id)
            self._decided_at(partition, offset)
            return
        if request.is_about_dead or request.id in self._places:
            return
        self._keep(entry, partition)
        while len(self._places) > self._bounds.requests or self._bytes > self._bounds.bytes:
            self._forget_oldest()

    def withdraw(self, request: Request) -> None:
        """It was accepted, and will be refused."""
        self.abandon(request)
        if (place := self._places.get(request.id)) is not None:
            self._drop(*place)

    def decided(self, request_id: str) -> None:
        """A reply to it was seen: it is applied or refused, and so is all before it."""
        if request_id in self._sending:
            self._decided_early.add(request_id)
        elif (place := self._places.get(request_id)) is not None:
            self._decided_at(*place)

    def _decided_at(self, partition: int, offset: int) -> None:
        """A reply shows that this log is applied, and that all up to the offset is decided."""
        self._partition(partition).has_left_epoch = False
        self.applied(partition, offset + 1)

    def applied_of(self, partition: int, epoch: int, next_offset: int) -> int:
        """How far the log is applied that Kafka has now, by a read of this epoch: 0 if another."""
        known = self._partition(partition)
        is_left = known.has_left_epoch and (known.epoch is None or epoch <= known.epoch)
        return 0 if is_left else next_offset

    def read_at(self, partition: int, epoch: int, next_offset: int) -> Sight:
        """A read has found everything below `next_offset` of this epoch's log applied.

        `next_offset` is what `applied_of` says of it.
        """
        known = self._partition(partition)
        if known.epoch is not None and epoch < known.epoch:
            return "outdated"
        if known.epoch is not None and epoch > known.epoch and known.has_left_epoch:
            known.has_left_epoch = False  # what is kept is of the log that is accepted now
        elif known.epoch is not None and epoch > known.epoch:
            self._begin_another_log(partition)
            known.epoch = epoch
            return "another log"
        known.epoch = epoch
        self.applied(partition, next_offset)
        return "current"

    def applied(self, partition: int, next_offset: int) -> None:
        """Postgres holds everything below `next_offset` of the partition."""
        kept = self._partition(partition).entries
        while kept:
            offset = next(iter(kept))
            if offset >= next_offset:
                return
            organisation_id = self._drop(partition, offset).request.organisation_id
            before = self._dropped_below.get(organisation_id, (partition, 0))[1]
            self._dropped_below[organisation_id] = (partition, max(before, offset + 1))

    def end_of(self, partition: int) -> int:
        """The offset behind the last record of ours that Kafka has acknowledged."""
        return self._partition(partition).last[0] + 1

    def has_pending_name(self, organisation_id: str, user_name_key: str) -> bool:
        """Whether a create that is on its way or not decided yet takes this `userName`.

        A later request that frees the name again (a removal, another name) counts as well.
        """
        if (organisation_id, user_name_key) in self._names_sending:
            return True
        found = self.entries(organisation_id, [("user_name", user_name_key)])
        created = [entry for entry in found if isinstance(entry.request.body, Create)]
        return any(
            self._keeps_name(organisation_id, entry, user_name_key) for entry in created[-1:]
        )

    def is_empty_for(self, organisation_id: str) -> bool:
        """Whether nothing of the organisation waits: Postgres alone knows all that we know."""
        return organisation_id not in self._organisations

    def is_complete(self, partition: int, next_offset: int) -> bool:
        """Whether nothing at or above `next_offset` that this replica accepted is forgotten."""
        known = self._partition(partition)
        return known.began_at is not None and next_offset >= max(
            known.began_at, known.forgotten_below
        )

    def is_unbroken(self, partition: int, next_offset: int) -> bool:
        """Whether all that is on the log from `next_offset` on was accepted here.

        What others accepted in between is missing in a fold, so its result has no version.
        """
        begins = self._partition(partition).unbroken_from
        return begins is not None and next_offset >= begins

    def is_stale(self, organisation_id: str, next_offset: int) -> bool:
        """Whether something of the organisation was dropped that a read at `next_offset` lacks."""
        return self._dropped_below.get(organisation_id, (0, 0))[1] > next_offset

    def entries(self, organisation_id: str, nodes: Iterable[Node]) -> list[Accepted]:
        """The accepted requests that have one of the nodes, in no order; each once a node."""
        kept = self._organisations.get(organisation_id)
        return [] if kept is None else kept.find(nodes)

    def removed_members(self, organisation_id: str) -> list[str]:
        """Ids of members that accepted requests remove."""
        kept = self._organisations.get(organisation_id)
        if kept is None:
            return []
        return [kept.entries[offset].request.resource_id for offset in kept.deletes]

    def has_node(self, organisation_id: str, node: Node) -> bool:
        """Whether an accepted request has this node."""
        kept = self._organisations.get(organisation_id)
        return kept is not None and next(kept.offsets(node), None) is not None

    def pending(self, endpoint: Endpoint, organisation_id: str) -> KeysView[str]:
        """Ids of the Users or Groups that accepted requests are about."""
        kept = self._organisations.get(organisation_id)
        return kept.about[endpoint].keys() if kept is not None else _NOTHING.keys()

    def _keeps_name(self, organisation_id: str, created: Accepted, user_name_key: str) -> bool:
        """Whether nothing behind the create takes its name away again."""
        about = self.entries(organisation_id, [created.prepared.resource])
        later = [entry.request for entry in about if entry.offset > created.offset]
        return not any(
            isinstance(request.body, Delete) or request.name_key not in (None, user_name_key)
            for request in later
        )

    def _note(self, request: Request, partition: int, offset: int, append_time_ms: int) -> None:
        """Learn from an acknowledgement where the log is: it may be another one than before."""
        known = self._partition(partition)
        last_offset, last_ms = known.last
        here = known.entries.get(offset)
        is_taken = here is not None and here.request.id != request.id
        if offset > last_offset:
            known.last = offset, append_time_ms
        elif is_taken or append_time_ms > last_ms + ANOTHER_LOG_MS:
            self._begin_another_log(partition)
            known.last = offset, append_time_ms

    def _begin_another_log(self, partition: int) -> None:
        """Nothing that is known of the partition's old log says anything about the new one."""
        known = self._partition(partition)
        for offset in list(known.entries):
            self._drop(partition, offset)
        self._dropped_below = {
            organisation_id: place
            for organisation_id, place in self._dropped_below.items()
            if place[0] != partition
        }
        known.began_at, known.forgotten_below, known.last = None, 0, (-1, 0)
        known.unbroken_from = None

    def _keep(self, entry: Accepted, partition: int) -> None:
        request = entry.request
        self._places[request.id] = (partition, entry.offset)
        self._partition(partition).entries[entry.offset] = entry
        self._weigh(entry.prepared.size_bytes)
        self._organisations.setdefault(request.organisation_id, OrganisationIndex()).keep(entry)

    def _drop(self, partition: int, offset: int) -> Accepted:
        entry = self._partition(partition).entries.pop(offset)
        request = entry.request
        del self._places[request.id]
        self._weigh(-entry.prepared.size_bytes)
        kept = self._organisations[request.organisation_id]
        kept.drop(entry)
        if not kept.entries:
            del self._organisations[request.organisation_id]
        return entry

    def _weigh(self, added_bytes: int) -> None:
        self._bytes += added_bytes
        INGRESS_OVERLAY_BYTES.set(self._bytes)
        INGRESS_OVERLAY_REQUESTS.set(len(self._places))

    def _forget_oldest(self) -> None:
        INGRESS_OVERLAY_FORGOTTEN.inc()
        partition_number, offset = next(iter(self._places.values()))
        self._drop(partition_number, offset)
        partition = self._partition(partition_number)
        partition.forgotten_below = max(offset + 1, partition.forgotten_below)

    def _end_sending(self, request: Request) -> None:
        self._sending.pop(request.id, None)
        name = (request.organisation_id, request.name_key or "")
        if (ids := self._names_sending.get(name)) is not None:
            ids.discard(request.id)
            if not ids:
                del self._names_sending[name]

    def _partition(self, number: int) -> _Partition:
        found = self._partitions.get(number)
        if found is None:
            found = self._partitions[number] = _Partition()
        return found
