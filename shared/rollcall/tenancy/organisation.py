"""Records of the tenancy topic: the present state of one organisation or of one API key.

The topic is compacted and has one partition; its key is the organisation's id or the API key's
public id. It holds no secrets. Whoever folds it in order knows every organisation and key.

A release may add a field to a record without a new version of its type if a reader that does not
know the field may do without it: such fields are optional, are written only where they are set,
and a reader passes over names that it does not know (docs/decisions/0020).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final, Literal

from rollcall.events.envelope import Event, MalformedEvent, NewerVersion, format_time, parse_time

Json = dict[str, Any]
ORGANISATION_TYPE: Final = "io.rollcall.tenancy.organisation.v1"
KEY_TYPE: Final = "io.rollcall.tenancy.key.v1"
TYPE_PREFIX: Final = "io.rollcall.tenancy."
SOURCE: Final = "/rollcall/operator"

LEAST_RATE: Final = 25
"""Requests a second; identity providers are promised that many."""
MOST_RATE: Final = 100_000
MOST_BURST: Final = 1_000_000
_ONLY_WHERE_SET: Final[Mapping[str, object]] = {
    "rate": None,
    "burst": None,
    "leaving": None,
    "unique_external_ids": False,
}
"""Field → the value with which it is not written."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """One organisation. `partition` is fixed at its birth; all its requests go there.

    `language` is that of its mails and of the invitation page, `en` or `nl`. `rate` is how many
    requests a second one replica of ingress takes, None for no limit; `burst` is how many may come
    at once, None for as many as come in a second. `leaving` is when its deletion began: nothing is
    sent to its members any more, and it gets no keys. `unique_external_ids`: nobody is given an
    `externalId` that another one has (docs/decisions/0047).

    Raises ValueError for a rate or a burst that is out of its range.
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
    rate: int | None = None
    burst: int | None = None
    leaving: datetime | None = None
    unique_external_ids: bool = False

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("rate", self.rate, LEAST_RATE, MOST_RATE),
            ("burst", self.burst, 1, MOST_BURST),
        ):
            if value is not None and not (type(value) is int and least <= value <= most):
                raise ValueError(f"{name} must be a whole number from {least} to {most}")


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


def to_data(record: Record) -> Json:
    """The record as JSON. What is only written where it is set is left out where it is not."""
    return {
        name: format_time(value) if isinstance(value, datetime) else value
        for name, value in asdict(record).items()
        if name not in _ONLY_WHERE_SET or value != _ONLY_WHERE_SET[name]
    }


def organisation_from(data: Mapping[str, Any]) -> Organisation:
    """The organisation that `to_data` wrote, this release's or another's.

    Raises TypeError (a field is missing) and ValueError.
    """
    return Organisation(**_known(data, _ORGANISATION_FIELDS))


def to_event(record: Record, *, event_id: str, time: datetime) -> Event:
    """The CloudEvent of a record."""
    data = to_data(record)
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
        record: Record = (
            organisation_from(event.data)
            if event.type == ORGANISATION_TYPE
            else ApiKey(**_known(event.data, _KEY_FIELDS))
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error
    if record_key(record) != event.subject:
        raise MalformedEvent("the subject does not agree with the data")
    return record


_ORGANISATION_FIELDS: Final = frozenset(each.name for each in fields(Organisation))
_KEY_FIELDS: Final = frozenset(each.name for each in fields(ApiKey))


def _known(data: Mapping[str, Any], names: frozenset[str]) -> Json:
    """The fields of these names, times parsed."""
    found = {name: value for name, value in data.items() if name in names}
    for name in ("created", "expires", "revoked", "leaving"):
        if found.get(name) is not None:
            found[name] = parse_time(found[name])
    return found
