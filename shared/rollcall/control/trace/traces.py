"""The trace of a change: its records, decision, outcomes and mails, by ids and attribute names.

No personal data, and no I/O: `find.py` finds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from rollcall.control.trace.records import Scan, Seen
from rollcall.events.envelope import format_time
from rollcall.events.outcome import Fact
from rollcall.events.request import TYPE_PREFIX
from rollcall.postgres.dead_letter import DeadLetterSummary
from rollcall.postgres.upkeep.trace import Decision, NoticeRow

TraceResult = Literal[
    "applied",
    "refused",
    "dead",
    "parked",
    "redriven",
    "discarded",
    "expired",
    "duplicate",
    "waiting",
    "unknown",
]
NOTICE_OF: Final[Mapping[Fact, str]] = {
    "member.invited": "invitation",
    "member.revoked": "revocation",
    "member.restored": "restoration",
}


@dataclass(frozen=True, slots=True)
class TracedRecord:
    """One record of a change, and its result. `is_in_log`: retention has not deleted it."""

    name: str
    append_time: datetime
    result: TraceResult
    is_in_log: bool = True


@dataclass(frozen=True, slots=True)
class TracedOutcome:
    """One outcome. `unknown_members`: how many ids in a group's request belong to no member.

    `seen`: its record on the topic, if it was found near the time of its decision.
    """

    id: str
    fact: str
    sequence: str
    is_announced: bool
    attribute: str | None = None
    unknown_members: int = 0
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class TracedMail:
    """A notice (`row` None: not planned yet); `seen`: the record of its sent mail."""

    kind: str
    row: NoticeRow | None
    seen: Seen | None = None

    @property
    def state(self) -> str:
        """The state in the notifier's table, or `unplanned`."""
        return "unplanned" if self.row is None else self.row.state


@dataclass(slots=True)
class Trace:
    """A change, and everything known about it."""

    event_id: str
    organisation_id: str | None = None
    resource: str | None = None
    kind: str = "unknown"
    actor: str | None = None
    records: list[TracedRecord] = field(default_factory=list)
    decision: Decision | None = None
    later: list[Decision] = field(default_factory=list)
    letter: DeadLetterSummary | None = None
    outcomes: list[TracedOutcome] = field(default_factory=list)
    mails: list[TracedMail] = field(default_factory=list)

    @property
    def result(self) -> TraceResult:
        """The result so far."""
        if self.letter is not None:
            last = state_of(self.letter)
            return (
                last
                if last != "redriven" or not self.later
                else _later_result_in(self, self.later[-1])
            )
        if self.later:
            return _later_result_in(self, self.later[-1])
        if self.decision is not None:
            return result_of(self.decision)
        results = {each.result for each in self.records}
        order: tuple[TraceResult, ...] = ("waiting", "dead", "expired")
        return next((result for result in order if result in results), "unknown")


@dataclass(frozen=True, slots=True)
class Traces:
    """Traces in the order of the log, and what was read for them; `limit`: of each partition."""

    traces: Sequence[Trace]
    scan: Scan | None
    limit: int


def together(found: Sequence[Traces]) -> Traces:
    """Several searches as one; the records read are added up."""
    scans = [each.scan for each in found if each.scan is not None]
    begins: dict[int, int] = {}
    for scan in scans:
        for number, begin in scan.begins.items():
            begins[number] = min(begin, begins.get(number, begin))
    whole = Scan(
        records=sum(each.records for each in scans),
        is_complete=all(each.is_complete for each in scans),
        begins=begins,
    )
    return Traces([each for one in found for each in one.traces], whole, found[0].limit)


def result_of(decision: Decision) -> TraceResult:
    """The result of an event when it was decided."""
    row = decision.row
    own = [stored["fact"] for stored in row.outcomes if "of" not in stored]
    if "request.failed" in own:
        return "dead"
    if "request.parked" in own:
        return "parked"
    return "refused" if row.status >= 400 else "applied"


