"""Rebuild: a new directory folded from the log beside the live one, then swapped in.

Four steps; after an interruption the first two go on where they were:
1. load the snapshot, if one is named, into a scratch directory;
2. fold the log up to the live directory's position, repeatedly, until little is left;
3. pause the partitions (identity providers are answered `pending`) and fold the rest;
4. in one transaction: take over the positions, rename the schemas. The former directory stays as
   `directory_previous`.
A pause ends by itself after half a minute, so a rebuild that dies in step 3 blocks nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from rollcall.control import extent
from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotNow, NotPossible
from rollcall.control.extent import LivePartition
from rollcall.control.meter import Meter
from rollcall.control.rebuild import snapshot
from rollcall.control.rebuild.approach import approach, begin_of, fold_from, make_tables, only_one
from rollcall.control.rebuild.fold_log import Folding, Range, first_error
from rollcall.control.rebuild.snapshot import Manifest
from rollcall.postgres import progress
from rollcall.postgres.progress import Progress
from rollcall.postgres.upkeep import refold, scratch
from rollcall.postgres.upkeep.scratch import REBUILD, SchemaDiffers
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id

PAUSE_S: Final = 30.0
TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. `restarts`: drop what an earlier, interrupted rebuild has made."""

    snapshot: Path | None = None
    applies_dead: bool = False
    restarts: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Report:
    """What was done, or would be."""

    snapshot: str | None
    events: int = 0
    is_resumed: bool = False
    taken_s: float = 0.0
    paused_s: float = 0.0
    partitions: int = 0
    mended: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        return {
            "snapshot": self.snapshot,
            "partitions": self.partitions,
            "events": self.events,
            "resumed": self.is_resumed,
            "seconds": round(self.taken_s, 3),
            "paused_seconds": round(self.paused_s, 3),
            "positions_from_audit": list(self.mended),
        }


async def rebuild(deployment: Deployment, options: Options, meter: Meter) -> Report:
    """Rebuild the directory. Raises CannotKnow, NotPossible, NotNow, Unavailable."""
    began_s = time.monotonic()
    manifest = None if options.snapshot is None else snapshot.read_manifest(options.snapshot)
    if manifest is not None and manifest.topic != deployment.topics.requests:
        raise NotPossible(
            f"the snapshot is of {manifest.topic}, not of {deployment.topics.requests}"
        )
    report = Report(None if manifest is None else manifest.folder.name)
    async with only_one(deployment, "rebuild"):
        if manifest is not None:
            await asyncio.to_thread(snapshot.check_files, manifest, meter)
            await extent.check_begin(deployment, manifest.begin())
        todo = await _todo(deployment, manifest, {} if manifest is None else manifest.begin())
        report.events = sum(map(len, todo))
        report.partitions = len(todo)
        if options.dry_run:
            report.taken_s = time.monotonic() - began_s
            return report
        folding = Folding(
            deployment.settings,
            deployment.topics,
            REBUILD,
            meter,
            applies_dead=options.applies_dead,
        )
        report.is_resumed = await _prepare(deployment, manifest, options, meter)
        report.events = await approach(
            deployment, folding, lambda begin: _todo(deployment, manifest, begin)
        )
        await _stop_and_swap(deployment, folding, manifest, report)
    report.taken_s = time.monotonic() - began_s
    return report


async def _prepare(
    deployment: Deployment, manifest: Manifest | None, options: Options, meter: Meter
) -> bool:
    """Make the scratch directory and load the snapshot; True where an earlier run had done so."""
    note = _note(manifest, options)
    async with deployment.database.connection() as connection:
        found = await scratch.note_of(connection, REBUILD.directory)
        is_resumable = found == note and not options.restarts
        if is_resumable and await scratch.is_of_one_form(connection, REBUILD):
            return True
        await scratch.drop(connection, REBUILD.directory, REBUILD.audit)
        async with connection.transaction():
            await make_tables(connection, REBUILD, is_kept=True)
        if manifest is not None:
            await snapshot.load(connection, manifest, REBUILD, meter)
        meter.note("make indexes", None)
        async with connection.transaction():
            await scratch.finish_tables(connection, REBUILD)
            await refold.forget_other_progress(connection, REBUILD, deployment.topics.requests)
            await scratch.annotate(connection, REBUILD.directory, note)
    return False


def _note(manifest: Manifest | None, options: Options) -> str:
    """What the scratch directory is made from; only a rebuild with the same note resumes it."""
    return orjson.dumps(
        {
            "rebuild": None
            if manifest is None
            else [manifest.folder.name, manifest.files[0].sha256],
            "applies_dead": options.applies_dead,
        }
    ).decode()


async def _todo(
    deployment: Deployment, manifest: Manifest | None, begin: dict[int, Progress]
) -> list[Range]:
    async with deployment.database.connection() as connection:
        live = await extent.live_partitions(deployment, connection)
    return extent.ranges(_ends(live, manifest), begin)


def _ends(live: Sequence[LivePartition], manifest: Manifest | None) -> list[LivePartition]:
    """How far to fold each partition.

    Where the live directory is older than the snapshot, the snapshot is taken as it is: the
    provisioner goes on from there and announces what it applies.
    """
    known = {} if manifest is None else manifest.begin()
    found = []
    for each in live:
        position = known.get(each.partition)
        if position is not None and (each.progress is None or each.end < position.next_offset):
            each = replace(each, end=position.next_offset, epoch=position.epoch)
        found.append(each)
    return found


