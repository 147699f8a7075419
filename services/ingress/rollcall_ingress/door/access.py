"""The id of each request, and its line in the log.

The id is made once, where the head of the request was read. Every answer has it as
`Rollcall-Request-Id`, every line that is logged for the request as `request_id`, and a write gives
it to its event. So it names the same change in the log, in Kafka, in the audit and in
`rollcall trace`.

A request has one line, written after its answer. It has ids of ours and words of ours: never a
path, a query, a header, a name or an address. The one exception is the client's own `X-Request-Id`,
where it is bounded in length and characters; it goes into the line and the answer and nowhere else.
"""

import re
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from rollcall.http.observer import Ending
from rollcall.observability.logging import bind_request, get_logger
from rollcall.observability.metrics import INGRESS_REFUSALS
from rollcall.runtime.ids import new_id

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
REQUEST_ID: Final = "Rollcall-Request-Id"
CLIENT_REQUEST_ID: Final = "X-Request-Id"
MAX_CLIENT_REQUEST_ID: Final = 128
_CLIENT_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:+/=-]*", re.ASCII)
"""What ids are made of: UUIDs, ULIDs, base64, trace ids. No `@`, so it is no e-mail address."""
_KEY: Final = "rc_"
"""How API keys begin."""

log = get_logger()


@dataclass(slots=True)
class AccessLine:
    """What is known of a request that its line may say.

    `route` is the template of the address, None where there is nothing. `reason` is why it was
    refused, `what` what could not be used.
    """

    request_id: str = field(default_factory=new_id)
    client_request_id: str | None = None
    method: str = "other"
    route: str | None = None
    organisation_id: str | None = None
    key_id: str | None = None
    is_pending: bool = False
    reason: str | None = None
    what: str | None = None
    began_s: float = field(default_factory=time.perf_counter)

    def refuse(self, reason: str) -> None:
        """Note why the request is refused; the first reason stays."""
        self.reason = self.reason or reason

    def values(self, status: int | None) -> dict[str, Any]:
        """The fields of the line; what is not known is left out."""
        found = {
            "method": self.method,
            "route": self.route,
            "status": status,
            "ms": round((time.perf_counter() - self.began_s) * 1000, 1),
            "organisation_id": self.organisation_id,
            "key_id": self.key_id,
            "pending": self.is_pending,
            "reason": self.reason,
            "what": self.what,
            "client_request_id": self.client_request_id,
        }
        return {name: value for name, value in found.items() if value is not None}


_LINE: ContextVar[AccessLine] = ContextVar("access_line")


def line() -> AccessLine:
    """The line of the request that is being served; one that nobody logs where there is none."""
    return _LINE.get(None) or AccessLine()


def count_refusal(reason: str) -> None:
    """Count a refusal of the door, and say its reason in the request's line."""
    INGRESS_REFUSALS.labels(reason).inc()
    line().refuse(reason)


def read_client_request_id(values: Sequence[str]) -> str | None:
    """The client's own id of its request, from all headers of that name; None if it is none.

    At most 128 characters of those in ids. What may hold an API key is ignored.
    """
    if len(values) != 1:
        return None
    value = values[0]
    if len(value) > MAX_CLIENT_REQUEST_ID or _KEY in value:
        return None
    if _CLIENT_REQUEST_ID.fullmatch(value) is None:
        return None
    return value


class AccessLog:
    """Gives each request its id and writes its line; the observer of the door's listener."""

    def begin(self, request: web.BaseRequest) -> None:
        """Make the id."""
        found = AccessLine(method=request.method if request.method in METHODS else "other")
        headers = request.headers
        if CLIENT_REQUEST_ID in headers:  # in invalid HTTP they are an empty dict without `getall`
            found.client_request_id = read_client_request_id(headers.getall(CLIENT_REQUEST_ID))
        _LINE.set(found)
        bind_request(found.request_id)

    def stamp(self, response: web.StreamResponse) -> None:
        """Name the request in the answer, and repeat the client's own id of it."""
        found = line()
        response.headers[REQUEST_ID] = found.request_id
        if found.client_request_id is not None:
            response.headers[CLIENT_REQUEST_ID] = found.client_request_id

    def end(
        self, request: web.BaseRequest, response: web.StreamResponse | None, ending: Ending
    ) -> None:
        """Write the line. Where no answer was sent, `unsent` is the status that it would have."""
        found, status = line(), None if response is None else response.status
        if status is not None and status >= 400:
            found.refuse("other")  # aiohttp's own, such as 417
        if ending != "sent":
            log.info("request.unanswered", **found.values(None), ended=ending, unsent=status)
        elif status is None or status < 400:
            log.info("request.answered", **found.values(status))
        elif status == 503:
            log.warning("request.refused", **found.values(status))
        else:
            log.info("request.refused", **found.values(status))
