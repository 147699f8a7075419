"""Errors of the admin API: `application/problem+json` (RFC 9457)."""

import math
from collections.abc import Mapping
from typing import Final

import orjson
from aiohttp import web

MEDIA_TYPE: Final = "application/problem+json"
TITLES: Final[Mapping[int, str]] = {
    400: "The request is wrong",
    401: "No key that opens anything",
    403: "The key may not do this",
    404: "There is no such thing",
    405: "The method is not offered here",
    409: "Not possible in this state",
    413: "The body is too long",
    415: "The body is no JSON",
    422: "Not possible",
    500: "A fault of ours",
    503: "Not possible right now",
}


class Problem(Exception):
    """An answer that is an error. `code` is a word that stays the same; `detail` is for people."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    def to_response(self) -> web.Response:
        """As aiohttp sends it."""
        body = {
            "type": "about:blank",
            "title": TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        return web.Response(
            status=self.status,
            body=orjson.dumps(body),
            headers={**self.headers, "Content-Type": MEDIA_TYPE},
        )


def not_found() -> Problem:
    """What is not there, and what is another organisation's: both look the same."""
    return Problem(404, "not_found", "There is nothing at this address that this key may see.")


def away(what: str, retry_after_s: float) -> Problem:
    """Kafka or Postgres does not answer."""
    seconds = max(1, math.ceil(retry_after_s))
    return Problem(
        503,
        "unavailable",
        f"{what} does not answer; try again in {seconds} seconds.",
        {"Retry-After": str(seconds)},
    )
