"""The result of a folded batch: changes to write, audit rows, dead letters, replies. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollcall.applying import dead_letters
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.event_results import EventResults
from rollcall.applying.understand import Entry
from rollcall.directory.changes import Change, Decision
from rollcall.directory.fold import Folded, NetChanges, collapse
from rollcall.directory.quarantine import Event, Unreadable
from rollcall.directory.redrive import Redriven
from rollcall.events.outcome import (
    from_data,
    is_refused_after_success,
    mark_refused_after_success,
    to_data,
)
from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall.observability import metrics
from rollcall.postgres.audit import AuditRow

Json = dict[str, Any]
RecordNames = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reply, and the partition where its request waits until `answer_by_ms` (broker's clock)."""

    partition: int
    answer_by_ms: int | None
    reply: Reply
    must_be_heard: bool = False
    """A refusal whose sender may have been answered with success: it depends on whether this reply
    is heard."""


@dataclass(frozen=True, slots=True)
class Death:
    """An event that failed in this batch: its id, its record's name, the class of its error."""

    id: str
    name: str
    error_class: str
    is_new: bool


@dataclass(slots=True)
class Decided:
    """The result of a batch. Rows, deaths and replies are in the order of the log."""

    event_results: EventResults
    changes: NetChanges = field(default_factory=NetChanges)
    rows: list[AuditRow] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    repeats: int = 0
    replies: list[Waiting] = field(default_factory=list)


def ids_of(entries: Sequence[Entry]) -> list[str]:
    """The ids of the entries' events, of those that have one."""
    return [entry.event_id for entry in entries if entry.event_id is not None]


def record_names_of(
    source: SourceLog, entries: Sequence[Entry], folded: Sequence[Folded]
) -> RecordNames:
    """Event id → name of its record, for a whole batch."""
    return {
        result.request.id: source.name(entry.record.offset)
        for entry, result in zip(entries, folded, strict=True)
    }


def decide_batch(
    source: SourceLog,
    entries: Sequence[Entry],
    folded: Sequence[Folded],
    record_names: RecordNames | None = None,
    broker_ms: int | None = None,
) -> Decided:
    """Combine the entries with their results of the fold, one for one.

    `record_names` are those of the whole batch, if these are only some of its entries.
    `broker_ms`: the broker's clock shows this time or a later one (broker_time.py); None if that is
    unknown.
    """
    decided = Decided(EventResults(source), changes=collapse(_changes(folded)))
    if record_names is None:
        record_names = record_names_of(source, entries, folded)
    for entry, result in zip(entries, folded, strict=True):
        if result.decision is None:
            _bury(decided, source, entry, result)
            continue
        is_again = _may_have_been_heard(source, entry)
        was_answered = is_again or _was_answered(result.request, entry, broker_ms)
        decided.rows.append(
            _audit_row(source, entry, result, result.decision, was_answered, record_names)
        )
        _add_reply(decided, result, was_answered)
        if result.is_parked:
            is_of_park = result.is_of_park
            decided.event_results.parked(result.request.id, entry, by_organisation=is_of_park)
        if result.redriven is not None:
            decided.event_results.redriven(result.redriven)
            _note_failures(decided, result.redriven, record_names)
            _note_release(decided, result, result.decision)
        decided.repeats += _is_repeat(result.decision)
    return decided


def _bury(decided: Decided, source: SourceLog, entry: Entry, result: Folded) -> None:
    """Keep an event that cannot be applied, and answer its sender."""
    error = result.error
    if error is None:
        raise LookupError(f"offset {entry.record.offset} has neither decision nor error")
    decided.event_results.died(result.request.id, entry, error)
    decided.rows.append(dead_letters.to_audit_row(source, entry, error, parks=result.parks))
    if result.parks:
        event = result.request
        decided.event_results.parks_organisation(event.id, event.organisation_id, entry)
    name = source.name(entry.record.offset)
    error_class = dead_letters.error_class(error)
    decided.deaths.append(Death(result.request.id, name, error_class, is_new=True))
    waiting = dead_letters.to_reply(source, entry)
    if waiting is not None:
        decided.replies.append(Waiting(waiting[0], None, waiting[1]))


def _note_failures(decided: Decided, redriven: Redriven, record_names: RecordNames) -> None:
    for step in redriven.failures:
        if step.result.error is not None:
            name = step.held.record_name or record_names[step.held.event.id]
            error_class = dead_letters.error_class(step.result.error)
            is_new = not step.held.attempts
            decided.deaths.append(Death(step.held.event.id, name, error_class, is_new=is_new))


def _note_release(decided: Decided, result: Folded, decision: Decision) -> None:
    """Note a release, and whether anything is left waiting for the organisation."""
    if isinstance(result.request, Request) and result.request.is_release:
        is_free = any(outcome.detail.get("left") == 0 for outcome in decision.outcomes)
        decided.event_results.released(result.request.organisation_id, is_free=is_free)


def _is_repeat(decision: Decision) -> bool:
    return any("repeat_of" in outcome.detail for outcome in decision.outcomes)


def count(decided: Decided) -> None:
    """Count a committed batch in the metrics."""
    for row in decided.rows:
        kind = "dead" if _is_dead(row) else _kind(row.type)
        metrics.PROVISIONER_EVENTS.labels(kind, f"{row.status // 100}xx").inc()
        unknown = sum(
            outcome["data"].get("detail", {}).get("unknown_members_count", 0)
            for outcome in row.outcomes
        )
        if unknown:
            metrics.PROVISIONER_UNKNOWN_MEMBERS.inc(unknown)
    metrics.PROVISIONER_REFUSED_AFTER_SUCCESS.inc(refused_after_success(decided))
    metrics.PROVISIONER_DEAD_LETTERS.inc(sum(death.is_new for death in decided.deaths))
    metrics.PROVISIONER_PARKED.inc(len(decided.event_results.waiting()))
    metrics.PROVISIONER_REPEATS.inc(decided.repeats)
    metrics.PROVISIONER_PARKS.inc(len(decided.event_results.parks))


