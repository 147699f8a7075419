"""The tenancy topic folded into memory: every organisation and every key, on every replica.

So a key is dead here as soon as its revocation has been read, an unknown key costs no query, and
Postgres may be away. What is not readable opens nothing: a key's record that this release cannot
read takes the key out, because it may say that the key is revoked.
"""

from collections.abc import Iterable
from typing import Protocol

from rollcall.events.envelope import MalformedEvent, NewerVersion, decode
from rollcall.observability.logging import get_logger
from rollcall.tenancy.organisation import ApiKey, Organisation, from_event

WAIT_FOR_UNKNOWN_S = 1.0

log = get_logger()


class TenancyRecord(Protocol):
    """What the fold reads of a Kafka record."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Iterable[tuple[str, bytes]]: ...
    @property
    def offset(self) -> int: ...


class Freshness(Protocol):
    """What is asked of the reader of the topic."""

    @property
    def age_s(self) -> float: ...
    async def reach_end(self, timeout_s: float) -> bool: ...


class KeyDirectory:
    """Organisations and keys as the topic last told them."""

    def __init__(self, reader: Freshness) -> None:
        self._reader = reader
        self._organisations: dict[str, Organisation] = {}
        self._keys: dict[str, ApiKey] = {}

    @property
    def age_s(self) -> float:
        """Seconds since this was known to be the present state."""
        return self._reader.age_s

    def organisation(self, organisation_id: str) -> Organisation | None:
        """The organisation of this id, None where there is none."""
        return self._organisations.get(organisation_id)

    def key(self, public_id: str) -> ApiKey | None:
        """The key of this public id, revoked and expired ones included."""
        return self._keys.get(public_id)

    async def is_current(self) -> bool:
        """Whether all that the topic holds now has been read, waiting for it up to a second.

        So a key works from the moment it is shown. Callers are served together.
        """
        return await self._reader.reach_end(WAIT_FOR_UNKNOWN_S)

    def apply(self, record: TenancyRecord) -> None:
        """Fold one record, in the order of the topic. Raises nothing."""
        name = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._organisations.pop(name, None)
            self._keys.pop(name, None)
            return
        try:
            found = from_event(decode(record.headers, record.value))
        except (MalformedEvent, NewerVersion) as error:
            self._keys.pop(name, None)
            _tell_unreadable(record, error)
            return
        if isinstance(found, Organisation):
            self._organisations[found.id] = found
        else:
            self._keys[found.public_id] = found


def _tell_unreadable(record: TenancyRecord, error: Exception) -> None:
    log.error(
        "tenancy.malformed",
        offset=record.offset,
        error=type(error).__name__,
        runbook="tenancy-malformed",
    )
