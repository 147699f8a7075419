"""GET of Users and Groups: by id, and lists by filter, a page at a time. From Postgres."""

from dataclasses import dataclass
from typing import Final

from services.ingress import answer
from services.ingress.admission import Admission
from services.ingress.answer import Answer, View, wants
from services.ingress.authenticate import Authenticator, Principal
from services.ingress.directory_reads import DirectoryReads
from services.ingress.key_use import KeyUse
from services.ingress.query import Query, parse_query
from services.ingress.routes import Arrival
from services.ingress.write_path import WritePath
from shared.postgres.filter_sql import compile_filter
from shared.runtime.clock import now
from shared.runtime.ids import parse_id
from shared.scim.errors import NotFound
from shared.scim.filter import parse_filter
from shared.scim.page import parse_page
from shared.scim.profile import Profile
from shared.scim.projection import parse_projection
from shared.scim.schema import USER, ResourceSchema

DEFAULT_PAGE: Final = 100
LARGEST_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """What the steps of a read need; the same for both resource types."""

    root_url: str
    authenticator: Authenticator
    key_use: KeyUse
    admission: Admission
    write_path: WritePath
    reads: DirectoryReads
    settle_s: float


@dataclass(frozen=True, slots=True)
class ScimRead:
    """Serves GET of one resource type: `one` and `many`."""

    parts: Reading
    schema: ResourceSchema

    async def one(self, arrival: Arrival) -> Answer:
        """One resource by its id (RFC 7644 §3.4.1)."""
        principal = await self._authenticate(arrival)
        organisation_id = principal.organisation.id
        with self.parts.admission.admit(organisation_id):
            resource_id = parse_id(arrival.target.rest or "")
            view = self._view(organisation_id, parse_query(arrival.target.query))
            if resource_id is None:
                raise NotFound(f"There is no {self.schema.name} with this id.")
            await self.parts.write_path.settled(organisation_id, self.parts.settle_s)
            if self.schema is USER:
                member = await self.parts.reads.member(
                    organisation_id, resource_id, with_groups=wants(view, "groups")
                )
                if member is not None:
                    return answer.found_member(member, view)
            else:
                group = await self.parts.reads.group(
                    organisation_id, resource_id, with_members=wants(view, "members")
                )
                if group is not None:
                    size = len(group.members)
                    return await answer.render(size, answer.found_group, group, view)
        raise NotFound(f"There is no {self.schema.name} with the id {resource_id}.")

    async def many(self, arrival: Arrival) -> Answer:
        """A page of the resources that match the filter (RFC 7644 §3.4.2)."""
        principal = await self._authenticate(arrival)
        organisation = principal.organisation
        with self.parts.admission.admit(organisation.id):
            query = parse_query(arrival.target.query)
            view = self._view(organisation.id, query)
            page = parse_page(
                query.get("startIndex"),
                query.get("count"),
                default=DEFAULT_PAGE,
                maximum=LARGEST_PAGE,
            )
            text = query.get("filter")
            parsed = None
            if text is not None and text.strip():
                parsed = parse_filter(text, self.schema, Profile(organisation.profile))
            await self.parts.write_path.settled(organisation.id, self.parts.settle_s)
            if self.schema is USER:
                total, members = await self.parts.reads.members(
                    organisation.id,
                    compile_filter(parsed, "User"),
                    page,
                    with_groups=wants(view, "groups"),
                )
                shown = [answer.show_member(member, view) for member in members]
            else:
                total, groups = await self.parts.reads.groups(
                    organisation.id,
                    compile_filter(parsed, "Group"),
                    page,
                    with_members=wants(view, "members"),
                )
                shown = [
                    await answer.render(len(group.members), answer.show_group, group, view)
                    for group in groups
                ]
            related = sum(len(item.get("members", ())) for item in shown)
            return await answer.render(related, answer.listing, shown, total, page)

    async def _authenticate(self, arrival: Arrival) -> Principal:
        at = now()
        principal = await self.parts.authenticator.authenticate(
            arrival.http.headers.getall("Authorization", ()),
            arrival.target.organisation,
            is_write=False,
            at=at,
        )
        self.parts.key_use.note(principal.key.public_id, at)
        return principal

    def _view(self, organisation_id: str, query: Query) -> View:
        projection = parse_projection(
            query.get("attributes"), query.get("excludedAttributes"), self.schema
        )
        return View(f"{self.parts.root_url}/v2/{organisation_id}", projection)
