"""Notices to members as rows: planned from outcomes, claimed by a lease, settled once.

States: `due` until a sender settles it as `sent`, `dropped` (no longer wanted) or `failed` (refused
for good). The notices of one member are sent in the order of their sequence: a later one is not
claimed while an earlier one is due. A lease that ran out, because its sender died, can be claimed
again. So if a sender dies between the mail server's yes and our record of it, a mail may be sent
twice, but never lost.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from rollcall.directory.state import Member
from rollcall.events.mail import MailSent
from rollcall.events.outcome import Sequence as OutcomeSequence
from rollcall.postgres import queries
from rollcall.postgres.progress import Step
from rollcall.postgres.rows import to_member, to_utc
from rollcall.tenancy.organisation import Organisation, organisation_from

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

Json = dict[str, Any]
NoticeState = Literal["due", "sent", "dropped", "failed"]
Key = tuple[str, str]
"""(event id, kind)"""
PACED: Final = "paced"
"""Reason of a notice that waits for a slot of the mail rate; its next attempt is the slot."""

_SQL = queries.load("notification")
_PLAN = _SQL["plan_notifications"]
_PLAN_BATCH = _SQL["plan_batch"]
_DROP_OPEN = _SQL["drop_open_notifications"]
_REOPEN = _SQL["reopen_notification"]
_CLAIM = _SQL["claim_notifications"]
_SETTLE_SENT = _SQL["settle_sent"]
_MARK_SENT = _SQL["mark_sent"]
_UNANNOUNCED = _SQL["unannounced_mails"]
_MARK_ANNOUNCED = _SQL["mark_announced"]
_SETTLE_UNSENT = _SQL["settle_unsent"]
_RETRY_LATER = _SQL["retry_later"]
_LAST_MAILS = _SQL["last_mails"]
_IS_OVERTAKEN = _SQL["is_overtaken"]
_UNSENT = _SQL["unsent_notifications"]
_PRESENT = _SQL["present"]
_RENEW = _SQL["renew_leases"]
_OVERDUE = _SQL["overdue"]
_COUNT = _SQL["count_notifications"]
_COUNT_OF = _SQL["count_notifications_of"]


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to plan, identified by event id and kind; it is due from `due_at` on.

    `event_time` is the time of the event that caused it; `detail` is what else the sender needs,
    without personal data.
    """

    event_id: str
    kind: str
    organisation_id: str
    member_id: str
    partition: int
    sequence: OutcomeSequence
    event_time: datetime
    due_at: datetime
    detail: Json = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What names it."""
        return self.event_id, self.kind


@dataclass(frozen=True, slots=True)
class SentNotice:
    """A notice that a mail server accepted."""

    notice: Notice
    message_id: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Context:
    """What a letter is judged by: the member and the organisation, None where there is none.

    `last` and `maybe`: see `last_mails`, since the member's present invitation. `is_overtaken`: a
    later revocation or restoration of the member is due.
    """

    member: Member | None
    organisation: Organisation | None
    last: str | None = None
    maybe: str | None = None
    is_overtaken: bool = False


@dataclass(frozen=True, slots=True)
class ClaimedNotice:
    """A notice that a sender has claimed; `attempts` includes this one. `has_slot`: it was paced
    and its slot has come. `context`: as it was at the claim."""

    notice: Notice
    attempts: int
    has_slot: bool = False
    context: Context | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a sender got, in the order of their time.

    `moment`: the time by Postgres's clock. `has_more`: something is due and was not claimed.
    """

    notices: list[ClaimedNotice]
    moment: datetime
    has_more: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """A member was revoked or removed: open notices fall away.

    `revocation` is the event id of a revocation, whose own row must have been new for this to
    happen: a repeat of the outcome must not drop what was opened again since. A removal has none:
    it is final.
    """

    organisation_id: str
    member_id: str
    revocation: str | None


@dataclass(frozen=True, slots=True)
class UnsentNotice:
    """A notice that was dropped or failed, and why."""

    event_id: str
    kind: str
    organisation_id: str
    member_id: str
    event_time: datetime
    state: NoticeState
    reason: str | None


async def plan(connection: "Connection", notices: Sequence[Notice]) -> set[tuple[str, str]]:
    """Add the notices that do not exist yet; returns the (event id, kind) of those added."""
    if not notices:
        return set()
    rows = await connection.fetch(_PLAN, *_columns_of(notices))
    return {(row["event_id"], row["kind"]) for row in rows}


async def plan_batch(
    connection: "Connection",
    step: Step,
    notices: Sequence[Notice],
    endings: Sequence[Ending],
    sent: Sequence[MailSent],
) -> int | None:
    """A batch of outcomes in one call, and a transaction of its own: how many notices are new.

    The position moves by `step`; None, with nothing written, if it is not ours. Then the notices
    are added as in `plan`, the endings do what `drop_open` does, and `sent` what `mark_sent` does.
    """
    row = await connection.fetchrow(
        _PLAN_BATCH,
        step.topic,
        step.partition,
        step.expected,
        step.epoch,
        step.new,
        step.published,
        step.last_event_id,
        step.last_append_time,
        *(_columns_of(notices) if notices else [None] * 11),
        *(
            (
                [each.organisation_id for each in endings],
                [each.member_id for each in endings],
                [each.revocation for each in endings],
            )
            if endings
            else [None] * 3
        ),
        *(_sent_columns(sent) if sent else [None] * 4),
    )
    return None if row is None or not row["is_ours"] else row["planned"]


