"""Records of the tenancy topic: the present state of one organisation or of one API key.

The topic is compacted and has one partition; its key is the organisation's id or the API key's
public id. It holds no secrets. Whoever folds it in order knows every organisation and key.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from shared.events.envelope import (
    Event,
    MalformedEvent,
    NewerVersion,
    format_time,
    parse_time,
)

Json = dict[str, Any]
ORGANISATION_TYPE: Final = "io.rollcall.tenancy.organisation.v1"
KEY_TYPE: Final = "io.rollcall.tenancy.key.v1"
TYPE_PREFIX: Final = "io.rollcall.tenancy."
SOURCE: Final = "/rollcall/operator"


@dataclass(frozen=True, slots=True)
class Organisation:
    """One organisation. `partition` is fixed at its birth; all its requests go there.

    `language` is that of its mails and of the invitation page, `en` or `nl`.
    """

    id: str
    name: str
    partition: int
    created: datetime
    scim_enabled: bool = True
    profile: Literal["compatible", "interop"] = "compatible"
    unique_group_names: bool = True
    confirm_on_accept: bool = True
    language: Literal["en", "nl"] = "en"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One API key without its secret: `sha256` is the hash of its whole text."""

    public_id: str
    organisation_id: str
    name: str
    sha256: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def is_alive(self, at: datetime) -> bool:
        """Whether the key opens anything at this moment."""
        return self.revoked is None and (self.expires is None or at < self.expires)


Record = Organisation | ApiKey


def record_key(record: Record) -> str:
    """The Kafka key under which the topic keeps the latest state of `record`."""
    return record.id if isinstance(record, Organisation) else record.public_id


def to_event(record: Record, *, event_id: str, time: datetime) -> Event:
    """The CloudEvent of a record."""
    data = {
        name: format_time(value) if isinstance(value, datetime) else value
        for name, value in asdict(record).items()
    }
    kind = ORGANISATION_TYPE if isinstance(record, Organisation) else KEY_TYPE
    return Event(
        id=event_id, type=kind, source=SOURCE, subject=record_key(record), time=time, data=data
    )


def from_event(event: Event) -> Record:
    """The record in `event`. Raises MalformedEvent, or NewerVersion."""
    if event.type not in (ORGANISATION_TYPE, KEY_TYPE):
        if event.type.startswith(TYPE_PREFIX):
            raise NewerVersion(f"{event.type!r} is newer than this release knows")
        raise MalformedEvent(f"{event.type!r} is no type of a tenancy record")
    try:
        data: Json = dict(event.data)
        for name in ("created", "expires", "revoked"):
            if data.get(name) is not None:
                data[name] = parse_time(data[name])
        record: Record = Organisation(**data) if event.type == ORGANISATION_TYPE else ApiKey(**data)
    except (TypeError, ValueError) as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error
    if record_key(record) != event.subject:
        raise MalformedEvent("the subject does not agree with the data")
    return record
