"""A replica whose verdicts a test sets. No test in here."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rollcall.events.reply import Reply
from rollcall.tail.batch import Uncertain


@dataclass(slots=True)
class FakeReplica:
    """As much of `rollcall.tail.replica.Replica` as decisions ask for.

    `knows`: whether it is current; `verdict_s`: how long a verdict takes. Without a verdict for an
    event its outcome is uncertain; None says that it is applied already.
    """

    knows: bool = False
    behind: bool = False
    barrier: bool = False
    verdict_s: float = 0.0
    verdicts: dict[str, Reply | None] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    asked: list[tuple[str, int]] = field(default_factory=list)
    settled_at: list[tuple[int, int]] = field(default_factory=list)
    next_offset: int = 0
    pending_names: set[str] = field(default_factory=set)

    def is_current(self, partition: int) -> bool:
        return self.knows

    async def become_current(self, partition: int, timeout_s: float) -> bool:
        return self.knows

    def is_behind(self, organisation_id: str, partition: int) -> bool:
        return self.behind

    def is_late(self, partition: int) -> bool:
        return self.behind

    def applied(self, partition: int) -> tuple[int, int] | None:
        return 0, self.next_offset

    async def reach(self, partition: int, position: int, timeout_s: float) -> None:
        return

    async def has_pending_name(self, organisation_id: str, partition: int, name_key: str) -> bool:
        return name_key in self.pending_names

    def settled(self, partition: int, offset: int) -> None:
        self.settled_at.append((partition, offset))
        self.next_offset = max(self.next_offset, offset + 1)

    async def advance(self, organisation_id: str, partition: int) -> None:
        if self.barrier:
            raise Uncertain("a test says so")

    @contextmanager
    def expecting(self, event_id: str) -> Iterator[None]:
        self.expected.add(event_id)
        try:
            yield
        finally:
            self.expected.discard(event_id)

    async def verdict(
        self, organisation_id: str, partition: int, event_id: str, offset: int, timeout_s: float
    ) -> Reply | None:
        assert event_id in self.expected
        self.asked.append((event_id, offset))
        await asyncio.sleep(self.verdict_s)
        if event_id not in self.verdicts:
            raise Uncertain("a test says so")
        return self.verdicts[event_id]
