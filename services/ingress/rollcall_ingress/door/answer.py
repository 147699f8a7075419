"""An answer of the SCIM side as status, headers and bytes, and the errors that all steps share.

How Users and Groups are shown is in read/show.py, what a write is answered with in
write/write_answer.py.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson
from aiohttp import web

from rollcall.runtime.errors import Unacknowledged, Unavailable
from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import NO_HEADERS, ScimError, ServiceUnavailable

MEDIA_TYPE: Final = "application/scim+json; charset=utf-8"
OUTCOME: Final = "Rollcall-Outcome"
PENDING: Final = "pending"
PARKED: Final = "parked"
UNKNOWN_RETRY_AFTER_S: Final = 5.0
_BASE_HEADERS: Final = {"Cache-Control": "no-store", "Server": "rollcall"}
_BODY_HEADERS: Final = {**_BASE_HEADERS, "Content-Type": MEDIA_TYPE}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and the bytes of the body, empty for none."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_pending(self) -> bool:
        """Whether the answer was given before the change was applied."""
        return self.headers.get(OUTCOME) in (PENDING, PARKED)

    def to_response(self) -> web.Response:
        """The answer as aiohttp sends it."""
        base = _BODY_HEADERS if self.body else _BASE_HEADERS
        return web.Response(
            status=self.status, body=self.body or None, headers={**base, **self.headers}
        )


def json_answer(
    document: Json, status: int = 200, headers: Mapping[str, str] = NO_HEADERS
) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, orjson.dumps(document), headers)


def error_answer(error: ScimError) -> Answer:
    """The SCIM error of RFC 7644 §3.12 with its headers."""
    return Answer(error.status, orjson.dumps(error.body()), error.headers)


def unavailable(error: Unavailable) -> ServiceUnavailable:
    """503 with a Retry-After that is jittered, so that clients do not come back at once."""
    retry_after_s = max(1, math.ceil(error.retry_after_s * _spread()))
    if isinstance(error, Unacknowledged):
        return ServiceUnavailable(
            retry_after_s,
            f"{error.what[:1].upper()}{error.what[1:]} did not say in time whether it has the "
            "change, so it may have been applied, or may yet be; read the resource in "
            f"{retry_after_s} seconds, then repeat the request if the change is not there.",
        )
    return ServiceUnavailable(
        retry_after_s,
        f"{error.what[:1].upper()}{error.what[1:]} cannot be used at the moment, so nothing was "
        f"done; repeat the request in {retry_after_s} seconds.",
    )


def unheard_outcome() -> ServiceUnavailable:
    """503 for a request on the log that may be refused; that could be neither read nor noted."""
    retry_after_s = math.ceil(UNKNOWN_RETRY_AFTER_S * _spread())
    return ServiceUnavailable(
        retry_after_s,
        "The change is accepted, and whether it was refused could not be read, so it may have been "
        f"applied, or may yet be; read the resource in {retry_after_s} seconds, then repeat the "
        "request if the change is not there.",
    )


def unknown_outcome() -> ServiceUnavailable:
    """503 for a request with a precondition that is on the log and was not decided in time."""
    retry_after_s = math.ceil(UNKNOWN_RETRY_AFTER_S * _spread())
    return ServiceUnavailable(
        retry_after_s,
        "Whether the condition held was not decided in time, so the outcome of the request is not "
        f"known; read the resource in {retry_after_s} seconds, before you repeat the request.",
    )


def undecided() -> ServiceUnavailable:
    """503 for a request on the log whose decision was not known in time."""
    retry_after_s = math.ceil(UNKNOWN_RETRY_AFTER_S * _spread())
    return ServiceUnavailable(
        retry_after_s,
        "The change is accepted, and what it comes to was not decided in time, so it may have been "
        f"applied, or may yet be; read the resource in {retry_after_s} seconds, then repeat the "
        "request if the change is not there.",
    )


def _spread() -> float:
    """A jitter from 1 to 2."""
    return 1.0 + random.random()  # noqa: S311 - no secret
