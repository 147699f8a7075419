"""What stands before every view: origin, session, and a page for every error.

A visitor who is not signed in is sent to sign in, and back afterwards. Organisations of others are
not found, exactly as those that do not exist.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from aiohttp import web

from rollcall.control.errors import ControlError
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import CONSOLE_ANSWER_SECONDS
from rollcall.runtime.clock import now
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id
from rollcall_console.door.again import AGAIN, is_fresh
from rollcall_console.door.sign_ins import Locked, SignIns
from rollcall_console.door.visitor import MAY_ACT, MAY_OWN, VISITOR, Visitor
from rollcall_console.web import origin
from rollcall_console.web.errors import MayNot, NotFound, Refused
from rollcall_console.web.forms import BadForm
from rollcall_console.web.pages import Pages, see_other
from rollcall_console.web.rights import Need, Right, right_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
API: Final = "/admin/"
NO_BROWSER: Final = (API, "/sign-in/issuers/")
"""Beginnings of paths that programs ask for: they have no origin and no session."""

log = get_logger()


class Guard:
    """The middleware of the console."""

    def __init__(self, pages: Pages, sign_ins: SignIns, root_url: str, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._pages = pages
        self._sign_ins = sign_ins
        self._root_url = root_url

    @web.middleware
    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request, and measure it."""
        began_s = time.perf_counter()
        answer = await self._answered(request, handler)
        side = "api" if request.path.startswith(API) else "pages"
        CONSOLE_ANSWER_SECONDS.labels(side, f"{answer.status // 100}xx").observe(
            time.perf_counter() - began_s
        )
        return answer

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await self._admitted(request, handler)
        except NotFound:
            return self._error(request, 404, "not_found")
        except MayNot as error:
            return self._error(request, 403, "may_not", who=error.who)
        except BadForm:
            return self._error(request, 400, "bad_form")
        except Locked as error:
            seconds = max(1.0, (error.until - now()).total_seconds())
            return self._pages.show(request, "locked.html", status=429, seconds=seconds)
        except Refused as error:
            return self._pages.show(
                request, "refused_act.html", status=422, key=error.key, values=error.values
            )
        except ControlError as error:
            return self._pages.show(
                request, "refused_act.html", status=422, key="error.control",
                values={"why": str(error)},
            )  # fmt: skip
        except Unavailable as error:
            log.warning("page.unavailable", what=error.what)
            return self._error(request, 503, "unavailable", what=error.what)
        except Exception as error:  # the outermost edge: the visitor gets a page, the log the rest
            return self._failed(request, error)

    async def _admitted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(("/static/", *NO_BROWSER)):
            return await handler(request)
        right = right_of(request)
        if not origin.is_ours(request.method, request.headers, self._root_url):
            return self._error(request, 403, "foreign")
        visitor = await self._sign_ins.visitor(request)
        if visitor is not None and not visitor.session.is_half:
            request[VISITOR] = visitor
            _check(right, visitor, request.match_info.get("organisation", ""))
            if right.fresh and not self._is_fresh(request, visitor):
                return self._to_again(request)
        elif right.need is not Need.ANYBODY:
            return self._to_sign_in(request)
        return await handler(request)

    def _is_fresh(self, request: web.Request, visitor: Visitor) -> bool:
        is_sent = request.method not in origin.SAFE
        return is_fresh(visitor, self._fresh_s, now(), is_sent=is_sent)

    def _to_again(self, request: web.Request) -> web.Response:
        """Who the visitor is has to be shown again; a form that is sent goes back to its page."""
        return see_other(f"{AGAIN}?to={quote(request.path, safe='')}")

    def _to_sign_in(self, request: web.Request) -> web.Response:
        if request.headers.get("HX-Request"):
            # A part of a page: the page itself is asked for again, and leads to the sign-in.
            return web.Response(status=401, headers={"HX-Refresh": "true"})
        if request.method not in origin.SAFE:
            return self._error(request, 401, "session_over")
        return see_other(f"/sign-in?to={quote(request.path_qs, safe='')}")

    def _failed(self, request: web.Request, error: Exception) -> web.Response:
        reference = new_id()
        log.error(
            "page.failed",
            reference=reference,
            error=type(error).__name__,
            exc_info=error,
            runbook="page-failed",
        )
        return self._error(request, 500, "failed", reference=reference)

    def _error(self, request: web.Request, status: int, kind: str, **values: str) -> web.Response:
        return self._pages.show(
            request, "error.html", status=status, kind=kind, status_code=status, values=values
        )


def _check(right: Right, visitor: Visitor, organisation_id: str) -> None:
    """Raise NotFound or MayNot where the visitor lacks what the route needs."""
    if right.need is Need.OPERATE and not visitor.is_operator:
        raise NotFound
    if right.need in (Need.SEE, Need.ACT, Need.OWN):
        role = visitor.role_in(organisation_id)
        if role is None:
            raise NotFound
        if right.need is Need.ACT and role not in MAY_ACT:
            raise MayNot("admin")
        if right.need is Need.OWN and role not in MAY_OWN:
            raise MayNot("owner")
