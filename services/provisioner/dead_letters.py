"""Events that cannot be applied: kept, bytes and all, and announced; the others flow on.

The row is written in the batch's own transaction, beside an audit row whose outcome is
`request.failed`, so that the announcement survives a crash as any other does. Quarantine of the
resource, redrive and the limit that halts a partition belong to a later issue.
"""

import uuid
from dataclasses import dataclass
from typing import Final

from services.provisioner.understand import Entry
from shared.events.dead_letter import Announcement as DeadLetterAnnouncement
from shared.events.outcome import Outcome, to_data
from shared.events.reply import Reply
from shared.postgres.audit import AuditRow
from shared.postgres.dead_letter import DeadLetter
from shared.runtime.ids import parse_id

FAILED: Final = "request.failed"
STATUS: Final = 500
ATTEMPTS: Final = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch's records stand: the topic, its partition, the epoch of the log."""

    topic: str
    partition: int
    epoch: int = 0

    def name(self, offset: int) -> str:
        """How a dead letter is called: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{offset}"


def to_letter(place: Place, entry: Entry, error: Exception) -> DeadLetter:
    """The row that keeps the record. The error's text is kept only where it is our own message."""
    record = entry.record
    return DeadLetter(
        topic=place.topic,
        partition=place.partition,
        offset=record.offset,
        epoch=place.epoch,
        event_id=None if entry.event is None else entry.event.id,
        organisation_id=organisation_of(entry),
        headers=record.headers,
        key=record.key,
        value=record.value,
        error_class=type(error).__name__,
        error=describe(entry, error),
        append_time=entry.append_time,
    )


def to_audit_row(place: Place, entry: Entry, error: Exception) -> AuditRow:
    """The audit row of a dead letter; its one outcome says that the request failed.

    An event without a usable id gets one that its place determines.
    """
    event = entry.event
    organisation_id, endpoint, resource_id = _subject(entry)
    outcome = Outcome(
        FAILED,
        organisation_id or "",
        resource_id,
        detail={
            "status": STATUS,
            "endpoint": endpoint,
            "error_class": type(error).__name__,
            "dead_letter": place.name(entry.record.offset),
        },
    )
    return AuditRow(
        id=audit_id(place, entry),
        organisation_id=organisation_id,
        topic=place.topic,
        partition=place.partition,
        offset=entry.record.offset,
        epoch=place.epoch,
        type="unknown" if event is None else _printable(event.type),
        resource_id=resource_id or None,
        actor="unknown" if entry.request is None else entry.request.actor,
        append_time=entry.append_time,
        event_time=entry.append_time if event is None else event.time,
        status=STATUS,
        scim_type=None,
        outcomes=[{"fact": FAILED, "data": to_data(outcome)}],
        optimistic=entry.request is None or entry.request.reply_to is None,
    )


def to_reply(place: Place, entry: Entry) -> tuple[int, Reply] | None:
    """The partition on which somebody waits and the answer to it; None if nobody waits."""
    if entry.event is None:
        return None
    reply_to = entry.event.extensions.get("replyto", "")
    if not (reply_to.isascii() and reply_to.isdigit()):
        return None
    detail = (
        "The service made a mistake with this request and has set it aside as "
        f"{place.name(entry.record.offset)}; tell its operator this name."
    )
    return int(reply_to), Reply(request_id=entry.event.id, status=STATUS, detail=detail)


def to_announcement(row: AuditRow) -> DeadLetterAnnouncement | None:
    """The announcement on the dead topic that an audit row stands for; None for any other row."""
    if row.status != STATUS or not row.outcomes or row.outcomes[0]["fact"] != FAILED:
        return None
    detail = row.outcomes[0]["data"]["detail"]
    return DeadLetterAnnouncement(
        event_id=row.id,
        name=detail["dead_letter"],
        organisation_id=row.organisation_id,
        resource_id=row.resource_id,
        type=row.type,
        error_class=detail["error_class"],
        attempts=ATTEMPTS,
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
        time=row.append_time,
    )


def audit_id(place: Place, entry: Entry) -> str:
    """The event's id, or one made from its place where it has none in canonical form."""
    name = f"{place.name(entry.record.offset)}/{place.epoch}"
    return entry.event_id or str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def organisation_of(entry: Entry) -> str | None:
    """The organisation that the subject or the key names, if either names one."""
    return _subject(entry)[0]


def describe(entry: Entry, error: Exception) -> str:
    """What went wrong, without a value of the event: our own message, else only the class."""
    if entry.request is not None:
        return type(error).__name__
    return str(error).partition(":")[0][:200]


def _subject(entry: Entry) -> tuple[str | None, str, str]:
    """Organisation, endpoint and resource as far as subject and key tell."""
    subject = "" if entry.event is None else entry.event.subject
    organisation, _, rest = subject.partition("/")
    endpoint, _, resource_id = rest.partition("/")
    key = (entry.record.key or b"").decode("utf-8", "replace")
    known = next((text for text in (organisation, key) if parse_id(text) == text and text), None)
    if endpoint not in ("Users", "Groups"):
        endpoint = "Users"
    return known, endpoint, resource_id if parse_id(resource_id) == resource_id else ""


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")[:200]
