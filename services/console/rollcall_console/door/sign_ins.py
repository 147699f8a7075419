"""Signing in, step by step: what was typed → a session, or a reason why not.

The cookie is `__Host-session`, `Secure`, `HttpOnly`, `SameSite=Lax`. Over http on this machine
itself it is `session` without `Secure` (docs/decisions/0072). `Lax`, because an admin comes from
a link in a mail; what changes something is guarded by the origin (`web/origin.py`).
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from aiohttp import web

from rollcall.control import console_access
from rollcall.control.console_access import TOTP
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import CONSOLE_BREAK_GLASS, CONSOLE_SIGN_INS
from rollcall.postgres.console import console_accounts as accounts
from rollcall.postgres.console import console_sessions as sessions
from rollcall.postgres.console.console_accounts import Account
from rollcall.postgres.console.console_sessions import Limits, Method
from rollcall.postgres.pool import Database
from rollcall.postgres.rows import is_storable
from rollcall.runtime import clock
from rollcall.runtime.ids import new_id
from rollcall.runtime.sealed import Sealer
from rollcall_console.door import codes
from rollcall_console.door.passwords import Passwords
from rollcall_console.door.visitor import EveryRole, Visitor

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

Step = Literal["in", "second factor"]

log = get_logger()


class Locked(Exception):
    """Too many wrong attempts with this address; until when."""

    def __init__(self, until: datetime) -> None:
        super().__init__("locked")
        self.until = until


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: the cookie's value, and what comes next."""

    token: str
    account: Account
    step: Step


