"""Which notices this sender holds under a lease, and until when it may rely on that."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from rollcall.observability.logging import get_logger
from rollcall.postgres import notification
from rollcall.postgres.notification import ClaimedNotice, Claims
from rollcall.postgres.pool import Database
from rollcall.runtime import clock
from rollcall.runtime.errors import Unavailable
from rollcall_notifier.facts import ReadUpTo

MARGIN: Final = 0.1
"""Part of a lease that is kept in reserve, for the way to the mail server."""
LOST: Final = float("-inf")
log = get_logger()


class Leases:
    """Claims notices for one owner and keeps the leases alive while the process lives.

    A lease counts from the moment before it was asked for, or asked to last longer. One that had
    run out by then (the process slept, Postgres was away) is not held any more.

    Rows carry Postgres's time, which all replicas share: by the clock of a machine that is a minute
    ahead, another replica's lease would look over while it sends. How long a lease has lasted is
    measured here, by a monotonic clock.
    """

    def __init__(
        self,
        database: Database,
        owner: str,
        lease_s: float,
        requests_topic: str,
        *,
        outcomes_topic: str = "",
        read_up_to: ReadUpTo | None = None,
    ) -> None:
        self.owner = owner
        self._outcomes_topic = outcomes_topic
        self._read_up_to = read_up_to
        self._database = database
        self._lease_s = lease_s
        self._requests_topic = requests_topic
        self._asked = clock.now(), clock.elapsed_s()
        self._claimed: dict[tuple[str, str], float] = {}  # since when each lease counts
        self._claimed_at: dict[tuple[str, str], float] = {}

    @property
    def may_claim(self) -> bool:
        """Whether it is known how far outcomes must be read before a mail may leave."""
        return self._read_up_to is None or self._read_up_to.is_known

    async def claim(self, limit: int) -> Claims:
        """Up to `limit` notices that are due. Raises Unavailable.

        One whose lease ran out while it is in hand here (Postgres was away) is held again, but not
        returned again: the mail server may have said yes to it already.
        """
        now_s, in_hand = clock.elapsed_s(), set(self._claimed)
        async with self._database.connection() as connection:
            claims = await notification.claim(
                connection,
                self.owner,
                lease_s=self._lease_s,
                limit=limit,
                requests_topic=self._requests_topic,
                outcomes_topic=self._outcomes_topic,
                read_up_to=((), (), ()) if self._read_up_to is None else self._read_up_to.columns(),
            )
        claimed, self._asked = claims.notices, (claims.moment, clock.elapsed_s())
        fresh = [one for one in claimed if _key(one) not in in_hand]
        held = in_hand & self._claimed.keys()
        self._claimed.update((_key(one), now_s) for one in claimed if _key(one) in held)
        self._claimed.update((_key(one), now_s) for one in fresh)
        self._claimed_at.update((_key(one), now_s) for one in fresh)
        return replace(claims, notices=fresh)

    def holds(self, claimed: ClaimedNotice) -> bool:
        """Whether no other sender can have claimed it by now."""
        since_s = self._claimed.get(_key(claimed), LOST)
        return clock.elapsed_s() < since_s + self._lease_s * (1 - MARGIN)

    def age_s(self, claimed: ClaimedNotice) -> float:
        """Seconds since the claim was asked for."""
        return clock.elapsed_s() - self._claimed_at.get(_key(claimed), LOST)

    def present(self) -> datetime:
        """Postgres's time: as the last claim read it, plus the time since then."""
        at, at_s = self._asked
        return at + timedelta(seconds=clock.elapsed_s() - at_s)

    def forget(self, claimed: ClaimedNotice) -> None:
        """Hold it no longer: it is settled."""
        self._claimed.pop(_key(claimed), None)
        self._claimed_at.pop(_key(claimed), None)

    async def keep(self) -> None:
        """Renew what is held, three times within a lease, until it is cancelled."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            if self._claimed:
                await self._renew()

    async def _renew(self) -> None:
        now_s, held = clock.elapsed_s(), list(self._claimed)
        try:
            async with self._database.connection() as connection:
                at = await notification.present(connection)
                renewed = await notification.renew(
                    connection, self.owner, held, now=at, lease_s=self._lease_s
                )
        except Unavailable as error:
            log.warning("postgres.unavailable", doing="renew leases", reason=error.what)
            return
        for key in held:
            if self._claimed.get(key, now_s) < now_s:  # neither settled nor claimed again since
                self._claimed[key] = now_s if key in renewed else LOST


def _key(claimed: ClaimedNotice) -> tuple[str, str]:
    return claimed.notice.event_id, claimed.notice.kind
