"""Listening and draining, the same for every service: one application on one address.

What aiohttp is told to leave out, and why: its access log (it would write paths, and half of the
time of a request goes there), decompression (a bomb would unpack before any limit), and its
parser in Python, which has let requests be smuggled: without the parser in C nothing starts.
Its own error lines and answers to malformed requests quote what the client sent, a key included,
so the lines are cut to the kind of error, and the answer is the service's own.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import http_parser, web

MAX_LINE_BYTES: Final = 32 * 1024
"""Request line: a filter of 8 KiB, percent-encoded, must fit."""
MAX_FIELD_BYTES: Final = 16 * 1024
KEEP_ALIVE_S: Final = 75.0
LINGER_S: Final = 5.0
"""How long the rest of a refused body is read, so that the client gets to see the answer."""


class NoFastParser(RuntimeError):
    """aiohttp was installed without its HTTP parser in C; install a wheel that has it."""


class CannotListen(RuntimeError):
    """The address cannot be listened on; the message says which and why."""


OnMalformed = Callable[[int], web.Response]
"""Status → the answer to a request that is no valid HTTP, or whose handler failed unforeseen."""


def _plain(status: int) -> web.Response:
    return web.Response(status=status)


class Listener:
    """One application on one address."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        drain_s: float,
        on_malformed: OnMalformed = _plain,
    ) -> None:
        """`port` 0 takes a free one. `drain_s` bounds the wait for requests in flight."""
        self._host = host
        self._port = port
        self._on_malformed = on_malformed
        self._server: asyncio.Server | None = None
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=quiet_logger(),
            shutdown_timeout=drain_s,
            auto_decompress=False,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=LINGER_S,
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._server is None or not self._server.sockets:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen. Raises NoFastParser, CannotListen."""
        require_fast_parser()
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol, self._host, self._port, backlog=1024, reuse_address=True
            )
        except OSError as error:
            await self._runner.cleanup()
            raise CannotListen(
                f"cannot listen on {self._host}:{self._port}: {error.strerror or error}"
            ) from error

    async def drain(self) -> None:
        """Stop accepting, let the requests in flight finish for `drain_s` seconds, close."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _protocol(self) -> "_Protocol":
        """One connection, as aiohttp makes it, with our answer to what is malformed."""
        server = self._runner.server
        if server is None:
            raise CannotListen("the listener is not started")
        options: dict[str, Any] = server._kwargs  # noqa: SLF001 - no public way in
        protocol = _Protocol(server, loop=asyncio.get_running_loop(), **options)
        protocol.on_malformed = self._on_malformed
        return protocol


class _Protocol(web.RequestHandler):
    """A connection whose answers to malformed requests quote nothing."""

    __slots__ = ("on_malformed",)

    on_malformed: OnMalformed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The service's answer; the connection is closed after it."""
        self.log_exception("refused", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has been begun already")
        response = self.on_malformed(status)
        response.force_close()
        return response


def require_fast_parser() -> None:
    """Raise NoFastParser unless aiohttp reads HTTP with its parser in C."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise NoFastParser(str(NoFastParser.__doc__))


class _KindOnly(logging.Filter):
    """Keep the kind of an error and drop its text, which quotes the client's bytes."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
        record.msg = f"HTTP request refused: {kind.__name__ if kind else 'malformed'}"
        record.args = ()
        record.exc_info = None
        record.exc_text = None
        return True


def quiet_logger() -> logging.Logger:
    """The logger for aiohttp's own errors: malformed requests, broken connections."""
    logger = logging.getLogger("rollcall.http")
    if not any(isinstance(found, _KindOnly) for found in logger.filters):
        logger.addFilter(_KindOnly())
    return logger


async def serve_until(stop: asyncio.Event, *listeners: Listener) -> None:
    """Start the listeners, wait for `stop`, drain them in order. For services without a door."""
    started: list[Listener] = []
    try:
        for listener in listeners:
            await listener.start()
            started.append(listener)
        await stop.wait()
    finally:
        for listener in started:
            await listener.drain()
