"""The writes that this replica has not answered yet, the state of each, and reads that wait.

| state | event | next state | then |
|---|---|---|---|
| | `begin` | sending | a create of the same `userName` waits |
| sending | `acknowledge`: Kafka has it in time | acknowledged | reads read as far as that |
| sending | `end`: it was refused, or Kafka may or may not have it | abandoned | |
| acknowledged | `decide`: its reply came | decided | |
| acknowledged | `end`: it is answered before it is applied | pending | reads look into the log |
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from rollcall.events.bodies import Create
from rollcall.events.request import Request
from rollcall.kafka.producer import Acknowledged
from rollcall.tail.batch import Uncertain
from rollcall.tail.replica import Replica
from rollcall_ingress.behind.foresee import name_is_taken
from rollcall_ingress.behind.is_behind import IsBehind
from rollcall_ingress.behind.own_writes import OwnWrites

READ_WITHIN_S: Final = 0.15
"""Seconds to wait until the reader of the log has come as far as this replica's own writes."""
UNACKNOWLEDGED_SHARE: Final = 0.25
"""The part of the reply budget for which a read waits for a write that Kafka has not taken yet."""

State = Literal["sending", "acknowledged", "abandoned", "decided", "pending"]


@dataclass(slots=True, eq=False)
class Write:
    """One write; `began_s` is the loop's time. `place` is set from "acknowledged" on.

    `is_placed` is set when it leaves "sending".
    """

    began_s: float
    done: "asyncio.Future[None]"
    request: Request
    partition: int
    state: State = "sending"
    place: Acknowledged | None = None
    is_placed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_worth_waiting_until_s(self, reply_s: float) -> float:
        """Until when a read gains by waiting for this write; `reply_s`: the budget of an answer."""
        return self.began_s + reply_s * (1.0 if self.place is not None else UNACKNOWLEDGED_SHARE)


class UnderWay:
    """The writes under way, by organisation. One per process."""

    def __init__(self, own: OwnWrites, is_behind: IsBehind, replica: Replica) -> None:
        self.is_behind = is_behind
        self._own = own
        self._replica = replica
        self._writes: dict[str, dict[Write, None]] = defaultdict(dict)

    async def refuse_pending_name(self, request: Request, partition: int) -> None:
        """Raise Uniqueness for a create whose `userName` is in a pending one.

        Of two creates at once, one is refused: nothing is awaited between what is found last and
        the return, behind which `begin` follows. One that is still being sent may never be
        accepted, so it is waited for.
        """
        if not (request.is_member and isinstance(request.body, Create)):
            return
        organisation_id, name_key = request.organisation_id, request.body.name_key
        while True:
            while sending := self._sending_name(organisation_id, name_key):
                await sending.is_placed.wait()
            if not self.is_behind(organisation_id):
                return
            with suppress(Uncertain):  # then as far as the log was read
                await self._replica.reach(partition, self._own.end_of(partition), READ_WITHIN_S)
            is_taken = await self._replica.has_pending_name(organisation_id, partition, name_key)
            if is_taken and (taken := name_is_taken(request)) is not None:
                raise taken
            if self._sending_name(organisation_id, name_key) is None:
                return

    def begin(self, request: Request, partition: int) -> Write:
        """The request is about to be sent."""
        loop = asyncio.get_running_loop()
        write = Write(loop.time(), loop.create_future(), request, partition)
        self._writes[request.organisation_id][write] = None
        return write

    def acknowledge(self, write: Write, place: Acknowledged) -> None:
        """Kafka has appended the write, in time."""
        self._own.acknowledged(write.partition, place.offset, place.append_time_ms)
        write.place, write.state = place, "acknowledged"
        write.is_placed.set()

    def doubt(self, write: Write, until_s: float) -> None:
        """Kafka may have appended the write, or may do so until `until_s` (the loop's time)."""
        self._own.doubt(write.request.organisation_id, until_s)

    def decide(self, write: Write) -> None:
        """The reply to the write is here."""
        if write.state == "acknowledged":
            write.state = "decided"

    def end(self, write: Write) -> None:
        """The sender of the write is answered next; reads that wait for it go on."""
        if write.state == "sending":
            write.state = "abandoned"
            write.is_placed.set()
        elif write.state == "acknowledged" and write.place is not None:
            write.state = "pending"
            self._own.answered_early(write.partition, write.place.offset)
        write.done.set_result(None)
        writes = self._writes[write.request.organisation_id]
        del writes[write]
        if not writes:
            del self._writes[write.request.organisation_id]

    async def settled(self, organisation_id: str, timeout_s: float) -> None:
        """Wait for the organisation's writes that are under way here, as far as it is useful.

        Not while its partition is behind: they would not be applied anyhow. For a write that Kafka
        has acknowledged a read waits until the budget of its answer has passed; for one that it
        has not, only while that is young, and not at all if an older one waits for Kafka as well.
        """
        writes = tuple(self._writes.get(organisation_id, ()))
        if not writes or self.is_behind(organisation_id):
            return
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while (left_s := end_s - loop.time()) > 0:
            useful = _useful(writes, loop.time(), self.is_behind.reply_s)
            if not useful:
                return
            longest_s = max(useful.values()) - loop.time()
            await asyncio.wait(
                [write.done for write in useful], timeout=max(0.0, min(left_s, longest_s))
            )

    def _sending_name(self, organisation_id: str, name_key: str) -> Write | None:
        for each in self._writes.get(organisation_id, ()):
            is_create = each.request.is_member and isinstance(each.request.body, Create)
            if each.state == "sending" and is_create and each.request.name_key == name_key:
                return each
        return None


def _useful(writes: Sequence[Write], now_s: float, reply_s: float) -> dict[Write, float]:
    """The writes that a read gains by waiting for, each until when (the loop's time)."""
    waits = [write for write in writes if not write.done.done()]
    until_s = {write: write.is_worth_waiting_until_s(reply_s) for write in waits}
    kafka_is_slow = any(write.place is None and until_s[write] <= now_s for write in waits)
    return {
        write: until_s[write]
        for write in waits
        if until_s[write] > now_s and (write.place is not None or not kafka_is_slow)
    }
