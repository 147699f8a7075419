"""Small builders: what a test does not say has a sensible value. No test in here."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Group, Member, State
from rollcall.events.bodies import (
    Accept,
    Body,
    Create,
    Delete,
    Discard,
    EndOrganisation,
    Erase,
    Incomplete,
    MemberDelta,
    Patch,
    Redrive,
    Replace,
)
from rollcall.events.request import Kind, Request, Settings
from rollcall.scim.username import user_name_key

Json = dict[str, Any]
ORGANISATION = "01900000-0000-7000-8000-000000000001"
OTHER_ORGANISATION = "01900000-0000-7000-8000-000000000002"
MOMENT = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)


def an_id(number: int) -> str:
    """A UUIDv7 that is the same in every run."""
    return str(uuid.UUID(int=(0x0190_0000_0000_7000_8000 << 48) | (0x0A00_0000_0000 + number)))


def a_user(user_name: str = "ana@example.org", **attributes: Any) -> Json:
    """A canonical User resource with one work address."""
    return {
        "userName": user_name,
        "active": True,
        "emails": [{"value": user_name, "type": "work", "primary": True}],
        **attributes,
    }


def a_member(
    number: int = 1,
    user_name: str = "ana@example.org",
    *,
    groups: tuple[str, ...] = (),
    **fields: Any,
) -> Member:
    """A member who was invited by event 100 + `number`."""
    resource = fields.pop("resource", None) or a_user(user_name)
    member = Member(
        id=an_id(number),
        user_name_key=user_name_key(resource["userName"]),
        external_id=resource.get("externalId"),
        status=Status.INVITED,
        restore_status=None,
        invitation_id=an_id(100 + number),
        version=an_id(100 + number),
        created=MOMENT,
        last_modified=MOMENT,
        resource=resource,
    )
    return replace(member, **fields)


def a_group(number: int = 50, name: str = "Sailors", **fields: Any) -> Group:
    """A group without members."""
    group = Group(
        id=an_id(number),
        display_name_key=name.casefold(),
        external_id=None,
        version=an_id(100 + number),
        created=MOMENT,
        last_modified=MOMENT,
        resource={"displayName": name},
    )
    return replace(group, **fields)


def a_state(
    *members: Member, groups: tuple[Group, ...] = (), memberships: tuple[tuple[str, str], ...] = ()
) -> State:
    """A state in which everything is loaded: rows, unique names, all memberships."""
    state = State(ORGANISATION)
    for member in members:
        state.add_member(member)
        state.groups_of[member.id] = set()
    for group in groups:
        state.add_group(group)
        state.complete_groups.add(group.id)
    for group_id, member_id in memberships:
        state.memberships[group_id].add(member_id)
        state.groups_of[member_id].add(group_id)
    return state


def a_request(kind: Kind, resource_id: str, number: int = 900, **fields: Any) -> Request:
    """A request of the organisation, with names normalised as ingress does.

    `fields` are of the header, and `resource`, `operations`, `members`, `invitation_id` and
    `invitation_expires` of the body.
    """
    is_member = not kind.startswith("group.")
    body = a_body(
        kind,
        is_member,
        **{name: fields.pop(name) for name in _OF_BODIES if name in fields},
    )
    return Request(
        id=fields.pop("id", an_id(number)),
        endpoint="Users" if is_member else "Groups",
        organisation_id=fields.pop("organisation_id", ORGANISATION),
        resource_id=resource_id,
        time=fields.pop("time", MOMENT),
        body=body,
        settings=fields.pop("settings", Settings()),
        **fields,
    )


_OF_BODIES = ("resource", "operations", "members", "invitation_id", "invitation_expires")


def a_body(kind: Kind, is_member: bool, **fields: Any) -> Body:
    """The body of a request of this kind; a create or a replace without resource is incomplete."""
    written = dict(fields.get("resource") or {})
    for operation in fields.get("operations", ()):
        if operation.get("path") in ("userName", "displayName"):
            written[operation["path"]] = operation["value"]
    name = written.get("userName" if is_member else "displayName")
    key = None
    if name is not None:
        key = user_name_key(name) if is_member else name.casefold()
    match kind:
        case "member.create" | "group.create":
            if fields.get("resource") is None or key is None:
                return Incomplete(True, name_key=key, **fields)
            return Create(name_key=key, **fields)
        case "member.replace" | "group.replace":
            if fields.get("resource") is None:
                return Incomplete(False, **fields)
            return Replace(name_key=key, **fields)
        case "member.patch" | "group.patch":
            return Patch(name_key=key, **fields)
        case "member.delete" | "group.delete":
            return Delete()
        case "member.accept":
            return Accept(fields.get("invitation_id"), fields.get("invitation_expires"))
        case "member.erase":
            return Erase()
        case "organisation.delete":
            return EndOrganisation()
        case "dead.redrive" | "dead.discard":
            raise ValueError("use redrive()")


def resource_of(request: Request) -> Any:
    """The resource that a request brings, None where it brings none."""
    return getattr(request.body, "resource", None)


def operations_of(request: Request) -> tuple[Json, ...]:
    """The operations of a PATCH; none of any other request."""
    return request.body.operations if isinstance(request.body, Patch) else ()


def resourced(request: Request, resource: Json | None) -> Request:
    """The create or replace with another resource; without one its decision raises."""
    body = request.body
    assert isinstance(body, Create | Replace | Incomplete)
    if resource is None:
        is_create = isinstance(body, Create)
        return replace(request, body=Incomplete(is_create, None, body.name_key, body.members))
    if isinstance(body, Incomplete):
        return replace(request, body=Replace(resource, body.name_key, body.members))
    return replace(request, body=replace(body, resource=resource))


def create(number: int, user_name: str, **attributes: Any) -> Request:
    """A create of member `number`."""
    return a_request(
        "member.create", an_id(number), 100 + number, resource=a_user(user_name, **attributes)
    )


def redrive(
    dead: Request,
    number: int = 800,
    kind: Literal["dead.redrive", "dead.discard"] = "dead.redrive",
    dead_letter: str = "rollcall.requests/3/41",
) -> Request:
    """A redrive, or a discard, of a request that is dead."""
    body = Redrive if kind == "dead.redrive" else Discard
    return Request(
        id=an_id(number),
        endpoint=dead.endpoint,
        organisation_id=dead.organisation_id,
        resource_id=dead.resource_id,
        time=MOMENT,
        body=body(dead.id, dead_letter),
        actor="operator",
    )


def let_go(behind: str, number: int = 800, dead_letter: str = "rollcall.requests/3/41") -> Request:
    """A release of the organisation, parked behind the event of this id."""
    return Request(
        id=an_id(number),
        endpoint="Users",
        organisation_id=ORGANISATION,
        resource_id=ORGANISATION,
        time=MOMENT,
        body=Redrive(behind, dead_letter),
        actor="operator",
    )


def patch(member: Member, *operations: Json, number: int = 900, **fields: Any) -> Request:
    """A PATCH of a member."""
    return a_request("member.patch", member.id, number, operations=operations, **fields)


def regroup(
    group: Group,
    *,
    add: tuple[str, ...] = (),
    remove: tuple[str, ...] = (),
    clear: bool = False,
    number: int = 900,
    **fields: Any,
) -> Request:
    """A PATCH of a group's members."""
    delta = MemberDelta(clear=clear, add=add, remove=remove)
    return a_request("group.patch", group.id, number, members=delta, **fields)


def replacing(path: str, value: Any) -> Json:
    """A canonical replace operation."""
    return {"op": "replace", "path": path, "value": value}
