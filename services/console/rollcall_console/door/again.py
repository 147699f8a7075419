"""Showing again who one is, before a key is made or a person is removed (`max_age`)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from rollcall.runtime.clock import now
from rollcall_console.door.oidc.flow import OidcSignIns
from rollcall_console.door.sign_ins import Locked, SignIns
from rollcall_console.door.visitor import VISITOR, Visitor
from rollcall_console.web import forms
from rollcall_console.web.pages import Pages, local_path, see_other

AGAIN: Final = "/sign-in/again"
TYPING_S: Final = 600.0
"""A form that was opened in time may be sent that much later."""


def is_fresh(visitor: Visitor, fresh_s: float, at: datetime, *, is_sent: bool) -> bool:
    """Whether the visitor showed who they are a moment ago; `is_sent`: a form comes back. Pure."""
    age_s = (at - visitor.session.authenticated).total_seconds()
    return age_s <= fresh_s + (TYPING_S if is_sent else 0.0)


@dataclass(frozen=True, slots=True)
class AgainViews:
    """The views and what they need."""

    pages: Pages
    sign_ins: SignIns
    oidc: OidcSignIns

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(AGAIN, self.ask)
        app.router.add_post(AGAIN, self.show)

    async def ask(self, request: web.Request) -> web.Response:
        """The form, or the way to the issuer."""
        return await self._form(request, local_path(request.query.get("to")))

    async def show(self, request: web.Request) -> web.Response:
        """Password, and the code where there is a second factor."""
        visitor = request[VISITOR]
        form = await forms.read(request)
        to = local_path(form.get("to"))
        try:
            is_right = await self.sign_ins.by_password_again(
                visitor, form.get("password", ""), form.get("code", "")[:64]
            )
        except Locked as locked:
            seconds = max(1.0, (locked.until - now()).total_seconds())
            return await self._form(request, to, status=429, problem="locked", seconds=seconds)
        if not is_right:
            return await self._form(request, to, status=401, problem="wrong")
        return see_other(to)

    async def _form(
        self,
        request: web.Request,
        to: str,
        *,
        status: int = 200,
        problem: str | None = None,
        seconds: float = 0.0,
    ) -> web.Response:
        return self.pages.show(
            request,
            "sign_in/again.html",
            status=status,
            to=to,
            problem=problem,
            seconds=seconds,
            issuer=await self.oidc.issuer_of(request[VISITOR].account.id),
        )