def kind_of(event_type: str) -> str:
    """`member.create` of `io.rollcall.request.member.create.v1`."""
    return event_type.removeprefix(TYPE_PREFIX).rpartition(".v")[0] or event_type


def later_result(event_id: str, decision: Decision) -> TraceResult:
    """The result of an event after a redrive or a discard."""
    facts = {
        stored["fact"]
        for stored in decision.row.outcomes
        if stored.get("of", {}).get("id") == event_id
    }
    if "request.failed" in facts:
        return "dead"
    return "refused" if "request.rejected" in facts else "applied"


def _later_result_in(found: Trace, decision: Decision) -> TraceResult:
    return later_result(found.event_id, decision)


def state_of(letter: DeadLetterSummary) -> TraceResult:
    """The result of an event by the state of its dead letter."""
    match letter.state:
        case "redriven":
            return "redriven"
        case "discarded":
            return "discarded"
        case _:
            return "dead"


def to_json(found: Traces) -> dict[str, Any]:
    """As JSON; scripts rely on the names. A result is `fate` there, a mail's `announced` `told`.

    `event_id` is `request_id` by its name of before.
    """
    scan = found.scan
    return {
        "traces": [_trace(each) for each in found.traces],
        "scan": None
        if scan is None
        else {
            "records": scan.records,
            "begins": {str(number): begin for number, begin in scan.begins.items()},
            "records_per_partition": found.limit,
            "complete": scan.is_complete,
        },
    }


def _trace(found: Trace) -> dict[str, Any]:
    return {
        "request_id": found.event_id,
        "event_id": found.event_id,
        "fate": found.result,
        "organisation_id": found.organisation_id,
        "resource": found.resource,
        "kind": found.kind,
        "actor": found.actor,
        "records": [
            {
                "record": each.name,
                "append_time": format_time(each.append_time),
                "fate": each.result,
                "in_log": each.is_in_log,
            }
            for each in found.records
        ],
        "decision": None if found.decision is None else _decision(found.decision),
        "later": [
            {
                "request_id": each.row.id,
                "event_id": each.row.id,
                "kind": kind_of(each.row.type),
                "fate": later_result(found.event_id, each),
                "recorded": format_time(each.recorded),
            }
            for each in found.later
        ],
        "dead_letter": None if found.letter is None else _letter(found.letter),
        "outcomes": [_outcome(each) for each in found.outcomes],
        "mails": [_mail(each) for each in found.mails],
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "fate": result_of(decision),
        "status": decision.row.status,
        "scim_type": decision.row.scim_type,
        "answered_before": decision.row.optimistic,
        "epoch": decision.row.epoch,
        "recorded": format_time(decision.recorded),
    }


def _letter(letter: DeadLetterSummary) -> dict[str, Any]:
    return {
        "dead_letter": letter.name,
        "state": letter.state,
        "error_class": letter.error_class,
        "attempts": letter.attempts,
        "parked": letter.parked,
    }


def _outcome(each: TracedOutcome) -> dict[str, Any]:
    return {
        "id": each.id,
        "fact": each.fact,
        "attribute": each.attribute,
        "unknown_members": each.unknown_members,
        "sequence": each.sequence,
        "announced": each.is_announced,
        **_record(each.seen),
    }


def _mail(each: TracedMail) -> dict[str, Any]:
    row = each.row
    sent_at = None if row is None or row.sent_at is None else format_time(row.sent_at)
    return {
        "kind": each.kind,
        "state": each.state,
        "reason": None if row is None else row.reason,
        "due": None if row is None else format_time(row.due_at),
        "next_attempt": None if row is None else format_time(row.next_attempt_at),
        "attempts": 0 if row is None else row.attempts,
        "sent": sent_at,
        "message_id": None if row is None else row.message_id,
        "told": row is not None and row.announced,
        **_record(each.seen),
    }


def _record(seen: Seen | None) -> dict[str, str | None]:
    return {
        "record": None if seen is None else seen.name,
        "append_time": None if seen is None else format_time(seen.append_time),
    }
