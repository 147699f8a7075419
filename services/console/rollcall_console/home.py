"""The first page: the visitor's only organisation, or the list of them."""

from dataclasses import dataclass

from aiohttp import web

from rollcall_console.door.visitor import VISITOR
from rollcall_console.tenants import Tenants
from rollcall_console.web.errors import NotFound
from rollcall_console.web.pages import Pages, see_other


@dataclass(frozen=True, slots=True)
class HomeViews:
    """The views and what they need."""

    pages: Pages
    tenants: Tenants

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/", self.home)
        app.router.add_get("/o", self.organisations)

    async def home(self, request: web.Request) -> web.Response:
        """To the only organisation, else the list."""
        roles = request[VISITOR].roles
        known = [each for each in self.tenants.organisations() if each.id in roles]
        if not known and request[VISITOR].is_operator:
            return see_other("/operations")
        if len(known) == 1:
            return see_other(f"/o/{known[0].id}/scim")
        return await self.organisations(request)

    async def organisations(self, request: web.Request) -> web.Response:
        """The organisations in which the visitor has a role."""
        await self.tenants.is_current()
        roles = request[VISITOR].roles
        known = [each for each in self.tenants.organisations() if each.id in roles]
        return self.pages.show(request, "organisations.html", organisations=known, roles=roles)


async def not_found(_: web.Request) -> web.Response:
    """Any other path."""
    raise NotFound
