"""Look-ups that are true while the directory is behind: Postgres with the overlay folded in.

An empty answer is certain; where it cannot be, Unavailable is raised. A look-up costs one
statement, as any read does, and a question about the log's end where that is needed for a miss to
be certain. It is called by reads.py and precheck.py.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rollcall.postgres import overlay_read
from rollcall.postgres.directory_search import Resource
from rollcall.runtime.errors import Unavailable
from rollcall.scim.work import MAX_WORK
from rollcall_ingress.aside import THREAD_FROM_WORK
from rollcall_ingress.behind import selecting
from rollcall_ingress.behind.accepted import Node
from rollcall_ingress.behind.log_end import RETRY_AFTER_S, Applied, LogEnd, judge_id
from rollcall_ingress.behind.overlay import Overlay
from rollcall_ingress.behind.selecting import Loaded, Selection, Target

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

BEHIND: Final = "the directory (it is behind, and may hold what was asked for)"
ROUNDS: Final = 6
"""Each reads once; more than two only where names went round in circles meanwhile."""
MOST_FOLDED: Final = 20_000
THREAD_FROM: Final = 300
"""Requests, from which on they are folded in a thread: some five milliseconds."""
LAST_BATCH: Final = 500
"""Records behind, up to which what is missing is in the batch that is being applied."""
WAITS_S: Final = (0.05, 0.1, 0.2)

THREAD_FROM_RESOURCES: Final = 20
"""Resources, from which on they are measured in a thread: some ten milliseconds if large."""
MOST_WORK_FOLDED: Final = 5 * MAX_WORK
"""Units of work in one fold, counted at their most; beyond that a read is answered 503."""
MOST_KEPT: Final = 16
"""Expensive folds, of one resource and what is connected with it."""
TOO_MUCH: Final = "the directory (it is behind, and what waits for this resource is too much work)"

Connect = Callable[[str], "AbstractAsyncContextManager[Connection]"]
"""Organisation id → a connection for its read, within its share of the pool."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look-up's answer and the read that it rests on."""

    selection: Selection
    applied: Applied
    found: list[Resource]


