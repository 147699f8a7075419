"""Bounds on requests and bytes in flight, and the limit of one body.

Bursts are what Rollcall absorbs, so a rate is off unless an operator sets one (`rate.py`). What is
always bounded is this process's memory, and how much of it one organisation gets:

- at most half while others have something in flight,
- and never all: a part is kept for others that may ask next, because what one organisation holds
  (bodies that arrive slowly, writes that wait for Kafka) comes back only when it is done.

A request counts from its key to its answer, whatever it waits for: its body, a connection to
Postgres, Kafka. Bytes are those of bodies, and of large answers until the client has taken them.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from rollcall.observability.metrics import INGRESS_IN_FLIGHT_BYTES, INGRESS_IN_FLIGHT_REQUESTS
from rollcall.runtime.errors import Unavailable
from rollcall.scim.errors import InvalidSyntax, PayloadTooLarge, ScimError, UnsupportedMediaType
from rollcall_ingress.door.access import count_refusal

BUSY = "room for another request"
RETRY_AFTER_S = 2.0
BODY_TIMEOUT_S = 30.0
"""Seconds in which a body must arrive: the largest needs 2.3 megabits a second for it."""
LARGE_ANSWER_BYTES = 64 * 1024
"""Answers from this size on are counted; the transport takes smaller ones without waiting."""
INVITATION_PAGE = "invitation"
"""The acceptances of invitations count together, as one organisation with a share of its own."""
JSON_TYPES = frozenset({"application/scim+json", "application/json"})
_PARAMETER = re.compile(
    r"""[!#$%&'*+.^_`|~0-9A-Za-z-]+=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"[^"\\]*")"""
)


class RequestTimeout(ScimError):
    """The body did not arrive in time; send the request again."""

    status = 408


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be in flight at once, and how large and slow one body may be."""

    requests: int
    bytes: int
    body_bytes: int
    body_timeout_s: float

    @property
    def requests_of_one(self) -> int:
        """Requests that one organisation may have while it is alone."""
        return self.requests - max(1, self.requests // 8)

    @property
    def requests_of_page(self) -> int:
        """Requests that all acceptances of invitations may have together: they have no key."""
        return max(1, self.requests // 16)

    @property
    def bytes_of_one(self) -> int:
        """Bytes that one organisation may have while it is alone: one more body always fits."""
        return self.bytes - min(max(self.body_bytes, self.bytes // 8), self.bytes // 2)


@dataclass(slots=True)
class Seat:
    """The place of one request; `size` is what it has reserved, in bytes."""

    organisation_id: str
    size: int = field(default=0)


class Admission:
    """Counts what is in flight. One per process."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._requests: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._all_requests = 0
        self._all_bytes = 0
        # Read when metrics are scraped: a request in flight costs nothing for it.
        INGRESS_IN_FLIGHT_REQUESTS.set_function(lambda: self._all_requests)
        INGRESS_IN_FLIGHT_BYTES.set_function(lambda: self._all_bytes)

    @contextmanager
    def admit(self, organisation_id: str) -> Iterator[Seat]:
        """A seat until the request is answered. Raises Unavailable where there is none."""
        mine = self._requests[organisation_id] + 1
        others = self._all_requests - self._requests[organisation_id]
        most = self._bounds.requests // 2 if others else self._bounds.requests_of_one
        if organisation_id == INVITATION_PAGE:
            most = self._bounds.requests_of_page
        if mine > most or mine + others > self._bounds.requests:
            self._refuse("requests_in_flight")
        self._requests[organisation_id] = mine
        self._all_requests += 1
        seat = Seat(organisation_id)
        try:
            yield seat
        finally:
            self._all_requests -= 1
            _lower(self._requests, organisation_id, 1)
            self._free(seat)

    def reserve(self, seat: Seat, size: int) -> None:
        """Reserve `size` more bytes. Raises Unavailable where there is no room."""
        mine = self._bytes[seat.organisation_id] + size
        others = self._all_bytes - self._bytes[seat.organisation_id]
        most = self._bounds.bytes // 2 if others else self._bounds.bytes_of_one
        if mine > most or mine + others > self._bounds.bytes:
            self._refuse("bytes_in_flight")
        seat.size += size
        self._bytes[seat.organisation_id] = mine
        self._all_bytes += size

    @contextmanager
    def hold_answer(self, organisation_id: str, size: int, *, may_refuse: bool) -> Iterator[None]:
        """Count an answer of `size` bytes until it has been taken.

        Raises Unavailable where there is no room and `may_refuse`. The answer to a change has to be
        sent, so it is counted even without room.
        """
        seat = Seat(organisation_id)
        if may_refuse:
            self.reserve(seat, size)
        else:
            seat.size = size
            self._bytes[organisation_id] += size
            self._all_bytes += size
        try:
            yield
        finally:
            self._free(seat)

    async def read_body(self, request: web.Request, seat: Seat) -> bytes:
        """The body, within its limits.

        Raises UnsupportedMediaType, PayloadTooLarge (before or while reading), RequestTimeout,
        InvalidSyntax (it broke off), Unavailable.
        """
        check_media(request)
        limit = self._bounds.body_bytes
        announced = request.content_length
        if announced is not None:
            if announced > limit:
                self._refuse_large()
            self.reserve(seat, announced)
        if "Expect" in request.headers:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        content = request.content
        chunks: list[bytes] = []
        size = 0
        try:
            if announced is not None and content.is_eof():
                return content.read_nowait()  # the usual case: it came with its headers
            async with asyncio.timeout(self._bounds.body_timeout_s):
                while chunk := await content.readany():
                    size += len(chunk)
                    if size > limit:
                        self._refuse_large()
                    if size > seat.size:
                        self.reserve(seat, size - seat.size)
                    chunks.append(chunk)
        except TimeoutError as error:
            count_refusal("slow_body")
            raise RequestTimeout from error
        except (web.RequestPayloadError, web.PayloadAccessError, ConnectionError) as error:
            raise InvalidSyntax("The body broke off before its end.") from error
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _free(self, seat: Seat) -> None:
        self._all_bytes -= seat.size
        _lower(self._bytes, seat.organisation_id, seat.size)

    def _refuse_large(self) -> None:
        count_refusal("large_body")
        raise PayloadTooLarge(
            f"The body is larger than {self._bounds.body_bytes} bytes, which is the limit; "
            "send fewer values in one request."
        )

    def _refuse(self, reason: str) -> None:
        count_refusal(reason)
        raise Unavailable(BUSY, RETRY_AFTER_S)


def check_media(request: web.Request) -> None:
    """Raise UnsupportedMediaType unless the headers say plain JSON, or nothing."""
    kinds = request.headers.getall("Content-Type", [])
    if len(kinds) > 1 or (kinds and not _is_json(kinds[0])):
        count_refusal("media_type")
        raise UnsupportedMediaType
    encodings = request.headers.getall("Content-Encoding", [])
    if any(encoding.strip().lower() not in ("", "identity") for encoding in encodings):
        count_refusal("encoded_body")
        raise UnsupportedMediaType("The body must not be compressed: no Content-Encoding here.")


def _is_json(content_type: str) -> bool:
    """Whether the header is empty, or has a JSON type with any parameters (RFC 9110 §8.3)."""
    kind, *parameters = map(str.strip, content_type.split(";"))
    if not kind:
        return not parameters
    return kind.lower() in JSON_TYPES and all(
        _PARAMETER.fullmatch(each) is not None for each in parameters if each
    )


def _lower(counter: Counter[str], name: str, amount: int) -> None:
    counter[name] -= amount
    if counter[name] <= 0:
        del counter[name]
