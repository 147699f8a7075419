"""How Users and Groups are shown: one, or a page of them, projected, as bytes of JSON."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import orjson

from rollcall.directory.state import Group, Member
from rollcall.events.envelope import format_time
from rollcall.postgres.directory_search import FoundGroup, FoundMember
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


def found_member(found: FoundMember, view: View) -> Answer:
    """200 with a User as the directory has it."""
    version = found.member.version if found.is_exact else None
    return representation(show_member(found, view), version, view, 200)


def found_group(found: FoundGroup, view: View, *, status: int = 200) -> Answer:
    """A Group as the directory has it."""
    version = found.group.version if found.is_exact else None
    return representation(show_group(found, view), version, view, status)


def work_to_show(resources: Iterable[Json]) -> int:
    """The units of work to show so many resources, memberships apart, for `aside`."""
    return enough_of(of_bytes(len(orjson.dumps(resource))) for resource in resources)


def listing(shown: Sequence[Json], total: int, page: Page) -> Answer:
    """200 with one page of representations (`show_member`, `show_group`)."""
    document = list_response(shown, total, page)
    # One at a time, so that others have their turn.
    pieces = [_in_turns(resource) for resource in shown]
    document["Resources"] = orjson.Fragment(b"[%b]" % b",".join(pieces))
    return json_answer(document)


def show_member(found: FoundMember, view: View) -> Json:
    """The representation of a User, projected."""
    member = found.member
    document = user_document(member.id, stored_times(member), member.resource, view, found.groups)
    if not found.is_exact:
        del document["meta"]["version"]
    return project(document, view.projection, USER)


def show_group(found: FoundGroup, view: View) -> Json:
    """The representation of a Group, projected."""
    group = found.group
    members = found.members if wants(view, "members") else None
    document = group_document(group.id, stored_times(group), group.resource, view, members)
    if not found.is_exact:
        del document["meta"]["version"]
    return project(document, view.projection, GROUP)


def wants(view: View, name: str) -> bool:
    """Whether a core attribute is shown at all, so that it need not be read otherwise."""
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


def user_document(
    resource_id: str, times: Times, resource: Json, view: View, groups: Pairs | None
) -> Json:
    """The whole representation of a User; `groups` are (id, display), None for none."""
    return scim_resource.represent(
        resource,
        USER,
        id=resource_id,
        created=times[0],
        last_modified=times[1],
        version=times[2],
        location=f"{view.base_url}/Users/{resource_id}",
        base_url=view.base_url,
        groups=[scim_resource.GroupRef(*group) for group in groups] if groups else None,
    )


def group_document(
    resource_id: str, times: Times, resource: Json, view: View, members: Pairs | None
) -> Json:
    """The whole representation of a Group; `members` are (id, display), None for not shown."""
    return scim_resource.represent(
        resource,
        GROUP,
        id=resource_id,
        created=times[0],
        last_modified=times[1],
        version=times[2],
        location=f"{view.base_url}/Groups/{resource_id}",
        base_url=view.base_url,
        members=None if members is None else [scim_resource.Member(*pair) for pair in members],
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
