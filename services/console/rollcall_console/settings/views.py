"""The organisation's settings, its admins, its latest acts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web

from rollcall.control import organisations
from rollcall.control.console_access import digest, new_token
from rollcall.control.errors import NotPossible
from rollcall.directory.address import is_one_mailbox
from rollcall.postgres.console import console_accounts as accounts
from rollcall.postgres.console import console_api_keys as keys
from rollcall.postgres.console import console_issuers as issuers
from rollcall.postgres.console.console_accounts import ROLES, Role
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id, parse_id
from rollcall_console.acts import Acts
from rollcall_console.config import ConsoleSettings
from rollcall_console.door.visitor import MAY_OWN
from rollcall_console.organisation_page import ROUTE, Here, enter
from rollcall_console.tenants import Tenants
from rollcall_console.web import forms
from rollcall_console.web.errors import MayNot, NotFound, Refused
from rollcall_console.web.pages import Pages, see_other

LINK_LASTS: Final = timedelta(days=1)
"""How long the first link of a new admin works."""
SWITCHES: Final = ("unique_group_names", "unique_external_ids", "confirm_on_accept")
ACTS: Final = 20


@dataclass(frozen=True, slots=True)
class SettingsViews:
    """The views and what they need."""

    settings: ConsoleSettings
    pages: Pages
    database: Database
    tenants: Tenants
    acts: Acts

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        base = f"{ROUTE}/organisation"
        app.router.add_get(base, self.show)
        app.router.add_post(base, self.change)
        app.router.add_get(f"{base}/admins/new", self.ask_admin)
        app.router.add_post(f"{base}/admins/new", self.add_admin)
        app.router.add_get(f"{base}/admins/{{account}}", self.ask_role)
        app.router.add_post(f"{base}/admins/{{account}}", self.set_role)

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        here = await enter(request, self.tenants)
        return await self._show(request, here)

    async def change(self, request: web.Request) -> web.Response:
        """Save what the form says."""
        here = await enter(request, self.tenants, acting=True)
        form = await forms.read(request)
        present = organisations.settings_of(here.organisation)
        wanted = {
            "name": form.get("name", ""),
            "language": form.get("language", ""),
            "profile": form.get("profile", ""),
            **{each: "on" if form.get(each) == "on" else "off" for each in SWITCHES},
        }
        changed = [
            f"{key}={value}" for key, value in wanted.items() if _text(present[key]) != value
        ]
        try:
            organisations.parse_values(changed)
        except NotPossible:
            return await self._show(request, here, status=422, form=form)
        if changed:
            async with self.acts.log(here.visitor) as log:
                await organisations.change_organisation(log, here.organisation.id, changed)
            names = ", ".join(each.partition("=")[0] for each in changed)
            await self.acts.record(here.visitor, "settings", here.organisation.id, names)
        return see_other(f"{here.root}/organisation", "saved")

    # Admins

    async def ask_admin(self, request: web.Request) -> web.Response:
        """The form for another admin."""
        here = await self._owned(request)
        return self._admin_form(request, here)

    async def add_admin(self, request: web.Request) -> web.Response:
        """Give somebody a role, and show a link with which they sign in for the first time."""
        here = await self._owned(request)
        form = await forms.read(request)
        email, role = form.get("email", "").strip(), _role(form.get("role", ""))
        if role is None or not is_one_mailbox(email) or len(email) > 254:
            return self._admin_form(request, here, status=422, email=email, problem=True)
        token = new_token()
        stored = digest(token)
        assert stored is not None  # it was made a line above
        expires = now() + LINK_LASTS
        async with self.database.transaction() as connection:
            await accounts.add(connection, new_id(), email=email, name=form.get("name") or email)
            account = await accounts.find_by_email(connection, email)
            if account is None or account.disabled is not None:
                raise Refused("admins.disabled")
            # Who has an account already signs in as always: a link would let the owner in as them.
            is_new = (
                account.password_hash is None
                and not account.is_operator
                and not await accounts.roles_of(connection, account.id)
            )
            await accounts.grant(connection, account.id, here.organisation.id, role)
            if is_new:
                await accounts.add_link(connection, stored, account.id, expires)
        await self.acts.record(here.visitor, f"admin.{role}", here.organisation.id, account.id)
        return self.pages.show(
            request,
            "settings/invited.html",
            org=here,
            page="organisation",
            account=account,
            role=role,
            url=f"{self.settings.root_url}/link/{token}" if is_new else None,
            expires=expires,
        )

    async def ask_role(self, request: web.Request) -> web.Response:
        """The form for the role of one admin."""
        here = await self._owned(request)
        admin = await self._admin(request, here)
        return self.pages.show(
            request, "settings/role.html", org=here, page="organisation", admin=admin, roles=ROLES
        )

    async def set_role(self, request: web.Request) -> web.Response:
        """Change a role, or take it away; one owner stays."""
        here = await self._owned(request)
        admin = await self._admin(request, here)
        wanted = (await forms.read(request)).get("role", "")
        role = _role(wanted)
        if role is None and wanted != "none":
            raise Refused("admins.no_role")
        async with self.database.transaction() as connection:
            if await issuers.issuer_of(connection, admin.id) is not None:
                raise Refused("admins.by_issuer")
            owners = await accounts.lock_owners(connection, here.organisation.id)
            if owners == {admin.id} and role != "owner":
                raise Refused("admins.last_owner")
            if role is None:
                await accounts.take_role(connection, admin.id, here.organisation.id)
            else:
                await accounts.grant(connection, admin.id, here.organisation.id, role)
        await self.acts.record(
            here.visitor, f"admin.{role or 'none'}", here.organisation.id, admin.id
        )
        is_self_gone = admin.id == here.visitor.account.id and role is None
        return see_other("/" if is_self_gone else f"{here.root}/organisation", "saved")

    async def _owned(self, request: web.Request) -> Here:
        here = await enter(request, self.tenants)
        if not here.visitor.may(MAY_OWN, here.organisation.id):
            raise MayNot("owner")
        return here

    async def _admin(self, request: web.Request, here: Here) -> accounts.Admin:
        wanted = parse_id(request.match_info["account"])
        async with self.database.connection() as connection:
            for admin in await accounts.admins_of(connection, here.organisation.id):
                if admin.id == wanted:
                    return admin
        raise NotFound

    async def _show(
        self,
        request: web.Request,
        here: Here,
        *,
        status: int = 200,
        form: Mapping[str, str] | None = None,
    ) -> web.Response:
        async with self.database.connection() as connection:
            admins = await accounts.admins_of(connection, here.organisation.id)
            acts = await accounts.latest_acts(connection, here.organisation.id, ACTS)
            api_keys = await keys.list_of(connection, here.organisation.id)
        return self.pages.show(
            request,
            "settings/page.html",
            status=status,
            org=here,
            page="organisation",
            admins=admins,
            acts=acts,
            api_keys=[key for key in api_keys if key.is_alive(now())],
            switches=SWITCHES,
            name=here.organisation.name if form is None else form.get("name", ""),
            is_wrong=form is not None,
            may_own=here.visitor.may(MAY_OWN, here.organisation.id),
        )

    def _admin_form(
        self,
        request: web.Request,
        here: Here,
        *,
        status: int = 200,
        email: str = "",
        problem: bool = False,
    ) -> web.Response:
        return self.pages.show(
            request,
            "settings/new_admin.html",
            status=status,
            org=here,
            page="organisation",
            email=email,
            problem=problem,
            roles=ROLES,
        )


def _role(text: str) -> Role | None:
    return next((role for role in ROLES if role == text), None)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
