"""ServiceProviderConfig, ResourceTypes, Schemas (RFC 7644 §4), from bytes that are made once."""

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

import orjson

from rollcall.runtime.clock import now
from rollcall.scim import discovery
from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import Forbidden, NotFound
from rollcall.scim.limits import LIMITS, Limits
from rollcall.scim.page import Page, list_response
from rollcall.scim.profile import Profile
from rollcall_ingress.door.answer import Answer
from rollcall_ingress.door.authenticate import Authenticator, Principal
from rollcall_ingress.door.key_use import KeyUse
from rollcall_ingress.door.query import parse_query
from rollcall_ingress.door.routes import Arrival

_ANY_BASE: Final = "https://organisation.invalid"
"""Stands in the cached bytes where an organisation's base address goes."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """Serves the three endpoints, GET only."""

    root_url: str
    authenticator: Authenticator
    key_use: KeyUse
    limits: Limits = LIMITS

    async def __call__(self, arrival: Arrival) -> Answer:
        """One document or a list of them; paging and sorting are ignored (RFC 7644 §4)."""
        principal = await self._authenticate(arrival)
        if any(name.lower() == "filter" for name in parse_query(arrival.target.query)):
            raise Forbidden("Discovery endpoints cannot be filtered; leave `filter` out.")
        documents = _documents(Profile(principal.organisation.profile), self.limits)
        name = arrival.target.endpoint
        if arrival.target.rest is not None:
            name = f"{name}/{unquote(arrival.target.rest)}"
        body = documents.get(name.lower())
        if body is None:
            raise NotFound("There is no such resource type or schema; list them all instead.")
        base_url = f"{self.root_url}/v2/{principal.organisation.id}"
        return Answer(200, body.replace(_ANY_BASE.encode(), orjson.dumps(base_url)[1:-1]))

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


@lru_cache(maxsize=len(Profile))
def _documents(profile: Profile, limits: Limits) -> MappingProxyType[str, bytes]:
    """Endpoint, or endpoint and id, in lower case → the bytes of the answer, for `_ANY_BASE`."""
    config = discovery.service_provider_config(_ANY_BASE, profile, limits)
    documents = {"serviceproviderconfig": orjson.dumps(config)}
    for endpoint, found in (
        ("resourcetypes", discovery.resource_types(_ANY_BASE)),
        ("schemas", discovery.schemas(_ANY_BASE)),
    ):
        documents[endpoint] = orjson.dumps(_list(found))
        documents |= {f"{endpoint}/{item['id'].lower()}": orjson.dumps(item) for item in found}
    return MappingProxyType(documents)


def _list(documents: list[Json]) -> Json:
    return list_response(documents, len(documents), Page(1, len(documents)))
