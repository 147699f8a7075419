"""The HTTP answer to a request: from a reply, from the accepted request (pending), or an error.

| request | applied | pending |
|---|---|---|
| POST | 201 + representation | 201 + representation from the request |
| PUT | 200 + representation | 200 + representation from the request |
| PATCH User | 200 + representation | 204 |
| PATCH Group | 204; 200 with `attributes` or `excludedAttributes` | 204 |
| DELETE | 204 | 204 |

Pending answers are marked `Rollcall-Outcome: pending`. What waits behind a dead letter of the same
resource is answered in the same way, marked `Rollcall-Outcome: parked`. A PATCH with `attributes`
must be answered with a body, so it is refused before publishing while the partition is known to be
behind; if it becomes pending after that, it is accepted all the same, and 204 says so more truly
than an error.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar

import orjson
from aiohttp import web

from shared.directory.members import initial_resource
from shared.directory.state import Group, Member
from shared.events.envelope import format_time
from shared.events.reply import Reply
from shared.events.request import Request
from shared.postgres.directory_search import FoundGroup, FoundMember
from shared.runtime.errors import Unavailable
from shared.scim import resource as scim_resource
from shared.scim.errors import NO_HEADERS, ScimError, ServiceUnavailable, from_parts
from shared.scim.etag import weak_etag
from shared.scim.json_body import Json
from shared.scim.page import Page, list_response
from shared.scim.projection import Projection, project
from shared.scim.schema import GROUP, USER, ResourceSchema

MEDIA_TYPE: Final = "application/scim+json; charset=utf-8"
OUTCOME: Final = "Rollcall-Outcome"
PENDING: Final = "pending"
PARKED: Final = "parked"
REQUEST_ID: Final = "Rollcall-Request-Id"
THREAD_FROM_MEMBERS: Final = 2000
_BASE_HEADERS: Final = {"Cache-Control": "no-store", "Server": "rollcall"}
_BODY_HEADERS: Final = {**_BASE_HEADERS, "Content-Type": MEDIA_TYPE}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and the bytes of the body, empty for none."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_pending(self) -> bool:
        """Whether it was given before the change was applied."""
        return self.headers.get(OUTCOME) in (PENDING, PARKED)

    def to_response(self) -> web.Response:
        """The same for aiohttp."""
        base = _BODY_HEADERS if self.body else _BASE_HEADERS
        return web.Response(
            status=self.status, body=self.body or None, headers={**base, **self.headers}
        )


@dataclass(frozen=True, slots=True)
class View:
    """How resources are shown: below which SCIM base, and which part of them."""

    base_url: str
    projection: Projection | None = None


def json_answer(
    document: Json, status: int = 200, headers: Mapping[str, str] = NO_HEADERS
) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, orjson.dumps(document), headers)


def error_answer(error: ScimError) -> Answer:
    """The SCIM error of RFC 7644 §3.12 with its headers."""
    return Answer(error.status, orjson.dumps(error.body()), error.headers)


def unavailable(error: Unavailable) -> ServiceUnavailable:
    """503 with a Retry-After that is jittered, so that clients do not come back at once."""
    spread = 1.0 + random.random()  # noqa: S311 - no secret
    retry_after_s = max(1, math.ceil(error.retry_after_s * spread))
    return ServiceUnavailable(
        retry_after_s,
        f"{error.what[:1].upper()}{error.what[1:]} cannot be used at the moment, so nothing was "
        f"done; repeat the request in {retry_after_s} seconds.",
    )


def refusal(reply: Reply) -> ScimError:
    """The error of a reply whose status is 400 or more."""
    return from_parts(
        reply.status, reply.scim_type, reply.detail or "The change was refused.", reply.attribute
    )


def applied(request: Request, reply: Reply, view: View, group: FoundGroup | None) -> Answer:
    """The answer to a decided request; `reply.status` is below 400.

    `group` is what the directory says of a changed group, where that was read; otherwise the
    members are those that the request names.
    """
    verb = request.kind.partition(".")[2]
    tag = {"ETag": weak_etag(reply.version)} if reply.version is not None else {}
    if verb == "delete" or reply.resource is None or reply.version is None:
        return Answer(204)
    if verb == "patch" and not request.is_member and (view.projection is None or group is None):
        return Answer(204, headers=tag)
    if request.is_member:
        document = _user(request.resource_id, _times(reply), reply.resource, view, reply.groups)
    elif group is not None:
        return found_group(group, view, status=201 if verb == "create" else 200)
    else:
        document = _group(request.resource_id, _times(reply), reply.resource, view, _named(request))
    return _representation(document, reply.version, view, 201 if verb == "create" else 200)


def pending(request: Request, view: View, mark_as: str = PENDING) -> Answer:
    """The answer from the accepted request, while it is not decided: `PENDING` or `PARKED`."""
    verb = request.kind.partition(".")[2]
    mark = {OUTCOME: mark_as}
    if verb in ("patch", "delete") or request.resource is None:
        return Answer(204, headers=mark)
    moment = format_time(request.time)
    times = (moment, moment, request.id)
    if request.is_member:
        resource = initial_resource(request.resource) if verb == "create" else request.resource
        document = _user(request.resource_id, times, resource, view, None)
    else:
        document = _group(request.resource_id, times, request.resource, view, _named(request))
    return _representation(document, request.id, view, 201 if verb == "create" else 200, mark)


def found_member(found: FoundMember, view: View) -> Answer:
    """200 with a User as the directory has it."""
    return _representation(show_member(found, view), found.member.version, view, 200)


def found_group(found: FoundGroup, view: View, *, status: int = 200) -> Answer:
    """A Group as the directory has it."""
    return _representation(show_group(found, view), found.group.version, view, status)


def listing(shown: Sequence[Json], total: int, page: Page) -> Answer:
    """200 with one page of representations (`show_member`, `show_group`)."""
    return json_answer(list_response(shown, total, page))


def show_member(found: FoundMember, view: View) -> Json:
    """The representation of a User, projected."""
    member = found.member
    document = _user(member.id, _stored(member), member.resource, view, found.groups)
    return project(document, view.projection, USER)


def show_group(found: FoundGroup, view: View) -> Json:
    """The representation of a Group, projected."""
    group = found.group
    members = found.members if wants(view, "members") else None
    document = _group(group.id, _stored(group), group.resource, view, members)
    return project(document, view.projection, GROUP)


def wants(view: View, name: str) -> bool:
    """Whether a core attribute is shown at all, so that it need not be read otherwise."""
    return view.projection is None or view.projection.wants(name)


P = ParamSpec("P")
T = TypeVar("T")


async def render(size: int, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `make` makes of the arguments; in a thread if it shows many memberships (`size`)."""
    if size > THREAD_FROM_MEMBERS:
        return await asyncio.to_thread(make, *args, **kwargs)
    return make(*args, **kwargs)


Times = tuple[str, str, str]
"""created, lastModified, version"""
Pairs = Sequence[tuple[str, str | None]]


def _times(reply: Reply) -> Times:
    created = reply.created or reply.last_modified or ""
    return created, reply.last_modified or created, reply.version or ""


def _stored(resource: Member | Group) -> Times:
    return format_time(resource.created), format_time(resource.last_modified), resource.version


def _named(request: Request) -> Pairs | None:
    if request.members is None:
        return None
    return [(member_id, None) for member_id in request.members.add]


def _user(resource_id: str, times: Times, resource: Json, view: View, groups: Pairs | None) -> Json:
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


def _group(
    resource_id: str, times: Times, resource: Json, view: View, members: Pairs | None
) -> Json:
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


def _representation(
    document: Json,
    version: str,
    view: View,
    status: int,
    more: Mapping[str, str] = NO_HEADERS,
) -> Answer:
    """The answer with a whole or already projected representation."""
    headers = {"ETag": weak_etag(version), **more}
    if status == 201:
        headers["Location"] = document["meta"]["location"]
    schema: ResourceSchema = USER if document["meta"]["resourceType"] == "User" else GROUP
    return Answer(status, orjson.dumps(project(document, view.projection, schema)), headers)