def _columns_of(notices: Sequence[Notice]) -> list[list[Any]]:
    return [
        [notice.event_id for notice in notices],
        [notice.kind for notice in notices],
        [notice.organisation_id for notice in notices],
        [notice.member_id for notice in notices],
        [notice.partition for notice in notices],
        [notice.sequence.epoch for notice in notices],
        [notice.sequence.offset for notice in notices],
        [notice.sequence.index for notice in notices],
        [notice.event_time for notice in notices],
        [notice.detail for notice in notices],
        [notice.due_at for notice in notices],
    ]


async def drop_open(
    connection: "Connection",
    organisation_id: str,
    member_id: str,
    kinds: Sequence[str],
    reason: str,
    *,
    now: datetime,
) -> set[tuple[str, str]]:
    """Drop the member's due notices of these kinds; returns the (event id, kind) of each.

    A claimed notice is left to its sender, which reads the member's state itself.
    """
    rows = await connection.fetch(_DROP_OPEN, organisation_id, member_id, list(kinds), reason, now)
    return {(row["event_id"], row["kind"]) for row in rows}


async def reopen(
    connection: "Connection",
    organisation_id: str,
    member_id: str,
    event_id: str,
    kind: str,
    *,
    due_at: datetime,
) -> bool:
    """Make a dropped notice due again; False if there is none."""
    found = await connection.fetchval(_REOPEN, organisation_id, member_id, event_id, kind, due_at)
    return found is True


async def present(connection: "Connection") -> datetime:
    """The time by Postgres's clock, by which all replicas judge leases."""
    moment: datetime = await connection.fetchval(_PRESENT)
    return to_utc(moment)


async def claim(
    connection: "Connection",
    owner: str,
    *,
    lease_s: float,
    limit: int,
    requests_topic: str,
    outcomes_topic: str = "",
    read_up_to: tuple[Sequence[int], Sequence[int], Sequence[int]] = ((), (), ()),
    now: datetime | None = None,
) -> Claims:
    """Lease up to `limit` notices that are due to `owner`, oldest first, each with its context.

    A notice waits if the directory has not applied its request (a failover lost its last commits),
    because the member's state is then unknown. It also waits if the outcomes of its partition were
    not read up to the offset in `read_up_to` (three lists: partitions, epochs, offsets), because an
    event there may say that the mail was sent.

    The owner must settle each one, or give it back by `retry_later`, within `lease_s` seconds. Rows
    that another replica is claiming at the moment are skipped. `now` is Postgres's, unless given.
    """
    row = await connection.fetchrow(
        _CLAIM,
        owner,
        timedelta(seconds=lease_s),
        limit,
        requests_topic,
        outcomes_topic,
        *read_up_to,
        now,
    )
    if row is None:
        raise LookupError("the statement returns one row whatever there is")
    claimed = [
        ClaimedNotice(
            _to_notice(each),
            each["attempts"],
            has_slot=each["reason"] == PACED,
            context=_to_context(each),
        )
        for each in row["claimed"] or ()
    ]
    claimed.sort(key=lambda item: (item.notice.due_at, item.notice.sequence))
    return Claims(claimed, to_utc(row["moment"]), row["has_more"])


async def settle_sent(
    connection: "Connection",
    owner: str,
    sent: Sequence[SentNotice],
    announced: Collection[Key] = (),
) -> set[Key]:
    """Settle: the mail server accepted them. Returns those that the owner still held.

    Another sender settles the others. `announced`: those that are on the outcomes topic already.
    """
    rows = await connection.fetch(
        _SETTLE_SENT,
        owner,
        [each.notice.event_id for each in sent],
        [each.notice.kind for each in sent],
        [each.message_id for each in sent],
        [each.sent_at for each in sent],
        [each.notice.key in announced for each in sent],
    )
    return {(row["event_id"], row["kind"]) for row in rows}


async def mark_sent(connection: "Connection", facts: Sequence[MailSent]) -> None:
    """Mark notices as sent, as the outcomes topic says; rows that are settled stay unchanged."""
    if facts:
        await connection.execute(_MARK_SENT, *_sent_columns(facts))


def _sent_columns(facts: Sequence[MailSent]) -> list[list[Any]]:
    return [
        [fact.request_id for fact in facts],
        [fact.kind for fact in facts],
        [fact.message_id for fact in facts],
        [fact.time for fact in facts],
    ]


async def unannounced(connection: "Connection", limit: int) -> list[SentNotice]:
    """Sent mails that are not on the outcomes topic yet, oldest first."""
    return [
        SentNotice(_to_notice(row), row["message_id"], to_utc(row["sent_at"]))
        for row in await connection.fetch(_UNANNOUNCED, limit)
    ]


