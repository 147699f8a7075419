"""What the page shows: the light, the URL, the keys, the last day, the latest, the last refusal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from rollcall.postgres.console import console_reads as reads
from rollcall.postgres.console import console_setup as setup_links
from rollcall.postgres.console.console_reads import Day, Happening
from rollcall.postgres.console.console_setup import SetupLink
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.tenancy.organisation import ApiKey, Organisation
from rollcall_console.behind import Behind, LogEnds
from rollcall_console.scim.contact import Contact, contact_of, contact_of_all
from rollcall_console.tenants import Tenants

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

LATEST: Final = 8
ENDS_SOON: Final = timedelta(days=14)
KeyState = Literal["works", "ends", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key with its state and the contact by it."""

    key: ApiKey
    state: KeyState
    contact: Contact

    @property
    def is_alive(self) -> bool:
        """Whether it opens something."""
        return self.state in ("works", "ends")


@dataclass(frozen=True, slots=True)
class Overview:
    """The page's content at the moment `at`."""

    at: datetime
    organisation: Organisation
    keys: Sequence[ShownKey]
    contact: Contact
    heard_by: ShownKey | None
    behind: Behind
    day: Day
    latest: Sequence[Happening]
    refused: Happening | None
    links: Sequence[SetupLink]

    @property
    def alive(self) -> list[ShownKey]:
        """Keys that open something."""
        return [each for each in self.keys if each.is_alive]

    @property
    def dead(self) -> list[ShownKey]:
        """Keys that are expired or revoked."""
        return [each for each in self.keys if not each.is_alive]


def key_state(key: ApiKey, at: datetime) -> KeyState:
    """Whether a key works, ends soon, or is dead."""
    if key.revoked is not None:
        return "revoked"
    if key.expires is None:
        return "works"
    if key.expires <= at:
        return "expired"
    return "ends" if key.expires - at < ENDS_SOON else "works"


async def shown_keys(connection: "Connection", keys: Sequence[ApiKey]) -> list[ShownKey]:
    """Keys with their states and contacts. Raises Unavailable."""
    public_ids = [key.public_id for key in keys]
    uses = await reads.key_uses(connection, public_ids)
    minutes = await reads.contacts_of(connection, public_ids)
    at = now()
    return [
        ShownKey(
            key,
            key_state(key, at),
            contact_of(minutes.get(key.public_id, ()), uses.get(key.public_id), at),
        )
        for key in keys
    ]


async def overview(
    organisation: Organisation, tenants: Tenants, database: Database, log_ends: LogEnds
) -> Overview:
    """Everything for the page. Raises Unavailable."""
    async with database.connection() as connection:
        shown = await shown_keys(connection, tenants.keys_of(organisation.id))
        links = await setup_links.links_of(connection, organisation.id)
        day = await reads.day_of(connection, organisation.id)
        latest = await reads.latest_of(connection, organisation.id, LATEST)
        refusals = await reads.latest_of(connection, organisation.id, 1, only_refused=True)
    behind = await log_ends.behind(organisation.partition)
    contact = contact_of_all([each.contact for each in shown], is_on=organisation.scim_enabled)
    return Overview(
        at=now(),
        organisation=organisation,
        keys=shown,
        contact=contact,
        heard_by=next(
            (each for each in shown if contact.last and each.contact.last == contact.last), None
        ),
        behind=behind,
        day=day,
        latest=latest,
        refused=refusals[0] if refusals else None,
        links=links,
    )
