"""The pages for a sign-in by an issuer, and where issuers announce that a session is over."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from rollcall.observability.logging import get_logger
from rollcall_console.door.oidc.claims import NotAccepted
from rollcall_console.door.oidc.flow import CALLBACK, FLOW_S, Answer, Begun, OidcSignIns
from rollcall_console.door.sign_ins import SignIns
from rollcall_console.door.visitor import VISITOR
from rollcall_console.web import forms
from rollcall_console.web.errors import NotFound
from rollcall_console.web.pages import Pages, local_path, see_other

MAX_PARAMETER: Final = 4096

log = get_logger()


@dataclass(frozen=True, slots=True)
class OidcViews:
    """The views; `is_encrypted`: whether cookies may be `Secure`."""

    pages: Pages
    oidc: OidcSignIns
    sign_ins: SignIns
    is_encrypted: bool

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/sign-in/with/{issuer}", self.begin)
        app.router.add_get("/sign-in/again/issuer", self.begin_again)
        app.router.add_get(CALLBACK, self.finish)
        app.router.add_post("/sign-in/issuers/{issuer}/logout", self.log_out)

    async def begin(self, request: web.Request) -> web.Response:
        """To the issuer."""
        issuer = await self.oidc.find(request.match_info["issuer"])
        if issuer is None:
            raise NotFound
        to = local_path(request.query.get("to"))
        try:
            return self._away(await self.oidc.begin(issuer, to))
        except NotAccepted as error:
            return self._refused(request, error)

    async def begin_again(self, request: web.Request) -> web.Response:
        """To the issuer, to show again who one is."""
        account = request[VISITOR].account
        issuer = await self.oidc.issuer_of(account.id)
        if issuer is None:
            raise NotFound
        to = local_path(request.query.get("to"))
        try:
            return self._away(await self.oidc.begin(issuer, to, again_for=account.id))
        except NotAccepted as error:
            return self._refused(request, error)

    async def finish(self, request: web.Request) -> web.Response:
        """Back from the issuer."""
        given = request.query
        try:
            for name in ("state", "code", "iss"):
                if len(given.getall(name, [])) > 1 or len(given.get(name, "")) > MAX_PARAMETER:
                    raise NotAccepted("state")
            answer = Answer(
                token=request.cookies.get(self._cookie, ""),
                state=given.get("state", ""),
                code=given.get("code"),
                error=given.get("error"),
                issuer=given.get("iss"),
            )
            made, to = await self.oidc.finish(answer)
        except NotAccepted as error:
            return self._refused(request, error)
        before = request.get(VISITOR)
        if before is not None:
            await self.sign_ins.sign_out(request)
        return self._forget(self.sign_ins.set_cookie(see_other(to), made.token))

    async def log_out(self, request: web.Request) -> web.Response:
        """An issuer says that a session is over (Back-Channel Logout 1.0 §2.5): from no browser."""
        issuer = await self.oidc.find(request.match_info["issuer"])
        if issuer is None:
            return web.json_response({"error": "invalid_request"}, status=400)
        try:
            form = await forms.read(request)
            await self.oidc.log_out(issuer, form.get("logout_token"))
        except (NotAccepted, forms.BadForm) as error:
            why = error.why if isinstance(error, NotAccepted) else "form"
            log.warning("account.issuer_refused", why=why)
            return web.json_response({"error": "invalid_request"}, status=400)
        return web.Response(status=200)

    @property
    def _cookie(self) -> str:
        return "__Host-flow" if self.is_encrypted else "flow"

    def _away(self, begun: Begun) -> web.Response:
        response = web.Response(status=303, headers={"Location": begun.url})
        response.set_cookie(
            self._cookie, begun.token, path="/", secure=self.is_encrypted, httponly=True,
            samesite="Lax", max_age=int(FLOW_S),
        )  # fmt: skip
        return response

    def _forget(self, response: web.Response) -> web.Response:
        response.del_cookie(
            self._cookie, path="/", secure=self.is_encrypted, httponly=True, samesite="Lax"
        )
        return response

    def _refused(self, request: web.Request, error: NotAccepted) -> web.Response:
        log.warning("account.issuer_refused", why=error.why)
        status = 503 if error.why == "unreachable" else 403
        page = self.pages.show(request, "sign_in/issuer_refused.html", status=status, why=error.why)
        return self._forget(page)
