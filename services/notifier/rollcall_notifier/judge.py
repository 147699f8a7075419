"""Which notice leaves, and which falls away. Pure; everything is judged when the mail is sent.

A row of `notice.notification` is one notice: the id of the *request* that caused it, and a kind.
The request's id is also `Member.invitation_id` of the invitation that it opened.

Planning (`plan.py`):
1. `member.invited` → an invitation, due at the event's time plus the grace time.
2. `member.revoked` → a revocation, `member.restored` → a restoration: each due after the settling
   time, so that what goes back and forth within it is one matter.
3. With a new revocation, open invitations of the member that are not just being sent are dropped
   at once (`revoked`), so that their grace time holds nothing up. A repeat of an outcome plans
   nothing and drops nothing.
4. `member.removed` → all open notices of the member are dropped (`removed`), and no mail: the
   address is gone with the row.

Sending: the notices of one member are settled in the order of their sequence (the claim sees to
it), and state and address are read just before:
5. An invitation is sent if the member exists, is `invited`, the invitation is the open one and has
   not expired. Otherwise it is dropped: `removed`, `accepted`, `superseded`, `revoked`, `expired`.
6. A revocation is sent if the member is revoked now and had a mail before: the last mail was an
   invitation or a restoration, or no mail is known and the member had accepted. Otherwise it is
   dropped: `removed`, `not_revoked`, `already_told` (never two in a row), `never_told`.
7. A restoration is sent if the member is not revoked now and the last mail was a revocation. If
   the member is still `invited`, it carries the same link again, unless that has expired.
   Otherwise it is dropped: `removed`, `revoked_again`, `nothing_to_take_back`.
8. A restoration of an `invited` member that takes nothing back opens the invitation again that the
   revocation had dropped, due after the grace time from now: no mail had left yet. (This is done
   here and not in planning, because only now is it certain what became of the invitation.)
9. Until the person has answered, "the last mail" means the last one since the open invitation:
   a mail before that went to another address, so the reader of the present one has not had it.
10. No address → dropped (`no_address`), visibly. A revoked member is written to at the address held
    before the request that revoked (`Member.address`).
11. Members of an organisation that is being deleted get no mail: dropped (`organisation_leaves`).
12. Of revocations and restorations that follow one another within the settling time only the last
    one can leave: one that would, while a later one of the same member is due, is dropped
    (`overtaken`). What is true then is judged with the last: one mail, or none.
13. An address of no public domain (outside development), or of a domain that the operator does not
    allow, gets no mail: dropped (`recipient_not_public`, `recipient_not_allowed`; recipient.py).
    Neither does an address that has had its share of mails: dropped (`recipient_budget`;
    budget.py). Such a notice does not count as sent: a later notice of the same member is judged as
    if it had never been due, and an invitation can be opened again by 8.
14. What was dropped after the last mail, and may have left (its sender died with it in hand, or
    never heard the answer), counts for 6 and 7 as well: to take back what nobody got does no harm.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, assert_never

from rollcall.directory.invitation_link import Invitation, expires_at
from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Member

Kind = Literal["invitation", "revocation", "restoration"]
KINDS: Final[tuple[Kind, ...]] = ("invitation", "revocation", "restoration")
Reason = Literal[
    "removed",
    "accepted",
    "superseded",
    "revoked",
    "expired",
    "not_revoked",
    "already_told",
    "never_told",
    "revoked_again",
    "nothing_to_take_back",
    "no_address",
    "organisation_leaves",
    "overtaken",
    "recipient_not_public",
    "recipient_not_allowed",
    "recipient_budget",
]


@dataclass(frozen=True, slots=True)
class DueNotice:
    """What is judged: one claimed row. `revoked_from` is the status that a revocation ended."""

    event_id: str
    kind: Kind
    organisation_id: str
    member_id: str
    revoked_from: str | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """The mail leaves, to this address; with the link of this invitation, if there is one."""

    address: str
    invitation: Invitation | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """No mail. `reopens` is the id of an invitation that the revocation had dropped (rule 8)."""

    reason: Reason
    reopens: str | None = None


Judgement = Send | Drop


@dataclass(frozen=True, slots=True)
class LastMails:
    """The kind of the member's last mail, and of what may have left after it. None: nothing."""

    last: Kind | None = None
    maybe: Kind | None = None


def judge(
    notice: DueNotice,
    member: Member | None,
    last_mails: LastMails,
    *,
    at: datetime,
    lifetime_s: float,
    is_overtaken: bool = False,
) -> Judgement:
    """Whether this notice leaves now.

    `last_mails`: what the member has got, or may have got. `is_overtaken`: a later revocation or
    restoration of the same member is due.
    """
    if member is None:
        return Drop("removed")
    match notice.kind:
        case "invitation":
            refusal = _against_invitation(notice, member, at, lifetime_s)
        case "revocation":
            refusal = _against_revocation(notice, member, last_mails)
        case "restoration":
            refusal = _against_restoration(member, last_mails)
        case _:
            assert_never(notice.kind)
    if refusal is not None:
        return refusal
    if is_overtaken:
        return Drop("overtaken")
    address = member.address
    if address is None:
        return Drop("no_address")
    if notice.kind == "revocation" or member.status is not Status.INVITED:
        return Send(address)
    return _with_link(notice, member, address, at, lifetime_s)


def _against_invitation(
    notice: DueNotice, member: Member, at: datetime, lifetime_s: float
) -> Drop | None:
    if member.status in (Status.ACCEPTED, Status.CONFIRMED):
        return Drop("accepted")
    if member.invitation_id != notice.event_id:
        return Drop("superseded")
    if member.status is Status.REVOKED:
        return Drop("revoked")
    if at >= expires_at(notice.event_id, lifetime_s):
        return Drop("expired")
    return None


def _against_revocation(notice: DueNotice, member: Member, last_mails: LastMails) -> Drop | None:
    if member.status is not Status.REVOKED:
        return Drop("not_revoked")
    if last_mails.maybe in ("invitation", "restoration"):
        return None
    if last_mails.last == "revocation":
        return Drop("already_told")
    if last_mails.last is None and notice.revoked_from not in (Status.ACCEPTED, Status.CONFIRMED):
        return Drop("never_told")
    return None


def _against_restoration(member: Member, last_mails: LastMails) -> Drop | None:
    if member.status is Status.REVOKED:
        return Drop("revoked_again")
    if "revocation" not in (last_mails.last, last_mails.maybe):
        is_invited = member.status is Status.INVITED
        return Drop("nothing_to_take_back", member.invitation_id if is_invited else None)
    return None


def _with_link(
    notice: DueNotice, member: Member, address: str, at: datetime, lifetime_s: float
) -> Send:
    if member.invitation_id is None:
        return Send(address)
    expires = expires_at(member.invitation_id, lifetime_s)
    if at >= expires:
        return Send(address)
    invitation = Invitation(notice.organisation_id, member.id, member.invitation_id)
    return Send(address, invitation, expires)
