"""One organisation: its settings and keys, how many members and groups, and its partition's lag."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rollcall.control import organisations
from rollcall.control.key_use import last_used
from rollcall.control.partitions import open_partitions
from rollcall.control.tenancy_log import read_tenancy
from rollcall.events.envelope import format_time
from rollcall.postgres import directory_search
from rollcall.postgres.pool import Database
from rollcall.postgres.upkeep import operator_members
from rollcall.postgres.upkeep.operator_members import Counts
from rollcall.runtime.config import Settings
from rollcall.tenancy.organisation import ApiKey, Organisation


@dataclass(slots=True)
class Overview:
    """One organisation; what Postgres would have said is empty where `note` says why."""

    organisation: Organisation
    keys: list[ApiKey]
    used: dict[str, datetime] = field(default_factory=dict)
    members: dict[str, int] = field(default_factory=dict)
    counts: Counts | None = None
    partition_state: str | None = None
    lag: int | None = None
    note: str = ""

    @property
    def last_contact(self) -> datetime | None:
        """When one of its keys was last used, to a minute."""
        return max(self.used.values(), default=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        contact, counts = self.last_contact, self.counts
        return {
            **organisations.settings_of(self.organisation),
            "partition": self.organisation.partition,
            "partition_state": self.partition_state,
            "partition_lag": self.lag,
            "created": format_time(self.organisation.created),
            "leaving": self.organisation.leaving is not None,
            "members": self.members if counts else None,
            "groups": counts.groups if counts else None,
            "dead_letters": counts.dead_letters if counts else None,
            "parked": counts.parked if counts else None,
            "last_contact": None if contact is None else format_time(contact),
            "note": self.note or None,
        }


async def look_at(settings: Settings, org: str) -> Overview:
    """An organisation from the tenancy topic alone. Raises NotThere, Unavailable."""
    tenancy = await read_tenancy(settings)
    organisation = tenancy.organisation(org)
    return Overview(organisation, tenancy.keys_of(organisation.id))


async def complete(found: Overview, settings: Settings, database: Database) -> None:
    """Add what Postgres holds of it. Raises Unavailable."""
    organisation = found.organisation
    async with database.connection() as connection:
        found.members = await directory_search.count_members(connection, organisation.id)
        found.counts = await operator_members.counts(connection, organisation.id)
    async with open_partitions(settings, "requests", database) as partitions:
        status = await partitions.find(organisation.partition)
    found.lag = status.lag
    found.partition_state = "unowned" if status.progress is None else status.progress.state
    found.used = await last_used(database, organisation.id)
