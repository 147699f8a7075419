"""Whether something that no read finds is certainly not there: the log's end is asked.

A record's offset follows its append time, and a request is appended within `accept_s` of the moment
at which its resource's id was minted. So an id that is older than the last record applied, by more
than that, belongs to nothing that is still to come. Any other id may be on the log and not applied:
then only the log's end answers it. If everything below the end is applied, there is no such
resource.

The end is asked first and the directory read after it: what was accepted before the question is
then in the read, or known not to be. Questions that come while one is under way are answered by
the next one, all together, because the running one may be older than they are.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from rollcall.kafka.feed import Look
from rollcall.kafka.log_probe import LogProbe
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import minted_at

TIMEOUT_S: Final = 1.0
RETRY_AFTER_S: Final = 5.0
CLOCKS_DIFFER: Final = timedelta(seconds=5)
"""How far our clock, which minted the id, may be from the broker's."""

Absence = Literal["certain", "ask"]


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a partition is applied: `last_append_time` is that of the last record, if any."""

    next_offset: int
    last_append_time: datetime | None


def judge_id(resource_id: str, applied: Applied, *, accept_s: float) -> Absence:
    """Whether a read that did not find this id is enough to say that there is no such resource."""
    try:
        minted = minted_at(resource_id)
    except ValueError:
        return "ask"
    if applied.last_append_time is None:
        return "ask"
    latest = minted + timedelta(seconds=accept_s) + CLOCKS_DIFFER
    return "certain" if latest < applied.last_append_time else "ask"


class LogEnd:
    """The ends of the partitions of the requests topic. Connects when it is asked."""

    def __init__(self, probe: LogProbe, *, timeout_s: float = TIMEOUT_S) -> None:
        self._probe = probe
        self._timeout_s = timeout_s
        self._running: dict[int, asyncio.Task[Look]] = {}
        self._next: dict[int, asyncio.Future[int]] = {}
        self._is_closed = False

    async def end(self, partition: int) -> int:
        """The offset behind the last record that was in the partition when this was called.

        Raises Unavailable, also where Kafka does not answer in time.
        """
        answer = self._next.get(partition)
        if answer is None:
            answer = self._next[partition] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_seen)
            self._begin(partition)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(answer)
        except TimeoutError as error:
            raise Unavailable("Kafka", RETRY_AFTER_S) from error

    async def close(self) -> None:
        """Leave Kafka; `end` raises Unavailable from now on, also for callers that wait."""
        self._is_closed = True
        await self._probe.close()
        if running := [*self._running.values()]:
            await asyncio.wait(running)

    def _begin(self, partition: int) -> None:
        """Ask for the callers that wait. While a question is under way, its end asks again."""
        if partition in self._running or partition not in self._next:
            return
        answer = self._next.pop(partition)
        if self._is_closed:
            answer.set_exception(Unavailable("Kafka", RETRY_AFTER_S))
            return
        task = asyncio.create_task(self._probe.look(partition, 0), name="end of the log")
        self._running[partition] = task

        def answered(done: "asyncio.Task[Look]") -> None:
            del self._running[partition]
            _hand_on(done, answer)
            self._begin(partition)

        task.add_done_callback(answered)


def _hand_on(done: "asyncio.Task[Look]", answer: "asyncio.Future[int]") -> None:
    if done.cancelled():
        answer.set_exception(Unavailable("Kafka", RETRY_AFTER_S))
    elif (error := done.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result().end_offset)


def _seen(answer: "asyncio.Future[int]") -> None:
    """Read the error: asyncio reports one that is never read, and the caller may have gone."""
    if not answer.cancelled():
        answer.exception()
