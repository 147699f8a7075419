"""One batch as the partition's worker applies it. No test in here."""

from collections.abc import Sequence

from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import decide_batch
from rollcall.applying.understand import Entry
from rollcall.directory.fold import Folded, fold_batch
from rollcall.directory.touch import touches
from rollcall.events.request import Request
from rollcall.postgres.directory_load import load_states
from rollcall.postgres.directory_write import write_changes
from tests.support.databases import Connection
from tests.support.samples.records import FakeRecord
from tests.support.samples.speaker import AT


async def apply(connection: Connection, batch: Sequence[Request]) -> list[Folded]:
    """One batch with the pieces of the partition's worker, in its order."""
    entries = [Entry(FakeRecord(offset), AT, None, request) for offset, request in enumerate(batch)]
    async with connection.transaction():
        states = await load_states(connection, touches(batch))
        folded = fold_batch(states, [(request, AT) for request in batch])
        decided = decide_batch(SourceLog("requests", 0), entries, folded)
        await write_changes(connection, decided.changes)
    return folded
