"""The tail of one partition in memory: its records from what is applied up to what is read. Pure.

Postgres says how far the partition is applied, and in which log. Whenever that contradicts what was
read, the ground has moved: everything is dropped, and the caller reads again from where Postgres is
(`generation` rises, so that no fold over what was dropped goes on).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from rollcall.kafka.feed import Look, Record, size_bytes
from rollcall.kafka.log_identity import difference
from rollcall.kafka.worker import PartitionHalted
from rollcall.postgres.progress import Progress

LATE_MS: Final = 1_500
"""Postgres is asked once a second how far all is applied, so in a partition that is up to date no
record is known for that long without being known to be applied."""


@dataclass(slots=True)
class PartitionTail:
    """`position`: everything below it was read; None before the log is compared.

    `applied` is what Postgres said last; `next_offset` may be beyond it, by a look-up. `differs`
    says why the log is not the one that is applied; while it is set, nothing here says anything.
    `rests_until_ms`: it held too much, and is not read until then (machine's time).
    """

    number: int
    applied: Progress | None = None
    next_offset: int = 0
    position: int | None = None
    generation: int = 0
    differs: PartitionHalted | None = None
    size_bytes: int = 0
    rests_until_ms: int = 0
    _old_below: int = 0
    _organisations: dict[str, deque[Record]] = field(default_factory=dict)
    _order: deque[tuple[int, str, int]] = field(default_factory=deque)

    @property
    def is_usable(self) -> bool:
        """Whether what is read here is the log that is applied, and no gap is in it."""
        return self.position is not None

    @property
    def count(self) -> int:
        """How many records are held."""
        return len(self._order)

    @property
    def is_caught_up(self) -> bool:
        """Whether all is read that was in the partition when its reading began."""
        return self.position is not None and self.position >= self._old_below

    def note_applied(self, progress: Progress) -> bool:
        """Take in what Postgres says; False where everything was dropped: compare, and begin."""
        before, self.applied = self.applied, progress
        if before is not None and self._continues(before, progress):
            self.trim(progress.next_offset)
            return True
        self._drop()
        self.next_offset = progress.next_offset
        return False

    def trim(self, next_offset: int) -> None:
        """Everything below this offset is applied: its records are dropped."""
        self.next_offset = max(self.next_offset, next_offset)
        order = self._order
        while order and order[0][0] < self.next_offset:
            _, organisation_id, _ = order.popleft()
            records = self._organisations[organisation_id]
            self.size_bytes -= size_bytes(records.popleft())
            if not records:
                del self._organisations[organisation_id]

    def add(self, record: Record, since_ms: int = 0) -> None:
        """Take in the next record that was read; it may be there since `since_ms` (machine's time).

        That is when the broker was heard before, and had it not.
        """
        self.position = record.offset + 1
        if record.offset < self.next_offset:
            return
        organisation_id = (record.key or b"").decode("utf-8", "replace")
        self._organisations.setdefault(organisation_id, deque()).append(record)
        self.size_bytes += size_bytes(record)
        self._order.append((record.offset, organisation_id, since_ms))

    def begin(self, look: Look) -> None:
        """Begin to read where Postgres is, if the log is the one that is applied.

        `look` is one around what is applied.
        """
        if self.applied is None or self.position is not None:
            return
        self.differs = difference(self.applied, look)
        if self.differs is None:
            self.position = self.next_offset = self.applied.next_offset
            self._old_below = look.end_offset

    def restart(self, rests_until_ms: int = 0) -> None:
        """Drop everything that was read: the log is not the one that it was, or it is too much."""
        self._drop()
        self.rests_until_ms = rests_until_ms

    def is_late(self, now_ms: int, late_ms: int = LATE_MS) -> bool:
        """Whether a record is not known to be applied, and may be there for `late_ms`.

        Of what was there before this replica, all counts.
        """
        if not self._order:
            return False
        offset, _, since_ms = self._order[0]
        return offset < self._old_below or now_ms - since_ms >= late_ms

    def has_pending(self, organisation_id: str) -> bool:
        """Whether a record of the organisation is read and not known to be applied."""
        return organisation_id in self._organisations

    def records(self, organisation_id: str, begin: int, end: int) -> list[Record]:
        """The organisation's records from offset `begin` to below `end`, in order."""
        records = self._organisations.get(organisation_id, ())
        return [each for each in records if begin <= each.offset < end]

    def _continues(self, before: Progress, progress: Progress) -> bool:
        return (
            self.differs is None
            and progress.epoch == before.epoch
            and progress.next_offset >= before.next_offset
        )

    def _drop(self) -> None:
        self.generation += 1
        self.position = self.differs = None
        self._organisations.clear()
        self._order.clear()
        self.size_bytes = self._old_below = 0
