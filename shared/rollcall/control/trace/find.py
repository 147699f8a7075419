"""Finds what became of a change, from the door to the mail.

The database knows the offset of what it has decided, so nothing is read to find that. What it has
not decided (it waits, it was too late, it is a copy of another) is looked for in the log, from the
time in its id or from a time that is given, and no further than a bound.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from rollcall.control.deployment import Deployment
from rollcall.control.errors import ControlError, NoSuch, NotPossible
from rollcall.control.meter import Meter
from rollcall.control.trace import records
from rollcall.control.trace.records import Scan, Seen
from rollcall.control.trace.traces import (
    NOTICE_OF,
    Trace,
    TracedMail,
    TracedOutcome,
    TracedRecord,
    TraceResult,
    Traces,
    kind_of,
    result_of,
    state_of,
)
from rollcall.control.words import counted
from rollcall.events.mail import MailSent
from rollcall.events.outcome import outcome_id
from rollcall.kafka.offsets import Extent, extents
from rollcall.postgres import dead_letter, progress
from rollcall.postgres.dead_letter import ALL_STATES, DeadLetterSummary
from rollcall.postgres.progress import Progress
from rollcall.postgres.upkeep import trace
from rollcall.postgres.upkeep.trace import Decision, NoticeRow
from rollcall.runtime.ids import minted_at
from rollcall.tenancy.organisation import Organisation

SCAN_RECORDS: Final = 100_000
CHANGES: Final = 20
CLOCKS_DIFFER: Final = timedelta(seconds=60)
"""An id carries the time of ingress's clock, a record that of the broker's."""


class Tracer:
    """Follows changes. `limit`: how many records of a partition are read at most to find one."""

    def __init__(self, deployment: Deployment, meter: Meter, limit: int) -> None:
        self._deployment = deployment
        self._meter = meter
        self._limit = limit
        self._positions: dict[int, Progress] = {}
        self._outcomes: dict[int, Extent] = {}

    async def event(self, event_id: str, since: datetime | None, copies: bool) -> Traces:
        """One change by its id. Raises NotPossible, Unavailable."""
        await self._read_positions()
        async with self._deployment.database.connection() as connection:
            known = await trace.decisions(connection, [event_id])
        scan = None
        if event_id not in known or copies or since is not None:
            begins = await records.from_time(self._deployment, since or _minted(event_id))
            scan = await records.scan_requests(
                self._deployment, begins, {event_id}, (), self._limit, self._meter
            )
        if event_id not in known and scan is not None and not scan.found:
            raise _not_found(f"no record of {event_id}", scan)
        found = await self._assemble(known, [] if scan is None else scan.found)
        return Traces(found, scan, self._limit)

    async def member(
        self, organisation: Organisation, resource_id: str, since: datetime | None, last: int
    ) -> Traces:
        """The last changes of a member, or of a group. Raises NotPossible, Unavailable."""
        organisation_id, partition = organisation.id, organisation.partition
        await self._read_positions()
        async with self._deployment.database.connection() as connection:
            decisions = await trace.decisions_of_resource(
                connection, organisation_id, resource_id, since=since, limit=last
            )
        if since is None:
            at = self._positions.get(partition)
            begins = {partition: 0 if at is None else at.next_offset}
        else:
            begins = {partition: (await records.from_time(self._deployment, since))[partition]}
        subjects = {f"{organisation_id}/{kind}/{resource_id}" for kind in ("Users", "Groups")}
        scan = await records.scan_requests(
            self._deployment, begins, (), subjects, self._limit, self._meter
        )
        if not decisions and not scan.found:
            raise _not_found(f"nothing about {resource_id}", scan)
        known = {each.row.id: each for each in decisions}
        missing = {each.event_id for each in scan.found if each.event_id} - known.keys()
        async with self._deployment.database.connection() as connection:
            known |= await trace.decisions(connection, sorted(missing))
        return Traces(await self._assemble(known, scan.found), scan, self._limit)

    async def _read_positions(self) -> None:
        async with self._deployment.database.connection() as connection:
            rows = await progress.read_all(connection, self._deployment.topics.requests)
        self._positions = {each.partition: each for each in rows}
        self._outcomes = await extents(self._deployment.settings, self._deployment.topics.outcomes)

    async def _announced(
        self, partition: int, moment: datetime, ids: Collection[str]
    ) -> dict[str, Seen]:
        held = self._outcomes.get(partition, Extent(0, 0))
        return await records.announced(self._deployment, partition, held, moment, ids)

    async def _assemble(self, known: Mapping[str, Decision], seen: Sequence[Seen]) -> list[Trace]:
        """A trace for each id that is decided or in the log, ordered by their first records."""
        traces = {event_id: Trace(event_id) for event_id in known}
        for each in seen:
            key = each.event_id or each.name
            found = traces.setdefault(key, Trace(key))
            _take_envelope(found, each)
        async with self._deployment.database.connection() as connection:
            notices = await trace.notices(connection, [*known])
            for event_id, decision in known.items():
                traces[event_id].decision = decision
                if decision.row.resource_id and decision.row.organisation_id:
                    traces[event_id].later = await trace.later_decisions(connection, decision.row)
            names = [*traces, *(each.name for each in seen)]
            letters = await dead_letter.find(connection, states=ALL_STATES, names=names)
        by_name = {name: each for each in letters for name in (each.id, each.name) if name}
        for found in traces.values():
            found.letter = by_name.get(found.event_id)
        await self._add_records(traces, seen, by_name)
        for found in traces.values():
            await self._add_outcomes(found)
            await self._add_mails(found, notices.get(found.event_id, []))
        return sorted(traces.values(), key=lambda each: each.records[0].append_time)

    async def _add_records(
        self,
        traces: Mapping[str, Trace],
        seen: Sequence[Seen],
        letters: Mapping[str, DeadLetterSummary],
    ) -> None:
        for found in traces.values():
            if found.decision is not None:
                found.records.append(await self._decided_record(found, found.decision))
        for each in seen:
            found = traces[each.event_id or each.name]
            if all(each.name != record.name for record in found.records):
                record = TracedRecord(
                    each.name, each.append_time, self._result_of_record(each, found, letters)
                )
                found.records.append(record)
        for found in traces.values():
            found.records.sort(key=lambda record: record.append_time)

    async def _decided_record(self, found: Trace, decision: Decision) -> TracedRecord:
        """The record that was decided; its offset is known, so one look-up is enough."""
        row = decision.row
        found.organisation_id, found.actor = row.organisation_id, row.actor
        found.kind = kind_of(row.type)
        seen = None
        position = self._positions.get(row.partition)
        if position is not None and position.epoch == row.epoch:
            seen = await records.record_at(
                self._deployment.probe, row.topic, row.partition, row.offset
            )
        is_it = seen is not None and seen.event_id in (row.id, None)
        if seen is not None and is_it:
            _take_envelope(found, seen)
        elif found.resource is None:
            endpoint = "Groups" if ".group." in row.type else "Users"
            found.resource = f"{endpoint}/{row.resource_id}" if row.resource_id else None
        name = f"{row.topic}/{row.partition}/{row.offset}"
        return TracedRecord(name, row.append_time, result_of(decision), is_it)

    def _result_of_record(
        self, each: Seen, found: Trace, letters: Mapping[str, DeadLetterSummary]
    ) -> TraceResult:
        """The result of a record other than the one that was decided."""
        letter = letters.get(each.name)
        if letter is not None:
            return state_of(letter)
        if each.is_expired:
            return "expired"
        position = self._positions.get(each.partition)
        if position is None or each.offset >= position.next_offset:
            return "waiting"
        return "unknown" if found.decision is None else "duplicate"

    async def _add_outcomes(self, found: Trace) -> None:
        """Add the outcomes of its own decision and of the events that decided it again."""
        decided = [] if found.decision is None else [found.decision, *found.later]
        for decision in decided:
            row = decision.row
            ids = dict(_outcomes_of(decision, found.event_id))
            seen = await self._announced(row.partition, row.append_time, set(ids.values()))
            position = self._positions.get(row.partition)
            is_announced = position is None or (row.epoch, row.offset) < (
                position.epoch,
                position.published_offset,
            )
            for index, own_id in ids.items():
                stored = row.outcomes[index]
                found.outcomes.append(
                    TracedOutcome(
                        id=own_id,
                        fact=stored["fact"],
                        sequence=f"{row.epoch}.{row.offset}.{index}",
                        is_announced=is_announced or own_id in seen,
                        attribute=stored["data"].get("detail", {}).get("attribute"),
                        unknown_members=stored["data"]
                        .get("detail", {})
                        .get("unknown_members_count", 0),
                        seen=seen.get(own_id),
                    )
                )

    async def _add_mails(self, found: Trace, rows: Sequence[NoticeRow]) -> None:
        for row in rows:
            seen = None
            if row.sent_at is not None:
                fact = MailSent(
                    row.event_id, row.kind, "", row.member_id, row.message_id or "", row.sent_at
                )
                near = await self._announced(row.partition, row.sent_at - CLOCKS_DIFFER, {fact.id})
                seen = near.get(fact.id)
            found.mails.append(TracedMail(row.kind, row, seen))
        planned = {row.kind for row in rows}
        for outcome in found.outcomes:
            kind = NOTICE_OF.get(outcome.fact)  # type: ignore[call-overload]
            if kind is not None and kind not in planned:
                found.mails.append(TracedMail(kind, None))


def _outcomes_of(decision: Decision, event_id: str) -> list[tuple[int, str]]:
    """(Index in the row, id on the topic) of an event's outcomes in a decision."""
    found = []
    for index, stored in enumerate(decision.row.outcomes):
        of: dict[str, Any] = stored.get("of") or {"id": decision.row.id, "index": index}
        if of["id"] == event_id:
            found.append((index, outcome_id(event_id, of["index"])))
    return found


def _take_envelope(found: Trace, seen: Seen) -> None:
    organisation_id, _, resource = seen.subject.partition("/")
    found.kind = kind_of(seen.type)
    found.organisation_id = found.organisation_id or organisation_id or None
    found.resource = resource or found.resource


def _minted(event_id: str) -> datetime:
    """The earliest time at which its record can be in the log. Raises NotPossible."""
    try:
        return minted_at(event_id) - CLOCKS_DIFFER
    except ValueError:
        raise NotPossible(
            f"{event_id} is not decided, and does not say when it was made; name a time",
            hint="give a time",
        ) from None


def _not_found(what: str, scan: Scan) -> ControlError:
    """NoSuch where the whole log was read, NotPossible where a part was not."""
    read = f"{counted(scan.records, 'record')} of {counted(len(scan.begins), 'partition')} read"
    if scan.is_complete:
        return NoSuch(f"{what} is in the audit or in the log; {read}")
    return NotPossible(
        f"{what} is in the audit or in the part of the log that was read ({read})",
        hint="give a time or read more",
    )
