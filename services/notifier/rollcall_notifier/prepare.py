"""From a claimed notice to the letter that leaves: what is read, judged and filled in."""

from dataclasses import dataclass, field
from datetime import datetime

from rollcall.directory.invitation_link import make_token, message_id
from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Member
from rollcall.postgres import directory_search, notification, tenancy
from rollcall.postgres.notification import Context, Notice
from rollcall.postgres.pool import Database
from rollcall.tenancy.organisation import Organisation
from rollcall_notifier.compose import Letter, Sender
from rollcall_notifier.greeting import greeting_name
from rollcall_notifier.judge import Drop, DueNotice, Judgement, Kind, LastMails, Send, judge
from rollcall_notifier.recipient import Recipients


@dataclass(frozen=True, slots=True)
class LetterOptions:
    """Whom mails come from, where links lead, what makes them, and whom they may go to."""

    sender: Sender
    public_url: str
    secret: bytes
    lifetime_s: float
    recipients: Recipients = field(default_factory=Recipients)


@dataclass(frozen=True, slots=True)
class NoticeContext:
    """What is read just before a mail: the member, the last mails (judge.py), the organisation.

    `is_overtaken`: a later revocation or restoration of the member is due.
    """

    member: Member | None
    last_mails: LastMails
    organisation: Organisation | None
    is_overtaken: bool = False


def as_claimed(context: Context) -> NoticeContext:
    """What was read with the claim."""
    member = context.member
    last_mails = LastMails()
    if member is not None and (not is_unanswered(member) or member.invitation_id is not None):
        last = (context.last, context.maybe)
        last_mails = LastMails(*(None if kind is None else kind_of(kind) for kind in last))
    return NoticeContext(member, last_mails, context.organisation, context.is_overtaken)


async def read(database: Database, notice: Notice) -> NoticeContext:
    """Read the present state from Postgres. Raises Unavailable."""
    organisation_id, member_id = notice.organisation_id, notice.member_id
    async with database.connection() as connection:
        member = await directory_search.find_member(connection, organisation_id, member_id)
        organisation = await tenancy.find_organisation(connection, organisation_id)
        if member is None:
            return as_claimed(Context(None, organisation))
        last, maybe = await notification.last_mails(
            connection, organisation_id, member_id, since=member.invitation_id
        )
        is_overtaken = notice.kind != "invitation" and await notification.is_overtaken(
            connection, notice
        )
    return as_claimed(Context(member, organisation, last, maybe, is_overtaken))


def is_unanswered(member: Member) -> bool:
    """Whether the invitation is not answered yet: then only mails about it count as sent.

    A mail about an earlier invitation went to another address, so the reader of the present one
    has not had it.
    """
    return Status.INVITED in (member.status, member.restore_status)


def judge_notice(
    notice: Notice, found: NoticeContext, options: LetterOptions, at: datetime
) -> Judgement:
    """What the rules say of this notice (judge.py)."""
    if found.organisation is not None and found.organisation.leaving is not None:
        return Drop("organisation_leaves")
    due = DueNotice(
        event_id=notice.event_id,
        kind=kind_of(notice.kind),
        organisation_id=notice.organisation_id,
        member_id=notice.member_id,
        revoked_from=notice.detail.get("from"),
    )
    judgement = judge(
        due,
        found.member,
        found.last_mails,
        at=at,
        lifetime_s=options.lifetime_s,
        is_overtaken=found.is_overtaken,
    )
    if isinstance(judgement, Drop):
        return judgement
    refusal = options.recipients.refusal(judgement.address)
    return judgement if refusal is None else Drop(refusal)


def write_letter(
    notice: Notice, found: NoticeContext, send: Send, options: LetterOptions, at: datetime
) -> Letter:
    """The letter of a notice that leaves. Raises ValueError without a member or organisation."""
    member, organisation = found.member, found.organisation
    if member is None or organisation is None:
        raise ValueError("a letter needs a member and an organisation")
    link = None
    if send.invitation is not None and send.expires is not None:
        token = make_token(options.secret, send.invitation, send.expires)
        link = f"{options.public_url}/invitation/{organisation.id}#{token}"
    return Letter(
        kind=kind_of(notice.kind),
        address=send.address,
        name=greeting_name(member.resource),
        organisation=organisation.name,
        language=organisation.language,
        message_id=message_id(notice.event_id, notice.kind, options.sender.domain),
        written=at,
        link=link,
        expires=send.expires,
        is_invited=member.status is Status.INVITED,
    )


def kind_of(text: str) -> Kind:
    """The kind in a row. Raises ValueError for one that this release does not know."""
    match text:
        case "invitation" | "revocation" | "restoration":
            return text
        case _:
            raise ValueError(f"{text!r} is no kind of a notice")
