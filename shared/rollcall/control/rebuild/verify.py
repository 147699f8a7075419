"""Verify: the log folded beside the live directory, and every row compared.

Under load both are compared at one position: a REPEATABLE READ transaction sees the directory with
its positions, and inside it the scratch directory is folded up to exactly there and compared. What
comes before is folded in transactions of its own, so that this last one is short.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rollcall.control import extent
from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.control.extent import CannotKnow
from rollcall.control.meter import Meter
from rollcall.control.rebuild import snapshot
from rollcall.control.rebuild.approach import Begin, approach, begin_of, make_tables, only_one
from rollcall.control.rebuild.fold_log import Folding, Range, fold_here
from rollcall.control.rebuild.snapshot import Manifest
from rollcall.postgres import progress
from rollcall.postgres.pool import KEYS_ONLY
from rollcall.postgres.upkeep import refold, scratch
from rollcall.postgres.upkeep.scratch import VERIFY, Difference, InScratch

LIMIT: Final = 10_000
"""How many differences of a table are listed at most; there may be more."""
CONTROL: Final = {
    "progress": frozenset(
        {
            "published_offset",
            "state",
            "reason",
            "detail",
            "paused_until",
            "tried_since",
            "tries",
            "tried_because",
        },
    )
}
"""Columns that do not follow from the log: what is announced, halted, paused, or tried again."""


WHOLE_TABLES: Final = "; ".join(f"SET LOCAL {name} = on" for name in KEYS_ONLY)
"""The comparison reads all of both directories; the fold goes by keys."""


@dataclass(slots=True)
class Verified:
    """What was compared, and what differs."""

    events: int = 0
    taken_s: float = 0.0
    positions: dict[int, int] = field(default_factory=dict)
    drifts: list[Difference] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As JSON: of a row only its key, no values."""
        return {
            "events": self.events,
            "seconds": round(self.taken_s, 3),
            "positions": {str(number): at for number, at in self.positions.items()},
            "drifts": [
                {
                    "table": each.table,
                    "key": dict(each.key),
                    "kind": each.kind,
                    "columns": list(each.columns),
                }
                for each in self.drifts
            ],
        }


async def verify(deployment: Deployment, from_snapshot: Path | None, meter: Meter) -> Verified:
    """Compare the live directory with its log. Raises CannotKnow, NotPossible, Unavailable."""
    began_s = time.monotonic()
    verified = Verified()
    folding = Folding(deployment.settings, deployment.topics, VERIFY, meter, is_strict=False)
    async with only_one(deployment, "verify"):
        manifest = None if from_snapshot is None else await _whole(deployment, from_snapshot, meter)
        await _todo(
            deployment, {} if manifest is None else manifest.begin()
        )  # raises where it is not possible
        try:
            async with deployment.database.connection() as connection:
                await scratch.drop(connection, VERIFY.directory, VERIFY.audit)
                await make_tables(connection, VERIFY, is_kept=False)
                if manifest is not None:
                    await snapshot.load(connection, manifest, VERIFY, meter)
                await scratch.finish_tables(connection, VERIFY)
                await refold.forget_other_progress(connection, VERIFY, deployment.topics.requests)
            verified.events = await approach(
                deployment, folding, lambda begin: _todo(deployment, begin)
            )
            await _compare(deployment, folding, verified)
        finally:
            async with deployment.database.connection() as connection:
                await scratch.drop(connection, VERIFY.directory, VERIFY.audit)
    verified.taken_s = time.monotonic() - began_s
    return verified


async def would_read(deployment: Deployment, from_snapshot: Path | None, meter: Meter) -> Verified:
    """What `verify` would read now; nothing is folded or compared.

    Raises what `verify` raises, but runs beside another verify.
    """
    began_s = time.monotonic()
    begin = (
        {} if from_snapshot is None else (await _whole(deployment, from_snapshot, meter)).begin()
    )
    todo = await _todo(deployment, begin)
    return Verified(
        events=sum(map(len, todo)),
        taken_s=time.monotonic() - began_s,
        positions={each.partition: each.end for each in todo},
    )


async def _whole(deployment: Deployment, from_snapshot: Path, meter: Meter) -> Manifest:
    """Check that a snapshot is whole and of this log. Raises CannotKnow, NotPossible."""
    manifest = snapshot.read_manifest(from_snapshot)
    if manifest.topic != deployment.topics.requests:
        raise NotPossible(
            f"the snapshot is of {manifest.topic}, not of {deployment.topics.requests}"
        )
    await asyncio.to_thread(snapshot.check_files, manifest, meter)
    await extent.check_begin(deployment, manifest.begin())
    return manifest


async def _compare(deployment: Deployment, folding: Folding, verified: Verified) -> None:
    """Fold the rest and compare, in one transaction: it sees the directory as of its start."""
    topic, tenancy = deployment.topics.requests, deployment.topics.tenancy
    async with deployment.database.connection() as connection:
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        try:
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            live = await extent.live_partitions(deployment, connection)
            made = InScratch(connection, VERIFY)
            todo = extent.ranges(live, await begin_of(connection, VERIFY, topic))
            for each in live:
                if each.progress is not None or each.end:
                    await progress.ensure(made, topic, each.partition)  # type: ignore[arg-type]
            folding.meter.note("fold the rest", sum(map(len, todo)))
            await fold_here(connection, folding, todo)
            verified.events += sum(map(len, todo))
            verified.positions = {each.partition: each.end for each in live}
            folding.meter.note("compare", None)
            await connection.execute(WHOLE_TABLES)
            await refold.settle_letters(connection, VERIFY)
            verified.drifts = await scratch.compare(
                connection,
                VERIFY,
                ignored=CONTROL,
                where={"progress": f"topic <> {scratch.literal(tenancy)}"},
                limit=LIMIT,
            )
        finally:
            await transaction.rollback()


async def _todo(deployment: Deployment, begin: Begin) -> list[Range]:
    """What is left to fold; `begin`: the positions of the scratch directory. Raises CannotKnow."""
    async with deployment.database.connection() as connection:
        live = await extent.live_partitions(deployment, connection)
    for each in live:
        start = begin.get(each.partition)
        if start is not None and each.trouble is None and each.end < start.next_offset:
            raise CannotKnow(
                f"the directory is older than the snapshot: partition {each.partition} is applied "
                f"up to offset {each.end}, and the snapshot is at {start.next_offset}; name an "
                "older one, or wait until `rollcall lag` shows that it has caught up"
            )
    return extent.ranges(live, begin)
