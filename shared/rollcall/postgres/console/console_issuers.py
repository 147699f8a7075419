"""Issuers of OpenID Connect whose word counts, who they speak of, sign-ins on their way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from rollcall.postgres import queries
from rollcall.postgres.console.console_accounts import Role

if TYPE_CHECKING:
    import asyncpg

    from rollcall.postgres.pool import Connection

Given = Role | Literal["operator"]

_SQL = queries.load("console_issuers")


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer. `url` may have `{tenantid}` in it, then `tenants` says which count.

    `secret_sealed` is None for a public client; `is_listed`: whether the sign-in page names it.
    """

    id: str
    name: str
    url: str
    client_id: str
    secret_sealed: bytes | None
    roles_claim: str
    tenants: tuple[str, ...] = ()
    is_listed: bool = True


@dataclass(frozen=True, slots=True)
class IssuerRole:
    """What a value of the claim gives: a role in an organisation, or `operator` without one."""

    value: str
    role: Given
    organisation_id: str | None


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in that came back. `again_for`: the account that shows again who it is."""

    issuer_id: str
    go_to: str
    again_for: str | None
    is_in_time: bool


async def list_all(connection: "Connection") -> list[Issuer]:
    """Every issuer, by name."""
    return [_to_issuer(row) for row in await connection.fetch(_SQL["list_issuers"])]


async def find(connection: "Connection", issuer_id: str) -> Issuer | None:
    """The issuer of this id."""
    row = await connection.fetchrow(_SQL["find_issuer"], issuer_id)
    return None if row is None else _to_issuer(row)


async def add(connection: "Connection", issuer: Issuer, roles: Sequence[IssuerRole]) -> None:
    """Add an issuer and what its claim gives. Raises UniqueViolationError for a taken name."""
    await connection.execute(
        _SQL["add_issuer"],
        issuer.id,
        issuer.name,
        issuer.url,
        issuer.client_id,
        issuer.secret_sealed,
        issuer.roles_claim,
        list(issuer.tenants),
        issuer.is_listed,
    )
    for each in roles:
        await connection.execute(
            _SQL["add_issuer_role"], issuer.id, each.value, each.role, each.organisation_id
        )


async def remove(connection: "Connection", name: str) -> bool:
    """Remove an issuer and the accounts that it speaks of; False where there is none."""
    await connection.execute(_SQL["remove_accounts_of_issuer"], name)
    return await connection.fetchval(_SQL["remove_issuer"], name) is not None


async def reseal(connection: "Connection", issuer_id: str, sealed: bytes) -> None:
    """Replace the sealed secret of a client."""
    await connection.execute(_SQL["reseal_issuer"], issuer_id, sealed)


async def roles_of(connection: "Connection", issuer_id: str) -> list[IssuerRole]:
    """What the values of an issuer's claim give."""
    rows = await connection.fetch(_SQL["issuer_roles"], issuer_id)
    return [IssuerRole(row["value"], row["role"], row["organisation_id"]) for row in rows]


async def account_of(connection: "Connection", issuer_id: str, subject: str) -> str | None:
    """The account that stands for a subject of an issuer."""
    found: str | None = await connection.fetchval(_SQL["find_identity"], issuer_id, subject)
    return found


async def issuer_of(connection: "Connection", account_id: str) -> str | None:
    """The issuer that speaks of an account; None for a local one."""
    found: str | None = await connection.fetchval(_SQL["identity_of"], account_id)
    return found


async def add_identity(
    connection: "Connection", issuer_id: str, subject: str, account_id: str
) -> bool:
    """Let an account stand for a subject; False where another one does already."""
    row = await connection.fetchval(_SQL["add_identity"], issuer_id, subject, account_id)
    return row is not None


async def update_account(
    connection: "Connection",
    account_id: str,
    *,
    email: str,
    name: str,
    is_operator: bool,
    roles: Mapping[str, Role],
) -> None:
    """What the issuer says of a person now; roles that it does not give are taken away."""
    await connection.execute(_SQL["update_by_issuer"], account_id, email, name, is_operator)
    await connection.execute(_SQL["take_roles_but"], account_id, list(roles))


async def begin_flow(
    connection: "Connection",
    digest: bytes,
    issuer_id: str,
    *,
    go_to: str,
    again_for: str | None,
    seconds: float,
) -> None:
    """Keep a sign-in that goes to its issuer."""
    await connection.execute(_SQL["begin_flow"], digest, issuer_id, go_to, again_for, seconds)


async def end_flow(connection: "Connection", digest: bytes) -> Flow | None:
    """Take a sign-in that came back: it comes back once."""
    row = await connection.fetchrow(_SQL["end_flow"], digest)
    if row is None:
        return None
    return Flow(row["issuer_id"], row["go_to"], row["again_for"], row["is_in_time"])


async def spend(connection: "Connection", digest: bytes, expires: datetime) -> bool:
    """Note that a logout token was acted on; False where it was before."""
    return await connection.fetchval(_SQL["spend_token"], digest, expires) is not None


async def end_sessions(
    connection: "Connection", issuer_id: str, *, session: str | None, subject: str | None
) -> None:
    """End the sessions of an issuer's session, or all of a subject where it names no session."""
    if session is not None:
        await connection.execute(_SQL["end_issuer_session"], issuer_id, session)
    elif subject is not None:
        await connection.execute(_SQL["end_issuer_subject"], issuer_id, subject)


async def sweep(connection: "Connection") -> None:
    """Remove sign-ins that did not come back, and digests that are not needed any more."""
    await connection.execute(_SQL["sweep_flows"])


def _to_issuer(row: "asyncpg.Record") -> Issuer:
    return Issuer(
        id=row["id"],
        name=row["name"],
        url=row["url"],
        client_id=row["client_id"],
        secret_sealed=row["secret_sealed"],
        roles_claim=row["roles_claim"],
        tenants=tuple(row["tenants"]),
        is_listed=row["is_listed"],
    )
