"""The mail budget of a recipient: the mails sent recently, counted by one replica at a time.

A recipient is stored as a digest, never as an address. Times are by Postgres's clock, which all
replicas share.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rollcall.postgres import queries
from rollcall.postgres.notification import Notice

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

_SQL = queries.load("mail_budget")
_LOCK = _SQL["lock_recipient"]
_COUNT = _SQL["count_mails_taken"]
_TAKE = _SQL["take_mail"]
_GIVE_BACK = _SQL["give_mail_back"]
_SWEEP = _SQL["sweep_mails_taken"]

LONGEST: Final = timedelta(days=1)
"""No window is longer, so older rows are swept."""
_LOCKS: Final = 0x4D61696C  # "Mail"


@dataclass(frozen=True, slots=True)
class Counts:
    """Mails to one recipient: within the window, within a day, and of those from one organisation.

    `is_taken`: the mail in question is already counted.
    """

    lately: int
    in_a_day: int
    of_organisation: int
    is_taken: bool = False


async def lock_and_count(
    connection: "Connection", recipient: bytes, notice: Notice, *, window_s: float
) -> Counts:
    """Count the recipient's mails. Until the caller's transaction ends, no other replica counts or
    takes for this recipient, or for one whose digest begins with the same bytes."""
    number = int.from_bytes(recipient[:4], "big", signed=True)
    await connection.execute(_LOCK, _LOCKS, number)
    # A separate statement, so that it sees what was committed under the lock before.
    [row] = await connection.fetch(
        _COUNT,
        recipient,
        notice.organisation_id,
        notice.event_id,
        notice.kind,
        timedelta(seconds=window_s),
        LONGEST,
    )
    return Counts(**dict(row))


async def take(connection: "Connection", recipient: bytes, notice: Notice) -> None:
    """Count this mail, which is not counted yet, in the transaction of `lock_and_count`."""
    await connection.execute(
        _TAKE, notice.event_id, notice.kind, recipient, notice.organisation_id, notice.member_id
    )


async def give_back(connection: "Connection", recipient: bytes, notice: Notice) -> None:
    """Uncount a mail that was not sent."""
    await connection.execute(_GIVE_BACK, notice.event_id, notice.kind, recipient)


async def sweep(connection: "Connection") -> None:
    """Delete counts that are older than any window."""
    await connection.execute(_SWEEP, LONGEST)
