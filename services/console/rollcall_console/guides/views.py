"""The pages *Set up with …*: a guide with this organisation's URL filled in."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from markupsafe import Markup

from rollcall_console.config import ConsoleSettings
from rollcall_console.guides.guides import Guide, guide, pieces
from rollcall_console.organisation_page import ROUTE, enter
from rollcall_console.tenants import Tenants
from rollcall_console.web.errors import NotFound
from rollcall_console.web.pages import Pages, language_of

_SHOWN: Final = {
    "plain": Markup("{}"),
    "label": Markup('<b class="label">{}</b>'),
    "strong": Markup("<strong>{}</strong>"),
    "code": Markup('<code class="mono">{}</code>'),
    "url": Markup('<code class="mono">{}</code>'),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A guide with the URL filled in; called with a sentence, its HTML."""

    guide: Guide
    url: str

    def __call__(self, text: str) -> Markup:
        """A sentence with its marks as HTML."""
        return Markup("").join(
            _SHOWN[style].format(self.url if style == "url" else piece)
            for style, piece in pieces(text)
        )


@dataclass(frozen=True, slots=True)
class GuideViews:
    """The views and what they need."""

    settings: ConsoleSettings
    pages: Pages
    tenants: Tenants

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(f"{ROUTE}/scim/with/{{provider}}", self.show)

    async def show(self, request: web.Request) -> web.Response:
        """The guide of one identity provider."""
        here = await enter(request, self.tenants)
        url = self.settings.scim_url(here.organisation.id)
        return self.pages.show(
            request, "guides/page.html", org=here, page="scim", shown=of_path(request, url)
        )


def of_path(request: web.Request, url: str) -> Shown:
    """The guide that the path names, in the visitor's language. Raises NotFound."""
    try:
        found = guide(request.match_info["provider"], language_of(request))
    except KeyError:
        raise NotFound from None
    return Shown(found, url)