def refused_after_success(decided: Decided) -> int:
    """The number of refused requests that had been answered with success."""
    return sum(
        is_refused_after_success(from_data(outcome["fact"], outcome["data"]))
        for row in decided.rows
        if row.optimistic and row.status >= 400
        for outcome in row.outcomes
    )


def _is_dead(row: AuditRow) -> bool:
    """Whether it is a dead letter, and not a failed redrive or a repeat of a dead create."""
    is_about_dead = row.type.startswith(dead_letters.ABOUT_DEAD)
    return not is_about_dead and any(each["fact"] == dead_letters.FAILED for each in row.outcomes)


def _kind(event_type: str) -> str:
    """`member.create` for `io.rollcall.request.member.create.v1`."""
    return event_type.removeprefix("io.rollcall.request.").rpartition(".v")[0]


def _add_reply(decided: Decided, result: Folded, was_answered: bool) -> None:
    request, reply = result.request, result.reply
    if reply is not None and isinstance(request, Request) and request.reply_to is not None:
        is_refusal = reply.status >= 400
        depends = request.precondition is None and request.promise is None
        must_be_heard = is_refusal and not was_answered and depends
        waiting = Waiting(request.reply_to, request.answer_by_ms, reply, must_be_heard)
        decided.replies.append(waiting)


def _audit_row(
    source: SourceLog,
    entry: Entry,
    result: Folded,
    decision: Decision,
    was_answered: bool,
    record_names: RecordNames,
) -> AuditRow:
    event = result.request
    is_again = _may_have_been_heard(source, entry)
    stored = iter(decision.outcomes)
    if was_answered and not is_again:
        stored = map(mark_refused_after_success, stored)
    outcomes: list[Json] = [{"fact": outcome.fact, "data": to_data(outcome)} for outcome in stored]
    if is_again:
        outcomes = [{**each, "again": True} for each in outcomes]
    if decision.verdict.status >= 400 and _is_promised(event):
        outcomes = [{**each, "promised": True} for each in outcomes]
    if result.redriven is not None:
        answered = _answered_before(result.redriven)
        redriven = dead_letters.outcomes_of(result.redriven, record_names)
        outcomes.extend(
            _mark_stored(each) if each["of"]["id"] in answered else each for each in redriven
        )
    return AuditRow(
        id=event.id,
        organisation_id=event.organisation_id,
        topic=source.topic,
        partition=source.partition,
        offset=entry.record.offset,
        epoch=source.epoch,
        type="unknown" if isinstance(event, Unreadable) else event.type,
        resource_id=event.resource_id,
        actor="unknown" if isinstance(event, Unreadable) else event.actor,
        append_time=entry.append_time,
        event_time=entry.append_time if isinstance(event, Unreadable) else event.time,
        status=decision.verdict.status,
        scim_type=decision.verdict.scim_type,
        outcomes=outcomes,
        optimistic=was_answered,
    )


def _was_answered(event: Event, entry: Entry, broker_ms: int | None) -> bool:
    """Whether its sender was certainly answered before this decision, by the broker's clock.

    That is so if its record was appended after `answerby`, or if `answerby` has passed now. If it
    is not certain, the append time of the reply shows whether it was heard (announce.py).
    """
    if _is_promised(event):
        return False
    if isinstance(event, Unreadable) or event.reply_to is None or event.is_answered:
        return True
    if event.precondition is not None:
        return False  # without a reply the answer is that the outcome is unknown
    passed_ms = max(entry.record.timestamp, broker_ms or 0)
    return passed_ms > (event.answer_by_ms or 0)


def _is_promised(event: Event) -> bool:
    """Whether its sender is answered with this decision, or that it is not known."""
    return not isinstance(event, Unreadable) and event.promise == "decision"


def _may_have_been_heard(source: SourceLog, entry: Entry) -> bool:
    """Whether the sender may have received the first decision of this event, which is lost."""
    return entry.record.offset < source.decided_below and was_awaited(entry.request)


def was_awaited(request: Request | None) -> bool:
    """Whether its sender was answered from its reply, or with success once the wait was over.

    Who was promised the decision was answered with it: decided again, it is the same.
    """
    return (
        request is not None
        and request.promise is None
        and request.reply_to is not None
        and request.precondition is None
        and not request.is_answered
    )


def _answered_before(redriven: Redriven) -> set[str]:
    """Ids of redriven requests that were answered with success: all that were parked, and a dead
    one if its sender did not wait for a reply."""
    return {
        step.held.event.id
        for step in redriven.applied
        if not step.held.attempts
        or (isinstance(step.held.event, Request) and step.held.event.reply_to is None)
    }


def _mark_stored(stored: Json) -> Json:
    """An outcome as the audit stores it, marked as answered with success if it is a rejection."""
    outcome = mark_refused_after_success(from_data(stored["fact"], stored["data"]))
    return {**stored, "data": to_data(outcome)}


def _changes(folded: Sequence[Folded]) -> Iterator[tuple[str, Change]]:
    for result in folded:
        if result.decision is not None:
            for change in result.decision.changes:
                yield result.request.organisation_id, change
