"""Checks before an event is published and waited for.

A halted partition applies nothing, so an event would only wait there. And an event that an earlier
try published and that is not applied yet must not be published again.
"""

from collections.abc import Callable

from rollcall.control.errors import NotPossible
from rollcall.events import envelope
from rollcall.events.envelope import MalformedEvent, NewerVersion
from rollcall.events.request import Request, from_event
from rollcall.kafka.offsets import extents
from rollcall.kafka.reading import read
from rollcall.postgres import progress
from rollcall.postgres.pool import Database
from rollcall.postgres.progress import Progress
from rollcall.runtime.config import Settings

Matches = Callable[[Request], bool]


async def why_not_applied(database: Database, topic: str, partition: int) -> str | None:
    """Why the partition applies nothing, and what to do first; None where it runs."""
    found = await _position(database, topic, partition)
    if found is not None and found.state == "halted":
        return _halted(found)
    if found is not None and found.state == "paused":
        return (
            f"partition {partition} of {topic} is paused for a moment by a rebuild: "
            "run this again when that has ended"
        )
    return None


async def check_not_halted(database: Database, topic: str, partition: int) -> None:
    """Raise NotPossible where the partition is halted. A pause ends sooner than callers give up."""
    found = await _position(database, topic, partition)
    if found is not None and found.state == "halted":
        raise NotPossible(f"{_halted(found)}, then this again; no event was written")


def _halted(found: Progress) -> str:
    number = found.partition
    return (
        f"partition {number} of {found.topic} is halted ({found.reason or 'no reason noted'}), so "
        f"nothing of it is applied; `rollcall partition show {number}` says why it stands: run "
        f"`rollcall partition resume {number}` first"
    )


async def find_unapplied(
    settings: Settings, database: Database, topic: str, partition: int, matches: Matches
) -> Request | None:
    """The first request of the log that matches and is not applied yet. Raises Unavailable."""
    found = await _position(database, topic, partition)
    position = 0 if found is None else found.next_offset
    held = (await extents(settings, topic)).get(partition)
    if held is None:
        return None
    begin = max(position, held.first)
    async for records in read(settings, topic, partition, begin, held.end):
        for record in records:
            try:
                request = from_event(envelope.decode(record.headers, record.value))
            except (MalformedEvent, NewerVersion):
                continue  # not one of ours
            if matches(request):
                return request
    return None


async def _position(database: Database, topic: str, partition: int) -> Progress | None:
    async with database.connection() as connection:
        return await progress.read(connection, topic, partition)
