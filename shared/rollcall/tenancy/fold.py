"""The tenancy topic, folded: the latest record of every organisation and every API key. Pure.

A record without a value (a tombstone) removes what its Kafka key names. What to do with a record
that cannot be read is the caller's decision, so `read_change` raises.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from rollcall.events.envelope import decode
from rollcall.tenancy.organisation import ApiKey, Organisation, Record, from_event, record_key


class TopicRecord(Protocol):
    """What is read of a Kafka record."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Iterable[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Change:
    """What one Kafka record says: the new state of `key`, or that it is gone (None)."""

    key: str
    record: Record | None


def read_change(record: TopicRecord) -> Change:
    """The change in a Kafka record. Raises MalformedEvent, NewerVersion."""
    if record.value is None:
        return Change(kafka_key(record), None)
    found = from_event(decode(record.headers, record.value))
    return Change(record_key(found), found)


def kafka_key(record: TopicRecord) -> str:
    """The Kafka key as text, also of a record that cannot be read."""
    return (record.key or b"").decode("utf-8", "replace")


@dataclass(slots=True)
class TenancyState:
    """Every organisation by its id and every key by its public id, as the topic last said."""

    organisations: dict[str, Organisation] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        """Take over a change, in the order of the topic."""
        match change.record:
            case None:
                self.organisations.pop(change.key, None)
                self.keys.pop(change.key, None)
            case Organisation() as organisation:
                self.organisations[organisation.id] = organisation
            case ApiKey() as key:
                self.keys[key.public_id] = key
