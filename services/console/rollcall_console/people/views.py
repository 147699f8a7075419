"""Members: the list, one of them, and what an admin does to one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from rollcall.control.member_acts import ACTS, Act, act_on_member
from rollcall.directory.lifecycle import Status
from rollcall.postgres.console import console_people as people
from rollcall.postgres.console import console_reads as reads
from rollcall.postgres.console.console_people import Person
from rollcall.postgres.pool import Database
from rollcall.runtime.clock import now
from rollcall_console.acts import Acts
from rollcall_console.happenings import line_of
from rollcall_console.organisation_page import ROUTE, Here, enter
from rollcall_console.people.attributes import attributes_of
from rollcall_console.tenants import Tenants
from rollcall_console.web.errors import NotFound, Refused
from rollcall_console.web.pages import Pages, language_of, see_other
from rollcall_console.web.words import Words

PAGE: Final = 50
FOUND: Final = 50
TIMELINE: Final = 30
FILTERS: Final = ("all", *(status.value for status in Status), "waiting")
FITS: Final[Mapping[Act, frozenset[str]]] = {
    "revoke": frozenset({"invited", "accepted", "confirmed"}),
    "restore": frozenset({"revoked"}),
    "remove": frozenset(status.value for status in Status),
}
"""Act → the states in which it does something."""


@dataclass(frozen=True, slots=True)
class MemberViews:
    """The views and what they need."""

    pages: Pages
    database: Database
    tenants: Tenants
    acts: Acts

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        base = f"{ROUTE}/members"
        app.router.add_get(base, self.list_all)
        app.router.add_get(f"{base}/{{member}}", self.show)
        # Its own route, because it needs another right (`web/rights.py`).
        app.router.add_get(f"{base}/{{member}}/remove", self.ask)
        app.router.add_post(f"{base}/{{member}}/remove", self.act)
        app.router.add_get(f"{base}/{{member}}/{{act}}", self.ask)
        app.router.add_post(f"{base}/{{member}}/{{act}}", self.act)

    async def list_all(self, request: web.Request) -> web.Response:
        """A page of the members, or those that were looked for."""
        here = await enter(request, self.tenants)
        text = request.query.get("q", "").strip()[:256]
        chosen = request.query.get("status", "all")
        if chosen not in FILTERS:
            raise NotFound
        after = request.query.get("after", "")
        async with self.database.connection() as connection:
            total, _ = await people.count_resources(connection, here.organisation.id)
            if text:
                found = await people.members_found(
                    connection, here.organisation.id, text, FOUND + 1
                )
            elif chosen == "waiting":
                found = await people.members_waiting(
                    connection, here.organisation.id, now(), after=after, limit=PAGE + 1
                )
            else:
                found = await people.members_after(
                    connection,
                    here.organisation.id,
                    status=None if chosen == "all" else chosen,
                    after=after,
                    limit=PAGE + 1,
                )
        shown = found[:PAGE]
        return self.pages.show(
            request,
            "people/list.html",
            org=here,
            page="members",
            total=total,
            text=text,
            chosen=chosen,
            filters=FILTERS,
            members=shown,
            is_more=len(found) > PAGE,
            is_first=not after,
            next_page=_next(here, chosen, shown) if len(found) > PAGE and not text else None,
        )

    async def show(self, request: web.Request) -> web.Response:
        """One member."""
        here = await enter(request, self.tenants)
        member = await self._member(request, here)
        async with self.database.connection() as connection:
            groups = await people.groups_of_member(connection, here.organisation.id, member.id)
            mails = await people.mails_of_member(connection, here.organisation.id, member.id)
            timeline = await reads.timeline_of(
                connection, here.organisation.id, member.id, TIMELINE
            )
        words = Words(language_of(request))
        return self.pages.show(
            request,
            "people/member.html",
            org=here,
            page="members",
            member=member,
            attributes=attributes_of(member.document),
            groups=groups,
            most_groups=people.GROUPS_OF_MEMBER,
            mails=mails,
            lines=[line_of(each, words, name=member.name) for each in timeline],
            acts=[act for act in ACTS if member.status in FITS[act]],
        )

    async def ask(self, request: web.Request) -> web.Response:
        """What the act means for the member."""
        here = await enter(request, self.tenants, acting=True)
        act, member = _act(request), await self._member(request, here)
        if member.status not in FITS[act]:
            raise Refused(f"member.not_{act}")
        return self.pages.show(
            request, "people/act.html", org=here, page="members", member=member, act=act
        )

    async def act(self, request: web.Request) -> web.Response:
        """Do it, and show what became of it."""
        here = await enter(request, self.tenants, acting=True)
        act, member = _act(request), await self._member(request, here)
        if member.status not in FITS[act]:
            raise Refused(f"member.not_{act}")
        done = await act_on_member(
            self.acts.settings,
            self.database,
            here.organisation,
            member.id,
            act,
            by=f"account:{here.visitor.account.id}",
        )
        await self.acts.record(here.visitor, f"member.{act}", here.organisation.id, member.id)
        if done.state == "refused":
            raise Refused("member.act_refused")
        gone = act == "remove"
        path = f"{here.root}/members" if gone else f"{here.root}/members/{member.id}"
        return see_other(path, f"member_{act}" if done.state == "done" else "member_pending")

    async def _member(self, request: web.Request, here: Here) -> Person:
        async with self.database.connection() as connection:
            found = await people.person(
                connection, here.organisation.id, request.match_info["member"]
            )
        if found is None:
            raise NotFound
        return found


def _act(request: web.Request) -> Act:
    for act in ACTS:
        if act == request.match_info.get("act", "remove"):
            return act
    raise NotFound


def _next(here: Here, chosen: str, shown: list[Person]) -> str:
    last = shown[-1]
    after = last.invitation if chosen == "waiting" else last.user_name_key
    return f"{here.root}/members?" + urlencode({"status": chosen, "after": after or ""})
