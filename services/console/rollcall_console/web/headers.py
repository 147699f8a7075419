"""The headers of every answer. Nothing inline, nothing from elsewhere, no frame around it."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from rollcall.http.server import SERVER

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Server": SERVER,
}
HSTS: Final = "max-age=63072000; includeSubDomains"


def setup(app: web.Application, *, is_encrypted: bool) -> None:
    """Set the headers of every answer of `app`; HSTS where browsers speak TLS to it."""

    async def prepare(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        if is_encrypted:
            response.headers["Strict-Transport-Security"] = HSTS

    app.on_response_prepare.append(prepare)
