"""Who may come in now: bounds on requests and bytes in flight, and the limit of one body.

Bursts are what Rollcall absorbs, so there is no rate. What is bounded is this process's memory,
and of that one organisation gets at most half while others are asking.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from shared.observability.metrics import INGRESS_REFUSALS
from shared.runtime.errors import Unavailable
from shared.scim.errors import InvalidSyntax, PayloadTooLarge, ScimError, UnsupportedMediaType

BUSY = "room for another request"
RETRY_AFTER_S = 2.0
MEDIA_TYPES = frozenset({"", "application/scim+json", "application/json"})


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

    @contextmanager
    def admit(self, organisation_id: str) -> Iterator[Seat]:
        """A seat for as long as the request lasts. Raises Unavailable where there is none."""
        mine = self._requests[organisation_id]
        if self._all_requests >= self._bounds.requests or (
            mine >= self._bounds.requests // 2 and mine < self._all_requests
        ):
            self._refuse("requests_in_flight")
        self._requests[organisation_id] = mine + 1
        self._all_requests += 1
        seat = Seat(organisation_id)
        try:
            yield seat
        finally:
            self._all_requests -= 1
            self._all_bytes -= seat.size
            _lower(self._requests, organisation_id, 1)
            _lower(self._bytes, organisation_id, seat.size)

    def reserve(self, seat: Seat, size: int) -> None:
        """Reserve `size` more bytes. Raises Unavailable where there is no room."""
        mine = self._bytes[seat.organisation_id] + size
        others = self._all_bytes - self._bytes[seat.organisation_id]
        if self._all_bytes + size > self._bounds.bytes or (
            others > 0 and mine > self._bounds.bytes // 2
        ):
            self._refuse("bytes_in_flight")
        seat.size += size
        self._bytes[seat.organisation_id] = mine
        self._all_bytes += size

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
            INGRESS_REFUSALS.labels("slow_body").inc()
            raise RequestTimeout from error
        except (web.RequestPayloadError, web.PayloadAccessError, ConnectionError) as error:
            raise InvalidSyntax("The body broke off before its end.") from error
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _refuse_large(self) -> None:
        INGRESS_REFUSALS.labels("large_body").inc()
        raise PayloadTooLarge(
            f"The body is larger than {self._bounds.body_bytes} bytes, which is the limit; "
            "send fewer values in one request."
        )

    def _refuse(self, reason: str) -> None:
        INGRESS_REFUSALS.labels(reason).inc()
        raise Unavailable(BUSY, RETRY_AFTER_S)


def check_media(request: web.Request) -> None:
    """Raise UnsupportedMediaType unless the body says to be plain JSON, or says nothing."""
    kinds = request.headers.getall("Content-Type", [])
    if len(kinds) > 1 or (kinds and kinds[0].partition(";")[0].strip().lower() not in MEDIA_TYPES):
        INGRESS_REFUSALS.labels("media_type").inc()
        raise UnsupportedMediaType
    encodings = request.headers.getall("Content-Encoding", [])
    if any(encoding.strip().lower() not in ("", "identity") for encoding in encodings):
        INGRESS_REFUSALS.labels("encoded_body").inc()
        raise UnsupportedMediaType("The body must not be compressed: no Content-Encoding here.")


def _lower(counter: Counter[str], name: str, amount: int) -> None:
    counter[name] -= amount
    if counter[name] <= 0:
        del counter[name]
