"""The decision of a write, for its sender, however far behind the provisioner is.

A write is decided when it has its place in the log, and every replica can read the log. So after a
short wait for the provisioner's reply, this replica folds the organisation's pending records up to
the write itself (`rollcall.tail`). Whichever comes first is the answer, and the two are compared
when both are known: a difference would be a fault of ours.

What is promised is in the event: its sender is answered with the decision. Where neither is known
in time, the promise is taken back on the log (write_path.py, decision 0063).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rollcall.events.reply import Reply
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import INGRESS_DECIDED_HERE, INGRESS_VERDICTS_DIFFERED
from rollcall.runtime.errors import Unavailable
from rollcall.tail.batch import Uncertain
from rollcall.tail.replica import Replica

HEAD_START_S: Final = 0.5
"""Seconds for which only the provisioner's reply is waited for, while its partition is in time: it
takes milliseconds, some hundred under load, and then nothing is folded here. Other replicas rest on
it (`IN_TIME_MS` and `HEARD_MS` of rollcall.tail.replica)."""
DECIDED_WITHIN_S: Final = 2.0
"""Seconds after which a decision is late: nothing more is promised meanwhile."""
READY_WITHIN_S: Final = 1.0
"""Seconds for what is pending to be read and folded, before something behind it is promised."""
ASLEEP_S: Final = 0.2
LOOK_S: Final = 1.0
"""Seconds for which a process that stood still looks what has come meanwhile, and in which the
reply to what is applied comes."""
DOUBTS_S: Final = 5.0
"""Seconds after an uncertain verdict, in which nothing is promised to the organisation."""
REMEMBERED: Final = 10_000

log = get_logger()


@dataclass(frozen=True, slots=True)
class Decision:
    """The reply; `is_applied`: it is the provisioner's, so the change is in Postgres."""

    reply: Reply
    is_applied: bool


class Decisions:
    """Decides writes here. One per process; `clock` gives monotonic seconds.

    `on_difference` gets the id of a request that is decided otherwise than it was answered, and the
    status of the answer.
    """

    def __init__(
        self,
        replica: Replica,
        clock: Callable[[], float],
        on_difference: Callable[[str, int], None] = lambda request_id, given: None,
    ) -> None:
        self._replica = replica
        self._clock = clock
        self._on_difference = on_difference
        self._doubted: dict[str, float] = {}
        self._given: OrderedDict[str, Reply] = OrderedDict()

    async def can_promise(self, organisation_id: str, partition: int) -> bool:
        """Whether a write that is published now will be decided here, as far as can be known.

        Folds what is pending of an organisation that is behind: what stands in the way shows there.
        """
        until_s = self._doubted.get(organisation_id)
        if until_s is not None and self._clock() < until_s:
            return False
        self._doubted.pop(organisation_id, None)
        is_current = self._replica.is_current(partition)
        if not (is_current or await self._replica.become_current(partition, READY_WITHIN_S)):
            self._doubt(organisation_id, Uncertain("the log is not read to its end"))
            return False
        if self._replica.is_behind(organisation_id, partition):
            try:
                async with asyncio.timeout(READY_WITHIN_S):
                    await self._replica.advance(organisation_id, partition)
            except (Uncertain, Unavailable, TimeoutError) as why:
                self._doubt(organisation_id, why)
                return False
        return True

    def settled(self, partition: int, offset: int) -> None:
        """The provisioner has replied to the record at this offset."""
        self._replica.settled(partition, offset)

    def is_late(self, partition: int) -> bool:
        """Whether the provisioner's reply is not worth waiting for."""
        return self._replica.is_late(partition)

    @contextmanager
    def expecting(self, event_id: str) -> Iterator[None]:
        """Before the event is published, until its sender is answered."""
        with self._replica.expecting(event_id):
            yield

    def on_reply(self, reply: Reply) -> None:
        """Compare the provisioner's reply with what was answered here."""
        given = self._given.pop(reply.request_id, None)
        if given is None or _sense(given) == _sense(reply):
            return
        INGRESS_VERDICTS_DIFFERED.inc()
        log.error(
            "verdict.differed",
            request_id=reply.request_id,
            given=given.status,
            decided=reply.status,
            runbook="verdict-differed",
        )
        self._on_difference(reply.request_id, given.status)

    async def decision(
        self,
        organisation_id: str,
        partition: int,
        event_id: str,
        offset: int,
        waiter: "asyncio.Future[Reply]",
        within_s: float,
        until_s: float,
    ) -> Decision | None:
        """The decision of the event at this offset; None where it is not known by `until_s`.

        `within_s`, `until_s` are of the loop's time; `waiter` gets the provisioner's reply. Where
        it is not known by `within_s`, nothing is promised to those who come next.
        """
        loop = asyncio.get_running_loop()
        folding = asyncio.ensure_future(
            self._replica.verdict(
                organisation_id, partition, event_id, offset, max(0.0, until_s - loop.time())
            )
        )
        try:
            for end_s in (within_s, until_s):
                await asyncio.wait(
                    (waiter, folding),
                    timeout=max(0.0, end_s - loop.time()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not (waiter.done() or folding.done()) and loop.time() > end_s + ASLEEP_S:
                    # This process stood still, and may not have read yet what is there.
                    await asyncio.wait(
                        (waiter, folding), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
                    )
                if waiter.done() or folding.done():
                    break
                self._doubt(organisation_id, TimeoutError("not in time"))
            if not waiter.done() and folding.done():
                verdict = self._result(folding, organisation_id)
                if verdict is not None:
                    self._remember(event_id, verdict)
                    INGRESS_DECIDED_HERE.inc()
                    return Decision(verdict, is_applied=False)
                # It is applied already, so its reply is on the way; or it is only known then.
                await asyncio.wait((waiter,), timeout=max(LOOK_S, until_s - loop.time()))
            return Decision(waiter.result(), is_applied=True) if waiter.done() else None
        finally:
            folding.cancel()

    def _result(
        self, folding: "asyncio.Future[Reply | None]", organisation_id: str
    ) -> Reply | None:
        try:
            return folding.result()
        except (Uncertain, Unavailable) as why:
            self._doubt(organisation_id, why)
            return None

    def _doubt(self, organisation_id: str, why: Exception) -> None:
        self._doubted[organisation_id] = self._clock() + DOUBTS_S
        log.debug("tail.uncertain", organisation_id=organisation_id, reason=str(why))

    def _remember(self, event_id: str, verdict: Reply) -> None:
        self._given[event_id] = verdict
        while len(self._given) > REMEMBERED:
            self._given.popitem(last=False)


def _sense(reply: Reply) -> tuple[int, str | None, str | None, bool]:
    """What of a reply its sender acts on."""
    return reply.status, reply.scim_type, reply.version, reply.is_parked
