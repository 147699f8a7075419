"""What an admin does with set-up links: make one, which is shown once, and revoke it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web

from rollcall.control.console_access import digest, new_token
from rollcall.postgres.console import console_setup as setup_links
from rollcall.postgres.console.console_setup import SetupLink
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall_console.acts import Acts
from rollcall_console.config import ConsoleSettings
from rollcall_console.organisation_page import ROUTE, Here, enter
from rollcall_console.tenants import Tenants
from rollcall_console.web import forms
from rollcall_console.web.errors import NotFound, Refused
from rollcall_console.web.pages import Pages, see_other

LASTS: Final = {"7": 7, "1": 1, "30": 30}
"""Choice of a form → days."""
KEYS: Final = 5
"""Keys that one link may make."""
MAX_NAME: Final = 80
MAX_LINKS: Final = 10
"""Links of an organisation that may work at the same time."""


@dataclass(frozen=True, slots=True)
class LinkViews:
    """The views and what they need."""

    settings: ConsoleSettings
    pages: Pages
    database: Database
    tenants: Tenants
    acts: Acts

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        base = f"{ROUTE}/scim/links"
        app.router.add_get(f"{base}/new", self.ask)
        app.router.add_post(f"{base}/new", self.make)
        app.router.add_get(f"{base}/{{link}}/revoke", self.ask_revoke)
        app.router.add_post(f"{base}/{{link}}/revoke", self.revoke)

    async def ask(self, request: web.Request) -> web.Response:
        """The form for a new link."""
        here = await enter(request, self.tenants, acting=True)
        return self._form(request, here)

    async def make(self, request: web.Request) -> web.Response:
        """Make a link and show it, this once."""
        here = await enter(request, self.tenants, acting=True)
        form = await forms.read(request)
        name = form.get("name", "").strip()
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            return self._form(request, here, status=422, name=name, problem="name")
        if form.get("lasts") not in LASTS:
            return self._form(request, here, status=422, name=name, problem="lasts")
        act_id = await self.acts.claim(form.get("form"))
        link_id, token = new_id(), new_token()
        stored = digest(token)
        assert stored is not None  # it was made a line above
        expires = now() + timedelta(days=LASTS[form["lasts"]])
        async with self.database.connection() as connection:
            if len(await setup_links.links_of(connection, here.organisation.id)) >= MAX_LINKS:
                raise Refused("error.too_many_links", n=MAX_LINKS)
            await setup_links.add(
                connection,
                link_id,
                stored,
                here.organisation.id,
                name=name,
                account_id=here.visitor.account.id,
                expires=expires,
                keys=KEYS,
            )
        await self.acts.record(
            here.visitor, "setup_link.made", here.organisation.id, link_id, act_id=act_id
        )
        return self.pages.show(
            request,
            "setup/link_once.html",
            org=here,
            page="scim",
            name=name,
            url=f"{self.settings.root_url}/setup/{token}",
            expires=expires,
        )

    async def ask_revoke(self, request: web.Request) -> web.Response:
        """What revoking means."""
        here = await enter(request, self.tenants, acting=True)
        link = await self._link(request, here)
        return self.pages.show(request, "setup/revoke.html", org=here, page="scim", link=link)

    async def revoke(self, request: web.Request) -> web.Response:
        """End a link at once; keys that it made stay."""
        here = await enter(request, self.tenants, acting=True)
        link = await self._link(request, here)
        async with self.database.connection() as connection:
            await setup_links.revoke(connection, here.organisation.id, link.id)
        await self.acts.record(here.visitor, "setup_link.revoked", here.organisation.id, link.id)
        return see_other(f"{here.root}/scim", "link_revoked")

    async def _link(self, request: web.Request, here: Here) -> SetupLink:
        """The link that the path names, of this organisation. Raises NotFound, Unavailable."""
        async with self.database.connection() as connection:
            for link in await setup_links.links_of(connection, here.organisation.id):
                if link.id == request.match_info["link"]:
                    return link
        raise NotFound

    def _form(
        self,
        request: web.Request,
        here: Here,
        *,
        status: int = 200,
        name: str = "",
        problem: str | None = None,
    ) -> web.Response:
        return self.pages.show(
            request,
            "setup/new_link.html",
            status=status,
            org=here,
            page="scim",
            name=name,
            problem=problem,
            form_id=new_id(),
            choices=list(LASTS),
            keys=KEYS,
        )