class Lookup:
    """Looks up by id, or by equality of userName, externalId, displayName. One per process."""

    def __init__(
        self, overlay: Overlay, connect: Connect, log_end: LogEnd, topic: str, *, accept_s: float
    ) -> None:
        self._overlay = overlay
        self._connect = connect
        self._log_end = log_end
        self._topic = topic
        self._accept_s = accept_s
        self._folds = _Folds()

    async def find(self, target: Target, partition: int) -> list[Resource]:
        """The resources that the target means; none only if that is certain.

        Raises Unavailable: Postgres cannot be used, or the directory is behind and it is not known
        whether the target is on its way.
        """
        return (await self._certain(target, partition)).found

    async def find_known(self, target: Target, partition: int) -> list[Resource]:
        """Of several ids, the resources that there are as far as this replica knows."""
        return (await self._look(target, partition)).found

    async def _certain(self, target: Target, partition: int) -> _Seen:
        seen = await self._look(target, partition)
        if seen.found or self._is_certain(seen, partition):
            return seen
        asked_s = asyncio.get_running_loop().time()
        end = await self._log_end.end(partition)
        self._overlay.resolve(partition, end, asked_s)
        for wait_s in (0.0, *WAITS_S):
            await asyncio.sleep(wait_s)
            seen = await self._look(target, partition)
            behind = end - seen.applied.next_offset
            if seen.found or behind == 0:
                return seen
            if behind < 0:
                # More was applied meanwhile, or it is another log than the one that is applied.
                end = await self._log_end.end(partition)
                if end >= seen.applied.next_offset:
                    return seen
                break
            if behind > LAST_BATCH:
                break
        raise Unavailable(BEHIND, RETRY_AFTER_S)

    def _is_certain(self, seen: _Seen, partition: int) -> bool:
        target, applied = seen.selection.target, seen.applied
        if target.attribute != "id":
            return self._overlay.is_complete(partition, applied.next_offset)
        return (
            seen.selection.removes(target.nodes[0])
            or judge_id(target.key, applied, accept_s=self._accept_s) == "certain"
        )

    async def _look(self, target: Target, partition: int) -> _Seen:
        """Select, read, see what the read has brought up, until nothing is missing; then fold."""
        selection, nodes = selecting.begin(self._overlay, target)
        for _ in range(ROUNDS):
            await self._extend(selection, nodes)
            epoch, loaded, applied = await self._read(selection, partition)
            match self._overlay.read_at(partition, epoch, loaded.next_offset):
                case "another log":
                    selection, nodes = selecting.begin(self._overlay, target)
                    continue
                case "outdated":
                    continue
            nodes = selecting.uncovered(self._overlay, selection, loaded)
            if not nodes and not self._overlay.is_stale(target.organisation_id, loaded.next_offset):
                found = await self._fold(selection, loaded, epoch)
                if selection.entries and not self._overlay.is_unbroken(
                    partition, loaded.next_offset
                ):
                    found = [replace(each, is_exact=False) for each in found]
                return _Seen(selection, applied, found)
        raise Unavailable(BEHIND, RETRY_AFTER_S)

    async def _extend(self, selection: Selection, nodes: Iterable[Node]) -> None:
        """Raises Unavailable for a look-up with which more is connected than can be folded."""
        for _ in selection.extend(self._overlay, nodes):
            if len(selection.entries) > MOST_FOLDED:
                raise Unavailable(BEHIND, RETRY_AFTER_S)
            await asyncio.sleep(0)

    async def _read(self, selection: Selection, partition: int) -> tuple[int, Loaded, Applied]:
        """Epoch, the state and how far it is applied."""
        target = selection.target
        removed = self._overlay.removed_members(target.organisation_id)
        if len(selection.entries) >= THREAD_FROM:
            wanted = await asyncio.to_thread(selecting.wanted, selection, removed)
        else:
            wanted = selecting.wanted(selection, removed)
        async with self._connect(target.organisation_id) as connection:
            found = await overlay_read.read(
                connection, target.organisation_id, self._topic, partition, wanted
            )
        next_offset = self._overlay.applied_of(partition, found.epoch, found.next_offset)
        loaded = Loaded(found.state, next_offset, found.displays)
        return found.epoch, loaded, Applied(next_offset, found.last_append_time)

    async def _fold(self, selection: Selection, loaded: Loaded, epoch: int) -> list[Resource]:
        """The fold, done once for all look-ups of the same target in the same state."""
        if max(len(selection.entries), len(loaded.displays)) >= THREAD_FROM or (
            len(loaded.state.members) >= THREAD_FROM_RESOURCES
        ):
            return await asyncio.to_thread(_fold_and_find, selection, loaded)
        steps = selection.ordered()
        units = selecting.work_to_fold(loaded, steps, THREAD_FROM_WORK)
        if units <= THREAD_FROM_WORK:
            return _fold_and_find(selection, loaded)
        # The state is what the log leads to up to `next_offset`, so these say all that goes in.
        numbers = tuple(entry.number for _, entry in sorted(selection.entries.items()))
        key = (selection.target, epoch, loaded.next_offset, numbers)
        return await self._folds.get(key, lambda: _fold_and_find(selection, loaded))


class _Folds:
    """The last expensive folds, with the look-ups that wait for each. On the event loop only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, asyncio.Task[list[Resource]]] = OrderedDict()

    async def get(self, key: Hashable, fold: Callable[[], list[Resource]]) -> list[Resource]:
        """The result of the fold that the first caller began. It goes on if its callers go away."""
        task = self._kept.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(asyncio.to_thread(fold), name="fold")
            task.add_done_callback(_note_failure)
            self._kept[key] = task
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return await asyncio.shield(task)


def _note_failure(task: "asyncio.Task[list[Resource]]") -> None:
    """Read the error: asyncio reports one that is never read, and all callers may have gone."""
    if not task.cancelled():
        task.exception()


def _fold_and_find(selection: Selection, loaded: Loaded) -> list[Resource]:
    """Raises Unavailable for more work than one read may cause."""
    steps = selection.ordered()
    units = selecting.work_to_fold(loaded, steps, MOST_WORK_FOLDED)
    if units > MOST_WORK_FOLDED:
        raise Unavailable(TOO_MUCH, RETRY_AFTER_S)
    selecting.fold_over(loaded, steps)
    return selecting.find(loaded, selection.target)
