"""How heavy a batch is before anything of it is loaded, and how it is cut into parts. No I/O.

The rule. Each event makes a new version of its resource, which is kept until its reply is sent; so
an event weighs what its resource weighs and what it brings itself, as often as there are events:
a thousand changes of one large member weigh a thousand large members. Bytes of JSON are counted
and multiplied by what Python makes of them (`FACTOR`). Beside it counts what it may calculate
(`rollcall.scim.work.most_work`), because it does so in a transaction.

A part holds events in the log's order, as many as stay within both bounds, and at least one. What
one event weighs has no bound here: it goes alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from rollcall.applying.understand import Entry
from rollcall.events.request import Request
from rollcall.events.topics import MEBIBYTE
from rollcall.kafka.feed import Record, size_bytes
from rollcall.scim import work
from rollcall.scim.limits import MAX_RESOURCE_BYTES

Resource = tuple[str, str, str]
"""(organisation, endpoint, resource)"""

FACTOR: Final = 16
"""Bytes of memory that a byte of JSON becomes at most. Measured with Python 3.11: 15 for lists of
`{"value":"1a"}`, 4 for texts with one emoji in each, 2 for an ordinary member."""
EVENT_BYTES: Final = 4096
"""What each event takes beside its JSON: request, decision, outcome, audit row."""
MEMBERSHIP_BYTES: Final = 1024
"""What a membership takes that is loaded: the group of a member with its row, or the id of one of
all members of a group with the change that removes it."""
PART_BYTES: Final = 64 * MEBIBYTE
"""What a part may weigh; a slice of records, read as a whole, at most half as much."""
SLICE_BYTES: Final = PART_BYTES // FACTOR // 2
PART_WORK: Final = work.UNITS_PER_SECOND
"""A second, far from the ten after which Postgres ends an idle transaction."""
THREAD_BYTES: Final = 256 * 1024
"""Bytes of JSON, loaded or brought, beyond which a part is calculated in a thread."""
THREAD_WORK: Final = work.UNITS_PER_SECOND // 100


@dataclass(frozen=True, slots=True)
class Sizes:
    """What Postgres holds of the resources that events name; what is absent holds nothing.

    `documents`: bytes of JSON. `memberships`: a member's groups, and the members of a group that
    is read whole. `held`: bytes of the events that are dead and parked there.
    """

    documents: Mapping[Resource, int] = field(default_factory=lambda: MappingProxyType({}))
    memberships: Mapping[Resource, int] = field(default_factory=lambda: MappingProxyType({}))
    held: Mapping[Resource, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Weight:
    """Of one event, or of a part: bytes of JSON, of memory, and units of work, all at most."""

    json_bytes: int = 0
    memory_bytes: int = 0
    work: int = 0

    def __add__(self, other: "Weight") -> "Weight":
        return Weight(
            self.json_bytes + other.json_bytes,
            self.memory_bytes + other.memory_bytes,
            self.work + other.work,
        )

    @property
    def is_heavy(self) -> bool:
        """Whether it would hold the event loop: it is calculated in a thread."""
        return self.json_bytes > THREAD_BYTES or self.work > THREAD_WORK


@dataclass(frozen=True, slots=True)
class Part:
    """Entries that are applied in one transaction, and what they weigh together."""

    entries: Sequence[Entry]
    weights: Sequence[Weight]

    @property
    def weight(self) -> Weight:
        """Of all its entries."""
        return sum(self.weights, Weight())

    def divided(self, size: int) -> list["Part"]:
        """Parts in order, of so many entries each."""
        return [
            Part(self.entries[begin : begin + size], self.weights[begin : begin + size])
            for begin in range(0, len(self.entries), size)
        ]


def is_large(records: Sequence[Record]) -> bool:
    """Whether records are better read in a thread."""
    return sum(len(record.value or b"") for record in records) > THREAD_BYTES


def slices(records: Sequence[Record], most_bytes: int = SLICE_BYTES) -> Iterator[Sequence[Record]]:
    """The records in order, in slices of at most so many bytes, or of one record."""
    begin, size = 0, 0
    for index, record in enumerate(records):
        weight = size_bytes(record)
        if index > begin and size + weight > most_bytes:
            yield records[begin:index]
            begin, size = index, 0
        size += weight
    if begin < len(records):
        yield records[begin:]


def weigh(entries: Sequence[Entry], sizes: Sizes) -> list[Weight]:
    """What each of the entries weighs, applied in this order on what `sizes` says."""
    present: dict[Resource, int] = {}
    return [_weigh(entry, sizes, present) for entry in entries]


def cut(
    entries: Sequence[Entry],
    weights: Sequence[Weight],
    *,
    most_bytes: int = PART_BYTES,
    most_work: int = PART_WORK,
) -> list[Part]:
    """The entries in order, in parts within the bounds, or of one entry."""
    parts: list[Part] = []
    begin, so_far = 0, Weight()
    for index, weight in enumerate(weights):
        grown = so_far + weight
        if index > begin and (grown.memory_bytes > most_bytes or grown.work > most_work):
            parts.append(Part(entries[begin:index], weights[begin:index]))
            begin, grown = index, weight
        so_far = grown
    if begin < len(entries):
        parts.append(Part(entries[begin:], weights[begin:]))
    return parts


def resource_of(request: Request) -> Resource:
    """The resource that a request is about."""
    return request.organisation_id, request.endpoint, request.resource_id


def _weigh(entry: Entry, sizes: Sizes, present: dict[Resource, int]) -> Weight:
    """`present`: bytes of the resources as the entries before it leave them, at most."""
    given = len(entry.record.value or b"")
    request = entry.request
    if request is None:
        return Weight(given, FACTOR * given + EVENT_BYTES, work.of_bytes(given))
    resource = resource_of(request)
    held = sizes.held.get(resource, 0) if request.is_about_dead else 0
    found = present.get(resource, sizes.documents.get(resource, 0))
    json_bytes = found + given + held
    # A PATCH may make a resource larger than it was up to the limit, and no larger.
    present[resource] = min(found + given + held, max(found, MAX_RESOURCE_BYTES))
    memory = FACTOR * json_bytes + EVENT_BYTES
    if request.is_member or (request.members is not None and request.members.clear):
        memory += MEMBERSHIP_BYTES * sizes.memberships.get(resource, 0)
    return Weight(json_bytes, memory, work.of_bytes(json_bytes) + _work(request, found))


def _work(request: Request, resource_bytes: int) -> int:
    """Units that a PATCH may come to; one that is not as it must be fails before it costs."""
    if not request.operations:
        return 0
    try:
        return work.most_work(request.operations, resource_bytes)
    except (LookupError, TypeError, AttributeError):
        return 0
