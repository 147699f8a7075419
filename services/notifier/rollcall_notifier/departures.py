"""Announces and records the mails that left, those of several connections together.

While one announcement and its record are under way, mails of other connections wait; then all of
them go in one request to Kafka and one statement. A connection waits until its own mail is
recorded, so no more mails than connections are between the server's yes and our record.
"""

import asyncio
from collections.abc import Sequence

from rollcall.postgres.notification import SentNotice
from rollcall_notifier.facts import Facts
from rollcall_notifier.settle import Ledger

_Waiting = tuple[SentNotice, "asyncio.Future[None]"]


class Departures:
    """`note` a mail that left. Without `facts` nothing is announced."""

    def __init__(self, ledger: Ledger, facts: Facts | None) -> None:
        self._ledger = ledger
        self._facts = facts
        self._writing = asyncio.Lock()
        self._waiting: list[_Waiting] = []

    async def note(self, sent: SentNotice) -> None:
        """Announce it, if Kafka answers within 2 s, and record it. Waits for Postgres."""
        noted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((sent, noted))
        async with self._writing:
            if noted.done():
                return  # another that had its turn before has written it along
            batch, self._waiting = self._waiting, []
            try:
                await self._write([each for each, _ in batch])
            except BaseException:
                # The others write theirs themselves when it is their turn.
                self._waiting[:0] = [each for each in batch if each[1] is not noted]
                raise
            for _, other in batch:
                other.set_result(None)

    async def _write(self, sent: Sequence[SentNotice]) -> None:
        announced = set() if self._facts is None else await self._facts.announce(sent)
        await self._ledger.sent(sent, announced)
