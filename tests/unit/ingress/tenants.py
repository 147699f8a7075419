"""Builders of organisations, keys and tenancy records; no test in here."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rollcall.events.envelope import encode
from rollcall.scim.schema import USER, ResourceSchema
from rollcall.tenancy import api_key
from rollcall.tenancy.organisation import ApiKey, Organisation, Record, record_key, to_event
from rollcall_ingress.door.key_directory import KeyDirectory
from rollcall_ingress.write.understand import (
    Command,
    Verb,
)
from tests.support.builders import ORGANISATION, an_id

MOMENT = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TenancyRecord:
    """What the fold sees of a Kafka record."""

    key: bytes | None
    value: bytes | None
    headers: Iterable[tuple[str, bytes]] = ()
    offset: int = 0


@dataclass(slots=True)
class Reader:
    """A reader of the tenancy topic as the tests want it."""

    age_s: float = 0.0
    is_reachable: bool = True
    waiting: list[TenancyRecord] = field(default_factory=list)
    directory: KeyDirectory | None = None
    asked: int = 0

    async def reach_end(self, timeout_s: float) -> bool:
        self.asked += 1
        if self.is_reachable and self.directory is not None:
            for record in self.waiting:
                self.directory.apply(record)
        return self.is_reachable


def a_key_text(number: int = 1) -> str:
    """The text of a key, the same for the same number."""
    return api_key.make(number.to_bytes(1) * 48).text


def an_organisation(organisation_id: str = ORGANISATION, **fields: Any) -> Organisation:
    """An organisation with SCIM on."""
    return Organisation(organisation_id, "Harbour", 3, MOMENT, **fields)


def a_key(number: int = 1, organisation_id: str = ORGANISATION, **fields: Any) -> ApiKey:
    """The record of `a_key_text(number)`."""
    made = api_key.make(number.to_bytes(1) * 48)
    return ApiKey(made.public_id, organisation_id, "test", made.sha256, MOMENT, **fields)


def a_record(record: Record) -> TenancyRecord:
    """The Kafka record of an organisation or a key."""
    headers, value = encode(to_event(record, event_id=an_id(1), time=MOMENT))
    return TenancyRecord(record_key(record).encode(), value, headers)


def a_directory(*records: Record, reader: Reader | None = None) -> KeyDirectory:
    """A directory that has folded these records."""
    used = reader or Reader()
    directory = KeyDirectory(used)
    used.directory = directory
    for record in records:
        directory.apply(a_record(record))
    return directory


def a_command(verb: Verb = "create", schema: ResourceSchema = USER, **organisation: Any) -> Command:
    return Command(
        id=an_id(1),
        verb=verb,
        schema=schema,
        resource_id=None if verb == "create" else an_id(2),
        organisation=an_organisation(**organisation),
        actor="key:abc",
        time=MOMENT,
    )
