"""Records of the tenancy topic: the current state of one organisation or of one API key.

The topic is compacted and has one partition. Its key is the organisation's id or the API key's
public id. It contains no secrets. A reader that folds it in order knows all organisations and keys.

A release may add a field to a record without a new version of its type, if readers that do not know
the field can do without it. Such fields are optional and are written only if they are set, and a
reader ignores names that it does not know (docs/decisions/0020). What narrows a right is no such
field: a key with limits has version 2 of its type, and a reader that does not know it takes the key
out, so it opens nothing there instead of everything (docs/decisions/0079).

Who wrote a record is no part of the state, so it is an attribute of the event: `source` is the
program, and the extension `by` (`account:ID`, `api-key:ID`) who, where the program knows them. The
release before this one ignores it (docs/decisions/0071).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final, Literal

from rollcall.events.envelope import Event, MalformedEvent, NewerVersion, format_time, parse_time
from rollcall.tenancy.limits import canonical_networks, canonical_scopes

Json = dict[str, Any]
ORGANISATION_TYPE: Final = "io.rollcall.tenancy.organisation.v1"
KEY_TYPE: Final = "io.rollcall.tenancy.key.v1"
LIMITED_KEY_TYPE: Final = "io.rollcall.tenancy.key.v2"
"""A key with limits: networks, scopes, or both."""
TYPE_PREFIX: Final = "io.rollcall.tenancy."
OPERATOR: Final = "/rollcall/operator"
"""Source of the records that the command line writes."""
CONSOLE: Final = "/rollcall/console"
"""Source of the records that the console writes."""
BY: Final = "by"
"""The extension attribute that names who wrote a record."""

LEAST_RATE: Final = 25
"""Requests per second. Identity providers are promised this rate."""
MOST_RATE: Final = 100_000
MOST_BURST: Final = 1_000_000
_ONLY_WHERE_SET: Final[Mapping[str, object]] = {
    "rate": None,
    "burst": None,
    "leaving": None,
    "unique_external_ids": False,
    "networks": (),
    "scopes": (),
}
"""Field → the value for which it is not written."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes records: the program (`source`), and the person (`account:ID`) if known."""

    source: str
    by: str | None = None


COMMAND_LINE: Final = Author(OPERATOR)
"""The command line does not know which person types."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """One organisation. `partition` is fixed at its creation; all its requests go there.

    `language` (`en` or `nl`) is used in mails and on the invitation page. `rate` is the number of
    requests per second that one replica of ingress accepts; None for no limit. `burst` is the
    number that may come at once; None for one second's worth. `leaving` is the time at which its
    offboarding began: from then on its members get no mails and it gets no keys.
    `unique_external_ids`: an `externalId` may be used by one resource only (docs/decisions/0047).

    Raises ValueError for a rate or a burst out of range.
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
    """One API key without its secret; `sha256` is the hash of its whole text.

    `networks` are those that it may be used from, `scopes` what it may do (`limits.py`); none: no
    limit. Raises ValueError for what is no network or scope.
    """

    public_id: str
    organisation_id: str
    name: str
    sha256: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    networks: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if canonical_networks(self.networks) != self.networks:
            raise ValueError("networks are not in their one form")
        if canonical_scopes(self.scopes) != self.scopes:
            raise ValueError("scopes are not in their one form")

    @property
    def is_limited(self) -> bool:
        """Whether an older release must not take it for one that may do everything."""
        return bool(self.networks or self.scopes)

    def is_alive(self, at: datetime) -> bool:
        """Whether the key is valid at this moment."""
        return self.revoked is None and (self.expires is None or at < self.expires)


Record = Organisation | ApiKey


def record_key(record: Record) -> str:
    """The Kafka key under which the topic keeps the latest state of `record`."""
    return record.id if isinstance(record, Organisation) else record.public_id


def to_data(record: Record) -> Json:
    """The record as JSON; optional fields that are not set are omitted."""
    return {
        name: _plain(value)
        for name, value in asdict(record).items()
        if name not in _ONLY_WHERE_SET or value != _ONLY_WHERE_SET[name]
    }


def organisation_from(data: Mapping[str, Any]) -> Organisation:
    """The organisation in the JSON that `to_data` of this or another release wrote.

    Raises TypeError (a field is missing) and ValueError.
    """
    return Organisation(**_known(data, _ORGANISATION_FIELDS))


def to_event(
    record: Record, *, event_id: str, time: datetime, author: Author = COMMAND_LINE
) -> Event:
    """The CloudEvent of a record."""
    return Event(
        id=event_id,
        type=_type_of(record),
        source=author.source,
        subject=record_key(record),
        time=time,
        data=to_data(record),
        extensions={} if author.by is None else {BY: author.by},
    )


def _plain(value: object) -> object:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return format_time(value)
    return list(value) if isinstance(value, tuple) else value


def _type_of(record: Record) -> str:
    if isinstance(record, Organisation):
        return ORGANISATION_TYPE
    return LIMITED_KEY_TYPE if record.is_limited else KEY_TYPE


def from_event(event: Event) -> Record:
    """The record in `event`. Raises MalformedEvent, or NewerVersion."""
    if event.type not in (ORGANISATION_TYPE, KEY_TYPE, LIMITED_KEY_TYPE):
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
    """The fields with these names, with times parsed."""
    found = {name: value for name, value in data.items() if name in names}
    for name in ("created", "expires", "revoked", "leaving"):
        if found.get(name) is not None:
            found[name] = parse_time(found[name])
    for name in ("networks", "scopes"):
        if name in found:
            found[name] = _texts(found[name])
    return found


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts. Raises TypeError."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError("not a list of texts")
    return tuple(value)
