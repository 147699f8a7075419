"""Keys of the admin API: of one organisation, made by its owner, or of the deployment."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rollcall.control.errors import NotPossible
from rollcall.postgres.console import console_api_keys as keys
from rollcall.postgres.console.console_api_keys import SCOPES, AdminKey, Scope
from rollcall.postgres.pool import Database
from rollcall.tenancy import api_key

MAX_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class NewAdminKey:
    """A key as it is wished for; `organisation_id` None: of the whole deployment."""

    name: str
    scopes: Sequence[str]
    organisation_id: str | None = None
    expires: datetime | None = None
    account_id: str | None = None


async def make_admin_key(database: Database, wanted: NewAdminKey) -> tuple[AdminKey, str]:
    """Make a key; its text is shown once and not stored. Raises NotPossible, Unavailable."""
    name = wanted.name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise NotPossible(f"{wanted.name!r} is not a name: 1 to {MAX_NAME} printable characters")
    scopes = parse_scopes(wanted.scopes)
    made = api_key.make(secrets.token_bytes(48), "ra")
    async with database.connection() as connection:
        record = await keys.add(
            connection,
            made.public_id,
            made.sha256,
            organisation_id=wanted.organisation_id,
            name=name,
            scopes=scopes,
            account_id=wanted.account_id,
            expires=wanted.expires,
        )
    return record, made.text


def parse_scopes(texts: Sequence[str]) -> list[Scope]:
    """Scopes as they are typed, each once. Raises NotPossible."""
    if unknown := [text for text in texts if text not in SCOPES]:
        raise NotPossible(f"{unknown[0]!r} is no scope; one of {', '.join(SCOPES)}")
    if not texts:
        raise NotPossible(f"a key without a scope opens nothing; one of {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in texts]
