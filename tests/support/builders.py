"""Small builders: what a test does not say has a sensible value. No test in here."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rollcall.directory.lifecycle import Status
from rollcall.directory.state import Group, Member, State
from rollcall.events.request import Kind, MemberDelta, Request, Settings
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
    """A request of the organisation, with names normalised as ingress does."""
    resource = fields.get("resource")
    operations = fields.get("operations", ())
    user_name = (resource or {}).get("userName")
    display_name = (resource or {}).get("displayName")
    for operation in operations:
        if operation.get("path") == "userName":
            user_name = operation["value"]
        if operation.get("path") == "displayName":
            display_name = operation["value"]
    if kind.startswith("member.") and user_name is not None:
        fields.setdefault("user_name_key", user_name_key(user_name))
    if kind.startswith("group.") and display_name is not None:
        fields.setdefault("display_name_key", display_name.casefold())
    return Request(
        id=fields.pop("id", an_id(number)),
        kind=kind,
        organisation_id=fields.pop("organisation_id", ORGANISATION),
        resource_id=resource_id,
        time=fields.pop("time", MOMENT),
        settings=fields.pop("settings", Settings()),
        **fields,
    )


def create(number: int, user_name: str, **attributes: Any) -> Request:
    """A create of member `number`."""
    return a_request(
        "member.create", an_id(number), 100 + number, resource=a_user(user_name, **attributes)
    )


def redrive(dead: Request, number: int = 800, kind: Kind = "dead.redrive") -> Request:
    """A redrive, or a discard, of a request that is dead."""
    return Request(
        id=an_id(number),
        kind=kind,
        organisation_id=dead.organisation_id,
        resource_id=dead.resource_id,
        time=MOMENT,
        dead_id=dead.id,
        dead_letter="rollcall.requests/3/41",
        dead_endpoint=dead.endpoint,
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
