"""One organisation as it was: its part of the log folded up to a moment, beside the live directory.

The fold is the one of a rebuild, which uses the provisioner's steps. Its schema is dropped at the
end, also after an error; one that a killed process left is dropped by the next call. A moment that
the provisioner has not reached yet is refused.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rollcall.applying.foreign import OwnedOrganisations
from rollcall.control import extent
from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.control.extent import CannotKnow
from rollcall.control.meter import Meter
from rollcall.control.rebuild import snapshot
from rollcall.control.rebuild.approach import make_tables, only_one
from rollcall.control.rebuild.fold_log import FAST, Folding, Range, fold_records
from rollcall.control.rebuild.snapshot import MANIFEST, Manifest
from rollcall.control.words import counted
from rollcall.events.envelope import format_time
from rollcall.events.request import TYPE_PREFIX
from rollcall.kafka.log_identity import difference
from rollcall.kafka.offsets import extents, offsets_at
from rollcall.kafka.reading import read
from rollcall.postgres import progress
from rollcall.postgres.progress import Progress
from rollcall.postgres.upkeep import refold, replay, scratch
from rollcall.postgres.upkeep.scratch import InScratch, Names
from rollcall.runtime import clock
from rollcall.tenancy.organisation import Organisation

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

ERASE: Final = f"{TYPE_PREFIX}member.erase.v1"
DELETE: Final = f"{TYPE_PREFIX}organisation.delete.v1"
AS_OF: Final = Names("directory_as_of", "audit_as_of")


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be folded: the organisation's partition from `begin` to below `end`.

    `erased`: members that were erased since, and are not shown again.
    """

    organisation: Organisation
    at: datetime
    part: Range
    manifest: Manifest | None
    erased: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        return {
            "organisation_id": self.organisation.id,
            "as_of": format_time(self.at),
            "partition": self.part.partition,
            "begin": self.part.begin,
            "end": self.part.end,
            "records": len(self.part),
            "snapshot": None if self.manifest is None else self.manifest.folder.name,
        }


@dataclass(slots=True)
class Folded:
    """A folded organisation. `events`: how many records of its own were folded."""

    plan: Plan
    found_stale: bool = False
    events: int = 0
    taken_s: float = 0.0


async def plan(
    deployment: Deployment, organisation: Organisation, at: datetime, folder: Path | None
) -> Plan:
    """Plan the fold. Raises CannotKnow, NotPossible, Unavailable.

    `folder`: a snapshot, or a folder of snapshots, of which the newest from before `at` is taken.
    """
    if at > clock.now():
        raise NotPossible(f"{format_time(at)} is still to come")
    erased = await _erased(deployment, organisation)
    topic, number = deployment.topics.requests, organisation.partition
    held = (await extents(deployment.settings, topic)).get(number)
    if held is None:
        raise CannotKnow(f"Kafka has no partition {number} of {topic}")
    first_later = round(at.timestamp() * 1000) + 1
    end = (await offsets_at(deployment.settings, topic, {number: held}, first_later))[number]
    epoch = await _check_applied(deployment, number, end)
    manifest = None if folder is None else _newest(folder, topic, number, end)
    start = None if manifest is None else manifest.begin().get(number)
    if start is not None and manifest is not None:
        await extent.check_begin(deployment, {number: start})
    begin, of = (0, 0) if start is None else (start.next_offset, start.epoch)
    if of != epoch:
        raise CannotKnow(
            f"partition {number} is in epoch {epoch} of its log, and what comes before stands in "
            f"epoch {of}: name a snapshot of epoch {epoch}",
            hint="replay from a snapshot",
        )
    if begin < held.first:
        raise CannotKnow(
            f"the log of partition {number} begins at offset {held.first}, above {begin}: name a "
            "snapshot that is older than the moment and reaches the log",
            hint="replay from a snapshot",
        )
    return Plan(organisation, at, Range(number, begin, end, epoch), manifest, erased)


async def _erased(deployment: Deployment, organisation: Organisation) -> frozenset[str]:
    """Members that were erased at any time: the log may hold them, but they must not be shown.

    Raises NotPossible where the whole organisation was deleted.
    """
    async with deployment.database.connection() as connection:
        gone = await replay.gone_for_good(connection, organisation.id, (ERASE, DELETE))
    if any(event_type == DELETE for event_type, _ in gone):
        raise NotPossible(f"organisation {organisation.id} was deleted, and is not shown again")
    return frozenset(resource_id for _, resource_id in gone)


