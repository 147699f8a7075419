"""From the raw request target to a place below the SCIM base. Pure.

The target is taken as it came and is never decoded, joined or normalised: what the gate sees is
what the handler gets. `/v2/ORGANISATION/Users/ID` has an organisation, an endpoint, and a rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Final, Protocol

from aiohttp import web

from rollcall.runtime.ids import parse_id
from rollcall.scim.errors import NotFound
from rollcall.scim.schema import ResourceSchema
from rollcall_ingress.door.answer import Answer
from rollcall_ingress.door.authenticate import Principal

BASE: Final = "v2"
SEARCH: Final = ".search"

_OTHER_NAMES: Final = MappingProxyType(
    {
        "serviceproviderconfigs": "serviceproviderconfig",  # SCIM 1.1
        "serviceconfiguration": "serviceproviderconfig",  # Microsoft's reference code
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes; all parts as they came, undecoded.

    `organisation` is empty where the path ends before it. `rest` is the one segment behind the
    endpoint, None for the collection. `is_known` is false where there are more segments.
    """

    organisation: str
    endpoint: str
    rest: str | None
    query: str
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Arrival:
    """An authenticated request and its route: what a handler is called with.

    `at` is the moment at which the request came, before it was authenticated. A write gives
    `request_id` to its event.
    """

    http: web.Request
    target: Target
    principal: Principal
    at: datetime
    request_id: str


class Handler(Protocol):
    """Serves one method of one route, for a request that the door has authenticated."""

    async def __call__(self, arrival: Arrival) -> Answer: ...


@dataclass(frozen=True)
class Route:
    """One endpoint, as a collection or (`with_id`) with a segment behind it.

    The endpoint of a search is `.search`, or with a resource type before it `Users/.search`; that
    of the organisation's base itself is empty. `reads` and `writes` are its handlers by method.
    Those of `writes` can change something, so a key that opens them must have been confirmed more
    recently (`StaleAfter`). `resources` are what it is about, as scopes of keys begin: `users`,
    `groups`; none: what every key may know.
    """

    endpoint: str
    with_id: bool
    reads: Mapping[str, Handler]
    writes: Mapping[str, Handler] = field(default_factory=dict)
    resources: tuple[str, ...] = ()

    @cached_property
    def methods(self) -> Mapping[str, Handler]:
        """All handlers by method."""
        return {**self.reads, **self.writes}

    def scopes(self, method: str) -> tuple[str, ...]:
        """The scopes that a key needs for a method."""
        act = "write" if method in self.writes else "read"
        return tuple(f"{resource}:{act}" for resource in self.resources)

    @cached_property
    def template(self) -> str:
        """The address with names in the place of values, for a log: `/v2/{organisation}/Users`."""
        parts = (BASE, "{organisation}", self.endpoint, "{id}" if self.with_id else "")
        return "/" + "/".join(part for part in parts if part)

    @property
    def key(self) -> "RouteKey":
        """What `route_key_of` says of every target that the route serves."""
        return self.endpoint.lower(), self.with_id


RouteKey = tuple[str, bool]
"""Endpoint in lower case; whether a segment follows it."""


def route_key_of(target: Target) -> RouteKey:
    """Which route serves the target, if any does.

    Endpoints are found in any letter case and by the names that older clients use: nothing else
    could be meant, and all that is served says its canonical address in `meta.location`.
    """
    name = target.endpoint.lower()
    name = _OTHER_NAMES.get(name, name)
    if target.rest == SEARCH:
        return f"{name}/{SEARCH}", False
    return name, target.rest is not None


def resource_id_of(text: str, schema: ResourceSchema) -> str:
    """The id of a resource in an address. Raises NotFound for what no resource can have as its id.

    Ids are UUIDs and are case-sensitive (RFC 7643 §3.1).
    """
    if parse_id(text) != text:
        raise NotFound(f"There is no {schema.name} with this id.")
    return text


def read_target(raw: str) -> Target | None:
    """What a raw request target names; None outside the SCIM base.

    The absolute form (RFC 9112 §3.2.2) counts by its path; its authority is ignored. One slash
    at the end is ignored.
    """
    if not raw.startswith("/"):
        scheme, separator, rest = raw.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            return None
        _, slash, path = rest.partition("/")
        raw = slash + path
    path, _, query = raw.partition("#")[0].partition("?")
    segments = path[1:].split("/")
    if not segments or segments[0] != BASE:
        return None
    if len(segments) > 3 and segments[-1] == "":
        segments.pop()
    organisation = segments[1] if len(segments) > 1 else ""
    endpoint = segments[2] if len(segments) > 2 else ""
    rest_of_path = segments[3] if len(segments) > 3 else None
    return Target(organisation, endpoint, rest_of_path, query, len(segments) <= 4)
