"""The sender: claims due notices by lease, judges each, hands it to the mail server, records it.

One loop claims; several workers, each with a connection of its own, take what is claimed. For each
notice the order is that of `_handle`: pace → the member's state, as the claim read it or read again
→ judge (judge.py) → compose → connect → count it for its recipient (budget.py) → send → announce
(facts.py) and record, with those of other connections (departures.py). A notice is recorded as sent
only after the server's yes; a crash between the two sends a second copy, with the same Message-ID
and the same link.

A lease runs out a few seconds after its owner died, and is renewed while the owner lives, so that
a slow mail server is not taken for a dead sender. Nothing is sent under a lease that ran out. While
no connection can be made (breaker), nothing is claimed, and one connection is tried from time to
time: an outage costs no notice an attempt.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage

from rollcall.observability import metrics
from rollcall.observability.logging import get_logger
from rollcall.postgres import notification
from rollcall.postgres.notification import PACED, ClaimedNotice, Notice, SentNotice
from rollcall.postgres.pool import Database
from rollcall.runtime.breaker import Breaker
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.lifecycle import FaultPoint
from rollcall.runtime.retry import backoff_s
from rollcall_notifier import prepare
from rollcall_notifier.budget import Budget
from rollcall_notifier.compose import CannotBuild, Letter, compose
from rollcall_notifier.departures import Departures
from rollcall_notifier.facts import Facts
from rollcall_notifier.judge import Drop
from rollcall_notifier.leases import Leases
from rollcall_notifier.mail_server import LeaseLost, Postponed, Refused, Session
from rollcall_notifier.pace import Pacer
from rollcall_notifier.prepare import LetterOptions, NoticeContext
from rollcall_notifier.settle import Ledger, insist

POLL_S = 1.0
FRESH_S = 0.5
"""How long after its claim a notice is judged by what the claim read. One that has waited longer
for its turn is judged by what is there then."""
PACED_POLL_S = 0.1
IDLE_CONNECTION_S = 10.0
QUEUED_PER_CONNECTION = 8
MEASURE_EVERY_S = 5.0
STOP_TIMEOUT_S = 5.0
BURST_PER_ORGANISATION = 3000
"""Invitations of one organisation that leave at once, and as many notices of other kinds: enough
for a first synchronisation of 3,000 people."""
RETRY_INITIAL_S = 5.0
"""Wait after the first failure of a mail, doubled by each: greylisting lets go after minutes."""
GIVE_UP_AFTER_S = 7 * 86400
"""A mail that has been due for a week fails at its next refusal: a mail server gives up earlier
(RFC 5321 §4.5.4.1: four to five days), and an invitation has expired by then."""
PROBE_S = 1.0
"""While no connection to the mail server can be made, one is tried this often, by each replica."""
log = get_logger()


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """The bounds of the sender, and what its letters are made with."""

    letters: LetterOptions
    connections: int
    rate_per_organisation: float
    retry_maximum_s: float
    drain_s: float


class MailSender:
    """Sends what is due until `stop` is set."""

    def __init__(
        self,
        database: Database,
        leases: Leases,
        ledger: Ledger,
        options: SenderOptions,
        *,
        budget: Budget,
        new_session: Callable[[], Session],
        faults: FaultPoint,
        facts: Facts | None = None,
    ) -> None:
        self._database = database
        self._leases = leases
        self._ledger = ledger
        self._options = options
        self._budget = budget
        self._new_session = new_session
        self._faults = faults
        self._facts = facts
        self._departures = Departures(ledger, facts)
        self._pacer = Pacer(options.rate_per_organisation, BURST_PER_ORGANISATION)
        self._breaker = Breaker(failures_to_open=1, probe_every_s=PROBE_S)
        # Bounded by what is claimed: at most `_queue_size` at once.
        self._queue: asyncio.Queue[ClaimedNotice | None] = asyncio.Queue()
        self._queue_size = options.connections * QUEUED_PER_CONNECTION
        self._wake = asyncio.Event()
        self._has_claimed = False
        self._has_more = False

    @property
    def is_ready(self) -> bool:
        """Whether Postgres has answered a claim once."""
        return self._has_claimed

    def wake(self) -> None:
        """Look for due notices now, not at the next poll."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set; then finish the mails in hand, for a bounded time."""
        workers = [asyncio.create_task(self._work()) for _ in range(self._options.connections)]
        background = (self._leases.keep(), self._measure(), self._budget.sweep())
        others = [asyncio.create_task(each) for each in background]
        if self._facts is not None:
            others.append(asyncio.create_task(self._facts.run()))
        claiming = asyncio.create_task(self._claim_until(stop))
        try:
            # The claims end because of `stop`, anything else only by an error.
            await asyncio.wait([claiming, *workers, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._drain(claiming, workers, others)

    async def _drain(
        self,
        claiming: "asyncio.Task[None]",
        workers: "list[asyncio.Task[None]]",
        others: "list[asyncio.Task[None]]",
    ) -> None:
        claiming.cancel()
        await asyncio.wait([claiming])
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for _ in workers:
            self._queue.put_nowait(None)
        _, late = await asyncio.wait(workers, timeout=self._options.drain_s)
        for task in (*late, *others):
            task.cancel()
        await asyncio.wait([*workers, *others], timeout=STOP_TIMEOUT_S)
        not_begun = [claimed.notice for claimed in waiting if claimed is not None]
        await self._ledger.all_given_back(not_begun, "sender_stopped")
        for task in (claiming, *workers, *others):
            if task.done() and not task.cancelled():
                task.result()

    async def _claim_until(self, stop: asyncio.Event) -> None:
        """Keep the queue filled. Nothing is claimed while the mail server is away."""
        while not stop.is_set():
            self._wake.clear()
            if self._breaker.is_open and not await self._probe():
                await _first_of(PROBE_S, stop)
                continue
            free = self._queue_size - self._queue.qsize()
            if free * 2 >= self._queue_size and self._leases.may_claim:
                await self._claim(free)
            poll_s = PACED_POLL_S if self._pacer.is_holding(time.monotonic()) else POLL_S
            await _first_of(poll_s, self._wake, stop)

    async def _claim(self, limit: int) -> None:
        try:
            claims = await self._leases.claim(limit)
            for claimed in claims.notices:
                self._queue.put_nowait(claimed)
            self._has_more = claims.has_more
            self._has_claimed = True
        except Unavailable as error:
            log.warning("postgres.unavailable", doing="claim", reason=error.what)

    async def _probe(self) -> bool:
        """Whether a connection can be made again."""
        if not self._breaker.may_wait(time.monotonic()):
            return False
        session = self._new_session()
        try:
            await session.ensure()
        except Unavailable:
            return False
        finally:
            await session.close()
        self._breaker.succeeded()
        log.info("mail_server.reached")
        return True

    async def _work(self) -> None:
        """Take one claimed notice after another; one connection, closed when it is idle."""
        session = self._new_session()
        try:
            while (claimed := await self._next(session)) is not None:
                try:
                    await self._handle(session, claimed)
                except (
                    Exception
                ) as error:  # outermost edge of one mail: a bug of ours, the others go on
                    log.error(
                        "task.failed",
                        request_id=claimed.notice.event_id,
                        kind=claimed.notice.kind,
                        error=type(error).__name__,
                        exc_info=True,
                        runbook="mail-failed",
                    )
                    await self._postpone(claimed, f"error_{type(error).__name__}")
                finally:
                    self._leases.forget(claimed)
                if self._has_more and self._queue.qsize() * 2 <= self._queue_size:
                    self._wake.set()  # it may be what the next one of its member waited for
        finally:
            await session.close()

    async def _next(self, session: Session) -> ClaimedNotice | None:
        while True:
            try:
                async with asyncio.timeout(IDLE_CONNECTION_S):
                    return await self._queue.get()
            except TimeoutError:
                await session.close()

    async def _handle(self, session: Session, claimed: ClaimedNotice) -> None:
        """One notice from its claim to its record."""
        notice, letters, ledger = claimed.notice, self._options.letters, self._ledger
        if self._breaker.is_open:
            return await self._server_away(notice)
        wait_s = self._pace(claimed)
        if wait_s > 0:
            return await ledger.given_back(notice, wait_s, PACED)
        found = await self._context_of(claimed)
        if found.member is not None and found.organisation is None:
            return await self._postpone(claimed, "organisation_unknown")
        at = self._leases.present()
        judgement = prepare.judge_notice(notice, found, letters, at)
        if isinstance(judgement, Drop):
            return await ledger.dropped(notice, judgement)
        try:
            letter = prepare.write_letter(notice, found, judgement, letters, at)
            message = compose(letter, letters.sender)
            await session.ensure()
            if not self._leases.holds(claimed):
                return None  # another replica may have it by now
            if not await self._send(session, claimed, letter, message):
                return await ledger.dropped(notice, Drop("recipient_budget"))
        except LeaseLost:
            return None  # this process slept on the way to the message itself
        except CannotBuild as error:
            return await ledger.failed(notice, f"cannot_build_{error}")
        except Unavailable as error:
            self._lost(error)
            return await self._server_away(notice)
        except Postponed as error:
            return await self._postpone(claimed, str(error), may_have_left=error.may_have_left)
        except Refused as error:
            return await ledger.failed(notice, str(error))
        self._faults.passes("notifier.after_yes")
        at = self._leases.present()
        return await self._departures.note(SentNotice(notice, letter.message_id, at))

    async def _context_of(self, claimed: ClaimedNotice) -> NoticeContext:
        """What it is judged by: as the claim read it, or read again if it has waited since."""
        context, age_s = claimed.context, self._leases.age_s(claimed)
        if context is not None and age_s < FRESH_S:
            return prepare.as_claimed(context)
        return await insist(lambda: prepare.read(self._database, claimed.notice))

    async def _send(
        self, session: Session, claimed: ClaimedNotice, letter: Letter, message: EmailMessage
    ) -> bool:
        """Hand it over; False: its recipient's budget is used up.

        Raises what `Session.send` raises; what has not left for certain is given back.
        """
        taken = await self._budget.take(claimed.notice, letter.kind, letter.address)
        if taken is None:
            return False
        self._faults.passes("notifier.before_send")
        try:
            await session.send(
                message,
                sender=self._options.letters.sender.address,
                recipient=letter.address,
                is_ours=lambda: self._leases.holds(claimed),
            )
        except (LeaseLost, Refused, Postponed) as error:
            if not (isinstance(error, Postponed) and error.may_have_left):
                await self._budget.give_back(taken)
            raise
        return True

    def _pace(self, claimed: ClaimedNotice) -> float:
        """Reserve a slot of its organisation's rate; seconds until then."""
        if claimed.has_slot:
            return 0.0
        notice = claimed.notice
        lane = "invitations" if notice.kind == "invitation" else "notices"
        return self._pacer.wait_s((notice.organisation_id, lane), time.monotonic())

    async def _postpone(
        self, claimed: ClaimedNotice, reason: str, *, may_have_left: bool = False
    ) -> None:
        """Try again later, after longer and longer waits; give up after days."""
        notice, options = claimed.notice, self._options
        if self._leases.present() - notice.due_at > timedelta(seconds=GIVE_UP_AFTER_S):
            return await self._ledger.failed(notice, f"gave_up_{reason}")
        wait_s = backoff_s(
            claimed.attempts,
            initial_s=RETRY_INITIAL_S,
            maximum_s=options.retry_maximum_s,
        )
        return await self._ledger.postponed(notice, wait_s, reason, may_have_left=may_have_left)

    async def _server_away(self, notice: Notice) -> None:
        await self._ledger.given_back(notice, PROBE_S, "mail_server_away")

    def _lost(self, error: Unavailable) -> None:
        if not self._breaker.is_open:
            log.warning("mail_server.lost", reason=error.what)
        self._breaker.failed(time.monotonic())

    async def _measure(self) -> None:
        """Gauges of what is overdue, every few seconds."""
        while True:
            try:
                async with self._database.connection() as connection:
                    number, age = await notification.overdue(connection)
            except Unavailable as error:
                log.debug("postgres.unavailable", doing="measure", reason=error.what)
            else:
                metrics.NOTIFIER_DUE.set(number)
                metrics.NOTIFIER_OLDEST_DUE.set(age.total_seconds())
            await asyncio.sleep(MEASURE_EVERY_S)


async def _first_of(timeout_s: float, *events: asyncio.Event) -> None:
    """Until one of the events is set, or the time is over."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
