"""The operations of the admin API. A file with others adds its own here."""

from rollcall.postgres.pool import Database
from rollcall_console.api.edge import Operation
from rollcall_console.api.members import MemberCalls
from rollcall_console.api.organisations import OrganisationCalls
from rollcall_console.config import ConsoleSettings
from rollcall_console.tenants import Tenants


def operations(
    settings: ConsoleSettings, database: Database, tenants: Tenants
) -> tuple[Operation, ...]:
    """All of them. What the page Activity lists gets its operation here, with `activity:read`."""
    return (
        *OrganisationCalls(settings, database, tenants).operations(),
        *MemberCalls(settings, database).operations(),
    )
