"""The edge of the admin API: key, scope, organisation, body; every error a problem.

A key is found by its public id and compared in constant time; whatever is wrong with one, the
answer is the same. A key of one organisation finds no other, exactly as if there were none.
"""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from rollcall.control.errors import ControlError
from rollcall.control.tenancy_log import NotThere
from rollcall.observability.logging import get_logger
from rollcall.postgres.console import console_api_keys as keys
from rollcall.postgres.console.console_api_keys import AdminKey, Scope
from rollcall.postgres.pool import Database
from rollcall.postgres.rows import is_storable
from rollcall.runtime.clock import now
from rollcall.runtime.errors import Unavailable
from rollcall.runtime.ids import new_id, parse_id
from rollcall.tenancy.api_key import matches, public_id_of
from rollcall.tenancy.organisation import Organisation
from rollcall_console.api.problems import Problem, away, not_found
from rollcall_console.tenants import Tenants

BASE: Final = "/admin/v1"
MAX_BYTES: Final = 64 * 1024
MAX_HEADER: Final = 256
READ_S: Final = 10.0
PAGE: Final = 50
MAX_PAGE: Final = 200
_NO_HASH: Final = "0" * 64
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}

log = get_logger()


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be served: by which key, on which organisation, with which body."""

    request: web.Request
    key: AdminKey
    at: Organisation | None
    body: Any

    @property
    def organisation(self) -> Organisation:
        """The organisation that the path names."""
        assert self.at is not None  # of a route with one in its path
        return self.at

    @property
    def by(self) -> str:
        """Who asks, as events name them."""
        return f"api-key:{self.key.public_id}"

    def part(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def asked(self, name: str, otherwise: str = "") -> str:
        """A parameter of the query."""
        return self.request.query.get(name, otherwise)

    @property
    def limit(self) -> int:
        """How many are asked for. Raises Problem."""
        text = self.asked("limit", str(PAGE))
        if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_PAGE):
            raise Problem(400, "limit", f"limit must be a whole number from 1 to {MAX_PAGE}.")
        return int(text)

    @property
    def after(self) -> str:
        """Behind what the page begins. Raises Problem."""
        return read_cursor(self.asked("after"))


Handler = Callable[[Call], Awaitable[BaseModel | None]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query, for the document."""

    name: str
    text: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `path` is below the base; `answer` None: nothing is answered (204)."""

    method: str
    path: str
    scope: Scope
    handler: Handler
    summary: str
    answer: type[BaseModel] | None
    body: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    status: int = 200

    @property
    def name(self) -> str:
        """As the table of rights names routes."""
        return f"{self.method} {BASE}{self.path}"


class Api:
    """Serves the operations."""

    def __init__(
        self, database: Database, tenants: Tenants, operations: Sequence[Operation]
    ) -> None:
        self._database = database
        self._tenants = tenants
        self.operations = operations
        self._patterns = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", each.path)), each.method) for each in operations
        ]

    def setup(self, app: web.Application, document: bytes) -> None:
        """Add the routes; `document` is that of OpenAPI."""

        async def described(_: web.Request) -> web.Response:
            return web.Response(body=document, content_type="application/json")

        app.router.add_get(f"{BASE}/openapi.json", described)
        for operation in self.operations:
            app.router.add_route(
                operation.method, f"{BASE}{operation.path}", self._serving(operation)
            )
        app.router.add_route("*", "/admin/{anything:.*}", self._nothing)

    def names(self) -> list[str]:
        """The routes, as the table of rights names them."""
        return [*(each.name for each in self.operations), f"GET {BASE}/openapi.json"]

    def _serving(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            try:
                found = await operation.handler(await self._admitted(request, operation))
            except Problem as problem:
                return problem.to_response()
            except NotThere:
                return not_found().to_response()
            except ControlError as error:
                return Problem(422, "not_possible", f"{error}.").to_response()
            except Unavailable as error:
                log.warning("page.unavailable", what=error.what)
                return away(error.what, error.retry_after_s).to_response()
            except Exception as error:  # the outermost edge: the client gets a reference
                return _failed(error)
            if found is None:
                return web.Response(status=204)
            return web.Response(
                status=operation.status,
                body=found.model_dump_json().encode(),
                content_type="application/json",
            )

        return serve

    async def _admitted(self, request: web.Request, operation: Operation) -> Call:
        key = await self._key(request)
        if not key.may(operation.scope):
            raise Problem(
                403, "scope", f"This key has not the scope {operation.scope}; make one that has."
            )
        known = {each.name for each in operation.parameters}
        if unknown := [name for name in request.query if name not in known]:
            raise Problem(400, "parameter", f"There is no parameter {unknown[0][:50]!r} here.")
        if any(not is_storable(value) for value in request.query.values()):
            raise Problem(400, "parameter", "A parameter has a character that cannot be.")
        organisation = await self._organisation(request, key)
        body = None if operation.body is None else await read_body(request, operation.body)
        return Call(request, key, organisation, body)

    async def _key(self, request: web.Request) -> AdminKey:
        """The key of a request. Raises Problem, Unavailable."""
        text = _bearer(request.headers.getall("Authorization", []))
        public_id = None if text is None else public_id_of(text, "ra")
        found = None
        if text is not None and public_id is not None:
            async with self._database.connection() as connection:
                found = await keys.find(connection, public_id)
                is_genuine = matches(text, _NO_HASH if found is None else found.sha256)
                if found is None or not is_genuine or not found.is_alive(now()):
                    found = None
                else:
                    await keys.touch(connection, found.public_id)
        if found is None:
            raise Problem(
                401,
                "key",
                "A key of the admin API is needed: Authorization: Bearer ra_…",
                _CHALLENGE,
            )
        return found

    async def _organisation(self, request: web.Request, key: AdminKey) -> Organisation | None:
        """The organisation of the path, if the key is for it. Raises Problem."""
        text = request.match_info.get("organisation")
        if text is None:
            return None
        if parse_id(text) != text or key.organisation_id not in (None, text):
            raise not_found()
        await self._tenants.is_current()
        found = self._tenants.organisation(text)
        if found is None:
            raise not_found()
        return found

    async def _nothing(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix(BASE)
        allowed = [method for pattern, method in self._patterns if pattern.fullmatch(path)]
        if not allowed:
            return not_found().to_response()
        return Problem(
            405, "method", "This method is not offered here.", {"Allow": ", ".join(allowed)}
        ).to_response()


async def read_body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    """The body of a request as its model. Raises Problem."""
    if request.content_type != "application/json":
        raise Problem(415, "media_type", "The body must be application/json.")
    body = bytearray()
    try:
        async with asyncio.timeout(READ_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MAX_BYTES:
                    raise Problem(413, "body", f"The body is longer than {MAX_BYTES} bytes.")
        return model.model_validate_json(bytes(body))
    except (TimeoutError, web.RequestPayloadError) as error:
        raise Problem(400, "body", "The body broke off before its end.") from error
    except ValidationError as error:
        raise Problem(400, "body", _explained(error)) from error


def write_cursor(*parts: str) -> str:
    """Where a page ends, as a word that only we read."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def read_cursor(text: str) -> str:
    """What `write_cursor` wrote; empty: the beginning. Raises Problem."""
    if not text:
        return ""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        [found] = orjson.loads(raw)
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, str) or not is_storable(found):
        raise Problem(400, "after", "after must be what `next` of another page was.")
    return found


def _explained(error: ValidationError) -> str:
    """The first mistake of a body: where, and what should be there; never the value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part)[:50] for part in first["loc"])
    return f"{where or 'The body'}: {first['msg']}."


def _bearer(headers: Sequence[str]) -> str | None:
    if len(headers) != 1 or len(headers[0]) > MAX_HEADER or not headers[0].isascii():
        return None
    scheme, _, token = headers[0].partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def _failed(error: Exception) -> web.Response:
    reference = new_id()
    log.error(
        "page.failed",
        reference=reference,
        error=type(error).__name__,
        exc_info=error,
        runbook="page-failed",
    )
    detail = f"The operator of Rollcall finds more at {reference}."
    return Problem(500, "failed", detail).to_response()
