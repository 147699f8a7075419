"""Estimate the weight of a batch before it is loaded, and cut it into parts. No I/O.

The rule. Each event makes a new version of its resource, which is kept until its reply is sent. So
the weight of an event is that of its resource plus that of its own data, and a thousand changes of
one large member weigh as much as a thousand large members. Weight is bytes of JSON times the memory
that Python needs for one (`FACTOR`). The units of work that an event may cost
(`rollcall.scim.work.most_work`) are bounded too, because they are spent inside a transaction.

A part holds events in the log's order, as many as fit within both bounds, but at least one. A
single event of any weight gets a part of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from rollcall.applying.understand import Entry
from rollcall.events.bodies import Patch
from rollcall.events.request import Request
from rollcall.events.topics import MEBIBYTE
from rollcall.kafka.feed import Record, size_bytes
from rollcall.scim import work
from rollcall.scim.limits import MAX_RESOURCE_BYTES

Resource = tuple[str, str, str]
"""(organisation, endpoint, resource)"""

FACTOR: Final = 16
"""Most bytes of memory for one byte of JSON. Measured with Python 3.11: 15 for lists of
`{"value":"1a"}`, 4 for texts with one emoji each, 2 for an ordinary member."""
EVENT_BYTES: Final = 4096
"""Bytes of memory for each event besides its JSON: request, decision, outcome, audit row."""
MEMBERSHIP_BYTES: Final = 1024
"""Bytes of memory for a loaded membership: a member's group with its row, or the id of a member in
a whole group together with the change that removes it."""
PART_BYTES: Final = 64 * MEBIBYTE
"""Most bytes of memory of a part. A slice of records, read as a whole, may take half of that."""
SLICE_BYTES: Final = PART_BYTES // FACTOR // 2
PART_WORK: Final = work.UNITS_PER_SECOND
"""One second of work; Postgres ends an idle transaction after ten."""
THREAD_BYTES: Final = 256 * 1024
"""A part with more bytes of JSON than this, loaded or sent, is calculated in a thread."""
THREAD_WORK: Final = work.UNITS_PER_SECOND // 100


@dataclass(frozen=True, slots=True)
class Sizes:
    """What Postgres holds of the resources that events name; a missing resource holds nothing.

    `documents`: bytes of JSON. `memberships`: the number of groups of a member, or of members of a
    group that is loaded whole. `held`: bytes of the dead and parked events of the resource.
    """

    documents: Mapping[Resource, int] = field(default_factory=lambda: MappingProxyType({}))
    memberships: Mapping[Resource, int] = field(default_factory=lambda: MappingProxyType({}))
    held: Mapping[Resource, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Weight:
    """Upper bounds for one event or one part: bytes of JSON, bytes of memory, units of work."""

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
        """Whether it would block the event loop, so that it is calculated in a thread."""
        return self.json_bytes > THREAD_BYTES or self.work > THREAD_WORK


@dataclass(frozen=True, slots=True)
class Part:
    """Entries that are applied in one transaction, with their weights.

    Not `is_measured`: the weights hold if no document is larger than `most_bytes`.
    """

    entries: Sequence[Entry]
    weights: Sequence[Weight]
    most_bytes: int | None = None

    @property
    def is_measured(self) -> bool:
        """Whether the sizes of what it loads were asked for."""
        return self.most_bytes is None

    @property
    def weight(self) -> Weight:
        """The sum over all entries."""
        return sum(self.weights, Weight())

    def divided(self, size: int) -> list["Part"]:
        """Parts of `size` entries each, in order."""
        return [
            replace(
                self,
                entries=self.entries[begin : begin + size],
                weights=self.weights[begin : begin + size],
            )
            for begin in range(0, len(self.entries), size)
        ]


def is_large(records: Sequence[Record]) -> bool:
    """Whether the records are large enough to be read in a thread."""
    return sum(len(record.value or b"") for record in records) > THREAD_BYTES


def slices(records: Sequence[Record], most_bytes: int = SLICE_BYTES) -> Iterator[Sequence[Record]]:
    """The records in order, in slices of at most `most_bytes` or of one record."""
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
    """The weights of the entries, applied in this order to resources of these sizes."""
    present: dict[Resource, int] = {}
    return [_weigh(entry, sizes, present) for entry in entries]


def cut(
    entries: Sequence[Entry],
    weights: Sequence[Weight],
    *,
    most_bytes: int = PART_BYTES,
    most_work: int = PART_WORK,
) -> list[Part]:
    """The entries in order, in parts within the bounds or of one entry."""
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
    """The resource that a request names."""
    return request.organisation_id, request.endpoint, request.resource_id


def _weigh(entry: Entry, sizes: Sizes, present: dict[Resource, int]) -> Weight:
    """The weight of one entry; `present`: most bytes of each resource after the entries before."""
    given = len(entry.record.value or b"")
    request = entry.request
    if request is None:
        return Weight(given, FACTOR * given + EVENT_BYTES, work.of_bytes(given))
    resource = resource_of(request)
    held = sizes.held.get(resource, 0) if request.is_about_dead else 0
    found = present.get(resource, sizes.documents.get(resource, 0))
    json_bytes = found + given + held
    # A PATCH can make a resource grow up to the limit, but not beyond.
    present[resource] = min(found + given + held, max(found, MAX_RESOURCE_BYTES))
    memory = FACTOR * json_bytes + EVENT_BYTES
    if request.is_member or (request.members is not None and request.members.clear):
        memory += MEMBERSHIP_BYTES * sizes.memberships.get(resource, 0)
    return Weight(json_bytes, memory, work.of_bytes(json_bytes) + _work(request, found))


def _work(request: Request, resource_bytes: int) -> int:
    """Most units that a PATCH may cost; 0 for a malformed one, which fails before it costs."""
    operations = request.body.operations if isinstance(request.body, Patch) else ()
    if not operations:
        return 0
    try:
        return work.most_work(operations, resource_bytes)
    except (LookupError, TypeError, AttributeError):
        return 0
