"""What visitors do to an organisation: an event in the log, and a line of the audit.

The event comes first: what is in the audit has been done. If the line cannot be written, the event
still names the account (`by`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rollcall.control.tenancy_log import TenancyLog, open_log
from rollcall.postgres.console import console_accounts as accounts
from rollcall.postgres.pool import Database
from rollcall.runtime.config import Settings
from rollcall.runtime.ids import new_id, parse_id
from rollcall.tenancy.organisation import CONSOLE, Author
from rollcall_console.door.visitor import Visitor
from rollcall_console.web.errors import Refused


@dataclass(frozen=True, slots=True)
class Acts:
    """Writes to the tenancy log on behalf of visitors."""

    settings: Settings
    database: Database

    @asynccontextmanager
    async def log(self, visitor: Visitor) -> AsyncIterator[TenancyLog]:
        """The tenancy log, written as this visitor. Raises Unavailable, TopicsMissing."""
        async with self.log_of(f"account:{visitor.account.id}") as log:
            yield log

    @asynccontextmanager
    async def log_of(self, by: str) -> AsyncIterator[TenancyLog]:
        """The tenancy log, written as `by`: an account or a link. Raises as `log` does."""
        async with open_log(self.settings, Author(CONSOLE, by)) as log:
            yield log

    async def record(
        self,
        visitor: Visitor | None,
        kind: str,
        organisation_id: str,
        subject: str | None = None,
        *,
        act_id: str | None = None,
    ) -> None:
        """Add to the audit what was done; None: by a set-up link. Raises Unavailable."""
        async with self.database.connection() as connection:
            await accounts.record_act(
                connection,
                act_id or new_id(),
                kind,
                account_id=None if visitor is None else visitor.account.id,
                organisation_id=organisation_id,
                subject=subject,
            )

    async def claim(self, form_id: str | None) -> str:
        """The id of a form that was not sent before; for what must not be done twice by a reload.

        Raises Refused where it was sent, Unavailable.
        """
        act_id = parse_id(form_id or "")
        if act_id is None:
            raise Refused("error.form_id")
        async with self.database.connection() as connection:
            if await accounts.has_act(connection, act_id):
                raise Refused("error.sent_before")
        return act_id
