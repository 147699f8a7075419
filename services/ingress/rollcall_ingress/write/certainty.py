"""Before a success that may be taken back: read every reply in time, or note that it was not read.

For requests whose sender was promised nothing (hearing.py says what a missing reply means).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from rollcall.events.reply import Reply
from rollcall.events.request import Request
from rollcall_ingress.door.answer import unheard_outcome
from rollcall_ingress.write.hearing import LAST_RESORT_S, READ_WITHIN_S, Hearing
from rollcall_ingress.write.submitted import Budgets

Waiter = asyncio.Future[Reply]


async def replied(waiter: Waiter, until_s: float) -> float:
    """Wait for the reply until `until_s` (the loop's time); the seconds that were left."""
    left_s = until_s - asyncio.get_running_loop().time()
    if not waiter.done() and left_s > 0:
        await asyncio.wait((waiter,), timeout=left_s)
    return left_s


class Certainty:
    """What is known of replies that have not come. One per process."""

    def __init__(self, hearing: Hearing, budgets: Budgets) -> None:
        self._hearing = hearing
        self._budgets = budgets

    async def is_read(
        self,
        waiter: Waiter,
        request: Request,
        waited_s: float,
        timeout_s: float = READ_WITHIN_S,
    ) -> bool:
        """Whether the reply is here, or all is read that was appended within `waited_s` seconds."""
        answer_by_ms = request.answer_by_ms
        if waiter.done() or answer_by_ms is None:
            return True
        wait_s = self._budgets.reply_s if request.precondition is None else self._budgets.accept_s
        until_ms = answer_by_ms - int((wait_s - waited_s) * 1000)
        return await _first(waiter, self._hearing.read_until(until_ms, timeout_s))

    async def note(self, waiter: Waiter, request: Request) -> None:
        """Unless the reply comes, note that the request is answered without it.

        While Postgres is away the replies are read for longer instead. Raises ServiceUnavailable
        where neither is possible.
        """
        if await _first(waiter, self._hearing.noted(request.id)):
            return
        if not await self.is_read(waiter, request, self._budgets.reply_s, LAST_RESORT_S):
            raise unheard_outcome()


async def _first(waiter: Waiter, other: Coroutine[Any, Any, bool]) -> bool:
    """The result of `other`, or True as soon as the reply is here."""
    task = asyncio.ensure_future(other)
    try:
        await asyncio.wait((waiter, task), return_when=asyncio.FIRST_COMPLETED)
        return waiter.done() or task.result()
    finally:
        task.cancel()
