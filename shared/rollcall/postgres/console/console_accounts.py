"""Accounts of the console: who may sign in, with what, and what they may do; what they did.

Digests and sealed secrets come from the caller: this module knows rows only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, get_args

from rollcall.postgres import queries
from rollcall.postgres.rows import to_utc

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

Role = Literal["owner", "admin", "auditor"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
Language = Literal["en", "nl"]

_SQL = queries.load("console_accounts")


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in. `password_hash` and `totp_sealed` are None where there is none."""

    id: str
    email: str
    name: str
    is_operator: bool
    language: Language | None
    password_hash: str | None
    totp_sealed: bytes | None
    totp_confirmed: datetime | None
    totp_step: int
    disabled: datetime | None
    is_break_glass: bool = False

    @property
    def has_second_factor(self) -> bool:
        """Whether a code is asked for after the password."""
        return self.totp_sealed is not None and self.totp_confirmed is not None


@dataclass(frozen=True, slots=True)
class Admin:
    """An account with a role in one organisation; `last_seen` of its present sessions."""

    id: str
    email: str
    name: str
    role: Role
    is_disabled: bool
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class Act:
    """What was done to an organisation; `who` is None for an account that is gone."""

    id: str
    at: datetime
    kind: str
    subject: str | None
    who: str | None


def email_key(email: str) -> str:
    """What is compared at a sign-in: without outer blanks and letter case."""
    return email.strip().casefold()


async def find(connection: "Connection", account_id: str) -> Account | None:
    """The account of this id."""
    return _to_account(await connection.fetchrow(_SQL["find_account"], account_id))


async def find_by_email(connection: "Connection", email: str) -> Account | None:
    """The account that signs in with this address."""
    return _to_account(await connection.fetchrow(_SQL["find_account_by_email"], email_key(email)))


async def find_by_key(connection: "Connection", key: str) -> Account | None:
    """The account of an `email_key`, which need not be an address."""
    return _to_account(await connection.fetchrow(_SQL["find_account_by_email"], key))


async def break_glass(connection: "Connection", account_id: str) -> None:
    """Make the account the one for an emergency, in the place of another."""
    await connection.execute(_SQL["no_break_glass"], account_id)
    await connection.execute(_SQL["set_break_glass"], account_id)


async def add(
    connection: "Connection",
    account_id: str,
    *,
    email: str,
    name: str,
    is_operator: bool = False,
    language: Language | None = None,
    key: str | None = None,
) -> None:
    """Add an account without a password; where the address has one, nothing is done.

    `key` stands in the place of the address for an account that no address finds.
    """
    await connection.execute(
        _SQL["add_account"],
        account_id,
        email.strip(),
        key or email_key(email),
        name,
        is_operator,
        language,
    )


async def set_operator(connection: "Connection", account_id: str, is_operator: bool) -> None:
    """Make the account an operator, or no longer one."""
    await connection.execute(_SQL["set_operator"], account_id, is_operator)


async def set_language(connection: "Connection", account_id: str, language: Language) -> None:
    """The language in which the account reads."""
    await connection.execute(_SQL["set_language"], account_id, language)


async def set_password(connection: "Connection", account_id: str, password_hash: str) -> None:
    """Replace the password."""
    await connection.execute(_SQL["set_password"], account_id, password_hash)


async def set_totp(connection: "Connection", account_id: str, sealed: bytes | None) -> None:
    """Begin a second factor, which counts once it is confirmed; None takes it away."""
    await connection.execute(_SQL["set_totp"], account_id, sealed)


async def use_totp_step(
    connection: "Connection", account_id: str, step: int, *, confirms: bool = False
) -> bool:
    """Take a step of the second factor; False where this or a later one was taken before."""
    found = await connection.fetchval(_SQL["use_totp_step"], account_id, step, confirms)
    return found is not None


async def sealed(connection: "Connection") -> list[tuple[str, bytes]]:
    """(account, sealed secret) of each second factor."""
    rows = await connection.fetch(_SQL["sealed_accounts"])
    return [(row["id"], row["totp_sealed"]) for row in rows]


async def reseal(connection: "Connection", account_id: str, before: bytes, now: bytes) -> None:
    """Replace a sealed secret, unless it has changed meanwhile."""
    await connection.execute(_SQL["reseal_totp"], account_id, before, now)


async def roles_of(connection: "Connection", account_id: str) -> dict[str, Role]:
    """Organisation → role."""
    rows = await connection.fetch(_SQL["roles_of"], account_id)
    return {row["organisation_id"]: row["role"] for row in rows}


