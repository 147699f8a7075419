"""How Users and Groups are shown: one, or a page of them, projected, as bytes of JSON."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import orjson

from rollcall.directory.state import Group, Member
from rollcall.events.envelope import format_time
from rollcall.events.request import Endpoint
from rollcall.postgres.directory_search import Resource
from rollcall.scim import resource as scim_resource
from rollcall.scim.body.json_body import Json
from rollcall.scim.errors import NO_HEADERS
from rollcall.scim.etag import weak_etag
from rollcall.scim.page import Page, list_response
from rollcall.scim.prefer import Return
from rollcall.scim.profile import Profile
from rollcall.scim.projection import Projection, parse_projection, project
from rollcall.scim.schema import GROUP, USER, ResourceSchema
from rollcall.scim.work import of_bytes
from rollcall_ingress.aside import aside, enough_of
from rollcall_ingress.door.answer import Answer, json_answer
from rollcall_ingress.door.query import Query
from rollcall_ingress.read.listing import count_repairs

MEMBERSHIP: Final = 25
"""Units of work to show one membership: 2,000 are shown in a thread."""
MEMBERS_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class View:
    """How resources are shown: below which SCIM base, which part of them, and whether at all."""

    base_url: str
    projection: Projection | None = None
    returns: Return | None = None


def read_view(
    query: Query,
    schema: ResourceSchema,
    profile: Profile,
    base_url: str,
    returns: Return | None = None,
) -> View:
    """The view that `attributes` and `excludedAttributes` ask for. Repairs are counted.

    Raises InvalidValue.
    """
    projection = parse_projection(
        query.get("attributes"), query.get("excludedAttributes"), schema, profile
    )
    if projection is not None:
        count_repairs(projection.repairs)
    return View(base_url, projection, returns)


def answer(found: Resource, view: View, *, status: int = 200) -> Answer:
    """The answer with a resource as the directory has it."""
    version = found.row.version if found.is_exact else None
    return representation(show(found, view), version, view, status)


def show(found: Resource, view: View) -> Json:
    """The representation of a resource, projected."""
    row, schema = found.row, found.schema
    related = found.related if wants_related(view, schema.endpoint) else None
    document = whole(schema, row.id, stored_times(row), row.resource, view, related)
    if not found.is_exact:
        del document["meta"]["version"]
    return project(document, view.projection, schema)


def listing(found: Iterable[Resource], view: View, total: int, page: Page) -> Answer:
    """200 with one page of representations, out of `total` resources."""
    shown = [show(each, view) for each in found]
    document = list_response(shown, total, page)
    # One at a time, so that others have their turn.
    pieces = [_in_turns(resource) for resource in shown]
    document["Resources"] = orjson.Fragment(b"[%b]" % b",".join(pieces))
    return json_answer(document)


def work_to_show(found: Iterable[Resource]) -> int:
    """The units of work to show these resources, for `aside`."""
    return enough_of(
        of_bytes(len(orjson.dumps(each.row.resource))) + MEMBERSHIP * len(each.related)
        for each in found
    )


def wants_related(view: View, endpoint: Endpoint) -> bool:
    """Whether a User's groups, or a Group's members, are shown, and so have to be read."""
    name = "groups" if endpoint == "Users" else "members"
    return view.projection is None or view.projection.wants(name)


P = ParamSpec("P")
T = TypeVar("T")


async def render(size: int, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `make` makes of the arguments; in a thread if it shows many memberships (`size`)."""
    return await aside(size * MEMBERSHIP, make, *args, **kwargs)


Times = tuple[str, str, str]
"""created, lastModified, version"""
Pairs = Sequence[tuple[str, str | None]]


def stored_times(resource: Member | Group) -> Times:
    """What `meta` says of a resource as it is stored."""
    return format_time(resource.created), format_time(resource.last_modified), resource.version


def whole(
    schema: ResourceSchema,
    resource_id: str,
    times: Times,
    resource: Json,
    view: View,
    related: Pairs | None,
) -> Json:
    """The whole representation of a resource.

    `related` are (id, display) of a User's groups or a Group's members, None where they are not
    shown. A User without groups has no `groups`; a Group without members has an empty list.
    """
    groups, members = None, None
    if schema is USER and related:
        groups = [scim_resource.GroupRef(*pair) for pair in related]
    elif schema is GROUP and related is not None:
        members = [scim_resource.Member(*pair) for pair in related]
    return scim_resource.represent(
        resource,
        schema,
        id=resource_id,
        created=times[0],
        last_modified=times[1],
        version=times[2],
        location=f"{view.base_url}/{schema.endpoint}/{resource_id}",
        base_url=view.base_url,
        groups=groups,
        members=members,
    )


def representation(
    document: Json,
    version: str | None,
    view: View,
    status: int,
    more: Mapping[str, str] = NO_HEADERS,
) -> Answer:
    """The answer with a whole or already projected representation; no version, no `ETag`."""
    headers = {**({} if version is None else {"ETag": weak_etag(version)}), **more}
    if status == 201:
        headers["Location"] = document["meta"]["location"]
    schema: ResourceSchema = USER if document["meta"]["resourceType"] == "User" else GROUP
    return Answer(status, _in_turns(project(document, view.projection, schema)), headers)


def _in_turns(document: Json) -> bytes:
    """The document as JSON, its members a few thousand at a time, so that others have their turn.

    Written and freed at once, 100,000 of them would keep the event loop waiting for 20 ms.
    """
    members = document.get("members", ())
    if len(members) <= MEMBERS_AT_ONCE:
        return orjson.dumps(document)
    pieces = []
    for start in range(0, len(members), MEMBERS_AT_ONCE):
        piece = members[start : start + MEMBERS_AT_ONCE]
        pieces.append(orjson.dumps(piece)[1:-1])
        members[start : start + len(piece)] = [None] * len(piece)  # nobody else has this list
    return orjson.dumps({**document, "members": orjson.Fragment(b"[%b]" % b",".join(pieces))})
