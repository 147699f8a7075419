"""Erase a member: all personal data outside of the log.

It is an event like any change, so a rebuild, a verify and a restored backup give the same result:
in the log's order the provisioner removes the member, its memberships, its dead letters and parked
events. Rows that no fold makes (notices, the directory that a rebuild replaced) are deleted
afterwards. The audit and the outcomes hold only ids and names of attributes, and stay.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rollcall.control.before_event import check_not_halted, find_unapplied
from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotNow, NotPossible
from rollcall.control.offboarding.what_stays import Kept, what_stays
from rollcall.control.publish import publish, until
from rollcall.control.rebuild.approach import LOCK
from rollcall.control.tenancy_log import find_organisation
from rollcall.events.bodies import Erase
from rollcall.events.request import Request
from rollcall.postgres import audit
from rollcall.postgres.upkeep import offboarding, scratch
from rollcall.postgres.upkeep.offboarding import Traces
from rollcall.postgres.upkeep.scratch import VERIFY
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id, parse_id
from rollcall.scim.errors import ScimError
from rollcall.scim.username import user_name_key
from rollcall.tenancy.organisation import Organisation

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

WAIT_S: Final = 60.0
Say = Callable[[str], None]


@dataclass(slots=True)
class Erased:
    """What was done, or would be; `rows`: table → rows that this run deleted itself."""

    organisation_id: str
    member_id: str
    dry_run: bool
    traces: Traces
    event_id: str | None = None
    rows: dict[str, int] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        return {
            "organisation_id": self.organisation_id,
            "member_id": self.member_id,
            "dry_run": self.dry_run,
            "was_there": self.traces.is_there,
            "dead_letters": self.traces.letters,
            "parked": self.traces.parked,
            "notices": self.traces.notices,
            "uncertain_dead_letters": self.traces.uncertain,
            "event_id": self.event_id,
            "rows": self.rows,
            "log": [each.to_json() for each in self.kept],
        }


async def erase(
    deployment: Deployment,
    org: str,
    member: str,
    *,
    dry_run: bool,
    say: Say,
    wait_s: float = WAIT_S,
) -> Erased:
    """Erase a member, by id or user name. Raises NotPossible, NotThere, Unavailable."""
    organisation = await find_organisation(deployment.settings, org)
    member_id = await _member_id(deployment, organisation.id, member)
    async with deployment.database.connection() as connection:
        traces = await offboarding.traces(connection, organisation.id, member_id)
    report = Erased(organisation.id, member_id, dry_run, traces)
    at = now()
    if not dry_run:
        report.event_id, at = await _publish(deployment, organisation, member_id, say, wait_s)
        deployment.faults.passes("erase.after_applied")
        report.rows = await _delete_rows(deployment, organisation.id, member_id)
    report.kept = await what_stays(deployment.settings, deployment.topics, "member", at)
    return report


async def _member_id(deployment: Deployment, organisation_id: str, member: str) -> str:
    """The id of a member; one that is given as an id may have been removed before."""
    if parse_id(member.lower()) == member.lower():
        return member.lower()
    try:
        key = user_name_key(member)
    except ScimError:
        key = ""
    async with deployment.database.connection() as connection:
        found = await offboarding.find_member_id(connection, organisation_id, key)
    if found is None:
        raise NotPossible(
            "no member has that userName (any more); name it by its id", hint="erase by id"
        )
    return found


async def _publish(
    deployment: Deployment, organisation: Organisation, member_id: str, say: Say, wait_s: float
) -> tuple[str, datetime]:
    """Publish the event and wait until it is applied; its id, and when the broker appended it."""
    place = deployment.topics.requests, organisation.partition
    await check_not_halted(deployment.database, *place)
    # The event of an earlier try that is not applied yet is waited for, and not published again.
    request = await find_unapplied(
        deployment.settings,
        deployment.database,
        *place,
        lambda each: (
            isinstance(each.body, Erase)
            and (each.organisation_id, each.resource_id) == (organisation.id, member_id)
        ),
    )
    if request is None:
        request = Request(
            id=new_id(),
            endpoint="Users",
            organisation_id=organisation.id,
            resource_id=member_id,
            time=now(),
            body=Erase(),
            actor="operator",
        )
        await publish(deployment.settings, [(request, *place)])
    deployment.faults.passes("erase.after_event")
    say(f"the provisioner erases the member {member_id}")
    decided: list[audit.AuditRow] = []

    async def is_decided() -> bool:
        async with deployment.database.connection() as connection:
            decided.extend((await audit.find(connection, [request.id])).values())
        return bool(decided)

    await until(
        is_decided,
        wait_s,
        NotNow(
            "accepted, but not applied yet (`rollcall partition list` shows how far the "
            "provisioner is)",
            hint="erase again",
            organisation_id=organisation.id,
            member_id=member_id,
        ),
    )
    if decided[0].status != 204:
        raise NotPossible("the event could not be applied; look at `rollcall dead list`")
    return request.id, decided[0].append_time


async def _delete_rows(
    deployment: Deployment, organisation_id: str, member_id: str
) -> dict[str, int]:
    """Delete rows about the member outside of the live directory and of running folds."""
    async with deployment.database.connection() as connection:
        await _drop_left_behind(connection)
        tables = [each for each in await offboarding.tables(connection) if not each.is_live]
    done: dict[str, int] = {}
    for table in tables:
        if table.schema.endswith(("_rebuild", "_verify")):
            continue  # the fold that fills it will reach the event as well
        while True:
            async with deployment.database.transaction() as connection:
                number = await offboarding.delete_member_rows(
                    connection, table, organisation_id, member_id
                )
            if not number:
                break
            done[str(table)] = done.get(str(table), 0) + number
    return done


async def _drop_left_behind(connection: "Connection") -> None:
    """Drop the schema of a verify that was killed: no fold will reach the event there."""
    if await scratch.lock(connection, LOCK["verify"]):
        try:
            await scratch.drop(connection, VERIFY.directory, VERIFY.audit)
        finally:
            await scratch.unlock(connection, LOCK["verify"])
