"""The invitation page: the one page of this door for people, not for identity providers.

The link of a mail names the organisation in its path and carries the token in its fragment, which
no browser sends. The page's script puts the token into a form; *Accept* posts it to the same path,
and an acceptance request goes the same way as any other change. A token is genuine if its HMAC is;
whether it is still open (status, invitation, expiry by append time) the decision says.

Answers are always pages, never SCIM bodies. A wrong organisation and a malformed one look alike.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rollcall.directory.invitation_link import InvalidToken, read_token
from rollcall.events.bodies import Accept
from rollcall.events.reply import Reply
from rollcall.events.request import Request, Settings
from rollcall.http.server import SERVER
from rollcall.observability.logging import get_logger
from rollcall.runtime import clock
from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import ScimError
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.door import access
from rollcall_ingress.invitation_form import BadForm, Forms

log = get_logger()
Language = Literal["en", "nl"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "nl")
RETRY_AFTER_S: Final = 10
ROUTE: Final = "/invitation/{organisation}"
_PAGES: Final = Path(__file__).parent / "pages"
_TEXTS: Final[dict[str, dict[str, str]]] = orjson.loads((_PAGES / "texts.json").read_bytes())
_STATIC: Final = {
    "accept.js": ("text/javascript", (_PAGES / "accept.js").read_bytes()),
    "page.css": ("text/css", (_PAGES / "page.css").read_bytes()),
}
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(_PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
    "Server": SERVER,
}


HTTPS_ONLY: Final[Mapping[str, str]] = {"Strict-Transport-Security": "max-age=31536000"}
"""RFC 6797: a year, for this host alone and not for those below it."""
PAGE_HEADERS: Final = web.AppKey("invitation_headers", dict[str, str])


class Submitted(Protocol):
    """The result of the write path: the reply, or None while the change is accepted and pending."""

    @property
    def reply(self) -> Reply | None: ...


@dataclass(frozen=True, slots=True)
class InvitationPage:
    """What the page needs: the organisations, the write path, the secret, our own address.

    `admit` gives a seat for as long as an acceptance lasts, or raises Unavailable.
    """

    find_organisation: Callable[[str], Organisation | None]
    submit: Callable[[Request], Awaitable[Submitted]]
    secret: bytes
    public_url: str
    admit: Callable[[], AbstractContextManager[object]] = nullcontext
    forms: Forms = field(default_factory=Forms)


def setup(app: web.Application, page: InvitationPage) -> None:
    """Add the routes below `/invitation` to the door. They need no key."""
    is_https = page.public_url.startswith("https://")
    headers: dict[str, str] = {**HEADERS, **(HTTPS_ONLY if is_https else {})}
    app[PAGE_HEADERS] = headers
    for name in _STATIC:
        app.router.add_get(f"/invitation/{name}", _serve_static)

    async def show(request: web.Request) -> web.Response:
        return await _guard(page, request, _show)

    async def accept(request: web.Request) -> web.Response:
        return await _guard(page, request, _accept)

    async def refuse(request: web.Request) -> web.Response:
        return await _guard(page, request, _refuse)

    app.router.add_get("/invitation/{organisation_id}", show)
    app.router.add_post("/invitation/{organisation_id}", accept)
    app.router.add_route("*", "/invitation/{organisation_id}", refuse)
    app.router.add_route("*", "/invitation{rest:(/.*)?}", _nowhere)


async def _nowhere(request: web.Request) -> web.Response:
    return _message(request, None, "not_found", 404)


async def _serve_static(request: web.Request) -> web.Response:
    name = request.path.rpartition("/")[2]
    kind, body = _STATIC[name]
    access.line().route = f"/invitation/{name}"
    own: dict[str, str] = request.app[PAGE_HEADERS]
    headers = {**own, "Cache-Control": "public, max-age=300"}
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


Action = Callable[[InvitationPage, web.Request, Organisation], Awaitable[web.Response]]


async def _guard(page: InvitationPage, request: web.Request, action: Action) -> web.Response:
    """The outermost edge of this page: whatever happens, a person sees a page."""
    line = access.line()
    line.route = ROUTE
    organisation = page.find_organisation(request.match_info["organisation_id"])
    if organisation is None:
        return _message(request, None, "not_found", 404)
    line.organisation_id = organisation.id
    try:
        return await action(page, request, organisation)
    except Exception as error:  # outermost edge
        log.error("request.failed", route=ROUTE, error=type(error).__name__, exc_info=True)
        return _message(request, organisation, "failed", 500)


async def _show(
    page: InvitationPage, request: web.Request, organisation: Organisation
) -> web.Response:
    language = _language(request, organisation)
    other: Language = "nl" if language == "en" else "en"
    text = _TEXTS[language]
    return _html(
        request,
        _TEMPLATES.get_template("invitation.html").render(
            language=language,
            other_language=other,
            title=text["invitation_title"].format(organisation=organisation.name),
            text=text,
            other_text=_TEXTS[other],
            organisation=organisation.name,
            organisation_id=organisation.id,
        ),
    )


async def _refuse(
    page: InvitationPage, request: web.Request, organisation: Organisation
) -> web.Response:
    return _message(request, organisation, "method", 405, {"Allow": "GET, HEAD, POST"})


async def _accept(
    page: InvitationPage, request: web.Request, organisation: Organisation
) -> web.Response:
    """The steps in order: form → token → seat → request event → the way of every change → page.

    A seat is given to a genuine token only, from the page's own small share.
    """
    if not _is_own_page(request, page.public_url):
        return _message(request, organisation, "forbidden", 403)
    try:
        token = await page.forms.read_token(request)
        member_id, invitation_id, expires = read_token(page.secret, token, organisation.id)
    except (BadForm, InvalidToken):
        return _message(request, organisation, "invalid", 400)
    if expires <= clock.now():
        return _message(request, organisation, "expired", 410)
    acceptance = _acceptance(organisation, member_id, invitation_id, expires)
    try:
        with page.admit():
            submitted = await page.submit(acceptance)
    except Unavailable as error:
        return _unavailable(request, organisation, error.retry_after_s)
    except ScimError as error:
        if error.status in (429, 503):
            retry_after_s = getattr(error, "retry_after_s", RETRY_AFTER_S)
            return _unavailable(request, organisation, retry_after_s)
        return _verdict(request, organisation, error.status)
    if submitted.reply is None or submitted.reply.is_parked:
        access.line().is_pending = True
        return _message(request, organisation, "pending", 200)
    return _verdict(request, organisation, submitted.reply.status)


def _acceptance(
    organisation: Organisation, member_id: str, invitation_id: str, expires: datetime
) -> Request:
    return Request(
        id=access.line().request_id,
        endpoint="Users",
        organisation_id=organisation.id,
        resource_id=member_id,
        time=clock.now(),
        body=Accept(invitation_id, expires),
        settings=Settings(
            profile=organisation.profile,
            unique_group_names=organisation.unique_group_names,
            confirm_on_accept=organisation.confirm_on_accept,
            unique_external_ids=organisation.unique_external_ids,
        ),
        actor="invitation",
    )


def _verdict(request: web.Request, organisation: Organisation, status: int) -> web.Response:
    """The page for what the decision said: accepted, no longer open, or our own bug."""
    if status < 300:
        return _message(request, organisation, "accepted", 200)
    if status < 500:
        return _message(request, organisation, "over", 410)
    return _message(request, organisation, "failed", 500)


def _is_own_page(request: web.Request, public_url: str) -> bool:
    """Whether the form was posted by our own page, as far as the browser says.

    `Sec-Fetch-Site` decides where it is sent. `Origin: null` is what a browser sends for our own
    form, because the page's referrer policy hides its origin.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    if origin is None or origin == "null":
        return True
    own = urlsplit(public_url)
    return origin.lower() == f"{own.scheme}://{own.netloc}".lower()


def _language(request: web.Request, organisation: Organisation | None) -> Language:
    """The one asked for by `?lang=`, else the organisation's, else English."""
    asked = request.query.get("lang")
    for language in LANGUAGES:
        if asked == language:
            return language
    return organisation.language if organisation is not None else "en"


def _unavailable(
    request: web.Request, organisation: Organisation, retry_after_s: float
) -> web.Response:
    retry_after = {"Retry-After": str(max(1, round(retry_after_s)))}
    return _message(request, organisation, "unavailable", 503, retry_after)


def _message(
    request: web.Request,
    organisation: Organisation | None,
    name: str,
    status: int,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    if status >= 400:
        access.line().refuse(name)
    language = _language(request, organisation)
    text = _TEXTS[language]
    names: dict[str, Any] = {"organisation": organisation.name if organisation else ""}
    page = _TEMPLATES.get_template("message.html").render(
        language=language,
        title=text[f"{name}_title"],
        message=text[name].format(**names),
        role="status" if status < 400 else "alert",
    )
    return _html(request, page, status, headers)


def _html(
    request: web.Request, page: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    own: dict[str, str] = request.app[PAGE_HEADERS]
    return web.Response(
        text=page,
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={**own, **(headers or {})},
    )
