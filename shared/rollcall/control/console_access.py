"""Who may sign in to the console, from the command line: accounts, roles, links, sealed secrets.

A link signs in once, past password and second factor: the way in for a first account, for one that
is locked out, and for an emergency. Only its SHA-256 is kept, and its use is logged and audited.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rollcall.control.errors import NotPossible
from rollcall.control.tenancy_log import find_organisation
from rollcall.directory.address import is_one_mailbox
from rollcall.postgres.console import console_accounts as accounts
from rollcall.postgres.console import console_issuers as issuers
from rollcall.postgres.console.console_accounts import ROLES, Account, Role
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.config import Settings
from rollcall.runtime.ids import new_id
from rollcall.runtime.sealed import Sealer
from rollcall.tenancy.organisation import Organisation

TOTP: Final = "totp"
"""The purpose for which the secret of a second factor is sealed."""
ISSUER: Final = "issuer"
"""The purpose for which the secret of a client of OpenID Connect is sealed."""
MOST_MINUTES: Final = 24 * 60
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An account as it shall be: what it has beside stays. `organisations` by id or unique name."""

    email: str
    name: str = ""
    organisations: Sequence[str] = ()
    role: str = "owner"
    is_operator: bool = False
    is_break_glass: bool = False
    minutes: int = 15


@dataclass(frozen=True, slots=True)
class Link:
    """A link that signs in once; `token` is shown once and not stored."""

    token: str
    account: Account
    organisations: Sequence[Organisation]
    expires: datetime

    def url(self, root_url: str) -> str:
        """The address to open."""
        return f"{root_url}/link/{self.token}"


def new_token() -> str:
    """256 random bits as text, for a link or a cookie."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes | None:
    """What is stored of a token; None for a text that is none."""
    return hashlib.sha256(token.encode()).digest() if _TOKEN.fullmatch(token) else None


async def make_link(settings: Settings, database: Database, wanted: Wanted) -> Link:
    """Make the account if there is none, give it what it lacks, and make a link for it.

    Raises NotPossible (a wrong address or role), NotThere, Unavailable.
    """
    role = _role(wanted.role)
    if not is_one_mailbox(wanted.email.strip()):
        raise NotPossible(f"{wanted.email!r} is not an e-mail address")
    if not 1 <= wanted.minutes <= MOST_MINUTES:
        raise NotPossible(f"a link may work for 1 to {MOST_MINUTES} minutes")
    organisations = [await find_organisation(settings, each) for each in wanted.organisations]
    token = new_token()
    stored = digest(token)
    assert stored is not None  # it was made a line above
    expires = now() + timedelta(minutes=wanted.minutes)
    async with database.transaction() as connection:
        await accounts.add(
            connection, new_id(), email=wanted.email, name=wanted.name or wanted.email.strip()
        )
        account = await accounts.find_by_email(connection, wanted.email)
        if account is None or account.disabled is not None:
            raise NotPossible(f"the account {wanted.email} is disabled")
        if wanted.is_operator and not account.is_operator:
            await accounts.set_operator(connection, account.id, is_operator=True)
        if wanted.is_break_glass:
            await accounts.break_glass(connection, account.id)
        for organisation in organisations:
            await accounts.grant(connection, account.id, organisation.id, role)
        await accounts.add_link(connection, stored, account.id, expires)
        await accounts.record_act(
            connection, new_id(), "link.made", account_id=None, subject=account.id
        )
    return Link(token, account, organisations, expires)


async def reseal(database: Database, sealer: Sealer) -> int:
    """Encrypt with the first secret what another one has encrypted; how many. Raises CannotOpen."""
    done = 0
    async with database.connection() as connection:
        for account_id, sealed in await accounts.sealed(connection):
            if not sealer.is_current(sealed):
                secret = sealer.open(sealed, TOTP, account_id)
                await accounts.reseal(
                    connection, account_id, sealed, sealer.seal(secret, TOTP, account_id)
                )
                done += 1
        for issuer in await issuers.list_all(connection):
            sealed_secret = issuer.secret_sealed
            if sealed_secret is not None and not sealer.is_current(sealed_secret):
                secret = sealer.open(sealed_secret, ISSUER, issuer.id)
                await issuers.reseal(connection, issuer.id, sealer.seal(secret, ISSUER, issuer.id))
                done += 1
    return done


def _role(text: str) -> Role:
    for role in ROLES:
        if role == text:
            return role
    raise NotPossible(f"{text!r} is no role; one of {', '.join(ROLES)}")
