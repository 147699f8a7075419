"""What a folded batch leaves: changes to write, audit rows, dead letters, replies. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.provisioner import dead_letters
from services.provisioner.dead_letters import Place
from services.provisioner.understand import Entry
from shared.directory.changes import Change, Decision
from shared.directory.fold import Folded, NetChanges, collapse
from shared.events.outcome import to_data
from shared.events.reply import Reply
from shared.events.request import Request
from shared.observability import metrics
from shared.postgres.audit import AuditRow
from shared.postgres.dead_letter import DeadLetter
from shared.runtime import clock


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reply and where somebody waits for it, until `answer_by_ms` (epoch milliseconds)."""

    partition: int
    answer_by_ms: int | None
    reply: Reply


@dataclass(slots=True)
class Decided:
    """The result of a batch; rows, letters and replies are in the order of the log."""

    changes: NetChanges = field(default_factory=NetChanges)
    rows: list[AuditRow] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    replies: list[Waiting] = field(default_factory=list)


def ids_of(entries: Sequence[Entry]) -> list[str]:
    """The ids that the entries' events have."""
    return [entry.event_id for entry in entries if entry.event_id is not None]


def requests_of(entries: Sequence[Entry]) -> list[Request]:
    """The requests among the entries, in order."""
    return [entry.request for entry in entries if entry.request is not None]


def decide_batch(place: Place, entries: Sequence[Entry], folded: Sequence[Folded]) -> Decided:
    """Put the entries together with their decisions.

    `folded` holds a result for each entry that has a request, in the same order.
    """
    decided = Decided(changes=collapse(_changes(folded)))
    now_ms = clock.now_ms()
    results = iter(folded)
    for entry in entries:
        result = None if entry.request is None else next(results)
        if result is not None and result.decision is not None:
            decided.rows.append(_audit_row(place, entry, result.request, result.decision, now_ms))
            _add_reply(decided, result.request, result.reply)
            continue
        error = entry.error if result is None else result.error
        if error is None:
            raise LookupError(f"offset {entry.record.offset} has neither decision nor error")
        decided.letters.append(dead_letters.to_letter(place, entry, error))
        decided.rows.append(dead_letters.to_audit_row(place, entry, error))
        waiting = dead_letters.to_reply(place, entry)
        if waiting is not None:
            decided.replies.append(Waiting(waiting[0], None, waiting[1]))
    return decided


def count(decided: Decided) -> None:
    """Count a committed batch in the metrics."""
    for row in decided.rows:
        kind = "dead" if row.status == dead_letters.STATUS else _kind(row.type)
        metrics.PROVISIONER_EVENTS.labels(kind, f"{row.status // 100}xx").inc()
        unknown = sum(
            len(outcome["data"].get("detail", {}).get("unknown_members", ()))
            for outcome in row.outcomes
        )
        if unknown:
            metrics.PROVISIONER_UNKNOWN_MEMBERS.inc(unknown)
    metrics.PROVISIONER_DEAD_LETTERS.inc(len(decided.letters))


def _kind(event_type: str) -> str:
    """`member.create` of `io.rollcall.request.member.create.v1`."""
    return event_type.removeprefix("io.rollcall.request.").rpartition(".v")[0]


def _add_reply(decided: Decided, request: Request, reply: Reply | None) -> None:
    if reply is not None and request.reply_to is not None:
        decided.replies.append(Waiting(request.reply_to, request.answer_by_ms, reply))


def _audit_row(
    place: Place, entry: Entry, request: Request, decision: Decision, now_ms: int
) -> AuditRow:
    nobody_waits = request.reply_to is None or now_ms > (request.answer_by_ms or 0)
    return AuditRow(
        id=request.id,
        organisation_id=request.organisation_id,
        topic=place.topic,
        partition=place.partition,
        offset=entry.record.offset,
        epoch=place.epoch,
        type=request.type,
        resource_id=request.resource_id,
        actor=request.actor,
        append_time=entry.append_time,
        event_time=request.time,
        status=decision.verdict.status,
        scim_type=decision.verdict.scim_type,
        outcomes=[
            {"fact": outcome.fact, "data": to_data(outcome)} for outcome in decision.outcomes
        ],
        optimistic=nobody_waits,
    )


def _changes(folded: Sequence[Folded]) -> Iterator[tuple[str, Change]]:
    for result in folded:
        if result.decision is not None:
            for change in result.decision.changes:
                yield result.request.organisation_id, change
