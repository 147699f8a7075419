"""The outermost edge of the SCIM side: authenticate, serve the route, turn errors into answers.

Every request below `/v2/` is authenticated here, before its handler is called. Addresses that do
not exist are no exception, so a 404 or a 405 tells a stranger nothing about what there is.
"""

import asyncio
import re
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from aiohttp import web
from prometheus_client import Counter, Histogram

from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import INGRESS_ANSWER_SECONDS, INGRESS_ANSWERS, INGRESS_REFUSALS
from rollcall.runtime.clock import now
from rollcall.runtime.errors import Unacknowledged, Unavailable
from rollcall.scim.errors import (
    Internal,
    InvalidVers,
    MethodNotAllowed,
    NotFound,
    ScimError,
    from_parts,
)
from rollcall.tenancy.limits import Network
from rollcall_ingress.door import access
from rollcall_ingress.door.access import METHODS, AccessLine, count_refusal
from rollcall_ingress.door.admission import LARGE_ANSWER_BYTES, Admission
from rollcall_ingress.door.answer import Answer, error_answer, unavailable
from rollcall_ingress.door.authenticate import Authenticator, Principal, Use
from rollcall_ingress.door.client_address import HEADER, client_address
from rollcall_ingress.door.key_use import KeyUse
from rollcall_ingress.door.routes import Arrival, Route, Target, read_target, route_key_of

_OTHER_VERSION: Final = re.compile(r"/v[0-9]{1,3}(?:\.[0-9]{1,3})?(?:[/?]|$)", re.ASCII)

log = get_logger()


class Door:
    """Serves all SCIM requests; `handle` is the only aiohttp handler of that side.

    `trusted` are the networks of proxies that are believed about a client's address.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        authenticator: Authenticator,
        key_use: KeyUse,
        admission: Admission,
        trusted: Sequence[Network] = (),
    ) -> None:
        self._trusted = trusted
        self._routes = {route.key: route for route in routes}
        self._authenticator = authenticator
        self._key_use = key_use
        self._admission = admission
        self.is_draining = False

    async def handle(self, http: web.Request) -> web.Response:
        """One request; raises nothing but its own cancellation."""
        began_s = time.perf_counter()
        line = access.line()
        with ExitStack() as held:
            try:
                answer = await self._serve(http, line)
                if len(answer.body) >= LARGE_ANSWER_BYTES:
                    held.enter_context(self._room_for(http, len(answer.body)))
            except ScimError as error:
                answer = error_answer(error)
                line.refuse(error.scim_type or _name(error))
            except Unavailable as error:
                answer = error_answer(unavailable(error))
                INGRESS_REFUSALS.labels("unavailable").inc()
                is_unknown = isinstance(error, Unacknowledged)
                line.refuse("unacknowledged" if is_unknown else "unavailable")
                line.what = error.what
            except Exception as error:  # the outermost edge: our bug, and the request's end
                answer = _internal(error, line)
            line.is_pending = answer.is_pending
            method = http.method if http.method in METHODS else "other"
            _counter(method, answer.status, answer.is_pending).inc()
            _seconds(method).observe(time.perf_counter() - began_s)
            response = answer.to_response()
            if self.is_draining:
                response.force_close()
            if len(answer.body) >= LARGE_ANSWER_BYTES:
                await _send(http, response)
            return response

    def _room_for(self, http: web.Request, size: int) -> AbstractContextManager[None]:
        """Room for a large answer, in the share of the organisation that was authenticated.

        That is the one in the address: no other spelling of its id opens it. Raises Unavailable for
        a read without room.
        """
        target = read_target(http.raw_path)
        organisation_id = target.organisation if target is not None else ""
        is_read = http.method in ("GET", "HEAD") or http.path.endswith("/.search")
        return self._admission.hold_answer(organisation_id, size, may_refuse=is_read)

    async def _serve(self, http: web.Request, line: AccessLine) -> Answer:
        target = read_target(http.raw_path)
        if target is None:
            if _OTHER_VERSION.match(http.raw_path):
                raise InvalidVers
            raise NotFound("There is nothing at this address; SCIM is below /v2/.")
        route = self._routes.get(route_key_of(target)) if target.is_known else None
        if route is not None:
            line.route = route.template
        # HEAD is GET without the body (RFC 9110 §9.3.2), which the server leaves out by itself.
        method = "GET" if http.method == "HEAD" else http.method
        at = now()
        is_write = route is not None and method in route.writes
        use = Use(
            () if route is None else route.scopes(method),
            client_address(http.remote, http.headers.getall(HEADER, ()), self._trusted),
        )
        principal = await self._authenticate(http, target, use, is_write=is_write, at=at)
        if route is None:
            raise NotFound("There is nothing at this address; ResourceTypes lists what there is.")
        handler = route.methods.get(method)
        if handler is None:
            raise MethodNotAllowed(_allowed(route))
        target = replace(target, endpoint=route.endpoint)
        return await handler(Arrival(http, target, principal, at, line.request_id))

    async def _authenticate(
        self, http: web.Request, target: Target, use: Use, *, is_write: bool, at: datetime
    ) -> Principal:
        """The sender; the use of its key is noted. Raises as `Authenticator.authenticate` does."""
        principal = await self._authenticator.authenticate(
            http.headers.getall("Authorization", ()),
            target.organisation,
            is_write=is_write,
            at=at,
            use=use,
        )
        self._key_use.note(principal.key.public_id, at)
        return principal


async def _send(http: web.Request, response: web.Response) -> None:
    """Write a large answer now, so that it is counted until the client has taken it."""
    with suppress(ConnectionError):  # the client went away, or took nothing for too long
        await response.prepare(http)
        await response.write_eof()


def _allowed(route: Route) -> tuple[str, ...]:
    heads = ("HEAD",) if "GET" in route.methods else ()
    return (*route.methods, *heads)


@lru_cache(maxsize=1024)
def _counter(method: str, status: int, is_pending: bool) -> Counter:
    return INGRESS_ANSWERS.labels(method, str(status), "pending" if is_pending else "decided")


@lru_cache(maxsize=64)
def _seconds(method: str) -> Histogram:
    return INGRESS_ANSWER_SECONDS.labels(method)


def malformed(status: int) -> web.Response:
    """The answer to an invalid HTTP message; 500 where a handler outside this one failed."""
    count_refusal("malformed_http")
    if status >= 500:
        return error_answer(Internal()).to_response()
    error = from_parts(
        status, None, "The request is no valid HTTP message; check its first line and headers."
    )
    return error_answer(error).to_response()


async def expect_later(_: web.Request) -> None:
    """Delay `100 Continue` until `read_body` needs the body."""
    await asyncio.sleep(0)


def _name(error: ScimError) -> str:
    """The name of an error without a `scimType`, written as those are: `notFound`."""
    name = type(error).__name__
    return name[0].lower() + name[1:]


def _internal(error: Exception, line: AccessLine) -> Answer:
    """500 with the id to find the log line by. The line has source places and no values."""
    places = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    log.error("request.failed", error=type(error).__name__, places=places)
    line.refuse(_name(Internal()))
    return error_answer(Internal(f"{Internal.__doc__} Request id: {line.request_id}."))
