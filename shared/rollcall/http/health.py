"""The admin port for probes, Prometheus and operators: /livez, /readyz, /metrics.

Each probe is a function that returns the reasons for failing; none means ok. Liveness looks at this
process only: an answer shows that the event loop turns.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from rollcall.http.server import name_server
from rollcall.observability.metrics import OfService, Service

Probe = Callable[[], Sequence[str]]
NOTHING_SHOWN: Final[Mapping[str, Callable[[], Any]]] = MappingProxyType({})


def _never() -> Sequence[str]:
    return ()


def health_app(
    service: Service,
    *,
    not_ready: Probe,
    not_alive: Probe = _never,
    shown: Mapping[str, Callable[[], Any]] = NOTHING_SHOWN,
) -> web.Application:
    """The application with the three paths above, and those in `shown`: path → its JSON data.

    /metrics has the metrics of `service`. A probe answers 200 `{"status": "ok"}`, or 503
    `{"status": "failing", "reasons": [...]}`.
    """

    async def livez(_: web.Request) -> web.Response:
        return _answer(not_alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(not_ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(own),
            headers={"Content-Type": CONTENT_TYPE_LATEST},
        )

    own = OfService(service)
    app = web.Application()
    app.on_response_prepare.append(name_server)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    for path, show in shown.items():
        app.router.add_get(path, _shower(show))
    return app


def _shower(show: Callable[[], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return _json(200, show())

    return handle


def _answer(reasons: Sequence[str]) -> web.Response:
    body = {"status": "failing", "reasons": list(reasons)} if reasons else {"status": "ok"}
    return _json(503 if reasons else 200, body)


def _json(status: int, body: Any) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
    )
