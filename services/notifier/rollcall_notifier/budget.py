"""How many mails one recipient gets, over all organisations, members and kinds (decision 0055).

A mail is counted in Postgres before it is handed to the mail server, by one replica at a time for
each recipient, so a second replica or a restart has no budget of its own. It is given back if the
server did not take it. A crash in between leaves it counted, and the next try of the same mail is
not counted again: a server that breaks connections uses up no budget.

Three bounds, by Postgres's time: `mails` within `window_s`, `mails_a_day` within a day, and of
those at most half for one organisation, so that others can still reach the person. For a
revocation each bound is `reserve` higher: no number of invitations can keep a person from hearing
that access has ended.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from rollcall.observability.logging import get_logger
from rollcall.postgres import mail_budget
from rollcall.postgres.mail_budget import Bounds
from rollcall.postgres.notification import Notice
from rollcall.postgres.pool import Database
from rollcall.runtime.errors import Unavailable
from rollcall_notifier.judge import Kind
from rollcall_notifier.recipient import digest
from rollcall_notifier.settle import insist

SWEEP_EVERY_S: Final = 60.0
WINDOW_S: Final = 600.0
"""Time in which the mails of the shorter bound are counted. A person who is invited, revoked and
restored by mistake gets three mails within minutes; a burst of mails to one address is a misuse."""
RESERVE: Final = 2
"""Mails beyond each bound that may be revocations: access that ends, is restored and ends again."""
log = get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How many mails one recipient gets, and how many more of them may be revocations."""

    mails: int
    mails_a_day: int
    window_s: float = WINDOW_S
    reserve: int = RESERVE


def bounds(kind: Kind, limits: Limits) -> Bounds:
    """How many mails a recipient may have had before one more of this kind. Pure."""
    more = limits.reserve if kind == "revocation" else 0
    return Bounds(
        lately=limits.mails + more,
        in_a_day=limits.mails_a_day + more,
        of_organisation=-(-limits.mails_a_day // 2) + more,
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that is counted for its recipient.

    `is_again`: an earlier try was counted and may have left, so it stays counted if this fails.
    """

    notice: Notice
    recipient: bytes
    is_again: bool


class Budget:
    """Counts the mails of each recipient. `key` makes the digests of their addresses."""

    def __init__(self, database: Database, limits: Limits, key: bytes) -> None:
        self._database = database
        self._limits = limits
        self._key = key

    async def take(self, notice: Notice, kind: Kind, address: str) -> Taken | None:
        """Count this mail; None: its recipient's budget is used up. Waits for Postgres."""
        recipient = digest(self._key, address)

        async def take() -> Taken | None:
            async with self._database.connection() as connection:
                taken = await mail_budget.take(
                    connection,
                    recipient,
                    notice,
                    bounds(kind, self._limits),
                    window_s=self._limits.window_s,
                )
            return None if taken is None else Taken(notice, recipient, taken == "again")

        return await insist(take)

    async def give_back(self, taken: Taken) -> None:
        """The mail server did not take it this time. Waits for Postgres."""

        async def give_back() -> None:
            async with self._database.connection() as connection:
                await mail_budget.give_back(connection, taken.recipient, taken.notice)

        if not taken.is_again:
            await insist(give_back)

    async def sweep(self) -> None:
        """Every minute, delete what no bound counts any more, until it is cancelled."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await mail_budget.sweep(connection)
            except Unavailable as error:
                log.debug("postgres.unavailable", doing="sweep budgets", reason=error.what)
            await asyncio.sleep(SWEEP_EVERY_S)
