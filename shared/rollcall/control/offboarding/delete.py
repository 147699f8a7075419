"""`rollcall org delete`: an organisation leaves, for good.

The order, of which each step may be broken off and is found done, or half done, by the next run:
1. its keys are revoked, and its record says that it leaves (tenancy topic): every replica of
   ingress answers 401 as soon as it has read that; nothing that is due is sent any more;
2. wait until whatever was accepted before must be in the log, or is late: no replica takes a write
   by keys of which it has heard nothing for `MAX_STALE_S`, and a request is applied only if the
   broker appended it within `MAX_ACCEPT_S` of its receipt;
3. `organisation.delete` goes into its partition, behind all that it was ever answered. The
   provisioner deletes the directory's rows in the order of the log, and drops what comes behind;
4. the outcomes are announced, and the rest of its rows deleted, table by table;
5. tombstones take the place of its keys' records, and at the very end of its own.
So what was answered with success before the first step is applied and then deleted, in that order,
and what comes later is refused: at the door, by its append time, or behind the last event.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from rollcall.control.before_event import check_not_halted, find_unapplied
from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotNow
from rollcall.control.offboarding.what_stays import Kept, what_stays
from rollcall.control.publish import publish, until
from rollcall.control.tenancy_log import NotThere, Tenancy, TenancyLog, open_log
from rollcall.control.words import counted
from rollcall.events.bodies import EndOrganisation
from rollcall.events.request import MAX_ACCEPT_S, Request
from rollcall.postgres import progress
from rollcall.postgres.upkeep import offboarding
from rollcall.postgres.upkeep.offboarding import Departure
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id, parse_id
from rollcall.tenancy.api_key import MAX_STALE_S
from rollcall.tenancy.organisation import ApiKey, Organisation

CLOCKS_DIFFER_S: Final = 5.0
SETTLE_S: Final = MAX_STALE_S + MAX_ACCEPT_S + CLOCKS_DIFFER_S
"""Seconds from the revocation of the last key to the last request that may still be appended: a
replica without Kafka trusts its keys for `MAX_STALE_S`, and what it accepts is appended within
`MAX_ACCEPT_S`. These are the largest values that a replica may be set to."""
WAIT_S: Final = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; `settle_s`: seconds between the last revoked key and the last event."""

    dry_run: bool = False
    settle_s: float = SETTLE_S
    wait_s: float = WAIT_S


@dataclass(slots=True)
class Deleted:
    """What was done, or would be; `rows`: table → rows that this run deleted itself."""

    organisation_id: str
    name: str | None
    dry_run: bool
    was_gone: bool = False
    keys: int = 0
    event_id: str | None = None
    rows: dict[str, int] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        return {
            "organisation_id": self.organisation_id,
            "name": self.name,
            "dry_run": self.dry_run,
            "already_deleted": self.was_gone,
            "keys": self.keys,
            "event_id": self.event_id,
            "rows": self.rows,
            "log": [each.to_json() for each in self.kept],
        }


@dataclass(frozen=True, slots=True)
class _Leaver:
    """Who leaves: the record, None where it is gone already."""

    id: str
    record: Organisation | None
    keys: tuple[ApiKey, ...]


async def delete(deployment: Deployment, org: str, options: Options, say: Say) -> Deleted:
    """Delete an organisation. Raises NotPossible, NotThere, Unavailable: run it again."""
    async with open_log(deployment.settings) as log:
        leaver = await _find(deployment, await log.read(), org)
        found = await _departure(deployment, leaver.id)
        report = Deleted(
            leaver.id,
            None if leaver.record is None else leaver.record.name,
            options.dry_run,
            was_gone=leaver.record is None,
            keys=len(leaver.keys),
        )
        if options.dry_run:
            report.rows = await _count(deployment, leaver.id, found)
            report.kept = await what_stays(
                deployment.settings,
                deployment.topics,
                "organisation",
                found.time if found else now(),
            )
            return report
        if leaver.record is not None:
            leaver = await _close_door(deployment, log, leaver, say)
        if found is None and leaver.record is not None:
            found = await _end(deployment, leaver, leaver.record, options, say)
        if found is None:
            raise NotThere(f"no organisation {org!r}", hint="list organisations")
        report.event_id = found.event_id
        await _announced(deployment, found, options)
        say("deleting what is left of its rows")
        report.rows = await _delete_rows(deployment, leaver, found)
        await _remove_records(deployment, log, leaver, options, say)
    report.kept = await what_stays(
        deployment.settings, deployment.topics, "organisation", found.time
    )
    return report


