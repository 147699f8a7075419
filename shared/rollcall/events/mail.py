"""The event that a mail was sent, announced on the outcomes topic beside the outcome behind it.

A restored database does not know which mails were sent; these events tell it. Their types are not
outcomes, because readers of outcomes skip old ones by `sequence`, and these events have none. They
contain ids only, no personal data.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rollcall.events.envelope import Event, MalformedEvent, NewerVersion

Json = dict[str, Any]
TYPE_PREFIX: Final = "io.rollcall.mail."
TYPE: Final = f"{TYPE_PREFIX}sent.v1"
SOURCE: Final = "/rollcall/notifier"


@dataclass(frozen=True, slots=True)
class MailSent:
    """A mail server accepted the notice `kind` that request `request_id` caused, at `time`."""

    request_id: str
    kind: str
    organisation_id: str
    member_id: str
    message_id: str
    time: datetime

    @property
    def id(self) -> str:
        """The event's id; a repeated announcement has the same one."""
        return str(uuid.uuid5(uuid.UUID(self.request_id), f"mail/{self.kind}"))


def to_event(sent: MailSent) -> Event:
    """The CloudEvent of a sent mail."""
    data: Json = {
        "organisation_id": sent.organisation_id,
        "member_id": sent.member_id,
        "kind": sent.kind,
        "message_id": sent.message_id,
    }
    return Event(
        id=sent.id,
        type=TYPE,
        source=SOURCE,
        subject=f"{sent.organisation_id}/Users/{sent.member_id}",
        time=sent.time,
        data=data,
        extensions={"causationid": sent.request_id},
    )


def from_event(event: Event) -> MailSent:
    """The sent mail that `event` describes. Raises MalformedEvent or NewerVersion."""
    if event.type != TYPE:
        if event.type.startswith(TYPE_PREFIX):
            raise NewerVersion(f"{event.type!r} is newer than this release knows")
        raise MalformedEvent(f"{event.type!r} is no fact about a mail")
    try:
        return MailSent(
            request_id=event.extensions["causationid"],
            kind=event.data["kind"],
            organisation_id=event.data["organisation_id"],
            member_id=event.data["member_id"],
            message_id=event.data["message_id"],
            time=event.time,
        )
    except (KeyError, TypeError) as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error
