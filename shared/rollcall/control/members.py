"""Members, found and shown. This is personal data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rollcall.control.errors import NotPossible
from rollcall.control.tenancy_log import find_organisation, read_tenancy
from rollcall.events.envelope import format_time
from rollcall.postgres import directory_search
from rollcall.postgres.pool import Database
from rollcall.postgres.upkeep import operator_members
from rollcall.runtime.config import Settings
from rollcall.tenancy.organisation import Organisation

MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """A member, and the organisation that it belongs to; `groups` as (id, display)."""

    organisation: Organisation
    person: operator_members.Person
    groups: Sequence[tuple[str, str | None]] = ()

    @property
    def id(self) -> str:
        """The member's id."""
        return self.person.member.id

    def to_json(self, *, everything: bool = False) -> dict[str, Any]:
        """As JSON; scripts rely on the names."""
        member = self.person.member
        found = {
            "organisation_id": self.organisation.id,
            "organisation": self.organisation.name,
            "id": member.id,
            "userName": member.resource.get("userName", member.user_name_key),
            "state": member.status.value,
            "externalId": member.external_id,
            "created": format_time(member.created),
            "lastModified": format_time(member.last_modified),
        }
        if not everything:
            return found
        return {
            **found,
            "invitation_id": member.invitation_id,
            "last_event_id": member.version,
            "groups": [{"value": each, "display": display} for each, display in self.groups],
            "resource": member.resource,
        }


async def list_members(
    settings: Settings,
    database: Database,
    org: str,
    *,
    state: str | None,
    after: str,
    limit: int,
) -> list[Known]:
    """A page of the organisation's members by userName. Raises NotThere, Unavailable."""
    organisation = await find_organisation(settings, org)
    async with database.connection() as connection:
        found = await operator_members.list_members(
            connection, organisation.id, status=state, after=after, limit=limit
        )
    return [Known(organisation, each) for each in found]


async def find(settings: Settings, database: Database, text: str, org: str | None) -> list[Known]:
    """The members with this id, userName, address or externalId, in one or in all organisations.

    Raises NotPossible where there is none, NotThere, Unavailable.
    """
    tenancy = await read_tenancy(settings)
    chosen = tenancy.organisations if org is None else {(one := tenancy.organisation(org)).id: one}
    async with database.connection() as connection:
        found = await operator_members.find(connection, list(chosen), text, limit=MOST)
    if not found:
        where = "no organisation has" if org is None else f"{org} does not have"
        raise NotPossible(
            f"{where} a member with the id, userName, e-mail address or externalId {text!r}; "
            "one that was removed is known by its id alone"
        )
    return [Known(chosen[each.organisation_id], each) for each in found]


async def show(settings: Settings, database: Database, org: str, text: str) -> Known:
    """The one member, with its groups. Raises NotPossible where there are none or several."""
    known = await find(settings, database, text, org)
    if len(known) > 1:
        ids = ", ".join(each.id for each in known)
        raise NotPossible(f"{len(known)} members are meant by {text!r}; use an id: {ids}")
    async with database.connection() as connection:
        found = await directory_search.find(
            connection, "Users", known[0].organisation.id, known[0].id, with_related=True
        )
    return Known(known[0].organisation, known[0].person, found.related if found else ())