async def _stop_and_swap(
    deployment: Deployment, folding: Folding, manifest: Manifest | None, report: Report
) -> None:
    who = f"rebuild {new_id()}"
    for _ in range(TRIES):
        began_s = time.monotonic()
        async with _paused(deployment, who):
            async with deployment.database.connection() as connection:
                begin = await begin_of(connection, REBUILD, deployment.topics.requests)
                live = _ends(await extent.live_partitions(deployment, connection), manifest)
            todo = extent.ranges(live, begin)
            await fold_from(deployment, folding, todo, begin)
            report.events += sum(map(len, todo))
            try:
                if await _swap(deployment, live, manifest):
                    report.partitions = len(live)
                    report.mended = tuple(each.partition for each in live if each.trouble)
                    report.paused_s = time.monotonic() - began_s
                    return
            except SchemaDiffers as error:
                raise NotPossible(str(error), hint="rebuild from the beginning") from error
    raise NotNow("the partitions moved meanwhile; run it again")


@asynccontextmanager
async def _paused(deployment: Deployment, who: str) -> AsyncIterator[None]:
    """Pause the partitions of the requests while the block runs, for half a minute at most."""

    asked_s = await _pause(deployment, who)
    try:
        async with asyncio.TaskGroup() as tasks:  # an error in prolonging ends the block
            prolonging = tasks.create_task(_prolong(deployment, who, asked_s))
            try:
                yield
            finally:
                prolonging.cancel()
    except BaseExceptionGroup as group:
        raise first_error(group) from group
    finally:
        async with deployment.database.connection() as connection:
            await progress.unpause(connection, deployment.topics.requests, who)


async def _pause(deployment: Deployment, who: str) -> float:
    """Pause, or prolong that; the moment from which on it lasts (monotonic clock, seconds)."""
    asked_s = time.monotonic()
    async with deployment.database.connection() as connection:
        rows = await progress.read_all(connection, deployment.topics.requests)
        numbers = [each.partition for each in rows]
        await progress.pause(connection, deployment.topics.requests, numbers, who, PAUSE_S)
    return asked_s


async def _prolong(deployment: Deployment, who: str, asked_s: float) -> None:
    """Prolong three times a pause. Raises NotPossible when one has run out all the same."""
    while True:
        await asyncio.sleep(PAUSE_S / 3)
        try:
            asked_s = await _pause(deployment, who)
        except Unavailable as error:
            if time.monotonic() - asked_s >= PAUSE_S:
                raise NotNow(
                    f"the partitions' pause ran out while Postgres was away ({error.what}); run it "
                    "again: it goes on where it was"
                ) from error


async def _swap(
    deployment: Deployment, partitions: Sequence[LivePartition], manifest: Manifest | None
) -> bool:
    """Swap the schemas and take over the positions, in one transaction.

    Returns False, and changes nothing, where a position of `partitions` has moved since it was
    read, or a pause has ended and a partition runs again.
    """
    topic = deployment.topics.requests
    async with deployment.database.transaction() as connection:
        locked = await refold.lock_progress(connection)
        present = {each.partition: each for each in locked if each.topic == topic}
        positions = await begin_of(connection, REBUILD, topic)
        for looked_at in partitions:
            now = present.get(looked_at.partition)
            if _moved(looked_at.progress, now) or (now is not None and now.state == "running"):
                return False
            each = replace(looked_at, progress=now)  # it may have been halted since
            position = positions.get(each.partition)
            if each.end != (0 if position is None else position.next_offset):
                raise NotNow("the scratch directory has moved; run it again")
            if position is not None:
                await refold.put_progress(connection, REBUILD, _position(each, position, manifest))
            elif each.progress is not None:
                await refold.put_progress(connection, REBUILD, _unpaused(each.progress))
        for other in locked:
            if other.topic == deployment.topics.tenancy:
                await refold.put_progress(connection, REBUILD, _unpaused(other))
        await refold.settle_letters(connection, REBUILD)
        await scratch.take_over_events(connection, REBUILD)
        await refold.retire_progress(connection, "a rebuilt directory took its place")
        await scratch.swap(connection, REBUILD)
    return True


def _moved(then: Progress | None, now: Progress | None) -> bool:
    """Whether events were applied, or another log was accepted, between the two readings."""
    if then is None or now is None:
        return then is not now
    return (then.next_offset, then.epoch) != (now.next_offset, now.epoch)


def _position(partition: LivePartition, made: Progress, manifest: Manifest | None) -> Progress:
    """The position of a partition in the new directory.

    What the live directory had announced counts as announced; the rest is announced by the next
    owner of the partition, from the audit. Where the log and the live position do not agree,
    everything in the audit counts as announced.
    """
    live = partition.progress
    if manifest is not None and (live is None or live.next_offset < made.next_offset):
        known = manifest.begin().get(made.partition)
        if known is not None and known.next_offset == made.next_offset:
            return replace(made, published_offset=known.published_offset)
    if live is None or partition.trouble is not None:
        return replace(made, published_offset=made.next_offset)
    kept = _unpaused(live)
    return replace(
        made,
        published_offset=min(live.published_offset, made.next_offset),
        state=kept.state,
        reason=kept.reason,
        detail=kept.detail,
    )


def _unpaused(position: Progress) -> Progress:
    """A halted partition stays halted, with its reason; any other runs."""
    if position.state == "halted":
        return position
    return replace(position, state="running", reason=None, detail=None)
