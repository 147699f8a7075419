"""Dead letters and parked events as rows, outcomes, replies and announcements.

The rows are written in the batch's own transaction, together with an audit row whose outcome is
`request.failed` or `request.parked`. So their announcement survives a crash like any other. Audit
rows are never updated: the results of a redrive are in the redrive's own audit row. Each outcome
there names the event it belongs to (`of`) and continues the count of that event's outcomes.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rollcall.applying.understand import Entry
from rollcall.directory.cause import cause_of
from rollcall.directory.quarantine import Event, Refused, Unreadable
from rollcall.directory.redrive import HeldResult, Redriven
from rollcall.events.dead_letter import Announcement as DeadLetterAnnouncement
from rollcall.events.envelope import MalformedEvent
from rollcall.events.outcome import Outcome, to_data
from rollcall.events.reply import Reply
from rollcall.events.request import TYPE_PREFIX, Endpoint
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.dead_letter import DeadLetter, State
from rollcall.postgres.parked import Parked
from rollcall.runtime.ids import parse_id

Json = dict[str, Any]
FAILED: Final = "request.failed"
STATUS: Final = 500
ATTEMPTS: Final = 1
ABOUT_DEAD: Final = f"{TYPE_PREFIX}dead."


@dataclass(frozen=True, slots=True)
class SourceLog:
    """The log that a batch's records come from: topic, partition, and epoch.

    Records below `decided_below` were decided before, and that decision is lost (forgotten.py).
    """

    topic: str
    partition: int
    epoch: int = 0
    decided_below: int = 0

    def name(self, offset: int) -> str:
        """The name of the dead letter at this offset: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{offset}"


def to_event(source: SourceLog, entry: Entry) -> Event:
    """The input of the fold: the request, or what is known of a record that is not one."""
    if entry.request is not None:
        return entry.request
    organisation_id, endpoint, resource_id = _subject(entry)
    error = entry.error or LookupError("neither a request nor an error")
    # If key and subject disagree, no resource is certain. A malformed redrive is about a dead
    # letter, not about a resource.
    agrees = (entry.record.key or b"").decode("utf-8", "replace") == organisation_id
    is_about_dead = entry.event is not None and entry.event.type.startswith(ABOUT_DEAD)
    if not agrees or is_about_dead:
        resource_id = ""
    return Unreadable(audit_id(source, entry), organisation_id or "", endpoint, resource_id, error)


def to_letter(
    source: SourceLog,
    entry: Entry,
    error: Exception,
    *,
    state: State = "dead",
    attempts: int = ATTEMPTS,
    announced: int = 1,
) -> DeadLetter:
    """The row that keeps the record. The error's text is kept only if it is our own message."""
    record = entry.record
    event = to_event(source, entry)
    has_resource = not isinstance(event, Unreadable) or event.has_resource
    return DeadLetter(
        topic=source.topic,
        partition=source.partition,
        offset=record.offset,
        epoch=source.epoch,
        event_id=None if entry.event is None else entry.event.id,
        organisation_id=organisation_of(entry),
        headers=record.headers,
        key=record.key,
        value=record.value,
        error_class=error_class(error),
        error=describe(entry, error),
        append_time=entry.append_time,
        id=event.id,
        type=_type_of(entry),
        endpoint=event.endpoint if has_resource else None,
        resource_id=event.resource_id if has_resource else None,
        attempts=attempts,
        announced=announced,
        state=state,
        cause=cause_of(event),
    )


def to_parked(source: SourceLog, entry: Entry, *, by_organisation: bool = False) -> Parked:
    """The row that keeps a waiting event; `by_organisation`: it waits for its organisation."""
    event = to_event(source, entry)
    return Parked(
        id=event.id,
        organisation_id=event.organisation_id,
        endpoint=event.endpoint,
        resource_id=event.resource_id,
        topic=source.topic,
        partition=source.partition,
        offset=entry.record.offset,
        epoch=source.epoch,
        event_id=None if entry.event is None else entry.event.id,
        type=_type_of(entry),
        headers=entry.record.headers,
        key=entry.record.key,
        value=entry.record.value,
        append_time=entry.append_time,
        by_organisation=by_organisation,
    )


def to_audit_row(source: SourceLog, entry: Entry, error: Exception, *, parks: bool) -> AuditRow:
    """The audit row of a dead letter, with the outcome `request.failed`.

    `parks`: its organisation was parked behind it, which a rebuild must know. An event without a
    usable id gets one that is derived from its record's name.
    """
    event = entry.event
    organisation_id, endpoint, resource_id = _subject(entry)
    outcome = _failed(
        organisation_id or "", endpoint, resource_id, error, source.name(entry.record.offset)
    )
    if parks:
        outcome = replace(outcome, detail={**outcome.detail, "organisation_parked": True})
    return AuditRow(
        id=audit_id(source, entry),
        organisation_id=organisation_id,
        topic=source.topic,
        partition=source.partition,
        offset=entry.record.offset,
        epoch=source.epoch,
        type=_type_of(entry),
        resource_id=resource_id or None,
        actor="unknown" if entry.request is None else entry.request.actor,
        append_time=entry.append_time,
        event_time=entry.append_time if event is None else event.time,
        status=STATUS,
        scim_type=None,
        outcomes=[{"fact": FAILED, "data": to_data(outcome)}],
        optimistic=entry.request is None
        or (entry.request.reply_to is None and entry.request.promise is None),
    )


