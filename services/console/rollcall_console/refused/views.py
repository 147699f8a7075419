"""Refused requests with what to do about each; dead letters, redriven or discarded."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from rollcall.control import dead_letters
from rollcall.control.refused import Refusal, refusals_of
from rollcall.postgres import audit, dead_letter
from rollcall.postgres.console import console_people as people
from rollcall.postgres.dead_letter import DeadLetterSummary
from rollcall.postgres.pool import Database
from rollcall_console.acts import Acts
from rollcall_console.organisation_page import ROUTE, Here, enter
from rollcall_console.tenants import Tenants
from rollcall_console.web.errors import NotFound, Refused
from rollcall_console.web.pages import Pages, see_other

SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class RefusedViews:
    """The views and what they need."""

    pages: Pages
    database: Database
    tenants: Tenants
    acts: Acts

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        base = f"{ROUTE}/refused"
        app.router.add_get(base, self.show)
        for action in ("redrive", "discard"):
            app.router.add_get(f"{base}/{{letter}}/{{action:{action}}}", self.ask)
            app.router.add_post(f"{base}/{{letter}}/{{action:{action}}}", self.close)

    async def show(self, request: web.Request) -> web.Response:
        """The letters that wait, then what was refused after an answer of success."""
        here = await enter(request, self.tenants)
        async with self.database.connection() as connection:
            letters = await dead_letter.find(
                connection, states=("dead",), organisation_id=here.organisation.id, limit=SHOWN
            )
            rows = await audit.find_refused(
                connection, organisation_id=here.organisation.id, limit=SHOWN
            )
        refusals = [refusal for row in rows for refusal in refusals_of(row)]
        return self.pages.show(
            request,
            "refused/page.html",
            org=here,
            page="refused",
            letters=letters,
            refusals=[(each, advice_key(each)) for each in refusals],
            names=await self._names(here, letters, refusals),
        )

    async def ask(self, request: web.Request) -> web.Response:
        """What a second attempt, or giving it up, means."""
        here = await enter(request, self.tenants, acting=True)
        return self.pages.show(
            request,
            "refused/act.html",
            org=here,
            page="refused",
            letter=await self._letter(request, here),
            action=request.match_info["action"],
        )

    async def close(self, request: web.Request) -> web.Response:
        """Redrive or discard, and say what became of it."""
        here = await enter(request, self.tenants, acting=True)
        letter = await self._letter(request, here)
        action: dead_letters.Action = (
            "redrive" if request.match_info["action"] == "redrive" else "discard"
        )
        [done] = await dead_letters.close(
            self.acts.settings,
            self.database,
            [letter],
            action,
            by=f"account:{here.visitor.account.id}",
        )
        await self.acts.record(here.visitor, f"letter.{action}", here.organisation.id, letter.id)
        if done.result in dead_letters.BAD and done.result != "pending":
            raise Refused(f"letter.{done.result}")
        return see_other(f"{here.root}/refused", f"letter_{done.result}")

    async def _letter(self, request: web.Request, here: Here) -> DeadLetterSummary:
        """The letter that the path names, of this organisation and about a resource."""
        async with self.database.connection() as connection:
            found = await dead_letter.find(
                connection,
                states=("dead",),
                organisation_id=here.organisation.id,
                names=[request.match_info["letter"]],
                limit=2,
            )
        if len(found) != 1 or found[0].resource_id is None:
            raise NotFound
        return found[0]

    async def _names(
        self, here: Here, letters: list[DeadLetterSummary], refusals: list[Refusal]
    ) -> dict[str, str]:
        """Id → what a member or group is called, of those that are there."""
        ids = {each.resource_id for each in letters if each.resource_id}
        ids |= {each.resource_id for each in refusals}
        async with self.database.connection() as connection:
            return await people.names_of(connection, here.organisation.id, sorted(ids))


def advice_key(refusal: Refusal) -> str:
    """The sentence that says what to do, of the catalogue; terminals have `control/refused.py`."""
    if refusal.status == 409 and refusal.attribute is not None:
        return "advice.409.create" if refusal.kind.endswith(".create") else "advice.409.change"
    return f"advice.{refusal.status}" if refusal.status in (400, 404, 412) else "advice.other"
