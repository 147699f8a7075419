"""One batch as the partition's worker applies it. No test in here."""

from collections.abc import Sequence

from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import decide_batch
from rollcall.applying.understand import Entry
from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.touch import touches
from rollcall.events.request import Request
from rollcall.postgres import audit, batch_begin, batch_write, progress
from rollcall.postgres.batch_begin import Wanted
from rollcall.postgres.directory_load import load_states
from rollcall.postgres.directory_write import write_changes
from rollcall.postgres.progress import Step
from tests.support.databases import Connection
from tests.support.samples.records import FakeRecord
from tests.support.samples.speaker import AT

TOPIC = "requests"


async def apply(connection: Connection, batch: Sequence[Request]) -> list[Folded]:
    """One batch with the pieces of the partition's worker, in its order."""
    entries = [Entry(FakeRecord(offset), AT, None, request) for offset, request in enumerate(batch)]
    async with connection.transaction():
        states = await load_states(connection, touches(batch))
        folded = fold_batch(states, [(request, AT) for request in batch])
        decided = decide_batch(SourceLog(TOPIC, 0), entries, folded)
        await write_changes(connection, decided.changes)
    return folded


async def apply_in_few_calls(connection: Connection, batch: Sequence[Request]) -> list[Folded]:
    """The same in the two calls for ordinary batches, which load and write the same.

    A batch that they do not take is applied by `apply`.
    """
    entries = [Entry(FakeRecord(offset), AT, None, request) for offset, request in enumerate(batch)]
    touched = touches(batch)
    if not batch_begin.is_loadable(touched):
        return await apply(connection, batch)
    at = (await progress.ensure(connection, TOPIC, 0)).next_offset
    step = Step(TOPIC, 0, at, 0, at + len(batch), at, None, AT)
    ids = [request.id for request in batch]
    wanted = Wanted(touched, touched, ids, touches=touched, most_bytes=1_000_000)
    async with connection.transaction():
        expected = await load_states(connection, touched)
        begun = await batch_begin.begin(connection, step, wanted)
        assert begun is not None
        assert begun.states == expected
        assert begun.applied == await audit.already_applied(connection, ids)
        folded = fold_batch(begun.states, [(request, AT) for request in batch])
        decided = decide_batch(SourceLog(TOPIC, 0), entries, folded)
        assert await batch_write.write(
            connection, decided.changes, decided.rows, in_thread=False, alive=lambda: None
        )
    return folded
