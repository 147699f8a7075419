"""The pages for signing in and out, and the visitor's choice of language and theme."""

from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from rollcall.postgres.console import console_accounts as accounts
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall_console.door.oidc.flow import OidcSignIns
from rollcall_console.door.sign_ins import Locked, SignedIn, SignIns
from rollcall_console.door.visitor import VISITOR, Visitor
from rollcall_console.web import forms
from rollcall_console.web.pages import (
    LANGUAGE_COOKIE,
    THEME_COOKIE,
    THEMES,
    Pages,
    local_path,
    see_other,
)
from rollcall_console.web.words import LANGUAGES

YEAR_S = 365 * 86400
CODE = "/sign-in/code"


@dataclass(frozen=True, slots=True)
class DoorViews:
    """The views; `is_encrypted`: whether cookies may be `Secure`."""

    pages: Pages
    sign_ins: SignIns
    oidc: OidcSignIns
    database: Database
    is_encrypted: bool

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/sign-in", self.ask)
        app.router.add_post("/sign-in", self.sign_in)
        app.router.add_get(CODE, self.ask_code)
        app.router.add_post(CODE, self.code)
        app.router.add_get("/link/{token}", self.ask_link)
        app.router.add_post("/link/{token}", self.link)
        app.router.add_post("/sign-out", self.sign_out)
        app.router.add_post("/preferences", self.preferences)

    async def ask(self, request: web.Request) -> web.Response:
        """The form for address and password."""
        to = local_path(request.query.get("to"))
        if request.get(VISITOR) is not None:
            return see_other(to)
        return await self._form(request, to)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Address and password."""
        form = await forms.read(request)
        to, email = local_path(form.get("to")), form.get("email", "")
        try:
            made = await self.sign_ins.by_password(email, form.get("password", ""))
        except Locked as locked:
            return await self._locked(request, to, locked, email=email)
        if made is None:
            return await self._form(request, to, status=401, email=email, problem="wrong")
        return self._into(made, to)

    async def ask_code(self, request: web.Request) -> web.Response:
        """The form for the code of the second factor."""
        to = local_path(request.query.get("to"))
        if await self._half(request) is None:
            return see_other("/sign-in")
        return await self._form(request, to, step="code")

    async def code(self, request: web.Request) -> web.Response:
        """The code of the second factor, or a recovery code."""
        form = await forms.read(request)
        to = local_path(form.get("to"))
        visitor = await self._half(request)
        if visitor is None:
            return see_other("/sign-in")
        try:
            made = await self.sign_ins.by_code(visitor, form.get("code", "")[:64])
        except Locked as locked:
            return await self._locked(request, to, locked, step="code")
        if made is None:
            return await self._form(request, to, status=401, step="code", problem="wrong_code")
        return self._into(made, to)

    async def ask_link(self, request: web.Request) -> web.Response:
        """A button, because mail filters open links too, and one is used up by its use."""
        if not await self.sign_ins.link_works(request.match_info["token"]):
            return self.pages.show(request, "sign_in/link.html", status=404, works=False)
        return self.pages.show(request, "sign_in/link.html", works=True)

    async def link(self, request: web.Request) -> web.Response:
        """Use the link up."""
        made = await self.sign_ins.by_link(request.match_info["token"])
        if made is None:
            return self.pages.show(request, "sign_in/link.html", status=404, works=False)
        return self._into(made, "/")

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session."""
        await self.sign_ins.sign_out(request)
        return self.sign_ins.drop_cookie(see_other("/sign-in", "signed_out"))

    async def preferences(self, request: web.Request) -> web.Response:
        """Language and theme."""
        form = await forms.read(request)
        response = see_other(local_path(form.get("to")))
        for language in LANGUAGES:
            if form.get("language") == language:
                self._keep(response, LANGUAGE_COOKIE, language)
                visitor = request.get(VISITOR)
                if visitor is not None:
                    async with self.database.connection() as connection:
                        await accounts.set_language(connection, visitor.account.id, language)
        if form.get("theme") in THEMES:
            self._keep(response, THEME_COOKIE, form["theme"])
        return response

    async def _half(self, request: web.Request) -> Visitor | None:
        visitor = await self.sign_ins.visitor(request)
        return visitor if visitor is not None and visitor.session.is_half else None

    def _into(self, made: SignedIn, to: str) -> web.Response:
        response = see_other(to)
        if made.step == "second factor":
            response = see_other(f"{CODE}?to={quote(to, safe='')}")
        return self.sign_ins.set_cookie(response, made.token)

    async def _locked(
        self, request: web.Request, to: str, locked: Locked, *, step: str = "password",
        email: str = "",
    ) -> web.Response:  # fmt: skip
        seconds = max(1.0, (locked.until - now()).total_seconds())
        return await self._form(
            request, to, status=429, step=step, email=email, problem="locked", seconds=seconds
        )

    async def _form(
        self,
        request: web.Request,
        to: str,
        *,
        status: int = 200,
        step: str = "password",
        email: str = "",
        problem: str | None = None,
        seconds: float = 0.0,
    ) -> web.Response:
        return self.pages.show(
            request,
            f"sign_in/{step}.html",
            status=status,
            to=to,
            email=email,
            problem=problem,
            seconds=seconds,
            issuers=await self.oidc.listed() if step == "password" else [],
        )

    def _keep(self, response: web.Response, name: str, value: str) -> None:
        response.set_cookie(
            name, value, path="/", max_age=YEAR_S, samesite="Lax", secure=self.is_encrypted,
            httponly=True,
        )  # fmt: skip
