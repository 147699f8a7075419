"""The mail budget of a recipient: the mails sent recently, counted by one replica at a time.

A recipient is stored as a digest, never as an address. Times are by Postgres's clock, which all
replicas share.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from rollcall.postgres import queries
from rollcall.postgres.notification import Notice

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

_SQL = queries.load("mail_budget")
_TAKE = _SQL["take_mail"]
_GIVE_BACK = _SQL["give_mail_back"]
_SWEEP = _SQL["sweep_mails_taken"]

LONGEST: Final = timedelta(days=1)
"""No window is longer, so older rows are swept."""
_LOCKS: Final = 0x4D61696C  # "Mail"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Mails to one recipient from which on no more leaves: within the window, within a day, and of
    those from one organisation."""

    lately: int
    in_a_day: int
    of_organisation: int


async def take(
    connection: "Connection", recipient: bytes, notice: Notice, bounds: Bounds, *, window_s: float
) -> Literal["now", "again"] | None:
    """Count this mail, in a transaction of its own; None: a bound is reached, nothing is counted.

    `again`: it was counted before. One replica at a time counts and takes for a recipient, or for
    those whose digests begin with the same bytes.
    """
    row = await connection.fetchrow(
        _TAKE,
        _LOCKS,
        int.from_bytes(recipient[:4], "big", signed=True),
        recipient,
        notice.event_id,
        notice.kind,
        notice.organisation_id,
        notice.member_id,
        timedelta(seconds=window_s),
        LONGEST,
        bounds.lately,
        bounds.in_a_day,
        bounds.of_organisation,
    )
    if row is None or not row["is_taken"]:
        return None
    return "again" if row["was_taken"] else "now"


async def give_back(connection: "Connection", recipient: bytes, notice: Notice) -> None:
    """Uncount a mail that was not sent."""
    await connection.execute(_GIVE_BACK, notice.event_id, notice.kind, recipient)


async def sweep(connection: "Connection") -> None:
    """Delete counts that are older than any window."""
    await connection.execute(_SWEEP, LONGEST)