class SignIns:
    """Opens, finds and ends sessions."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        sealer: Sealer,
        limits: Limits,
        *,
        is_encrypted: bool,
        are_local_allowed: bool = True,
    ) -> None:
        self._are_local_allowed = are_local_allowed
        self._database = database
        self._passwords = passwords
        self._sealer = sealer
        self._limits = limits
        self._is_encrypted = is_encrypted
        self.cookie = "__Host-session" if is_encrypted else "session"

    # Cookies

    def set_cookie(self, response: web.Response, token: str) -> web.Response:
        """Hand the session to the browser."""
        response.set_cookie(
            self.cookie,
            token,
            path="/",
            secure=self._is_encrypted,
            httponly=True,
            samesite="Lax",
            max_age=int(self._limits.absolute_s),
        )
        return response

    def drop_cookie(self, response: web.Response) -> web.Response:
        """Take the session from the browser."""
        response.del_cookie(
            self.cookie, path="/", secure=self._is_encrypted, httponly=True, samesite="Lax"
        )
        return response

    # Sessions

    async def visitor(self, request: web.Request) -> Visitor | None:
        """Who asks; None without a session that is open. Raises Unavailable."""
        digest = console_access.digest(request.cookies.get(self.cookie, ""))
        if digest is None:
            return None
        async with self._database.connection() as connection:
            session = await sessions.touch(connection, digest, self._limits)
            if session is None:
                return None
            account = await accounts.find(connection, session.account_id)
            roles = await accounts.roles_of(connection, session.account_id)
        if account is None:
            return None
        has_all = account.is_break_glass
        return Visitor(account, session, digest, EveryRole() if has_all else roles)

    async def sign_out(self, request: web.Request) -> None:
        """End the session of a request. Raises Unavailable."""
        digest = console_access.digest(request.cookies.get(self.cookie, ""))
        if digest is not None:
            async with self._database.connection() as connection:
                await sessions.end(connection, digest)

    # Steps

    async def by_password(self, email: str, password: str) -> SignedIn | None:
        """A session, half open where a second factor is to come; None: something is wrong.

        Which of the two is wrong nobody learns, nor whether there is such an account. Raises
        Locked, Unavailable.
        """
        attempt = _attempt(email)
        async with self._database.connection() as connection:
            await self._check_not_locked(connection, attempt)
            account = (
                await accounts.find_by_email(connection, email) if is_storable(email) else None
            )
        stored = None if account is None or account.disabled else account.password_hash
        if account is not None and not self._are_local_allowed and not account.is_break_glass:
            stored = None  # everybody else comes by an issuer
        is_right = await self._passwords.matches(stored, password)
        async with self._database.transaction() as connection:
            if account is None or stored is None or not is_right:
                await self._note_failure(connection, attempt)
                return None
            if not account.has_second_factor:
                await accounts.forget_failures(connection, attempt)
            if self._passwords.is_outdated(stored):
                rehashed = await self._passwords.hash(password)
                await accounts.set_password(connection, account.id, rehashed)
            return await self._begin(
                connection, account, "password", is_half=account.has_second_factor
            )

    async def by_code(self, visitor: Visitor, typed: str) -> SignedIn | None:
        """The whole session after the second factor, or a recovery code, was typed.

        None: the code is wrong, or was used before. Raises Locked, Unavailable.
        """
        account = visitor.account
        attempt = _attempt(account.email)
        async with self._database.transaction() as connection:
            await self._check_not_locked(connection, attempt)
            method = await self.code_is_right(connection, account, typed)
            if method is None:
                await self._note_failure(connection, attempt)
                return None
            await accounts.forget_failures(connection, attempt)
            await sessions.end(connection, visitor.digest)
            return await self._begin(connection, account, method, is_half=False)

    async def by_code_again(self, visitor: Visitor, typed: str) -> bool:
        """Whether somebody who is signed in shows a code again, before an act that needs it.

        Wrong ones count as wrong attempts to sign in. Raises Locked, Unavailable.
        """
        attempt = _attempt(visitor.account.email)
        async with self._database.transaction() as connection:
            await self._check_not_locked(connection, attempt)
            method = await self.code_is_right(connection, visitor.account, typed)
            if method is None:
                await self._note_failure(connection, attempt)
                return False
            await accounts.forget_failures(connection, attempt)
            await sessions.confirm(connection, visitor.digest, method)
            return True

    async def by_password_again(self, visitor: Visitor, password: str, code: str) -> bool:
        """Whether somebody who is signed in shows password and code again.

        Wrong ones count as wrong attempts to sign in. Raises Locked, Unavailable.
        """
        account = visitor.account
        attempt = _attempt(account.email)
        async with self._database.connection() as connection:
            await self._check_not_locked(connection, attempt)
        is_right = await self._passwords.matches(account.password_hash, password)
        async with self._database.transaction() as connection:
            method: Method | None = "password" if is_right else None
            if method is not None and account.has_second_factor:
                method = await self.code_is_right(connection, account, code)
            if method is None:
                await self._note_failure(connection, attempt)
                return False
            await accounts.forget_failures(connection, attempt)
            await sessions.confirm(connection, visitor.digest, method)
            return True

    async def by_issuer(
        self,
        connection: "Connection",
        account: Account,
        issuer_id: str,
        issuer_session: str | None,
    ) -> SignedIn:
        """A session for somebody whom an issuer has shown to be this account."""
        return await self._begin(
            connection, account, "oidc", is_half=False,
            issuer_id=issuer_id, issuer_session=issuer_session,
        )  # fmt: skip

    async def by_link(self, token: str) -> SignedIn | None:
        """A session for a link that was not used yet; None where it does not work any more.

        Raises Unavailable.
        """
        digest = console_access.digest(token)
        if digest is None:
            return None
        async with self._database.transaction() as connection:
            account_id = await accounts.use_link(connection, digest)
            account = None if account_id is None else await accounts.find(connection, account_id)
            if account is None or account.disabled is not None:
                return None
            # A way in past password and second factor: always to be seen.
            log.warning("account.signed_in_by_link", account_id=account.id)
            return await self._begin(connection, account, "link", is_half=False)

    async def link_works(self, token: str) -> bool:
        """Whether a link would sign in. Raises Unavailable."""
        digest = console_access.digest(token)
        if digest is None:
            return False
        async with self._database.connection() as connection:
            return await accounts.find_link(connection, digest) is not None

    async def code_is_right(
        self, connection: "Connection", account: Account, typed: str, *, confirms: bool = False
    ) -> Method | None:
        """What was typed: a code of the second factor, a recovery code, or neither."""
        if account.totp_sealed is not None:
            secret = self._sealer.open(account.totp_sealed, TOTP, account.id)
            step = codes.step_of(secret, typed, clock.now().timestamp())
            if step is not None:
                is_new = await accounts.use_totp_step(
                    connection, account.id, step, confirms=confirms
                )
                return "totp" if is_new else None
        if confirms:
            return None
        is_recovery = await accounts.use_recovery_code(
            connection, account.id, codes.recovery_digest(typed)
        )
        return "recovery" if is_recovery else None

    async def _begin(
        self,
        connection: "Connection",
        account: Account,
        method: Method,
        *,
        is_half: bool,
        issuer_id: str | None = None,
        issuer_session: str | None = None,
    ) -> SignedIn:
        token = console_access.new_token()
        digest = console_access.digest(token)
        assert digest is not None  # it was made a line above
        await sessions.begin(
            connection, digest, account.id, method,
            is_half=is_half, issuer_id=issuer_id, issuer_session=issuer_session,
        )  # fmt: skip
        if not is_half:
            await accounts.record_act(
                connection, new_id(), f"signed_in.{method}", account_id=account.id
            )
            CONSOLE_SIGN_INS.labels(method).inc()
            if account.is_break_glass:
                await self._alarm(connection, account)
        return SignedIn(token, account, "second factor" if is_half else "in")

    async def _alarm(self, connection: "Connection", account: Account) -> None:
        """The account for an emergency is in use: audited, logged, counted for an alert."""
        await accounts.record_act(
            connection, new_id(), "signed_in.break_glass", account_id=account.id
        )
        CONSOLE_BREAK_GLASS.inc()
        log.warning(
            "account.break_glass_used", account_id=account.id, runbook="console-break-glass"
        )

    async def _check_not_locked(self, connection: "Connection", attempt: bytes) -> None:
        until = await accounts.locked_until(connection, attempt)
        if until is not None:
            raise Locked(until)

    async def _note_failure(self, connection: "Connection", attempt: bytes) -> None:
        until = await accounts.note_failure(connection, attempt)
        log.info("account.attempt_failed", is_locked=until is not None)


def _attempt(email: str) -> bytes:
    return hashlib.sha256(accounts.email_key(email).encode("utf-8", "replace")).digest()


def new_recovery_codes() -> Mapping[str, bytes]:
    """Codes as they are shown once, each with what is stored of it."""
    made = [codes.recovery_code(secrets.token_bytes(16)) for _ in range(codes.RECOVERY_CODES)]
    return {code: codes.recovery_digest(code) for code in made}