async def admins_of(connection: "Connection", organisation_id: str) -> list[Admin]:
    """Who has a role in the organisation, by address."""
    rows = await connection.fetch(_SQL["admins_of"], organisation_id)
    return [
        Admin(
            row["id"],
            row["email"],
            row["name"],
            row["role"],
            row["disabled"] is not None,
            None if row["last_seen"] is None else to_utc(row["last_seen"]),
        )
        for row in rows
    ]


async def grant(
    connection: "Connection", account_id: str, organisation_id: str, role: Role
) -> None:
    """Give a role in an organisation, in the place of the one before."""
    await connection.execute(_SQL["grant_role"], account_id, organisation_id, role)


async def take_role(connection: "Connection", account_id: str, organisation_id: str) -> Role | None:
    """Take the role in an organisation; the role that it was."""
    found: Role | None = await connection.fetchval(_SQL["take_role"], account_id, organisation_id)
    return found


async def lock_owners(connection: "Connection", organisation_id: str) -> set[str]:
    """The owners of an organisation, locked to the end of the caller's transaction."""
    rows = await connection.fetch(_SQL["lock_owners"], organisation_id)
    return {row["account_id"] for row in rows}


async def add_link(
    connection: "Connection", digest: bytes, account_id: str, expires: datetime
) -> None:
    """Keep a link that signs in once."""
    await connection.execute(_SQL["add_link"], digest, account_id, expires)


async def find_link(connection: "Connection", digest: bytes) -> str | None:
    """The account of a link that still works."""
    found: str | None = await connection.fetchval(_SQL["find_link"], digest)
    return found


async def use_link(connection: "Connection", digest: bytes) -> str | None:
    """Use a link up; its account, or None where it does not work any more."""
    found: str | None = await connection.fetchval(_SQL["use_link"], digest)
    return found


async def replace_recovery_codes(
    connection: "Connection", account_id: str, digests: Sequence[bytes]
) -> None:
    """Replace an account's recovery codes."""
    await connection.execute(_SQL["replace_recovery_codes"], account_id)
    await connection.execute(_SQL["add_recovery_codes"], account_id, list(digests))


async def use_recovery_code(connection: "Connection", account_id: str, digest: bytes) -> bool:
    """Use a recovery code up; False where there is none."""
    return await connection.fetchval(_SQL["use_recovery_code"], account_id, digest) is not None


async def count_recovery_codes(connection: "Connection", account_id: str) -> int:
    """How many recovery codes are left."""
    return int(await connection.fetchval(_SQL["count_recovery_codes"], account_id))


async def note_failure(connection: "Connection", digest: bytes) -> datetime | None:
    """Count a failed attempt with an address (its digest); until when it is locked, if it is."""
    row = await connection.fetchrow(_SQL["failed_sign_in"], digest)
    return None if row is None or row["locked_until"] is None else to_utc(row["locked_until"])


async def locked_until(connection: "Connection", digest: bytes) -> datetime | None:
    """Until when attempts with an address are refused; None: they are not."""
    found = await connection.fetchval(_SQL["locked_until"], digest)
    return None if found is None else to_utc(found)


async def forget_failures(connection: "Connection", digest: bytes) -> None:
    """Forget the failed attempts with an address."""
    await connection.execute(_SQL["forget_failures"], digest)


async def record_act(
    connection: "Connection",
    act_id: str,
    kind: str,
    *,
    account_id: str | None,
    organisation_id: str | None = None,
    subject: str | None = None,
) -> None:
    """Add to the list of acts. `subject` is an id or the name of a setting, never a secret."""
    await connection.execute(_SQL["record_act"], act_id, account_id, organisation_id, kind, subject)


async def has_act(connection: "Connection", act_id: str) -> bool:
    """Whether an act of this id is in the list."""
    return bool(await connection.fetchval(_SQL["has_act"], act_id))


async def latest_acts(connection: "Connection", organisation_id: str, limit: int) -> list[Act]:
    """The latest acts on an organisation, newest first."""
    rows = await connection.fetch(_SQL["latest_acts"], organisation_id, limit)
    return [
        Act(row["id"], to_utc(row["at"]), row["kind"], row["subject"], row["name"] or row["email"])
        for row in rows
    ]


def _to_account(row: "asyncpg.Record | None") -> Account | None:
    if row is None:
        return None
    return Account(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        is_operator=row["is_operator"],
        language=row["language"],
        password_hash=row["password_hash"],
        totp_sealed=row["totp_sealed"],
        totp_confirmed=row["totp_confirmed"],
        totp_step=row["totp_step"],
        disabled=row["disabled"],
        is_break_glass=row["is_break_glass"],
    )
