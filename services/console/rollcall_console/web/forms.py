"""Bodies of forms: `application/x-www-form-urlencoded`, small, read within a time."""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

MAX_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 100
READ_S: Final = 10.0
_TYPE: Final = "application/x-www-form-urlencoded"


class BadForm(Exception):
    """The body is no form of ours."""


async def read(request: web.Request) -> Mapping[str, str]:
    """The fields; of one that comes twice the last. Raises BadForm."""
    if request.content_type != _TYPE:
        raise BadForm("not a form")
    try:
        async with asyncio.timeout(READ_S):
            body = await _whole(request)
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except (TimeoutError, ValueError, web.RequestPayloadError) as error:
        raise BadForm("the form cannot be read") from error
    if any("\0" in text for pair in pairs for text in pair):
        raise BadForm("U+0000 in a form")
    return dict(pairs)


async def _whole(request: web.Request) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BYTES:
            raise BadForm("the form is too long")
    return bytes(body)
