"""Issuers of OpenID Connect for the console, from the command line: added, listed, removed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from rollcall.control.console_access import ISSUER
from rollcall.control.errors import NotPossible
from rollcall.control.tenancy_log import NotThere, read_tenancy
from rollcall.postgres.console import console_issuers as issuers
from rollcall.postgres.console.console_accounts import ROLES
from rollcall.postgres.console.console_issuers import Issuer, IssuerRole
from rollcall.postgres.pool import Database
from rollcall.runtime.config import Settings
from rollcall.runtime.ids import new_id, parse_id
from rollcall.runtime.sealed import Sealer

OPERATOR: Final = "operator"
TENANT: Final = "{tenantid}"
MAX_NAME: Final = 80
HOSTS: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class NewIssuer:
    """An issuer as it is typed. `roles`: `VALUE=ROLE@ORG`, or `VALUE=operator`."""

    name: str
    url: str
    client_id: str
    secret: str
    roles_claim: str = "groups"
    roles: Sequence[str] = ()
    tenants: Sequence[str] = ()
    is_listed: bool = True


async def add_issuer(
    settings: Settings, database: Database, sealer: Sealer, wanted: NewIssuer
) -> Issuer:
    """Add an issuer. Raises NotPossible, NotThere, Unavailable."""
    checked = _checked(wanted)
    organisations = await read_tenancy(settings)
    roles = []
    for text in wanted.roles:
        value, role, organisation = _parse_role(text)
        found = None if organisation is None else organisations.organisation(organisation).id
        roles.append(IssuerRole(value, role, found))
    if not roles:
        raise NotPossible("without a role nobody could do anything: VALUE=owner@ORG")
    if wanted.secret:
        sealed = sealer.seal(wanted.secret.encode(), ISSUER, checked.id)
        checked = replace(checked, secret_sealed=sealed)
    try:
        async with database.transaction() as connection:
            await issuers.add(connection, checked, roles)
    except asyncpg.UniqueViolationError as error:
        raise NotPossible("there is an issuer, or a value of its claim, of that name") from error
    return checked


async def set_secret(database: Database, sealer: Sealer, name: str, secret: str) -> None:
    """Replace the secret of an issuer's client. Raises NotThere, Unavailable."""
    async with database.connection() as connection:
        for issuer in await issuers.list_all(connection):
            if issuer.name == name:
                sealed = sealer.seal(secret.encode(), ISSUER, issuer.id)
                await issuers.reseal(connection, issuer.id, sealed)
                return
    raise NotThere(f"there is no issuer {name!r}")


async def list_issuers(database: Database) -> list[tuple[Issuer, list[IssuerRole]]]:
    """Every issuer, and what its claim gives. Raises Unavailable."""
    async with database.connection() as connection:
        return [
            (each, await issuers.roles_of(connection, each.id))
            for each in await issuers.list_all(connection)
        ]


async def remove_issuer(database: Database, name: str) -> None:
    """Remove an issuer, the accounts that it speaks of, and their sessions. Raises NotThere."""
    async with database.transaction() as connection:
        if not await issuers.remove(connection, name):
            raise NotThere(f"there is no issuer {name!r}")


def _checked(wanted: NewIssuer) -> Issuer:
    if not 1 <= len(wanted.name) <= MAX_NAME or not wanted.name.isprintable():
        raise NotPossible(f"{wanted.name!r} is not a name: 1 to {MAX_NAME} printable characters")
    parts = urlsplit(wanted.url)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in HOSTS)
    if not is_safe or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise NotPossible(f"{wanted.url!r} is no issuer: https://, without a question mark")
    tenants = tuple(each.strip().lower() for each in wanted.tenants)
    if any(parse_id(each) is None for each in tenants):
        raise NotPossible("a tenant is a UUID, as Entra shows it")
    if (TENANT in wanted.url) != bool(tenants):
        raise NotPossible(
            f"an issuer with {TENANT} in it needs a tenant that counts, and no other has one"
        )
    if not wanted.client_id.isprintable() or not wanted.client_id:
        raise NotPossible("the client's id is missing")
    return Issuer(
        id=new_id(),
        name=wanted.name,
        url=wanted.url,
        client_id=wanted.client_id,
        secret_sealed=None,
        roles_claim=wanted.roles_claim,
        tenants=tenants,
        is_listed=wanted.is_listed,
    )


def _parse_role(text: str) -> tuple[str, issuers.Given, str | None]:
    """`VALUE=ROLE@ORG` or `VALUE=operator`; a value may have `=` in it."""
    value, separator, given = text.rpartition("=")
    role, _, organisation = given.partition("@")
    if separator and value and given == OPERATOR:
        return value, "operator", None
    for known in ROLES:
        if separator and value and role == known and organisation:
            return value, known, organisation
    raise NotPossible(f"{text!r} is no role: VALUE=owner@ORG (or admin, auditor), VALUE=operator")
