"""What this service offers (RFC 7644 §4), and what it answers for what it does not offer.

ServiceProviderConfig, ResourceTypes and Schemas are served from bytes that are made once.
"""

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

import orjson

from rollcall.scim import discovery
from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import Forbidden, NotFound, NotImplementedByServer
from rollcall.scim.page import Page, list_response
from rollcall.scim.profile import Profile
from rollcall_ingress.door.answer import Answer
from rollcall_ingress.door.query import parse_query
from rollcall_ingress.door.routes import SEARCH, Arrival

_ANY_BASE: Final = "https://organisation.invalid"
"""Stands in the cached bytes where an organisation's base address goes."""

_ALL_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOT_OFFERED: Final = (
    (
        "Me",
        _ALL_METHODS,
        "There is no /Me here: an API key stands for an organisation, not for a user.",
    ),
    (
        "Bulk",
        _ALL_METHODS,
        "Bulk requests are not offered; send each operation as its own request.",
    ),
    ("", ("GET",), "All types together cannot be listed; list /Users and /Groups."),
    (SEARCH, ("POST",), "All types together cannot be searched; search /Users and /Groups."),
)
"""Endpoint, methods, the detail of the error: what RFC 7644 describes and Rollcall does not do."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """Serves the three endpoints, GET only."""

    root_url: str

    async def __call__(self, arrival: Arrival) -> Answer:
        """One document or a list of them; paging and sorting are ignored (RFC 7644 §4)."""
        organisation = arrival.principal.organisation
        if any(name.lower() == "filter" for name in parse_query(arrival.target.query)):
            raise Forbidden("Discovery endpoints cannot be filtered; leave `filter` out.")
        documents = _documents(Profile(organisation.profile))
        name = arrival.target.endpoint
        if arrival.target.rest is not None:
            name = f"{name}/{unquote(arrival.target.rest)}"
        body = documents.get(name.lower())
        if body is None:
            raise NotFound("There is no such resource type or schema; list them all instead.")
        base_url = f"{self.root_url}/v2/{organisation.id}"
        return Answer(200, body.replace(_ANY_BASE.encode(), orjson.dumps(base_url)[1:-1]))


@dataclass(frozen=True, slots=True)
class NotOffered:
    """Answers every request with the same 501 and its detail; no body is read."""

    detail: str

    async def __call__(self, arrival: Arrival) -> Answer:
        """Raises NotImplementedByServer."""
        raise NotImplementedByServer(self.detail)


@lru_cache(maxsize=len(Profile))
def _documents(profile: Profile) -> MappingProxyType[str, bytes]:
    """Endpoint, or endpoint and id, in lower case → the bytes of the answer, for `_ANY_BASE`."""
    config = discovery.service_provider_config(_ANY_BASE, profile)
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
