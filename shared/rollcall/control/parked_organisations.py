"""Parked organisations: find and release them.

A release is an event in the organisation's own partition, like a redrive. Each applies a limited
part of the waiting events (`directory/release.py`), so releases are published one after another
until none wait. Interrupted, it can be run again and goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rollcall.control.before_event import find_unapplied, why_not_applied
from rollcall.control.publish import decided, publish
from rollcall.events.bodies import AboutDead, Redrive
from rollcall.events.request import Request
from rollcall.postgres import parked
from rollcall.postgres.audit import AuditRow
from rollcall.postgres.parked import ParkedOrganisation
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings
from rollcall.runtime.ids import new_id

Result = Literal["freed", "stopped", "failed", "already", "pending", "stands", "would be"]
BAD: Final[frozenset[Result]] = frozenset({"stopped", "failed", "pending", "stands"})


@dataclass(frozen=True, slots=True)
class Freed:
    """The result for one parked organisation; `note` is a sentence for people."""

    park: ParkedOrganisation
    result: Result
    note: str

    def to_json(self) -> dict[str, Any]:
        """As JSON, beside dead letters; scripts rely on the names."""
        return {
            "dead_letter": self.park.name,
            "id": self.park.id,
            "organisation_id": self.park.organisation_id,
            "result": self.result,
            "note": self.note,
        }


@dataclass(slots=True)
class _Sum:
    """The counts of all releases of one organisation."""

    applied: int = 0
    parked: int = 0
    failed: int = 0
    expired: int = 0

    def add(self, detail: Mapping[str, Any]) -> None:
        self.applied += detail["applied"]
        self.parked += detail["parked"]
        self.failed += detail["failed"]
        self.expired += detail.get("expired", 0)

    def __str__(self) -> str:
        said = f"{self.applied} applied"
        if self.parked:
            said += f", {self.parked} wait behind a dead letter of their resource"
        if self.failed:
            said += f", {self.failed} failed and are dead letters now"
        if self.expired:
            said += f", {self.expired} dropped: answered 503, so never applied"
        return said


async def find(database: Database, organisation_id: str | None) -> list[ParkedOrganisation]:
    """All parked organisations, or this one if it is. Raises Unavailable."""
    async with database.connection() as connection:
        return await parked.organisations(connection, organisation_id)


async def free(
    settings: Settings,
    database: Database,
    parks: Sequence[ParkedOrganisation],
    *,
    dry_run: bool = False,
) -> list[Freed]:
    """Release them, and wait until all their events are applied. Raises Unavailable."""
    done = []
    for park in parks:
        if why := await why_not_applied(database, park.topic, park.partition):
            done.append(Freed(park, "stands", f"{why}; nothing was written"))
        elif dry_run:
            done.append(Freed(park, "would be", f"{park.waiting} events wait"))
        else:
            done.append(await _free(settings, database, park))
    return done


async def _free(settings: Settings, database: Database, park: ParkedOrganisation) -> Freed:
    total = _Sum()
    while True:
        request_id = await _ask(settings, database, park)
        row = (await decided(database, [request_id])).get(request_id)
        if row is None:
            note = (
                f"{total} so far; the next part is accepted, and not applied yet (`rollcall lag`)"
            )
            return Freed(park, "pending", note)
        detail = _detail(row)
        if detail is None:
            return _ended(park, row, total)
        total.add(detail)
        if not detail["left"]:
            return Freed(park, "freed", str(total))
        if detail["failed"]:
            note = f"{total}; {detail['left']} wait until that is mended, or given up"
            return Freed(park, "stopped", note)


async def _ask(settings: Settings, database: Database, park: ParkedOrganisation) -> str:
    """The id of a release that is in the log and not applied yet, or else of a new one."""
    earlier = await find_unapplied(
        settings,
        database,
        park.topic,
        park.partition,
        lambda request: (
            isinstance(request.body, AboutDead)
            and request.is_release
            and request.body.dead_id == park.id
        ),
    )
    if earlier is not None:
        return earlier.id
    request = Request(
        id=new_id(),
        endpoint="Users",
        organisation_id=park.organisation_id,
        resource_id=park.organisation_id,
        time=now(),
        body=Redrive(dead_id=park.id, dead_letter=park.name),
        actor="operator",
    )
    await publish(settings, [(request, park.topic, park.partition)])
    return request.id


def _detail(row: AuditRow) -> Mapping[str, Any] | None:
    """The detail of a release's outcome; None: it did nothing."""
    found = (each["data"]["detail"] for each in row.outcomes if each["fact"] == "dead.redriven")
    return next(found, None)


def _ended(park: ParkedOrganisation, row: AuditRow, total: _Sum) -> Freed:
    failed = [each for each in row.outcomes if each["fact"] == "request.failed"]
    if not failed:
        return Freed(park, "already", f"{total}; it is not parked any more")
    error_class = failed[0]["data"]["detail"]["error_class"]
    return Freed(park, "failed", f"{total} so far; the next part was cut off ({error_class})")