async def _find(deployment: Deployment, tenancy: Tenancy, org: str) -> _Leaver:
    """The organisation by its record, or by what is left of it. Raises NotThere."""
    try:
        record = tenancy.organisation(org)
    except NotThere:
        given = org.lower()
        if parse_id(given) != given or await _departure(deployment, given) is None:
            raise
        return _Leaver(given, None, tuple(tenancy.keys_of(given)))
    return _Leaver(record.id, record, tuple(tenancy.keys_of(record.id)))


async def _departure(deployment: Deployment, organisation_id: str) -> Departure | None:
    async with deployment.database.connection() as connection:
        return await offboarding.departure(connection, organisation_id)


async def _close_door(
    deployment: Deployment, log: TenancyLog, leaver: _Leaver, say: Say
) -> _Leaver:
    """Step 1: revoke the keys, mark the record as leaving, revoke keys made in between.

    Keys come first: with only SCIM off, clients would be answered 403 instead of 401. Once the
    record is marked, no key can be made.
    """
    at = now()
    await _revoke(deployment, log, leaver.id, at, say)
    record = leaver.record
    if record is not None and record.leaving is None:
        record = await log.change(
            record,
            lambda present: replace(present, scim_enabled=False, leaving=present.leaving or at),
        )
    deployment.faults.passes("offboarding.after_record")
    await _revoke(deployment, log, leaver.id, at, say)
    async with deployment.database.connection() as connection:
        await offboarding.drop_notices(connection, leaver.id)
    return _Leaver(leaver.id, record, tuple((await log.read()).keys_of(leaver.id)))


async def _revoke(
    deployment: Deployment, log: TenancyLog, organisation_id: str, at: datetime, say: Say
) -> None:
    keys = (await log.read()).keys_of(organisation_id)
    alive = [key for key in keys if key.revoked is None]
    if alive:
        say(f"revoking {counted(len(alive), 'key')}")
    for key in alive:
        await log.change(key, lambda present: replace(present, revoked=present.revoked or at))
        deployment.faults.passes("offboarding.after_key")


async def _end(
    deployment: Deployment, leaver: _Leaver, record: Organisation, options: Options, say: Say
) -> Departure:
    """Steps 2 and 3: the last event of the organisation, and the provisioner's doing."""
    # Not before its keys are dead: that must not wait for anything.
    await check_not_halted(deployment.database, deployment.topics.requests, record.partition)
    closed = max([each.revoked for each in leaver.keys if each.revoked] + [record.leaving or now()])
    wait_s = (closed + timedelta(seconds=options.settle_s) - now()).total_seconds()
    if wait_s > 0:
        say(f"what was accepted before settles: {wait_s:.0f} s")
        await asyncio.sleep(wait_s)  # the time in which an accepted request may still be appended
    deployment.faults.passes("offboarding.after_wait")
    where = await _publish_last(deployment, leaver, record.partition)
    deployment.faults.passes("offboarding.after_event")
    say("the provisioner deletes its directory")
    found: list[Departure] = []

    async def is_gone() -> bool:
        departure = await _departure(deployment, leaver.id)
        if departure is not None:
            found.append(departure)
        return bool(found)

    await until(
        is_gone,
        options.wait_s,
        NotNow(
            f"its keys are dead, and its last event is accepted as {where}, but not applied yet "
            "(`rollcall partition list` shows how far the provisioner is); run this again to end it"
        ),
    )
    deployment.faults.passes("offboarding.after_applied")
    return found[0]


