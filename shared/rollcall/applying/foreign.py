"""Foreign events: events in the wrong partition or with contradictory names. They are set aside.

Four things name the organisation of a request: the record's key, the event's subject, its body, and
the partition, which is fixed when the organisation is created. Our producers derive all four from
one value. If they disagree, another program wrote the record, or a tool copied it to the wrong
place, and it is impossible to say which of them is right. Such an event is a dead letter of the
class `ForeignEvent`. It is not decided and gets no reply. Its id does not count as seen, because
the genuine event with that id may still come in its own place.

This check protects against mistakes and detects clumsy intruders. It is not access control: a
principal that may write to the requests topic can change every directory (TLS, principals and ACLs
protect it).
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rollcall.applying.dead_letters import SourceLog, organisation_of
from rollcall.applying.understand import Entry, ForeignEvent
from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres import directory_write, tenancy

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

log = get_logger()


class OwnedOrganisations:
    """The organisations that are known to belong to one partition. Entries are only added, because
    the partition of an organisation never changes."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._known: set[str] = set()

    async def refuse_misplaced(
        self, connection: "Connection", entries: Sequence[Entry]
    ) -> list[Entry]:
        """The entries, with those of organisations of another partition marked as foreign.

        An organisation whose record is not in Postgres yet is accepted.
        """
        unknown = self.unknown(entries)
        partitions = await tenancy.partitions_of(connection, unknown) if unknown else {}
        return self.refused_by(entries, partitions)

    def unknown(self, entries: Sequence[Entry]) -> set[str]:
        """The organisations of which it has to be asked where they live."""
        asked = {entry.request.organisation_id for entry in entries if entry.request is not None}
        return asked - self._known

    def refused_by(self, entries: Sequence[Entry], partitions: Mapping[str, int]) -> list[Entry]:
        """As `refuse_misplaced`; `partitions`: organisation → its partition, of the unknown."""
        self._known.update(key for key, at in partitions.items() if at == self._partition)
        return refuse_misplaced(entries, partitions, self._partition)


def refuse_misplaced(
    entries: Sequence[Entry], partitions: Mapping[str, int], partition: int
) -> list[Entry]:
    """Mark entries of other partitions as foreign; `partitions`: organisation → its partition."""
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
    """The entries without those of organisations that have left, of which nothing is kept.

    A foreign event stays, because the organisation that it names may be wrong.
    """
    return without(entries, await directory_write.departed(connection, named_in(entries)))


def named_in(entries: Sequence[Entry]) -> set[str]:
    """The organisations that the entries name."""
    return {each for entry in entries if (each := organisation_of(entry)) is not None}


def without(entries: Sequence[Entry], gone: Container[str]) -> list[Entry]:
    """The entries without those of organisations that are gone, except foreign events."""
    return [
        entry
        for entry in entries
        if isinstance(entry.error, ForeignEvent) or organisation_of(entry) not in gone
    ]


def report(source: SourceLog, entries: Iterable[Entry]) -> None:
    """Count and log the foreign events of a committed batch."""
    for entry in entries:
        if isinstance(entry.error, ForeignEvent):
            metrics.PROVISIONER_FOREIGN.inc()
            log.error(
                "event.foreign",
                topic=source.topic,
                partition=source.partition,
                offset=entry.record.offset,
                reason=str(entry.error),
                runbook="foreign-event",
            )
