"""Listen and drain, in the same way for every service: one application on one address.

Three parts of aiohttp are switched off: its access log (it would write paths, and take half of the
time of a request), decompression (a bomb would unpack before any limit), and its parser in Python,
which has allowed request smuggling: without the parser in C the service does not start. aiohttp's
error lines and its answers to malformed requests quote what the client sent, including a key. So
the lines are cut to the kind of error, and the service gives its own answer. The same goes for
requests that no route can match (`OPTIONS *`, `CONNECT`), and for HTTP versions that the parser
accepts but we do not.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import HttpVersion10, HttpVersion11, http_parser, web, web_protocol

from rollcall.http.observer import UNOBSERVED, Observer

MAX_LINE_BYTES: Final = 32 * 1024
"""Longest request line in bytes: a percent-encoded filter of 8 KiB must fit."""
MAX_FIELD_BYTES: Final = 16 * 1024
KEEP_ALIVE_S: Final = 75.0
HEAD_S: Final = 30.0
"""How long a new connection may take to send the request line and headers of its first request."""
LINGER_S: Final = 5.0
"""How long the rest of a refused body is read, so that the client can see the answer."""

QUIET_ASK_S: Final = 0.02

STALL_S: Final = 30.0
"""How long a client may stop reading an answer; the unread part is kept in memory."""


class NoFastParser(RuntimeError):
    """aiohttp was installed without its HTTP parser in C; install a wheel that has it."""


class CannotListen(RuntimeError):
    """The address cannot be listened on; the message says which and why."""


OnMalformed = Callable[[int], web.Response]
"""Status → the answer to a request that is not valid HTTP, or whose handler failed unexpectedly."""


SERVER: Final = "rollcall"
"""The `Server` header of answers; it does not name libraries or their versions."""


def _plain(status: int) -> web.Response:
    return web.Response(status=status, headers={"Server": SERVER})


async def name_server(_: web.Request, response: web.StreamResponse) -> None:
    """Set the `Server` header; for `on_response_prepare` of an application."""
    response.headers["Server"] = SERVER


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
        stall_s: float = STALL_S,
        head_s: float = HEAD_S,
        quiet_s: float = 0.0,
        observer: Observer = UNOBSERVED,
    ) -> None:
        """`port` 0 takes a free one. `drain_s` limits the wait for requests in flight.

        `stall_s`: how long a client may stop reading its answer before it is cut off. `head_s`: how
        long it may take to send the head of a request. `quiet_s`: how long open connections may end
        by themselves during a drain.
        """
        self._host = host
        self._port = port
        self._on_malformed = on_malformed
        self._stall_s = stall_s
        self._head_s = head_s
        self._quiet_s = quiet_s
        self._observer = observer
        app.on_response_prepare.append(self._stamp)
        app.middlewares.append(self._only_http_1)
        self._server: asyncio.Server | None = None
        self._queue: socket.socket | None = None
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
        """The port on which it listens."""
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
        self._queue = socket.socket(fileno=os.dup(self._server.sockets[0].fileno()))

    async def drain(self) -> None:
        """Stop accepting, let the requests in flight finish for `drain_s` seconds, close.

        First, connections get up to `quiet_s` to end by themselves, and answers say
        `Connection: close` in the meantime. If an open connection were closed at once, a request
        that is on its way would break, and its sender could not know whether it was done.
        """
        if self._server is not None:
            self._server.close()
            await self._take_queue()
        await self._until_quiet()
        await self._runner.cleanup()

    async def _take_queue(self) -> None:
        """Serve the connections that wait in the kernel's queue.

        They would be reset, with their requests, when the socket is closed. It is closed right
        after the queue was found empty, without a turn of the event loop in between.
        """
        queue, self._queue = self._queue, None
        if queue is None:
            return
        queue.setblocking(False)
        taken: list[socket.socket] = []
        with contextlib.suppress(OSError):  # EAGAIN: none is left
            while True:
                taken.append(queue.accept()[0])
        queue.close()
        loop = asyncio.get_running_loop()
        for connection in taken:
            await loop.connect_accepted_socket(self._protocol, connection)

    async def _until_quiet(self) -> None:
        server = self._runner.server
        if server is None:
            return
        end_s = time.monotonic() + self._quiet_s
        while True:
            if not server.connections or time.monotonic() >= end_s:
                return
            await asyncio.sleep(QUIET_ASK_S)  # between questions; the condition is above

    @web.middleware
    async def _only_http_1(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if request.version not in (HttpVersion10, HttpVersion11):
            response = self._on_malformed(400)
            response.force_close()
            return response
        try:
            return await handler(request)
        except web.HTTPException as error:  # raised by the router; no handler raises one
            return self._on_malformed(error.status)

    async def _stamp(self, _: web.Request, response: web.StreamResponse) -> None:
        self._observer.stamp(response)

    def _protocol(self) -> "_Protocol":
        """One connection, as aiohttp makes it, but with our answer to malformed requests."""
        server = self._runner.server
        if server is None:
            raise CannotListen("the listener is not started")
        options: dict[str, Any] = server._kwargs  # noqa: SLF001 - there is no public way
        protocol = _Protocol(server, loop=asyncio.get_running_loop(), **options)
        protocol.on_malformed = self._on_malformed
        protocol.observer = self._observer
        protocol.stall_s = self._stall_s
        protocol.head_s = self._head_s
        return protocol


class _Protocol(web.RequestHandler):
    """A connection whose answers to malformed requests quote nothing."""

    __slots__ = ("_head_timer", "_stall_timer", "head_s", "observer", "on_malformed", "stall_s")

    on_malformed: OnMalformed
    observer: Observer
    stall_s: float
    head_s: float

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._stall_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for the first request; later ones have aiohttp's keep-alive time."""
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(self.head_s, self.force_close)

    def pause_writing(self) -> None:
        """Too much waits to be sent: begin to watch whether it becomes less."""
        super().pause_writing()
        self._watch(None)

    def resume_writing(self) -> None:
        """The client has read it: stop watching."""
        super().resume_writing()
        self._unwatch()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop watching when the connection ends."""
        self._unwatch()
        self._asked()
        super().connection_lost(exc)

    def _watch(self, left_before: int | None) -> None:
        if self.transport is None:
            return
        # No `isinstance` check: uvloop's transports have classes of their own.
        transport = cast("asyncio.WriteTransport", self.transport)
        left = transport.get_write_buffer_size()
        if left_before is not None and left >= left_before:
            transport.abort()
            return
        self._stall_timer = self._loop.call_later(self.stall_s, self._watch, left)

    def _unwatch(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _asked(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def data_received(self, data: bytes) -> None:
        """Like aiohttp; and if the rest of a body is not valid HTTP, its reader gets an error.

        Otherwise the reader would wait for a chunk that never comes.
        """
        super().data_received(data)
        request = self._current_request
        if self._head_timer is not None and (self._messages or request is not None):
            self._asked()
        if request is None or not self._messages or request.content.is_eof():
            return
        message, _ = self._messages[-1]
        if isinstance(message, web_protocol._ErrInfo):  # noqa: SLF001 - there is no public way
            self._messages.pop()
            request.content.set_exception(web.RequestPayloadError("no valid chunk"))
            request.content.feed_eof()
            self.close()

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        """One request from its head to the end of its answer, in a task of its own.

        aiohttp has no public place that sees requests that are not valid HTTP and those that end
        without an answer.
        """
        self.observer.begin(request)
        try:
            response, is_gone = await super()._handle_request(request, start_time, request_handler)
        except BaseException:
            self.observer.end(request, None, "cut_off")
            raise
        self.observer.end(request, response, "client_gone" if is_gone else "sent")
        return response, is_gone

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The service's own answer; the connection is closed after it."""
        self.log_exception("refused", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has been begun already")
        response = self.on_malformed(status)
        self.observer.stamp(response)  # such a request belongs to no application and its signals
        response.force_close()
        return response


def require_fast_parser() -> None:
    """Raise NoFastParser unless aiohttp uses its HTTP parser in C."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise NoFastParser(str(NoFastParser.__doc__))


class _KindOnly(logging.Filter):
    """Keeps the kind of an error and drops its text, which quotes the client's bytes."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
        record.msg = f"HTTP request refused: {kind.__name__ if kind else 'malformed'}"
        record.args = ()
        record.exc_info = None
        record.exc_text = None
        return True


def quiet_logger() -> logging.Logger:
    """A logger for aiohttp's own errors: malformed requests, broken connections."""
    logger = logging.getLogger("rollcall.http")
    if not any(isinstance(found, _KindOnly) for found in logger.filters):
        logger.addFilter(_KindOnly())
    return logger
