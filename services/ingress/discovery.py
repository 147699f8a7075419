"""ServiceProviderConfig, ResourceTypes, Schemas (RFC 7644 §4): built once per organisation."""

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote

import orjson

from services.ingress.answer import Answer
from services.ingress.authenticate import Authenticator, Principal
from services.ingress.key_use import KeyUse
from services.ingress.query import parse_query
from services.ingress.routes import Arrival
from services.ingress.scim_read import LARGEST_PAGE
from shared.runtime.clock import now
from shared.scim import discovery
from shared.scim.errors import Forbidden, NotFound
from shared.scim.json_body import Json
from shared.scim.page import Page, list_response
from shared.scim.profile import Profile


@dataclass(frozen=True, slots=True)
class Discovery:
    """Serves the three endpoints, GET only."""

    root_url: str
    authenticator: Authenticator
    key_use: KeyUse

    async def __call__(self, arrival: Arrival) -> Answer:
        """One document or a list of them."""
        principal = await self._authenticate(arrival)
        if "filter" in parse_query(arrival.target.query):
            raise Forbidden("Discovery endpoints cannot be filtered; leave `filter` out.")
        base_url = f"{self.root_url}/v2/{principal.organisation.id}"
        documents = _documents(base_url, Profile(principal.organisation.profile))
        name = arrival.target.endpoint
        if arrival.target.rest is not None:
            name = f"{name}/{unquote(arrival.target.rest)}"
        body = documents.get(name.lower())
        if body is None:
            raise NotFound("There is no such resource type or schema; list them all instead.")
        return Answer(200, body)

    async def _authenticate(self, arrival: Arrival) -> Principal:
        at = now()
        principal = await self.authenticator.authenticate(
            arrival.http.headers.getall("Authorization", ()),
            arrival.target.organisation,
            is_write=False,
            at=at,
        )
        self.key_use.note(principal.key.public_id, at)
        return principal


@lru_cache(maxsize=256)
def _documents(base_url: str, profile: Profile) -> MappingProxyType[str, bytes]:
    """Endpoint, or endpoint and id, in lower case → the bytes of the answer."""
    config = discovery.service_provider_config(base_url, profile, max_results=LARGEST_PAGE)
    documents = {"serviceproviderconfig": orjson.dumps(config)}
    for endpoint, found in (
        ("resourcetypes", discovery.resource_types(base_url)),
        ("schemas", discovery.schemas(base_url)),
    ):
        documents[endpoint] = orjson.dumps(_list(found))
        documents |= {f"{endpoint}/{item['id'].lower()}": orjson.dumps(item) for item in found}
    return MappingProxyType(documents)


def _list(documents: list[Json]) -> Json:
    return list_response(documents, len(documents), Page(1, len(documents)))
