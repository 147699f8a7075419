"""What opens a batch: the position moved, and what the batch needs loaded, in one call."""

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rollcall.applying import dead_letters, foreign
from rollcall.applying.dead_letters import SourceLog
from rollcall.applying.decided import ids_of
from rollcall.applying.understand import Entry
from rollcall.applying.weight import Part
from rollcall.directory.touch import Touch, touches
from rollcall.events.request import Request
from rollcall.postgres import batch_begin
from rollcall.postgres.batch_begin import Begun, Wanted, is_loadable

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection
    from rollcall.postgres.progress import Step


class Opening:
    """The first call of a batch's transaction; `begun` is what it found."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._begun: Begun | None = None

    async def move(self, connection: "Connection", step: "Step") -> bool:
        """Move the position and load (a `rollcall.consuming.position.Move`). Raises Large."""
        self._begun = await batch_begin.begin(connection, step, self._wanted)
        return self._begun is not None

    @property
    def begun(self) -> Begun:
        """What was found. Raises LookupError before the call, or if the position was not ours."""
        if self._begun is None:
            raise LookupError("the batch has not begun")
        return self._begun


async def wanted_by(
    source: SourceLog,
    part: Part,
    *,
    unplaced: Collection[str],
    unheard: Collection[str],
    loads: bool,
) -> Wanted:
    """What the part asks for. `unplaced`: organisations of which it is not known where they live.

    With `loads` also what its events touch, if one call may load that.
    """
    touched = None
    if loads and part.most_bytes is not None:
        args = (source, part.entries)
        is_heavy = part.weight.is_heavy
        touched = await asyncio.to_thread(_touched, *args) if is_heavy else _touched(*args)
    return Wanted(
        organisations=foreign.named_in(part.entries),
        unplaced=unplaced,
        event_ids=ids_of(part.entries),
        unheard=unheard,
        touches=touched if touched is not None and is_loadable(touched) else None,
        most_bytes=part.most_bytes or 0,
    )


def _touched(source: SourceLog, entries: Sequence[Entry]) -> dict[str, Touch]:
    """What the entries touch, as `rollcall.applying.load` finds it; also what copies touch."""
    events = [dead_letters.to_event(source, entry) for entry in entries]
    found = touches(event for event in events if isinstance(event, Request))
    for event in events:
        if event.organisation_id and (isinstance(event, Request) or event.has_resource):
            found.setdefault(event.organisation_id, Touch())
    return found