async def mark_announced(connection: "Connection", keys: Sequence[tuple[str, str]]) -> None:
    """Mark these notices as announced on the outcomes topic; `keys`: (event id, kind)."""
    await connection.execute(_MARK_ANNOUNCED, [key[0] for key in keys], [key[1] for key in keys])


async def settle_dropped(
    connection: "Connection", event_id: str, kind: str, owner: str, *, reason: str
) -> bool:
    """Settle: it is no longer due. False: the lease was lost."""
    done = await connection.fetchval(_SETTLE_UNSENT, event_id, kind, owner, "dropped", reason)
    return done is True


async def settle_failed(
    connection: "Connection", event_id: str, kind: str, owner: str, *, reason: str
) -> bool:
    """Settle: it was refused for good, or cannot be built. False: the lease was lost."""
    done = await connection.fetchval(_SETTLE_UNSENT, event_id, kind, owner, "failed", reason)
    return done is True


async def retry_later(
    connection: "Connection",
    event_id: str,
    kind: str,
    owner: str,
    *,
    next_attempt_at: datetime,
    reason: str,
    may_have_left: bool = False,
) -> bool:
    """Give the notice back until `next_attempt_at`. False: the lease was lost.

    `may_have_left`: the mail server may have accepted it, but its answer was not received.
    """
    done = await connection.fetchval(
        _RETRY_LATER, event_id, kind, owner, next_attempt_at, reason, may_have_left
    )
    return done is True


async def last_mails(
    connection: "Connection", organisation_id: str, member_id: str, *, since: str | None = None
) -> tuple[str | None, str | None]:
    """The kind of the member's last sent mail, by sequence (None: none was sent); and the kind of
    the last one after it that was dropped but may have been sent, because its sender died or did
    not receive the mail server's answer.

    `since`, the event id of an invitation, excludes what was before that invitation.
    """
    row = await connection.fetchrow(_LAST_MAILS, organisation_id, member_id, since)
    return (None, None) if row is None else (row["last"], row["maybe"])


async def is_overtaken(connection: "Connection", notice: Notice) -> bool:
    """Whether a later revocation or restoration of the same member is due."""
    sequence = notice.sequence
    found = await connection.fetchval(
        _IS_OVERTAKEN,
        notice.organisation_id,
        notice.member_id,
        sequence.epoch,
        sequence.offset,
        sequence.index,
    )
    return found is True


async def unsent(
    connection: "Connection", organisation_id: str | None, reason: str | None, *, limit: int
) -> list[UnsentNotice]:
    """Notices that were dropped or failed, newest first; None stands for all organisations."""
    rows = await connection.fetch(_UNSENT, organisation_id, reason, limit)
    return [
        UnsentNotice(
            row["event_id"],
            row["kind"],
            row["organisation_id"],
            row["member_id"],
            to_utc(row["event_time"]),
            row["state"],
            row["reason"],
        )
        for row in rows
    ]


async def renew(
    connection: "Connection",
    owner: str,
    held: Sequence[tuple[str, str]],
    *,
    now: datetime,
    lease_s: float,
) -> set[tuple[str, str]]:
    """Extend the owner's leases, so that a slow mail server does not cost them; returns which.

    `held` are the (event id, kind) still being worked on; the leases of others must run out.
    """
    event_ids, kinds = [key[0] for key in held], [key[1] for key in held]
    until = now + timedelta(seconds=lease_s)
    rows = await connection.fetch(_RENEW, owner, now, until, event_ids, kinds)
    return {(row["event_id"], row["kind"]) for row in rows}


async def overdue(
    connection: "Connection", *, now: datetime | None = None
) -> tuple[int, timedelta]:
    """The number of notices that are due and not settled, and for how long the oldest is.

    A paced one is due at its slot. `now` is Postgres's, unless given.
    """
    row = await connection.fetchrow(_OVERDUE, now, PACED)
    if row is None or row["age"] is None:
        return 0, timedelta(0)
    return row["number"], row["age"]


async def count(
    connection: "Connection", organisation_id: str | None = None
) -> dict[tuple[str, NoticeState], int]:
    """(kind, state) → number of notices, of one organisation or of all."""
    rows = (
        await connection.fetch(_COUNT)
        if organisation_id is None
        else await connection.fetch(_COUNT_OF, organisation_id)
    )
    return {(row["kind"], row["state"]): row["number"] for row in rows}


def _to_context(row: Json) -> Context:
    member, organisation = row["member"], row["organisation"]
    return Context(
        None if member is None else to_member(member),
        None if organisation is None else organisation_from(organisation),
        row["last"],
        row["maybe"],
        row["is_overtaken"],
    )


def _to_notice(row: "asyncpg.Record | Json") -> Notice:
    return Notice(
        event_id=row["event_id"],
        kind=row["kind"],
        organisation_id=row["organisation_id"],
        member_id=row["member_id"],
        partition=row["partition"],
        sequence=OutcomeSequence(row["epoch"], row["offset"], row["index"]),
        event_time=to_utc(row["event_time"]),
        due_at=to_utc(row["due_at"]),
        detail=row["detail"],
    )
