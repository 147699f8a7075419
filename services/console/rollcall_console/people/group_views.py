"""Groups: the list, and one of them with its members, page by page."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from rollcall.postgres.console import console_people as people
from rollcall.postgres.pool import Database
from rollcall_console.organisation_page import ROUTE, enter
from rollcall_console.tenants import Tenants
from rollcall_console.web.errors import NotFound
from rollcall_console.web.pages import Pages

PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class GroupViews:
    """The views and what they need."""

    pages: Pages
    database: Database
    tenants: Tenants

    def setup(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get(f"{ROUTE}/groups", self.list_all)
        app.router.add_get(f"{ROUTE}/groups/{{group}}", self.show)

    async def list_all(self, request: web.Request) -> web.Response:
        """A page of the groups, or those that were looked for."""
        here = await enter(request, self.tenants)
        text = request.query.get("q", "").strip()[:256]
        name_key, group_id = request.query.get("name", ""), request.query.get("after", "")
        async with self.database.connection() as connection:
            _, total = await people.count_resources(connection, here.organisation.id)
            found = (
                await people.groups_found(connection, here.organisation.id, text, PAGE + 1)
                if text
                else await people.groups_after(
                    connection,
                    here.organisation.id,
                    name_key=name_key,
                    group_id=group_id,
                    limit=PAGE + 1,
                )
            )
        shown, next_page = found[:PAGE], None
        if len(found) > PAGE and not text:
            last = {"name": shown[-1].name_key, "after": shown[-1].id}
            next_page = f"{here.root}/groups?{urlencode(last)}"
        return self.pages.show(
            request,
            "groups/list.html",
            org=here,
            page="groups",
            total=total,
            text=text,
            groups=shown,
            is_more=len(found) > PAGE,
            is_first=not group_id,
            next_page=next_page,
        )

    async def show(self, request: web.Request) -> web.Response:
        """One group, and a page of its members."""
        here = await enter(request, self.tenants)
        after = request.query.get("after", "")
        async with self.database.connection() as connection:
            group = await people.one_group(
                connection, here.organisation.id, request.match_info["group"]
            )
            if group is None:
                raise NotFound
            members = await people.members_of_group(
                connection, here.organisation.id, group.id, after=after, limit=PAGE + 1
            )
        shown = members[:PAGE]
        is_more = len(members) > PAGE
        return self.pages.show(
            request,
            "groups/group.html",
            org=here,
            page="groups",
            group=group,
            members=shown,
            is_first=not after,
            next_page=f"{here.root}/groups/{group.id}?after={shown[-1].id}" if is_more else None,
        )
