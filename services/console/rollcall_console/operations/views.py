"""The views of the page Operations."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from aiohttp import web

from rollcall.postgres.migrate import available
from rollcall_console.operations.samples import series
from rollcall_console.operations.watch import TOPICS, Watch
from rollcall_console.web.pages import Pages


@dataclass(frozen=True, slots=True)
class OperationsViews:
    """The views and what they need."""

    pages: Pages
    watch: Watch

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/operations", self.show)
        app.router.add_get("/operations/live", self.live)
        app.router.add_get("/operations/series", self.series)

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        return self._shown(request, "operations/page.html")

    async def live(self, request: web.Request) -> web.Response:
        """Its live part."""
        return self._shown(request, "operations/live.html")

    async def series(self, request: web.Request) -> web.Response:
        """The chart's lines as JSON."""
        return web.json_response(series(self.watch.hour.rates()))

    def _shown(self, request: web.Request, template: str) -> web.Response:
        rates = self.watch.hour.rates()
        return self.pages.show(
            request,
            template,
            look=self.watch.latest,
            topics=TOPICS,
            rate=rates[-1] if rates else None,
            steps=[
                (datetime.fromtimestamp(each.at, UTC), each) for each in self.watch.hour.steps()
            ],
            release=version("rollcall"),
            schema=available()[-1].name.removesuffix(".sql"),
        )
