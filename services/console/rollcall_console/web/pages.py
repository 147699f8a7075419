"""Pages: a template, the words of the visitor's language, and what every page shows around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from rollcall.events.envelope import format_time
from rollcall.postgres.console.console_accounts import Language
from rollcall.runtime.clock import now
from rollcall_console.door.visitor import VISITOR, Visitor
from rollcall_console.web.static import File
from rollcall_console.web.words import LANGUAGES, Words, wanted

TEMPLATES: Final = Path(__file__).parents[1] / "templates"
Theme = Literal["auto", "light", "dark"]
THEMES: Final[tuple[Theme, ...]] = ("auto", "light", "dark")
LANGUAGE_COOKIE: Final = "lang"
THEME_COOKIE: Final = "theme"


@dataclass(frozen=True, slots=True)
class Pages:
    """Makes pages from templates."""

    environment: Environment
    files: Mapping[str, File]

    def show(
        self, request: web.Request, template: str, *, status: int = 200, **context: Any
    ) -> web.Response:
        """An answer with a page (or a part of one)."""
        visitor = request.get(VISITOR)
        words = Words(language_of(request))
        text = self.environment.get_template(template).render(
            **context,
            t=words,
            language=words.language,
            languages=LANGUAGES,
            theme=theme_of(request),
            visitor=visitor,
            static=self._address,
            path=request.rel_url.path,
            done=_done(request, words),
            now=now(),
            when=_When(words),
        )
        return web.Response(
            status=status, text=text, content_type="text/html", charset="utf-8",
            headers={"Content-Language": words.language},
        )  # fmt: skip

    def _address(self, name: str) -> str:
        return self.files[name].path


def make(files: Mapping[str, File]) -> Pages:
    """The pages of the console."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return Pages(environment, files)


def language_of(request: web.Request) -> Language:
    """The visitor's: the account's, else the cookie's, else the browser's."""
    visitor: Visitor | None = request.get(VISITOR)
    if visitor is not None and visitor.account.language is not None:
        return visitor.account.language
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    for language in LANGUAGES:
        if chosen == language:
            return language
    return wanted(request.headers.get("Accept-Language", ""))


def theme_of(request: web.Request) -> Theme:
    """As the visitor chose it; `auto` is as the system is set."""
    chosen = request.cookies.get(THEME_COOKIE)
    return next((theme for theme in THEMES if theme == chosen), "auto")


def see_other(path: str, done: str | None = None) -> web.Response:
    """Go on at `path` with a GET (303); `done` is what the page there says was done."""
    return web.Response(
        status=303, headers={"Location": path if done is None else f"{path}?done={done}"}
    )


def local_path(text: str | None, otherwise: str = "/") -> str:
    """`text` if it is a path of ours, so that nobody is sent elsewhere."""
    is_ours = text is not None and text.startswith("/") and text[1:2] not in ("/", "\\")
    return text if text is not None and is_ours and text.isprintable() else otherwise


def _done(request: web.Request, words: Words) -> str | None:
    key = f"done.{request.query.get('done', '')}"
    return words(key) if words.has(key) else None


@dataclass(frozen=True, slots=True)
class _When:
    """`when(moment)`: a time for people, its machine-readable form, and UTC on hover."""

    words: Words

    def __call__(self, moment: datetime | None, style: str = "ago") -> Markup:
        if moment is None:
            return Markup("")
        if style == "ago":
            text = self.words.ago(moment, now())
        elif style == "day":
            text = self.words.day(moment)
        else:
            text = self.words.moment(moment)
        exact = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
        return Markup('<time datetime="{}" title="{}" data-when="{}">{}</time>').format(
            format_time(moment), exact, escape(style), text
        )
