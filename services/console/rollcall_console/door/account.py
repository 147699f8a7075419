"""The page of one's own account: password, second factor, recovery codes, sessions."""

import secrets
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import segno
from aiohttp import web

from rollcall.control.console_access import TOTP
from rollcall.postgres.console import console_accounts as accounts
from rollcall.postgres.console import console_sessions as sessions
from rollcall.postgres.console.console_accounts import Account
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall.runtime.ids import new_id
from rollcall.runtime.sealed import Sealer
from rollcall_console.door import codes
from rollcall_console.door.again import AGAIN, is_fresh
from rollcall_console.door.passwords import Passwords, too_weak
from rollcall_console.door.sign_ins import SignIns, new_recovery_codes
from rollcall_console.door.visitor import VISITOR, Visitor
from rollcall_console.web import forms
from rollcall_console.web.errors import NotFound
from rollcall_console.web.pages import Pages, see_other

ACCOUNT: Final = "/account"
FACTOR: Final = "/account/second-factor"
ISSUER: Final = "Rollcall"


@dataclass(frozen=True, slots=True)
class AccountViews:
    """The views and what they need."""

    pages: Pages
    database: Database
    sign_ins: SignIns
    passwords: Passwords
    sealer: Sealer
    fresh_s: float

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(ACCOUNT, self.show)
        app.router.add_get(f"{ACCOUNT}/password", self.ask_password)
        app.router.add_post(f"{ACCOUNT}/password", self.set_password)
        app.router.add_post(f"{ACCOUNT}/sessions", self.end_others)
        app.router.add_post(f"{FACTOR}/begin", self.begin_factor)
        app.router.add_get(FACTOR, self.ask_factor)
        app.router.add_post(FACTOR, self.confirm_factor)
        app.router.add_get(f"{FACTOR}.svg", self.picture)
        app.router.add_get(f"{FACTOR}/renew", self.ask_renewal)
        app.router.add_post(f"{FACTOR}/renew", self.renew_codes)
        app.router.add_get(f"{FACTOR}/remove", self.ask_removal)
        app.router.add_post(f"{FACTOR}/remove", self.remove_factor)

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        visitor = request[VISITOR]
        async with self.database.connection() as connection:
            open_sessions = await sessions.list_of(connection, visitor.account.id)
            left = await accounts.count_recovery_codes(connection, visitor.account.id)
        return self.pages.show(
            request, "account/page.html", sessions=open_sessions, codes_left=left
        )

    # Password

    async def ask_password(self, request: web.Request) -> web.Response:
        """The form for a new password; for a first one it must be fresh who asks."""
        if request[VISITOR].account.password_hash is None and not self._is_fresh(request):
            return see_other(f"{AGAIN}?to={ACCOUNT}/password")
        return self.pages.show(request, "account/password.html", problem=None)

    async def set_password(self, request: web.Request) -> web.Response:
        """Set a password; every other session ends."""
        visitor = request[VISITOR]
        form = await forms.read(request)
        stored = visitor.account.password_hash
        if stored is None and not self._is_fresh(request):
            return see_other(f"{AGAIN}?to={ACCOUNT}/password")
        problem = too_weak(form.get("new", ""))
        if stored is not None and not await self.passwords.matches(stored, form.get("old", "")):
            problem = "password.old_wrong"
        if problem is not None:
            return self.pages.show(request, "account/password.html", status=422, problem=problem)
        hashed = await self.passwords.hash(form["new"])
        async with self.database.transaction() as connection:
            await accounts.set_password(connection, visitor.account.id, hashed)
            await sessions.end_others(connection, visitor.account.id, visitor.digest)
            await accounts.record_act(
                connection, new_id(), "account.password", account_id=visitor.account.id
            )
        return see_other(ACCOUNT, "password")

    async def end_others(self, request: web.Request) -> web.Response:
        """End every other session."""
        visitor = request[VISITOR]
        async with self.database.connection() as connection:
            await sessions.end_others(connection, visitor.account.id, visitor.digest)
        return see_other(ACCOUNT, "sessions")

    def _is_fresh(self, request: web.Request) -> bool:
        return is_fresh(request[VISITOR], self.fresh_s, now(), is_sent=False)

    # Second factor

    async def begin_factor(self, request: web.Request) -> web.Response:
        """Make a secret, which counts once a code of it was typed."""
        visitor = request[VISITOR]
        if not visitor.account.has_second_factor:
            sealed = self.sealer.seal(
                secrets.token_bytes(codes.SECRET_BYTES), TOTP, visitor.account.id
            )
            async with self.database.connection() as connection:
                await accounts.set_totp(connection, visitor.account.id, sealed)
        return see_other(FACTOR)

    async def ask_factor(self, request: web.Request) -> web.Response:
        """The secret as a picture and as text, and the form for a first code."""
        secret = self._unconfirmed(request[VISITOR])
        return self._factor_form(request, secret)

    async def picture(self, request: web.Request) -> web.Response:
        """The picture that an authenticator app reads."""
        visitor = request[VISITOR]
        uri = codes.enrolment_uri(self._unconfirmed(visitor), visitor.account.email, ISSUER)
        body = BytesIO()
        segno.make(uri, error="m").save(body, kind="svg", scale=5, border=4, light="#fff")
        return web.Response(body=body.getvalue(), content_type="image/svg+xml", charset="utf-8")

    async def confirm_factor(self, request: web.Request) -> web.Response:
        """A first code: from now on one is asked for. Recovery codes are shown, this once."""
        visitor = request[VISITOR]
        secret = self._unconfirmed(visitor)
        typed = (await forms.read(request)).get("code", "")
        made = new_recovery_codes()
        async with self.database.transaction() as connection:
            is_right = await self.sign_ins.code_is_right(
                connection, visitor.account, typed, confirms=True
            )
            if is_right:
                await accounts.replace_recovery_codes(
                    connection, visitor.account.id, list(made.values())
                )
                await sessions.end_others(connection, visitor.account.id, visitor.digest)
                await accounts.record_act(
                    connection, new_id(), "account.factor", account_id=visitor.account.id
                )
        if not is_right:
            return self._factor_form(request, secret, status=422, problem="wrong")
        return self.pages.show(request, "account/codes.html", codes=list(made))

    async def ask_renewal(self, request: web.Request) -> web.Response:
        """The form for new recovery codes."""
        return self._code_form(request, "renew")

    async def renew_codes(self, request: web.Request) -> web.Response:
        """New recovery codes in the place of the old ones."""
        visitor = request[VISITOR]
        if not await self._shows_code(request, visitor):
            return self._code_form(request, "renew", status=422, problem="wrong")
        made = new_recovery_codes()
        async with self.database.transaction() as connection:
            await accounts.replace_recovery_codes(
                connection, visitor.account.id, list(made.values())
            )
        return self.pages.show(request, "account/codes.html", codes=list(made))

    async def ask_removal(self, request: web.Request) -> web.Response:
        """The form to take the second factor away."""
        return self._code_form(request, "remove")

    async def remove_factor(self, request: web.Request) -> web.Response:
        """Take the second factor and its recovery codes away."""
        visitor = request[VISITOR]
        if not await self._shows_code(request, visitor):
            return self._code_form(request, "remove", status=422, problem="wrong")
        async with self.database.transaction() as connection:
            await accounts.set_totp(connection, visitor.account.id, None)
            await accounts.replace_recovery_codes(connection, visitor.account.id, [])
            await accounts.record_act(
                connection, new_id(), "account.no_factor", account_id=visitor.account.id
            )
        return see_other(ACCOUNT, "factor_removed")

    async def _shows_code(self, request: web.Request, visitor: Visitor) -> bool:
        """Whether the form has a code of the second factor, or a recovery code."""
        if not visitor.account.has_second_factor:
            raise NotFound
        typed = (await forms.read(request)).get("code", "")[:64]
        return await self.sign_ins.by_code_again(visitor, typed)

    def _unconfirmed(self, visitor: Visitor) -> bytes:
        """The secret that is not confirmed yet. Raises NotFound where there is none."""
        account: Account = visitor.account
        if account.totp_sealed is None or account.totp_confirmed is not None:
            raise NotFound
        return self.sealer.open(account.totp_sealed, TOTP, account.id)

    def _factor_form(
        self, request: web.Request, secret: bytes, *, status: int = 200, problem: str | None = None
    ) -> web.Response:
        text = codes.base32(secret)
        groups = " ".join(text[at : at + 4] for at in range(0, len(text), 4))
        return self.pages.show(
            request, "account/factor.html", status=status, secret=groups, problem=problem
        )

    def _code_form(
        self, request: web.Request, what: str, *, status: int = 200, problem: str | None = None
    ) -> web.Response:
        if not request[VISITOR].account.has_second_factor:
            raise NotFound
        return self.pages.show(
            request, "account/code.html", status=status, what=what, problem=problem
        )