async def _check_applied(deployment: Deployment, number: int, end: int) -> int:
    """The epoch of the partition's log. Raises CannotKnow where it is not applied to `end`."""
    topic = deployment.topics.requests
    async with deployment.database.connection() as connection:
        found = await progress.read(connection, topic, number)
    if found is None:
        if end:
            raise CannotKnow(f"nothing of partition {number} was ever applied")
        return 0
    differs = difference(found, await deployment.probe.look(number, found.next_offset))
    if differs is not None:
        raise CannotKnow(f"the log is not the one that was applied, partition {number}: {differs}")
    if end > found.next_offset:
        raise CannotKnow(
            f"{counted(end - found.next_offset, 'record')} of partition {number} from before that "
            "moment not applied yet; `rollcall lag` shows when they are"
        )
    return found.epoch


def _newest(folder: Path, topic: str, number: int, end: int) -> Manifest:
    """The newest snapshot not beyond `end`: the folder itself, or one of those inside it."""
    own = [folder] if (folder / MANIFEST).exists() else []
    if not own and folder.is_dir():
        own = [each for each in folder.iterdir() if (each / MANIFEST).exists()]
    if not own:
        raise NotPossible(f"{folder} has no snapshot")
    for each in sorted(own, reverse=True):
        manifest = snapshot.read_manifest(each)
        if manifest.topic != topic:
            raise NotPossible(f"the snapshot is of {manifest.topic}, not of {topic}")
        start = manifest.begin().get(number)
        if start is None or start.next_offset <= end:
            return manifest
    raise CannotKnow(f"every snapshot in {folder} is younger than the moment")


@asynccontextmanager
async def folded(deployment: Deployment, planned: Plan, meter: Meter) -> AsyncIterator[Folded]:
    """The organisation in the scratch `AS_OF`, which is gone after the block.

    Raises NotPossible where this release cannot apply what was applied before, Unavailable.
    """
    began_s = time.monotonic()
    done = Folded(planned)
    async with only_one(deployment, "replay"):
        if planned.manifest is not None:
            await asyncio.to_thread(snapshot.check_files, planned.manifest, meter)
        try:
            async with deployment.database.connection() as connection:
                done.found_stale = await scratch.exists(connection, AS_OF.directory)
                await scratch.drop(connection, AS_OF.directory, AS_OF.audit)
                await _prepare(connection, deployment, planned, meter)
            await _fold(deployment, planned, done, meter)
            done.taken_s = time.monotonic() - began_s
            yield done
        finally:
            async with deployment.database.connection() as connection:
                await scratch.drop(connection, AS_OF.directory, AS_OF.audit)


async def _prepare(
    connection: "Connection", deployment: Deployment, planned: Plan, meter: Meter
) -> None:
    """Make the tables, empty or from the snapshot, with the partition running at its begin."""
    topic, part = deployment.topics.requests, planned.part
    await make_tables(connection, AS_OF, is_kept=False)
    if planned.manifest is not None:
        await snapshot.load(connection, planned.manifest, AS_OF, meter)
    await scratch.finish_tables(connection, AS_OF)
    made = InScratch(connection, AS_OF)
    found: Progress = await progress.ensure(made, topic, part.partition)  # type: ignore[arg-type]
    # The partition may have been halted when the snapshot was taken.
    runs = replace(found, state="running", reason=None, detail=None)
    await refold.put_progress(connection, AS_OF, runs)


async def _fold(deployment: Deployment, planned: Plan, done: Folded, meter: Meter) -> None:
    """Fold the organisation's own records; others in the partition do not change it."""
    part, key = planned.part, planned.organisation.id.encode()
    folding = Folding(deployment.settings, deployment.topics, AS_OF, meter)
    owned, position = OwnedOrganisations(part.partition), part.begin
    meter.note("fold the log", len(part))
    topic = deployment.topics.requests
    async for records in read(deployment.settings, topic, part.partition, part.begin, part.end):
        own = [record for record in records if record.key == key]
        if own:
            async with deployment.database.transaction() as connection:
                await connection.execute(FAST)
                await fold_records(connection, folding, owned, part, position, own)
            position = own[-1].offset + 1
            done.events += len(own)
        meter.add(len(records))
