"""The form of the invitation page, read before anything else is given to its sender.

Its sender has not shown a token yet, so a form takes no seat among the requests: it is small, it
must come soon, and only `MAX_FORMS` are read at once. A browser's form is there within a round
trip; where there are too many, the one that has been on its way for the longest makes room.
"""

import asyncio
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from rollcall_ingress.door.access import count_refusal

MAX_FORM_BYTES: Final = 4096
FORM_TIMEOUT_S: Final = 10.0
MAX_FORMS: Final = 64


class BadForm(Exception):
    """The body is no form with one token, within the bounds."""


class Forms:
    """The forms that are being read, the oldest first. One per process."""

    def __init__(self, most: int = MAX_FORMS, timeout_s: float = FORM_TIMEOUT_S) -> None:
        self._most = most
        self._timeout_s = timeout_s
        self._under_way: dict[asyncio.Timeout, None] = {}

    def __len__(self) -> int:
        """How many are being read."""
        return len(self._under_way)

    async def read_token(self, request: web.Request) -> str:
        """The token in the form's body. Raises BadForm."""
        if request.content_type != "application/x-www-form-urlencoded":
            raise BadForm
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s) as patience:
                self._make_room(patience)
                try:
                    async for chunk in request.content.iter_chunked(MAX_FORM_BYTES):
                        body += chunk
                        if len(body) > MAX_FORM_BYTES:
                            raise BadForm
                finally:
                    self._under_way.pop(patience, None)
            fields = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=8)
        except TimeoutError as error:
            count_refusal("slow_body")
            raise BadForm from error
        except (ValueError, ConnectionError, web.RequestPayloadError) as error:
            raise BadForm from error
        tokens = [value for name, value in fields if name == "token"]
        if len(tokens) != 1:
            raise BadForm
        return tokens[0]

    def _make_room(self, patience: asyncio.Timeout) -> None:
        while len(self._under_way) >= self._most:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        self._under_way[patience] = None
