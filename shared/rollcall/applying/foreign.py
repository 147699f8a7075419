"""Events that do not belong where they stand: set aside, and nothing they say is believed.

Four things name the organisation of a request: the record's key, the event's subject, its body,
and the partition, which is fixed when the organisation is created. Our producers make all four
from one value. So where they disagree, somebody else wrote the record, or a tool copied it to the
wrong place, and which of them is true nobody can tell. Such an event is a dead letter of the class
`ForeignEvent`; it is not decided, answers nobody, and its id counts for nothing: the true event of
that id may still come, in its own place, and was acknowledged to somebody.

Whoever may write the requests topic owns every directory (TLS, principals and ACLs guard it); this
check is against mistakes, and tells of the clumsier kind of intruder.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rollcall.applying.dead_letters import Place, organisation_of
from rollcall.applying.understand import Entry, ForeignEvent
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres import directory_write, tenancy

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

log = get_logger()


class Homes:
    """Which organisations are known to live in one partition. Grows with them, never shrinks:
    an organisation's partition is fixed at birth."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._at_home: set[str] = set()

    async def refuse_misplaced(
        self, connection: "Connection", entries: Sequence[Entry]
    ) -> list[Entry]:
        """The entries, those of organisations that live elsewhere made foreign.

        An organisation whose record has not been copied yet is taken at its word.
        """
        asked = {entry.request.organisation_id for entry in entries if entry.request is not None}
        unknown = asked - self._at_home
        partitions = await tenancy.partitions_of(connection, unknown) if unknown else {}
        self._at_home.update(key for key, at in partitions.items() if at == self._partition)
        return refuse_misplaced(entries, partitions, self._partition)


def refuse_misplaced(
    entries: Sequence[Entry], partitions: Mapping[str, int], partition: int
) -> list[Entry]:
    """The entries of `partition`; `partitions` says where organisations live, as far as known."""
    return [
        entry
        if entry.request is None
        or partitions.get(entry.request.organisation_id, partition) == partition
        else replace(
            entry,
            event=None,
            request=None,
            error=ForeignEvent("the organisation lives in another partition"),
        )
        for entry in entries
    ]


async def drop_departed(connection: "Connection", entries: Sequence[Entry]) -> list[Entry]:
    """The entries of organisations that have not left for good. Of the others no trace is kept.

    A foreign event stays: nothing that it says of itself is believed, its organisation neither.
    """
    named = {each for entry in entries if (each := organisation_of(entry)) is not None}
    gone = await directory_write.departed(connection, named)
    return [
        entry
        for entry in entries
        if isinstance(entry.error, ForeignEvent) or organisation_of(entry) not in gone
    ]


def tell(place: Place, entries: Iterable[Entry]) -> None:
    """Count and report the foreign ones of a committed batch."""
    for entry in entries:
        if isinstance(entry.error, ForeignEvent):
            metrics.PROVISIONER_FOREIGN.inc()
            log.error(
                "event.foreign",
                topic=place.topic,
                partition=place.partition,
                offset=entry.record.offset,
                reason=str(entry.error),
                runbook="foreign-event",
            )
