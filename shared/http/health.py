"""What probes and Prometheus ask, on a port of its own: /livez, /readyz, /metrics.

Each probe is a function that returns reasons against: none means yes. Liveness asks the own
process only; that this code runs shows that the event loop turns.
"""

from collections.abc import Callable, Sequence

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Probe = Callable[[], Sequence[str]]


def _never() -> Sequence[str]:
    return ()


def health_app(*, not_ready: Probe, not_alive: Probe = _never) -> web.Application:
    """The application with the three addresses.

    A probe answers 200 `{"status": "ok"}`, or 503 `{"status": "failing", "reasons": [...]}`.
    """

    async def livez(_: web.Request) -> web.Response:
        return _answer(not_alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(not_ready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def _answer(reasons: Sequence[str]) -> web.Response:
    body = {"status": "failing", "reasons": list(reasons)} if reasons else {"status": "ok"}
    return web.Response(
        status=503 if reasons else 200,
        body=orjson.dumps(body),
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
    )
