"""What a set-up link opens: the SCIM URL, new keys, the guide. No session, and nothing else.

The link is the right, so it is in each path (decision 0073): a page without a script has to carry
it, and two links in one browser must not be mixed up. No path is logged, and no page of the
console tells another origin where a visitor came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web

from rollcall.control import organisations
from rollcall.control.console_access import digest
from rollcall.postgres.console import console_setup as setup_links
from rollcall.postgres.console.console_setup import SetupLink
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall.tenancy.organisation import ApiKey, Organisation
from rollcall_console.acts import Acts
from rollcall_console.config import ConsoleSettings
from rollcall_console.guides.guides import guides
from rollcall_console.guides.views import of_path
from rollcall_console.scim.page import ShownKey, shown_keys
from rollcall_console.scim.views import EXPIRIES, MAX_NAME, check_room
from rollcall_console.tenants import Tenants
from rollcall_console.web import forms
from rollcall_console.web.errors import Refused
from rollcall_console.web.pages import Pages, language_of

SETUP: Final = "/setup/"
"""How the paths of these pages begin."""


class LinkOver(Exception):
    """The link does not work: it never did, it is revoked or over, or its organisation is gone."""


@dataclass(frozen=True, slots=True)
class Guest:
    """The person who opened a link, and what it is for."""

    token: str
    link: SetupLink
    organisation: Organisation

    @property
    def root(self) -> str:
        """The path of the link's first page."""
        return f"{SETUP}{self.token}"


@dataclass(frozen=True, slots=True)
class SetupViews:
    """The views and what they need."""

    settings: ConsoleSettings
    pages: Pages
    database: Database
    tenants: Tenants
    acts: Acts

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        base = f"{SETUP}{{token}}"
        app.router.add_get(base, self.show)
        app.router.add_get(f"{base}/keys/new", self.ask_key)
        app.router.add_post(f"{base}/keys/new", self.make_key)
        app.router.add_get(f"{base}/with/{{provider}}", self.show_guide)

    async def show(self, request: web.Request) -> web.Response:
        """The URL, the keys that this link made, the guides."""
        try:
            guest = await self._guest(request)
        except LinkOver:
            return self._over(request)
        return self.pages.show(
            request,
            "setup/page.html",
            guest=guest,
            scim_url=self.settings.scim_url(guest.organisation.id),
            keys=await self._keys(guest),
            guides=guides(language_of(request)),
        )

    async def show_guide(self, request: web.Request) -> web.Response:
        """The guide of one identity provider."""
        try:
            guest = await self._guest(request)
        except LinkOver:
            return self._over(request)
        shown = of_path(request, self.settings.scim_url(guest.organisation.id))
        return self.pages.show(request, "guides/guest.html", guest=guest, shown=shown)

    async def ask_key(self, request: web.Request) -> web.Response:
        """The form for a new key."""
        try:
            guest = await self._guest(request)
        except LinkOver:
            return self._over(request)
        return self._key_form(request, guest)

    async def make_key(self, request: web.Request) -> web.Response:
        """Make a key and show it, this once."""
        try:
            guest = await self._guest(request)
        except LinkOver:
            return self._over(request)
        form = await forms.read(request)
        name = form.get("name", "").strip()
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            return self._key_form(request, guest, status=422, name=name, problem="name")
        if form.get("expires") not in EXPIRIES:
            return self._key_form(request, guest, status=422, name=name, problem="expires")
        record, text = await self._make_key(guest, form, name)
        return self.pages.show(
            request,
            "setup/key_once.html",
            guest=guest,
            scim_url=self.settings.scim_url(guest.organisation.id),
            record=record,
            text=text,
        )

    async def _make_key(
        self, guest: Guest, form: Mapping[str, str], name: str
    ) -> tuple[ApiKey, str]:
        """Raises Refused where the link may make no more, Unavailable."""
        organisation_id, days = guest.organisation.id, EXPIRIES[form["expires"]]
        check_room(self.tenants.keys_of(organisation_id))
        act_id = await self.acts.claim(form.get("form"))
        async with self.database.connection() as connection:
            if not await setup_links.take_key(connection, guest.link.id):
                raise Refused("error.setup_keys")
        async with self.acts.log_of(f"setup-link:{guest.link.id}") as log:
            record, made = await organisations.create_key(
                log,
                organisation_id,
                name=name,
                expires=None if days is None else now() + timedelta(days=days),
            )
        async with self.database.connection() as connection:
            await setup_links.note_key(connection, guest.link.id, record.public_id)
        await self.acts.record(
            None, "setup_link.key", organisation_id, record.public_id, act_id=act_id
        )
        return record, made.text

    async def _guest(self, request: web.Request) -> Guest:
        """Who has the link of the path. Raises LinkOver, Unavailable."""
        token = request.match_info["token"]
        stored = digest(token)
        if stored is None:
            raise LinkOver
        async with self.database.connection() as connection:
            link = await setup_links.opened(connection, stored)
        if link is None:
            raise LinkOver
        await self.tenants.is_current()
        organisation = self.tenants.organisation(link.organisation_id)
        if organisation is None or organisation.leaving is not None:
            raise LinkOver
        return Guest(token, link, organisation)

    async def _keys(self, guest: Guest) -> list[ShownKey]:
        """The keys that this link made; those of others are not shown."""
        made = [
            key
            for key in self.tenants.keys_of(guest.organisation.id)
            if key.public_id in guest.link.keys
        ]
        async with self.database.connection() as connection:
            return await shown_keys(connection, made)

    def _over(self, request: web.Request) -> web.Response:
        return self.pages.show(request, "setup/over.html", status=404)

    def _key_form(
        self,
        request: web.Request,
        guest: Guest,
        *,
        status: int = 200,
        name: str = "",
        problem: str | None = None,
    ) -> web.Response:
        return self.pages.show(
            request,
            "setup/new_key.html",
            status=status,
            guest=guest,
            name=name,
            problem=problem,
            form_id=new_id(),
        )
