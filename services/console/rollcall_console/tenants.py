"""Organisations and their keys as the tenancy topic has them now, read and followed in memory."""

from collections.abc import Sequence
from typing import Final

from rollcall.events.envelope import MalformedEvent, NewerVersion
from rollcall.events.topics import Topics
from rollcall.kafka.topic_reader import TopicReader
from rollcall.observability.logging import get_logger
from rollcall.runtime.config import Settings
from rollcall.tenancy.fold import TenancyState, TopicRecord, kafka_key, read_change
from rollcall.tenancy.organisation import ApiKey, Organisation

CLIENT_ID: Final = "rollcall-console"
FETCH_WAIT_MS: Final = 100
WAIT_S: Final = 1.0
"""How long a page waits for what was written a moment ago."""

log = get_logger()


class Tenants:
    """The topic, folded. Kafka may be away: then it is as it was last known."""

    def __init__(self, settings: Settings) -> None:
        self._reader = TopicReader(
            settings,
            Topics(settings.topic_prefix).tenancy,
            client_id=CLIENT_ID,
            fetch_wait_ms=FETCH_WAIT_MS,
        )
        self._state = TenancyState()

    def start(self) -> None:
        """Begin to read."""
        self._reader.start(self._apply)

    async def stop(self) -> None:
        """Stop reading."""
        await self._reader.stop()

    @property
    def is_loaded(self) -> bool:
        """Whether everything that was there at the start has been read."""
        return self._reader.caught_up.is_set()

    async def is_current(self) -> bool:
        """Whether what is written by now has been read, waiting a moment for it."""
        return await self._reader.reach_end(WAIT_S)

    def organisation(self, organisation_id: str) -> Organisation | None:
        """The organisation of this id."""
        return self._state.organisations.get(organisation_id)

    def organisations(self) -> Sequence[Organisation]:
        """All, by name."""
        return sorted(self._state.organisations.values(), key=lambda each: (each.name, each.id))

    def keys_of(self, organisation_id: str) -> list[ApiKey]:
        """The organisation's keys, newest first."""
        found = [key for key in self._state.keys.values() if key.organisation_id == organisation_id]
        return sorted(found, key=lambda key: (key.created, key.public_id), reverse=True)

    def _apply(self, record: TopicRecord) -> None:
        try:
            self._state.apply(read_change(record))
        except (MalformedEvent, NewerVersion) as error:
            self._state.keys.pop(kafka_key(record), None)
            _log_unreadable(error)


def _log_unreadable(error: Exception) -> None:
    log.error("tenancy.malformed", error=type(error).__name__, runbook="tenancy-malformed")
