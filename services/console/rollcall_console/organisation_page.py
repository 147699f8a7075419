"""What every page of an organisation begins with: the organisation, and what the visitor may do."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from rollcall.postgres.console.console_accounts import Role
from rollcall.tenancy.organisation import Organisation
from rollcall_console.door.visitor import MAY_ACT, MAY_SEE, VISITOR, Visitor
from rollcall_console.tenants import Tenants
from rollcall_console.web.errors import MayNot, NotFound

ROUTE: Final = "/o/{organisation}"


@dataclass(frozen=True, slots=True)
class Here:
    """An organisation as a visitor sees it."""

    visitor: Visitor
    organisation: Organisation
    role: Role

    @property
    def may_act(self) -> bool:
        """Whether the visitor may change something."""
        return self.role in MAY_ACT

    @property
    def root(self) -> str:
        """The beginning of the paths of its pages."""
        return f"/o/{self.organisation.id}"


async def enter(request: web.Request, tenants: Tenants, *, acting: bool = False) -> Here:
    """The organisation that the path names. Raises NotFound, and MayNot where `acting`.

    Waits a moment for what was written before, so that a page shows what its visitor just did.
    """
    visitor = request[VISITOR]
    organisation_id = request.match_info["organisation"]
    if not visitor.may(MAY_SEE, organisation_id):
        raise NotFound
    await tenants.is_current()
    organisation = tenants.organisation(organisation_id)
    if organisation is None:
        raise NotFound
    here = Here(visitor, organisation, visitor.roles[organisation_id])
    if acting and not here.may_act:
        raise MayNot("admin")
    return here