def outcomes_of(redriven: Redriven, record_names: Mapping[str, str]) -> list[Json]:
    """The outcomes of a redrive, as its audit row stores them.

    `record_names`: event id → name of its record, for events of this batch, whose names are not
    stored.
    """
    stored: list[Json] = []
    for step in redriven.applied:
        if step.result.decision is not None:
            stored.extend(
                {
                    "fact": outcome.fact,
                    "data": to_data(outcome),
                    "of": {"id": step.held.event.id, "index": step.held.announced + index},
                }
                for index, outcome in enumerate(step.result.decision.outcomes)
            )
    stored.extend(_failed_again(step, record_names) for step in redriven.failures)
    return stored


def to_reply(source: SourceLog, entry: Entry) -> tuple[int, Reply] | None:
    """The partition of the replies and the reply to the sender; None if no reply is awaited."""
    if entry.event is None:
        return None
    reply_to = entry.event.extensions.get("replyto", "")
    if not (reply_to.isascii() and reply_to.isdigit()):
        return None
    detail = (
        "The service made a mistake with this request and has set it aside as "
        f"{source.name(entry.record.offset)}; tell its operator this name."
    )
    return int(reply_to), Reply(request_id=entry.event.id, status=STATUS, detail=detail)


def to_announcements(row: AuditRow) -> list[DeadLetterAnnouncement]:
    """The announcements for the dead topic: one for each failed event in the audit row."""
    found = []
    for stored in row.outcomes:
        if stored["fact"] != FAILED:
            continue
        data, of = stored["data"], stored.get("of", {})
        name = data["detail"]["dead_letter"]
        topic, partition, offset = name.rsplit("/", 2)
        found.append(
            DeadLetterAnnouncement(
                event_id=of.get("id", row.id),
                name=name,
                organisation_id=row.organisation_id,
                resource_id=row.resource_id,
                type=of.get("type", row.type),
                error_class=data["detail"]["error_class"],
                attempts=of.get("attempts", ATTEMPTS),
                topic=topic,
                partition=int(partition),
                offset=int(offset),
                time=row.append_time,
            )
        )
    return found


def audit_id(source: SourceLog, entry: Entry) -> str:
    """The event's id, or one derived from its record's name if it has no id in canonical form."""
    name = f"{source.name(entry.record.offset)}/{source.epoch}"
    return entry.event_id or str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def organisation_of(entry: Entry) -> str | None:
    """The organisation that the subject or the key names, if any."""
    return _subject(entry)[0]


def error_class(error: Exception) -> str:
    """The class of an error, or the SQLSTATE if Postgres refused the event."""
    return error.error_class if isinstance(error, Refused) else type(error).__name__


def describe(entry: Entry, error: Exception) -> str:
    """What went wrong, without values of the event: our own message, or only the error's class."""
    if entry.request is not None and not isinstance(error, Refused):
        return type(error).__name__
    return summary(error)


def summary(error: Exception) -> str:
    """Our own message up to its first colon; for foreign errors only the class."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, MalformedEvent):
        return str(error).partition(":")[0][:200]
    return type(error).__name__


def _failed(
    organisation_id: str, endpoint: str, resource_id: str, error: Exception, name: str
) -> Outcome:
    detail = {
        "status": STATUS,
        "endpoint": endpoint,
        "error_class": error_class(error),
        "dead_letter": name,
    }
    return Outcome(FAILED, organisation_id, resource_id, detail=detail)


def _failed_again(step: HeldResult, record_names: Mapping[str, str]) -> Json:
    event = step.held.event
    outcome = _failed(
        event.organisation_id,
        event.endpoint,
        event.resource_id,
        step.result.error or LookupError("no error"),
        step.held.record_name or record_names[event.id],
    )
    return {
        "fact": FAILED,
        "data": to_data(outcome),
        "of": {
            "id": event.id,
            "index": step.held.announced,
            "attempts": step.held.attempts + 1,
            "type": "unknown" if isinstance(event, Unreadable) else event.type,
        },
    }


def _subject(entry: Entry) -> tuple[str | None, Endpoint, str]:
    """Organisation, endpoint and resource, as far as subject and key name them."""
    subject = "" if entry.event is None else entry.event.subject
    organisation, _, rest = subject.partition("/")
    endpoint, _, resource_id = rest.partition("/")
    key = (entry.record.key or b"").decode("utf-8", "replace")
    known = next((text for text in (organisation, key) if parse_id(text) == text and text), None)
    is_readable = parse_id(resource_id) == resource_id and endpoint in ("Users", "Groups")
    return known, "Groups" if endpoint == "Groups" else "Users", resource_id if is_readable else ""


def _type_of(entry: Entry) -> str:
    return "unknown" if entry.event is None else _printable(entry.event.type)


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")[:200]
