"""Load the state that a batch touches, before it is folded."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rollcall.applying import dead_letters
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.options import ApplyOptions, calculate
from rollcall.applying.understand import understand
from rollcall.directory.quarantine import Event, Held, Key, Quarantine
from rollcall.directory.release import BYTES_AT_ONCE, EVENTS_AT_ONCE
from rollcall.directory.state import State
from rollcall.directory.touch import Touch, touches
from rollcall.events.request import Request
from rollcall.postgres import dead_letter, parked
from rollcall.postgres.dead_letter import HeldRecord
from rollcall.postgres.directory_load import load_states

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection


Batch = list[tuple[Event, datetime]]
Resource = tuple[str, str, str]
"""(organisation, endpoint, resource)"""


async def load(connection: "Connection", batch: Batch, options: ApplyOptions) -> dict[str, State]:
    """Load what the batch touches; for a redrive also the held events and what those touch.

    Nothing is loaded for an event that is known to be dead: its load may be what took too long.
    """
    events = [event for event, _ in batch]
    held = await _load_held(connection, events, options)
    waiting = await _load_waiting(connection, events, options)
    requests = [event for event in events if isinstance(event, Request)]
    kept = [each for found, _ in waiting.values() for each in found]
    for quarantine in held.values():
        kept.extend(each for each in (quarantine.dead, *quarantine.parked) if each is not None)
    requests.extend(each.event for each in kept if isinstance(each.event, Request))
    alive = [request for request in requests if request.id not in options.known]
    touched = await calculate(connection, options, touches, alive)
    for event in events:
        if event.organisation_id and (isinstance(event, Request) or event.has_resource):
            touched.setdefault(event.organisation_id, Touch())
    states = await load_states(connection, touched)
    for (organisation_id, key), quarantine in held.items():
        quarantine.cause = states[organisation_id].quarantines[key].cause
        states[organisation_id].quarantines[key] = quarantine
    for organisation_id, (found, behind) in waiting.items():
        if (park := states[organisation_id].park) is not None:
            park.waiting, park.behind = found, behind
    return states


async def _load_held(
    connection: "Connection", events: Sequence[Event], options: ApplyOptions
) -> dict[tuple[str, Key], Quarantine]:
    """(organisation, resource) → its quarantine with all held events, for redriven resources."""
    wanted: dict[Resource, tuple[str, Key]] = {
        (event.organisation_id, event.endpoint, event.resource_id): (
            event.organisation_id,
            (event.endpoint, event.resource_id),
        )
        for event in events
        if isinstance(event, Request) and event.is_about_dead and not event.is_release
    }
    if not wanted:
        return {}
    dead = await dead_letter.load_dead(connection, list(wanted))
    waiting = await parked.load(connection, list(dead)) if dead else {}

    def read() -> dict[tuple[str, Key], Quarantine]:
        return {
            wanted[resource]: Quarantine(
                record.id, _held(record), list(map(_held, waiting[resource]))
            )
            for resource, record in dead.items()
        }

    return await calculate(connection, options, read)


async def _load_waiting(
    connection: "Connection", events: Sequence[Event], options: ApplyOptions
) -> Mapping[str, tuple[list[Held], int]]:
    """Released organisation → the waiting events that are taken up, and the number of others."""
    found: dict[str, tuple[list[Held], int]] = {}
    for event in events:
        if not isinstance(event, Request) or not event.is_release or event.id in options.known:
            continue
        records, behind = await parked.load_waiting(
            connection, event.organisation_id, EVENTS_AT_ONCE, BYTES_AT_ONCE
        )

        def read(records: Sequence[HeldRecord] = records) -> list[Held]:
            return list(map(_held, records))

        found[event.organisation_id] = await calculate(connection, options, read), behind
    return found


def _held(record: HeldRecord) -> Held:
    """Read a kept record again. Raises PartitionHalted for a version newer than this release."""
    understood = understand([record])
    if understood.halt is not None:
        raise understood.halt
    [entry] = understood.entries
    source = SourceLog(record.topic, record.partition, record.epoch)
    return Held(
        dead_letters.to_event(source, entry),
        entry.append_time,
        attempts=record.attempts,
        announced=record.announced,
        record_name=source.name(record.offset),
        is_late=entry.is_expired,
    )
