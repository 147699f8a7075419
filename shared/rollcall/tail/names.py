"""Which `userName`s the pending creates of an organisation take, without a base.

Where Postgres is away nothing can be folded. That a create of the same name is on the log is known
all the same, so a repeat of it can be refused. A later removal or renaming frees the name again.
"""

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rollcall.applying.understand import drop_expired, understand
from rollcall.events.bodies import Create, Delete
from rollcall.kafka.feed import Record
from rollcall.tail.batch import THREAD_RECORDS
from rollcall.tail.partition import PartitionTail

MOST_ORGANISATIONS: Final = 100
"""Organisations of which the names are kept."""


@dataclass(slots=True)
class PendingNames:
    """The names of the records from `begin` to below `position`, in the log of `generation`."""

    generation: int
    begin: int
    position: int
    _owners: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def take(self, records: Sequence[Record], position: int) -> None:
        """Take in the organisation's records from `self.position` to below `position`."""
        for entry in drop_expired(understand(records).entries):
            request = entry.request
            if request is None or not request.is_member:
                continue
            if isinstance(request.body, Create):
                self._names[request.resource_id] = request.body.name_key
                self._owners[request.body.name_key] = request.resource_id
            elif isinstance(request.body, Delete) or request.name_key is not None:
                held = self._names.get(request.resource_id)
                if held is not None and held != request.name_key:
                    self._free(request.resource_id, held)
        self.position = position

    def has(self, name_key: str) -> bool:
        """Whether a pending create takes the name, and nothing behind it gives it back."""
        return name_key in self._owners

    def _free(self, resource_id: str, name_key: str) -> None:
        del self._names[resource_id]
        if self._owners.get(name_key) == resource_id:
            del self._owners[name_key]


class Names:
    """The pending names of the organisations that were asked for. One per process."""

    def __init__(self, most_pending: int) -> None:
        self._most_pending = most_pending
        self._kept: OrderedDict[str, PendingNames] = OrderedDict()

    async def has(self, tail: PartitionTail, organisation_id: str, name_key: str) -> bool:
        """Whether a pending create of the organisation takes the name.

        False where the log is not read, or too much is pending.
        """
        position = tail.position
        if position is None or not tail.has_pending(organisation_id):
            self._kept.pop(organisation_id, None)
            return False
        names = self._kept.get(organisation_id)
        if names is None or (names.generation, names.begin) != (tail.generation, tail.next_offset):
            names = PendingNames(tail.generation, tail.next_offset, tail.next_offset)
        records = tail.records(organisation_id, names.position, position)
        if len(records) > self._most_pending:
            return False
        if len(records) > THREAD_RECORDS:
            names = copy.deepcopy(names)  # others may ask meanwhile
            await asyncio.to_thread(names.take, records, position)
        else:
            names.take(records, position)
        self._kept[organisation_id] = names
        self._kept.move_to_end(organisation_id)
        while len(self._kept) > MOST_ORGANISATIONS:
            self._kept.popitem(last=False)
        return names.has(name_key)