async def _publish_last(deployment: Deployment, leaver: _Leaver, partition: int) -> str:
    """The organisation's last event, where no earlier run has written it: its place, or its id."""
    topic = deployment.topics.requests
    earlier = await find_unapplied(
        deployment.settings,
        deployment.database,
        topic,
        partition,
        lambda each: isinstance(each.body, EndOrganisation) and each.organisation_id == leaver.id,
    )
    if earlier is not None:
        return earlier.id
    request = Request(
        id=new_id(),
        endpoint="Users",
        organisation_id=leaver.id,
        resource_id=leaver.id,
        time=now(),
        body=EndOrganisation(),
        actor="operator",
    )
    (offset,) = await publish(deployment.settings, [(request, topic, partition)])
    return f"{topic}/{partition}/{offset}"


async def _announced(deployment: Deployment, found: Departure, options: Options) -> None:
    """The audit's rows are what outcomes are announced from: they must have been."""
    if found.place is None:
        return
    partition, *at = found.place

    async def is_announced() -> bool:
        async with deployment.database.connection() as connection:
            position = await progress.read(connection, deployment.topics.requests, partition)
        return position is not None and [position.epoch, position.published_offset] > at

    await until(
        is_announced,
        options.wait_s,
        NotNow(
            f"its directory is gone, but partition {partition} has not announced it yet; "
            "run this again to end it"
        ),
    )


async def _count(
    deployment: Deployment, organisation_id: str, found: Departure | None
) -> dict[str, int]:
    event_id = None if found is None else found.event_id
    async with deployment.database.connection() as connection:
        tables = await offboarding.tables(connection)
        counts = {
            str(each): await offboarding.count(connection, each, organisation_id, event_id)
            for each in tables
        }
    return {name: number for name, number in counts.items() if number}


async def _delete_rows(deployment: Deployment, leaver: _Leaver, found: Departure) -> dict[str, int]:
    """Step 4: every table that names it, but the live directory, in steps of a second or so."""
    public_ids = [each.public_id for each in leaver.keys]
    async with deployment.database.transaction() as connection:
        tables = await offboarding.tables(connection)
        await offboarding.forget_unheard(connection, leaver.id)
        await offboarding.forget_tenancy(connection, leaver.id, public_ids)
    done: dict[str, int] = {}
    for table in tables:
        if table.is_live and table.name != "dead_letter":
            continue
        while True:
            async with deployment.database.transaction() as connection:
                number = await offboarding.delete_some(connection, table, leaver.id, found.event_id)
            if not number:
                break
            done[str(table)] = done.get(str(table), 0) + number
            deployment.faults.passes("offboarding.in_rows")
    deployment.faults.passes("offboarding.after_rows")
    return done


async def _remove_records(
    deployment: Deployment, log: TenancyLog, leaver: _Leaver, options: Options, say: Say
) -> None:
    """Step 5, and its copy in Postgres: the record of the organisation goes last."""
    names = [each.public_id for each in leaver.keys]
    if leaver.record is not None:
        names.append(leaver.id)
    if not names:
        return
    say("its records are replaced by tombstones")
    last = -1
    for name in names:
        deployment.faults.passes("offboarding.before_tombstone")
        last = await log.remove(name)
    deployment.faults.passes("offboarding.after_tombstones")

    async def is_copied() -> bool:
        async with deployment.database.connection() as connection:
            position = await progress.read(connection, deployment.topics.tenancy, 0)
        return position is None or position.next_offset > last

    await until(
        is_copied,
        options.wait_s,
        NotNow(
            "all is deleted, but the provisioner has not read that its records are gone; "
            "it will when it runs"
        ),
    )
