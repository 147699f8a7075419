"""Reads of Users and Groups: by id, and lists by filter, a page at a time.

From Postgres, with what this replica has accepted folded in while that is behind.
"""

import asyncio
from dataclasses import dataclass, replace

from rollcall.scim.errors import NotFound
from rollcall.scim.etag import none_match, weak_etag
from rollcall.scim.prefer import Preferences, parse_prefer
from rollcall.scim.profile import Profile
from rollcall.scim.schema import ResourceSchema
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.aside import THREAD_FROM_BYTES, aside
from rollcall_ingress.behind.reads import ExactReads
from rollcall_ingress.door.admission import Admission
from rollcall_ingress.door.answer import Answer
from rollcall_ingress.door.query import Query, parse_query
from rollcall_ingress.door.routes import Arrival, resource_id_of
from rollcall_ingress.read import show
from rollcall_ingress.read.listing import read_listing, read_search_request
from rollcall_ingress.read.show import View, wants_related
from rollcall_ingress.write.under_way import UnderWay


@dataclass(frozen=True, slots=True)
class Reading:
    """What the steps of a read need; the same for both resource types."""

    root_url: str
    admission: Admission
    under_way: UnderWay
    known: ExactReads
    settle_s: float


@dataclass(frozen=True, slots=True)
class ScimRead:
    """Serves the reads of one resource type: `one`, `many` and `search`."""

    parts: Reading
    schema: ResourceSchema

    async def one(self, arrival: Arrival) -> Answer:
        """One resource by its id (RFC 7644 §3.4.1); 304 where the client's copy is current."""
        organisation = arrival.principal.organisation
        organisation_id = organisation.id
        with self.parts.admission.admit(organisation_id):
            profile = self._preferences(arrival).profile(organisation.profile)
            view = self._view(organisation, parse_query(arrival.target.query), profile)
            copies = arrival.http.headers.getall("If-None-Match", ())
            resource_id = resource_id_of(arrival.target.rest or "", self.schema)
            await self.parts.under_way.settled(organisation_id, self.parts.settle_s)
            found = await self.parts.known.find(
                self.schema.endpoint,
                organisation,
                resource_id,
                with_related=wants_related(view, self.schema.endpoint),
            )
            if found is None:
                raise NotFound(f"There is no {self.schema.name} with the id {resource_id}.")
            if found.is_exact and none_match(copies, found.row.version):
                return _not_modified(found.row.version)
            return await show.render(len(found.related), show.answer, found, view)

    async def many(self, arrival: Arrival) -> Answer:
        """A page of the resources that match the filter (RFC 7644 §3.4.2)."""
        organisation = arrival.principal.organisation
        with self.parts.admission.admit(organisation.id):
            query = parse_query(arrival.target.query)
            return await self._list(organisation, query, self._preferences(arrival))

    async def search(self, arrival: Arrival) -> Answer:
        """A page as of `many`, asked for by POST: no personal data is in the address (§3.4.3)."""
        organisation = arrival.principal.organisation
        with self.parts.admission.admit(organisation.id) as seat:
            preferences = self._preferences(arrival)
            raw = await self.parts.admission.read_body(arrival.http, seat)
            profile = preferences.profile(organisation.profile)
            if len(raw) > THREAD_FROM_BYTES:
                query = await asyncio.to_thread(read_search_request, raw, profile)
            else:
                query = read_search_request(raw, profile)
            return await self._list(organisation, query, preferences)

    async def _list(
        self, organisation: Organisation, query: Query, preferences: Preferences
    ) -> Answer:
        """Understand → wait for own writes → read a page → show it."""
        profile = preferences.profile(organisation.profile)
        view = self._view(organisation, query, profile)
        asked = read_listing(query, self.schema, profile, view.base_url)
        await self.parts.under_way.settled(organisation.id, self.parts.settle_s)
        total, found = await self.parts.known.search(
            self.schema.endpoint,
            organisation,
            asked,
            with_related=wants_related(view, self.schema.endpoint),
        )
        given = await aside(show.work_to_show(found), show.listing, found, view, total, asked.page)
        applied = preferences.applied(returns=False)
        if applied is None:
            return given
        return replace(given, headers={**given.headers, "Preference-Applied": applied})

    def _preferences(self, arrival: Arrival) -> Preferences:
        return parse_prefer(arrival.http.headers.getall("Prefer", ()))

    def _view(self, organisation: Organisation, query: Query, profile: Profile) -> View:
        base_url = f"{self.parts.root_url}/v2/{organisation.id}"
        return show.read_view(query, self.schema, profile, base_url)


def _not_modified(version: str) -> Answer:
    """304 without a body (RFC 9110 §15.4.5)."""
    return Answer(304, headers={"ETag": weak_etag(version)})
