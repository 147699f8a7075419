"""The tenancy topic folded into memory: every organisation and every key, on every replica.

So a key is dead here as soon as its revocation has been read, an unknown key costs no query, and
Postgres may be away. What is not readable opens nothing: a key's record that this release cannot
read takes the key out, because it may say that the key is revoked.
"""

from typing import Protocol

from rollcall.events.envelope import MalformedEvent, NewerVersion
from rollcall.observability.logging import get_logger
from rollcall.tenancy.fold import TenancyState, TopicRecord, kafka_key, read_change
from rollcall.tenancy.organisation import ApiKey, Organisation

WAIT_FOR_UNKNOWN_S = 1.0

log = get_logger()


class TenancyRecord(TopicRecord, Protocol):
    """A record of the topic, with its place for the log line."""

    @property
    def offset(self) -> int: ...


class Freshness(Protocol):
    """What is asked of the reader of the topic."""

    @property
    def age_s(self) -> float: ...
    async def reach_end(self, timeout_s: float) -> bool: ...


class KeyDirectory:
    """Organisations and keys as the tenancy topic has them, by the last record read."""

    def __init__(self, reader: Freshness) -> None:
        self._reader = reader
        self._state = TenancyState()

    @property
    def age_s(self) -> float:
        """Seconds since this was known to be the present state."""
        return self._reader.age_s

    def organisation(self, organisation_id: str) -> Organisation | None:
        """The organisation of this id, None where there is none."""
        return self._state.organisations.get(organisation_id)

    def key(self, public_id: str) -> ApiKey | None:
        """The key of this public id, revoked and expired ones included."""
        return self._state.keys.get(public_id)

    async def is_current(self) -> bool:
        """Whether all that the topic holds now has been read, waiting for it up to a second.

        So a key works from the moment it is shown. Callers are served together.
        """
        return await self._reader.reach_end(WAIT_FOR_UNKNOWN_S)

    def apply(self, record: TenancyRecord) -> None:
        """Fold one record, in the order of the topic. Raises nothing."""
        try:
            self._state.apply(read_change(record))
        except (MalformedEvent, NewerVersion) as error:
            self._state.keys.pop(kafka_key(record), None)
            _log_unreadable(record, error)


def _log_unreadable(record: TenancyRecord, error: Exception) -> None:
    log.error(
        "tenancy.malformed",
        offset=record.offset,
        error=type(error).__name__,
        runbook="tenancy-malformed",
    )
