"""What became of a notice: logged once, and written into its row as soon as Postgres is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres import notification
from rollcall.postgres.notification import Key, Notice, SentNotice
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.retry import until_available
from rollcall_notifier.judge import Drop

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection, Database

RETRY_MAX_S: Final = 2.0
_COUNTED_AS: Final[Mapping[str, str]] = {
    "recipient_budget": "over_budget",
    "recipient_not_public": "not_allowed",
    "recipient_not_allowed": "not_allowed",
}
"""Drops that are counted apart: an operator should see them."""
T = TypeVar("T")
log = get_logger()


class Ledger:
    """Settles notices that `owner` holds. Under a lost lease nothing is written: another has it."""

    def __init__(self, database: Database, owner: str, grace_s: float) -> None:
        self._database = database
        self._owner = owner
        self._grace_s = grace_s

    async def sent(self, sent: Sequence[SentNotice], announced: Collection[Key] = ()) -> None:
        """The mail server said yes. `announced`: those of which the topic says so (facts.py)."""

        async def settle(connection: Connection) -> bool:
            done = await notification.settle_sent(connection, self._owner, sent, announced)
            return len(done) == len(sent)

        await self._write(settle)
        for each in sent:
            _report("sent", each.notice)

    async def dropped(self, notice: Notice, drop: Drop) -> None:
        """It is not due any more; an invitation that this opens again is due after the grace."""

        async def settle(connection: Connection) -> bool:
            async with connection.transaction():
                if drop.reopens is not None:
                    await notification.reopen(
                        connection,
                        notice.organisation_id,
                        notice.member_id,
                        drop.reopens,
                        "invitation",
                        due_at=await _after(connection, self._grace_s),
                    )
                return await notification.settle_dropped(
                    connection, notice.event_id, notice.kind, self._owner, reason=drop.reason
                )

        await self._write(settle)
        _report("dropped", notice, drop.reason)

    async def failed(self, notice: Notice, reason: str) -> None:
        """The mail server will never take it; an operator should look."""

        async def settle(connection: Connection) -> bool:
            return await notification.settle_failed(
                connection, notice.event_id, notice.kind, self._owner, reason=reason
            )

        await self._write(settle)
        _report("failed", notice, reason)

    async def postponed(
        self, notice: Notice, wait_s: float, reason: str, *, may_have_left: bool = False
    ) -> None:
        """It was not taken this time, as far as is known."""
        await self.given_back(notice, wait_s, reason, may_have_left=may_have_left)
        _report("postponed", notice, reason)

    async def given_back(
        self, notice: Notice, wait_s: float, reason: str, *, may_have_left: bool = False
    ) -> None:
        """Release it: the next claim after `wait_s` seconds may try it."""

        async def settle(connection: Connection) -> bool:
            return await notification.retry_later(
                connection,
                notice.event_id,
                notice.kind,
                self._owner,
                next_attempt_at=await _after(connection, wait_s),
                reason=reason,
                may_have_left=may_have_left,
            )

        await self._write(settle)

    async def all_given_back(self, notices: Sequence[Notice], reason: str) -> None:
        """Release them for other replicas; tried once, because leases run out anyway."""
        try:
            async with self._database.connection() as connection:
                moment = await _after(connection, 0)
                for notice in notices:
                    await notification.retry_later(
                        connection,
                        notice.event_id,
                        notice.kind,
                        self._owner,
                        next_attempt_at=moment,
                        reason=reason,
                    )
        except Unavailable as error:
            log.debug("postgres.unavailable", doing="give back", reason=error.what)

    async def _write(self, settle: Callable[[Connection], Awaitable[bool]]) -> bool:
        """Whether it was written; False: the lease was lost. Waits for Postgres."""

        async def write() -> bool:
            async with self._database.connection() as connection:
                return await settle(connection)

        return await insist(write)


async def _after(connection: Connection, wait_s: float) -> datetime:
    """`wait_s` seconds from now by Postgres's clock, by which all replicas claim."""
    return await notification.present(connection) + timedelta(seconds=wait_s)


async def insist(action: Callable[[], Awaitable[T]]) -> T:
    """The result of `action`, tried again for as long as it raises Unavailable."""
    async for attempt in until_available(wait_max_s=RETRY_MAX_S):
        with attempt:
            return await action()
    raise AssertionError("attempts have no end")


def _report(result: str, notice: Notice, reason: str | None = None) -> None:
    """A line and a count for each mail: request id and kind, nothing about the person."""
    counted = _COUNTED_AS.get(reason or "", result)
    metrics.NOTIFIER_MAILS.labels(notice.kind, counted).inc()
    values = {"request_id": notice.event_id, "kind": notice.kind}
    if reason is not None:
        values["reason"] = reason
    match counted:
        case "sent":
            log.info("mail.sent", **values)
        case "dropped":
            log.info("mail.dropped", **values)
        case "over_budget" | "not_allowed":
            log.warning("mail.dropped", runbook="mail-budget", **values)
        case "failed":
            log.error("mail.failed", runbook="mail-failed", **values)
        case _:
            log.warning("mail.postponed", **values)
