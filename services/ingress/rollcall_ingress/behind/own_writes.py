"""What this replica itself has put on the log, as far as reads have to know it.

The log itself is read by every replica (`rollcall.tail`). Only its sender knows that a request was
acknowledged a moment ago, that it was answered before it was applied, or that its acknowledgement
never came. Offsets mean something in one log only: where another one is applied, or an offset comes
again, what is known of the partition is dropped.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

ANOTHER_LOG_MS: Final = 5_000
"""Append times follow offsets in one log, but for the clocks of two leaders."""


@dataclass(slots=True)
class _Partition:
    """Offsets behind the last acknowledged record, and behind the last that was answered early;
    `append_time_ms` of the former."""

    epoch: int | None
    end: int = 0
    answered_early: int = 0
    append_time_ms: int = 0


class OwnWrites:
    """The writes of this replica. `applied`: partition → epoch of the log that is applied, and
    below which offset all of it is; None where that is not known."""

    def __init__(self, applied: Callable[[int], tuple[int, int] | None]) -> None:
        self._applied = applied
        self._partitions: dict[int, _Partition] = {}
        self._doubted_until_s: dict[str, float] = {}

    def acknowledged(self, partition: int, offset: int, append_time_ms: int) -> None:
        """Kafka has appended something of ours.

        In one log append times follow offsets. Acknowledgements may be read in another order, so
        an offset that is not new is of another log only if it was appended later.
        """
        known = self._partition(partition)
        if offset < known.end and append_time_ms > known.append_time_ms + ANOTHER_LOG_MS:
            known.end = known.answered_early = 0
        if offset >= known.end:
            known.end, known.append_time_ms = offset + 1, append_time_ms

    def answered_early(self, partition: int, offset: int) -> None:
        """The sender of the record at this offset is answered before it is applied."""
        known = self._partition(partition)
        known.answered_early = max(known.answered_early, offset + 1)

    def end_of(self, partition: int) -> int:
        """The offset behind the last record of ours that Kafka has acknowledged."""
        return self._partition(partition).end

    def are_applied(self, partition: int) -> bool:
        """Whether everything that was answered early is applied."""
        known = self._partition(partition)
        if not known.answered_early:
            return True
        applied = self._applied(partition)
        if applied is None or applied[1] < known.answered_early:
            return False
        known.answered_early = 0
        return True

    def doubt(self, organisation_id: str, until_s: float) -> None:
        """Kafka may have appended something, or may do so until `until_s` (the loop's time)."""
        until_s = max(until_s, self._doubted_until_s.get(organisation_id, until_s))
        self._doubted_until_s[organisation_id] = until_s

    def may_come(self, organisation_id: str) -> bool:
        """Whether something of the organisation may be, or come, on the log unacknowledged."""
        until_s = self._doubted_until_s.get(organisation_id)
        if until_s is None:
            return False
        if asyncio.get_running_loop().time() < until_s:
            return True
        del self._doubted_until_s[organisation_id]
        return False

    def _partition(self, number: int) -> _Partition:
        applied = self._applied(number)
        epoch = None if applied is None else applied[0]
        found = self._partitions.get(number)
        if found is None or (epoch is not None and found.epoch not in (None, epoch)):
            found = self._partitions[number] = _Partition(epoch)
        elif found.epoch is None:
            found.epoch = epoch
        return found
