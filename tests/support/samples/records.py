"""Records as the pump delivers them. No test in here."""

from dataclasses import dataclass

from rollcall.events.envelope import Event, encode


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """As much of aiokafka's ConsumerRecord as workers look at."""

    offset: int
    timestamp: int = 1_790_000_000_000
    timestamp_type: int = 1
    key: bytes | None = None
    value: bytes | None = b"{}"
    headers: tuple[tuple[str, bytes], ...] = ()


def a_record(offset: int, event: Event, *, key: str | None = None, **fields: int) -> FakeRecord:
    """The record that carries `event`."""
    headers, value = encode(event)
    raw_key = None if key is None else key.encode()
    return FakeRecord(offset, key=raw_key, value=value, headers=tuple(headers), **fields)
