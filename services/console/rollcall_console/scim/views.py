"""The views of the page SCIM provisioning, and of what an admin does there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web

from rollcall.control import organisations
from rollcall.control.errors import NotPossible
from rollcall.control.organisations import Limits, parse_limits
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall.tenancy.limits import SCOPES
from rollcall.tenancy.organisation import ApiKey
from rollcall_console.acts import Acts
from rollcall_console.behind import LogEnds
from rollcall_console.config import ConsoleSettings
from rollcall_console.guides.guides import guides
from rollcall_console.happenings import line_of
from rollcall_console.organisation_page import ROUTE, Here, enter
from rollcall_console.scim.page import ShownKey, overview
from rollcall_console.tenants import Tenants
from rollcall_console.web import forms
from rollcall_console.web.errors import NotFound, Refused
from rollcall_console.web.pages import Pages, language_of, see_other
from rollcall_console.web.words import Words

EXPIRIES: Final = {"never": None, "90": 90, "180": 180, "365": 365}
"""Choice of a form → days."""
OVERLAPS: Final = {"1": 1, "24": 24, "168": 168}
"""Choice of a form → hours in which both keys work."""
MAX_NAME: Final = 80
MAX_KEYS: Final = 20
"""Keys of an organisation that may work at the same time, by the console."""


@dataclass(frozen=True, slots=True)
class ScimViews:
    """The views and what they need."""

    settings: ConsoleSettings
    pages: Pages
    database: Database
    tenants: Tenants
    acts: Acts
    log_ends: LogEnds

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        base = f"{ROUTE}/scim"
        app.router.add_get(base, self.show)
        app.router.add_get(f"{base}/live", self.live)
        app.router.add_post(f"{base}/on", self.switch_on)
        app.router.add_get(f"{base}/off", self.ask_off)
        app.router.add_post(f"{base}/off", self.switch_off)
        app.router.add_get(f"{base}/keys/new", self.ask_key)
        app.router.add_post(f"{base}/keys/new", self.make_key)
        app.router.add_get(f"{base}/keys/{{key}}/replace", self.ask_replace)
        app.router.add_post(f"{base}/keys/{{key}}/replace", self.replace_key)
        app.router.add_get(f"{base}/keys/{{key}}/limits", self.ask_limits)
        app.router.add_post(f"{base}/keys/{{key}}/limits", self.set_limits)
        app.router.add_get(f"{base}/keys/{{key}}/revoke", self.ask_revoke)
        app.router.add_post(f"{base}/keys/{{key}}/revoke", self.revoke_key)

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        return await self._show(request, "scim/page.html")

    async def live(self, request: web.Request) -> web.Response:
        """Its live parts alone."""
        return await self._show(request, "scim/live.html")

    async def _show(self, request: web.Request, template: str) -> web.Response:
        here = await enter(request, self.tenants)
        found = await overview(here.organisation, self.tenants, self.database, self.log_ends)
        words = Words(language_of(request))
        return self.pages.show(
            request,
            template,
            org=here,
            page="scim",
            scim_url=self.settings.scim_url(here.organisation.id),
            guides=guides(words.language),
            found=found,
            lines=[line_of(each, words) for each in found.latest],
            refused=None if found.refused is None else line_of(found.refused, words),
        )

    # The switch

    async def switch_on(self, request: web.Request) -> web.Response:
        """Let the identity provider in."""
        return await self._switch(request, "on")

    async def ask_off(self, request: web.Request) -> web.Response:
        """What switching off means."""
        here = await enter(request, self.tenants, acting=True)
        return self.pages.show(request, "scim/off.html", org=here, page="scim")

    async def switch_off(self, request: web.Request) -> web.Response:
        """Keep the identity provider out."""
        return await self._switch(request, "off")

    async def _switch(self, request: web.Request, value: str) -> web.Response:
        here = await enter(request, self.tenants, acting=True)
        async with self.acts.log(here.visitor) as log:
            await organisations.change_organisation(log, here.organisation.id, [f"scim={value}"])
        await self.acts.record(here.visitor, f"scim.{value}", here.organisation.id)
        return see_other(f"{here.root}/scim", f"scim_{value}")

    # Keys

    async def ask_key(self, request: web.Request) -> web.Response:
        """The form for a new key."""
        here = await enter(request, self.tenants, acting=True)
        return self._key_form(request, here)

    async def make_key(self, request: web.Request) -> web.Response:
        """Make a key and show it, this once."""
        here = await enter(request, self.tenants, acting=True)
        form = await forms.read(request)
        name = form.get("name", "").strip()
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            return self._key_form(request, here, status=422, name=name, problem="name")
        if form.get("expires") not in EXPIRIES:
            return self._key_form(request, here, status=422, name=name, problem="expires")
        limits = _limits(form)
        if limits is None:
            return self._key_form(
                request, here, status=422, name=name, problem="networks", form=form
            )
        check_room(self.tenants.keys_of(here.organisation.id))
        act_id = await self.acts.claim(form.get("form"))
        days = EXPIRIES[form["expires"]]
        async with self.acts.log(here.visitor) as log:
            record, made = await organisations.create_key(
                log,
                here.organisation.id,
                name=name,
                expires=None if days is None else now() + timedelta(days=days),
                networks=limits.networks,
                scopes=limits.scopes,
            )
        await self.acts.record(
            here.visitor, "key.made", here.organisation.id, record.public_id, act_id=act_id
        )
        return self._shown_once(request, here, record, made.text)

    async def ask_replace(self, request: web.Request) -> web.Response:
        """For how long both keys shall work."""
        here = await enter(request, self.tenants, acting=True)
        key = await self._key(request, here)
        return self.pages.show(
            request, "scim/replace.html", org=here, page="scim", shown=key, form_id=new_id()
        )

    async def replace_key(self, request: web.Request) -> web.Response:
        """Make a new key; the old one ends after the overlap."""
        here = await enter(request, self.tenants, acting=True)
        form = await forms.read(request)
        old = (await self._key(request, here)).key
        if form.get("overlap") not in OVERLAPS:
            raise Refused("error.overlap")
        check_room(self.tenants.keys_of(here.organisation.id))
        act_id = await self.acts.claim(form.get("form"))
        until = now() + timedelta(hours=OVERLAPS[form["overlap"]])
        async with self.acts.log(here.visitor) as log:
            record, made = await organisations.replace_key(
                log, here.organisation.id, old.public_id, until=until
            )
        await self.acts.record(
            here.visitor, "key.replaced", here.organisation.id, old.public_id, act_id=act_id
        )
        ends = until if old.expires is None else min(until, old.expires)
        return self._shown_once(request, here, record, made.text, old=old, ends=ends)

    async def ask_limits(self, request: web.Request) -> web.Response:
        """The form for where a key may be used from, and what it may do."""
        here = await enter(request, self.tenants, acting=True)
        return self._limits_form(request, here, await self._key(request, here))

    async def set_limits(self, request: web.Request) -> web.Response:
        """Set both in the place of those it had."""
        here = await enter(request, self.tenants, acting=True)
        shown = await self._key(request, here)
        form = await forms.read(request)
        limits = _limits(form)
        if limits is None:
            return self._limits_form(request, here, shown, status=422, form=form)
        async with self.acts.log(here.visitor) as log:
            await organisations.limit_key(
                log,
                here.organisation.id,
                shown.key.public_id,
                networks=limits.networks,
                scopes=limits.scopes,
            )
        await self.acts.record(
            here.visitor, "key.limited", here.organisation.id, shown.key.public_id
        )
        return see_other(f"{here.root}/scim", "key_limited")

    async def ask_revoke(self, request: web.Request) -> web.Response:
        """What revoking means for who uses the key."""
        here = await enter(request, self.tenants, acting=True)
        key = await self._key(request, here)
        return self.pages.show(request, "scim/revoke.html", org=here, page="scim", shown=key)

    async def revoke_key(self, request: web.Request) -> web.Response:
        """End a key at once."""
        here = await enter(request, self.tenants, acting=True)
        key = (await self._key(request, here)).key
        async with self.acts.log(here.visitor) as log:
            await organisations.revoke_key(log, here.organisation.id, key.public_id)
        await self.acts.record(here.visitor, "key.revoked", here.organisation.id, key.public_id)
        return see_other(f"{here.root}/scim", "key_revoked")

    async def _key(self, request: web.Request, here: Here) -> ShownKey:
        """The key that the path names, if it works. Raises NotFound, Unavailable."""
        found = await overview(here.organisation, self.tenants, self.database, self.log_ends)
        for each in found.alive:
            if each.key.public_id == request.match_info["key"]:
                return each
        raise NotFound

    def _key_form(
        self,
        request: web.Request,
        here: Here,
        *,
        status: int = 200,
        name: str = "",
        problem: str | None = None,
        form: Mapping[str, str] | None = None,
    ) -> web.Response:
        return self.pages.show(
            request,
            "scim/new_key.html",
            status=status,
            org=here,
            page="scim",
            name=name,
            problem=problem,
            form_id=new_id(),
            networks="" if form is None else form.get("networks", ""),
            chosen=() if form is None else tuple(each for each in SCOPES if form.get(each)),
        )

    def _limits_form(
        self,
        request: web.Request,
        here: Here,
        shown: ShownKey,
        *,
        status: int = 200,
        form: Mapping[str, str] | None = None,
    ) -> web.Response:
        key = shown.key
        return self.pages.show(
            request,
            "scim/limits.html",
            status=status,
            org=here,
            page="scim",
            shown=shown,
            problem=None if form is None else "networks",
            networks="\n".join(key.networks) if form is None else form.get("networks", ""),
            chosen=key.scopes if form is None else tuple(each for each in SCOPES if form.get(each)),
        )

    def _shown_once(
        self,
        request: web.Request,
        here: Here,
        record: ApiKey,
        text: str,
        **old: object,
    ) -> web.Response:
        return self.pages.show(
            request,
            "scim/key_once.html",
            org=here,
            page="scim",
            scim_url=self.settings.scim_url(here.organisation.id),
            record=record,
            text=text,
            old=old.get("old"),
            ends=old.get("ends"),
        )


def check_room(keys: Sequence[ApiKey]) -> None:
    """Raises Refused where an organisation with these keys has as many as it may have."""
    at = now()
    if sum(each.is_alive(at) for each in keys) >= MAX_KEYS:
        raise Refused("error.too_many_keys", n=MAX_KEYS)


def _limits(form: Mapping[str, str]) -> Limits | None:
    """The limits of a form: networks one a line, scopes by their boxes; None: a wrong network."""
    networks = [line.strip() for line in form.get("networks", "").splitlines() if line.strip()]
    try:
        return parse_limits(networks, [each for each in SCOPES if form.get(each)])
    except NotPossible:
        return None
