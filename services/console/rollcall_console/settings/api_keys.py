"""Keys of the admin API for one organisation: made, shown once, and ended by its owner."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web

from rollcall.control.console.api_keys import NewAdminKey, make_admin_key
from rollcall.postgres.console import console_api_keys as keys
from rollcall.postgres.console.console_api_keys import AdminKey
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall_console.acts import Acts
from rollcall_console.organisation_page import ROUTE, Here, enter
from rollcall_console.tenants import Tenants
from rollcall_console.web import forms
from rollcall_console.web.errors import NotFound, Refused
from rollcall_console.web.pages import Pages, see_other

SCOPES: Final = (
    "organisations:read", "organisations:write", "keys:read", "keys:write",
    "members:read", "members:write", "refused:read", "refused:write",
)  # fmt: skip
EXPIRIES: Final = {"90": 90, "365": 365, "never": None}
MAX_NAME: Final = 80
MAX_KEYS: Final = 20


@dataclass(frozen=True, slots=True)
class ApiKeyViews:
    """The views and what they need."""

    pages: Pages
    database: Database
    tenants: Tenants
    acts: Acts
    root_url: str

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        base = f"{ROUTE}/organisation/api-keys"
        app.router.add_get(f"{base}/new", self.ask)
        app.router.add_post(f"{base}/new", self.make)
        app.router.add_get(f"{base}/{{key}}/revoke", self.ask_revoke)
        app.router.add_post(f"{base}/{{key}}/revoke", self.revoke)

    async def ask(self, request: web.Request) -> web.Response:
        """The form for a new key."""
        return self._form(request, await enter(request, self.tenants, acting=True))

    async def make(self, request: web.Request) -> web.Response:
        """Make a key and show it, this once."""
        here = await enter(request, self.tenants, acting=True)
        form = await forms.read(request)
        name, expires = form.get("name", "").strip(), form.get("expires", "")
        scopes = tuple(scope for scope in SCOPES if form.get(scope))
        is_named = 1 <= len(name) <= MAX_NAME and name.isprintable()
        if not is_named or not scopes or expires not in EXPIRIES:
            problem = "name" if not is_named else "scopes" if not scopes else "expires"
            return self._form(request, here, status=422, name=name, chosen=scopes, problem=problem)
        async with self.database.connection() as connection:
            known = await keys.list_of(connection, here.organisation.id)
        if sum(key.is_alive(now()) for key in known) >= MAX_KEYS:
            raise Refused("error.too_many_keys", n=MAX_KEYS)
        act_id = await self.acts.claim(form.get("form"))
        days = EXPIRIES[expires]
        record, text = await make_admin_key(
            self.database,
            NewAdminKey(
                name,
                scopes,
                here.organisation.id,
                None if days is None else now() + timedelta(days=days),
                here.visitor.account.id,
            ),
        )
        await self.acts.record(
            here.visitor, "api_key.made", here.organisation.id, record.public_id, act_id=act_id
        )
        return self.pages.show(
            request,
            "settings/api_key_once.html",
            org=here,
            page="organisation",
            record=record,
            text=text,
            url=f"{self.root_url}/admin/v1",
        )

    async def ask_revoke(self, request: web.Request) -> web.Response:
        """What revoking means."""
        here = await enter(request, self.tenants, acting=True)
        return self.pages.show(
            request,
            "settings/api_key_revoke.html",
            org=here,
            page="organisation",
            key=await self._key(request, here),
        )

    async def revoke(self, request: web.Request) -> web.Response:
        """End a key at once."""
        here = await enter(request, self.tenants, acting=True)
        key = await self._key(request, here)
        async with self.database.connection() as connection:
            await keys.revoke(connection, key.public_id, here.organisation.id)
        await self.acts.record(here.visitor, "api_key.revoked", here.organisation.id, key.public_id)
        return see_other(f"{here.root}/organisation", "api_key_revoked")

    async def _key(self, request: web.Request, here: Here) -> AdminKey:
        """The key that the path names, if it works. Raises NotFound, Unavailable."""
        async with self.database.connection() as connection:
            for key in await keys.list_of(connection, here.organisation.id):
                if key.public_id == request.match_info["key"] and key.is_alive(now()):
                    return key
        raise NotFound

    def _form(
        self,
        request: web.Request,
        here: Here,
        *,
        status: int = 200,
        name: str = "",
        chosen: tuple[str, ...] = (),
        problem: str | None = None,
    ) -> web.Response:
        return self.pages.show(
            request,
            "settings/new_api_key.html",
            status=status,
            org=here,
            page="organisation",
            name=name,
            chosen=chosen,
            scopes=SCOPES,
            problem=problem,
            form_id=new_id(),
        )
