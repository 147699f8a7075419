"""Steps that rebuild and verify share: the lock, and folding up to near the live directory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from rollcall.control.deployment import Deployment
from rollcall.control.errors import NotPossible
from rollcall.control.rebuild.fold_log import Folding, Range, fold
from rollcall.postgres import progress
from rollcall.postgres.progress import Progress
from rollcall.postgres.upkeep import scratch
from rollcall.postgres.upkeep.scratch import InScratch, Names, SchemaDiffers

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

CLOSE_RECORDS: Final = 2000
"""Records that are folded in about a second: close enough to the live directory."""
ROUNDS: Final = 50
LOCK: Final = {
    "rebuild": 0x726F6C6C,
    "verify": 0x76657269,
    "replay": 0x7265706C,
    "snapshot": 0x736E6170,
}
"""Advisory locks: one rebuild, one verify and one replay at a time, each with a scratch schema of
its own; and one snapshot, which deletes what interrupted ones left."""

Begin = dict[int, Progress]


@asynccontextmanager
async def only_one(deployment: Deployment, what: str) -> AsyncIterator[None]:
    """Hold the lock of this work; Postgres frees it when the process dies. Raises NotPossible."""
    async with deployment.database.connection() as connection:
        if not await scratch.lock(connection, LOCK[what]):
            raise NotPossible(f"another {what} is under way; wait for it, or end it")
        try:
            yield
        finally:
            await scratch.unlock(connection, LOCK[what])


async def make_tables(connection: "Connection", names: Names, *, is_kept: bool) -> None:
    """`scratch.make_tables`. Raises NotPossible where the live schema cannot be copied."""
    try:
        await scratch.make_tables(connection, names, is_kept=is_kept)
    except SchemaDiffers as error:
        raise NotPossible(f"{error}; move it to a schema of its own") from error


async def begin_of(connection: "Connection", names: Names, topic: str) -> Begin:
    """Partition → how far the scratch directory is folded."""
    rows = await progress.read_all(InScratch(connection, names), topic)  # type: ignore[arg-type]
    return {each.partition: each for each in rows}


async def approach(
    deployment: Deployment, folding: Folding, todo_of: Callable[[Begin], Awaitable[Sequence[Range]]]
) -> int:
    """Fold up to the live directory's position, repeatedly, until at most `CLOSE_RECORDS` are left.

    Returns how many records were folded. The caller folds the rest once it has paused the live
    directory, or sees it in one transaction.
    """
    folded = 0
    for _ in range(ROUNDS):
        async with deployment.database.connection() as connection:
            begin = await begin_of(connection, folding.names, deployment.topics.requests)
        todo = await todo_of(begin)
        number = sum(map(len, todo))
        await fold_from(deployment, folding, todo, begin)
        folded += number
        if number <= CLOSE_RECORDS:
            break
    return folded


async def fold_from(
    deployment: Deployment, folding: Folding, todo: Sequence[Range], begin: Begin
) -> None:
    """Fold the ranges; partitions of which nothing is folded yet get their position first."""
    topic = deployment.topics.requests
    async with deployment.database.connection() as connection:
        for part in todo:
            if part.partition not in begin:
                made = InScratch(connection, folding.names)
                await progress.ensure(made, topic, part.partition)  # type: ignore[arg-type]
    folding.meter.note("fold the log", sum(map(len, todo)))
    await fold(deployment.database, folding, todo)
