"""The data of a request's event that its body is written to and read from. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never

from rollcall.events.bodies import (
    Accept,
    Body,
    Create,
    Delete,
    Discard,
    EndOrganisation,
    Endpoint,
    Erase,
    Incomplete,
    Json,
    Kind,
    MemberDelta,
    Patch,
    Redrive,
    Replace,
    Writing,
)
from rollcall.events.envelope import MalformedEvent, from_milliseconds

NAME_KEYS: Final[Mapping[Endpoint, str]] = {
    "Users": "user_name_key",
    "Groups": "display_name_key",
}
"""The field of the data that holds the normalised name that a request writes."""


def to_data(body: Body, endpoint: Endpoint) -> Json:
    """The fields that the body is written to; what is absent is left out."""
    data: Json = {}
    match body:
        case Create() | Replace() | Incomplete():
            if body.resource is not None:
                data["resource"] = body.resource
            _write_members_and_name(data, body, endpoint)
        case Patch():
            if body.operations:
                data["operations"] = list(body.operations)
            _write_members_and_name(data, body, endpoint)
        case Delete() | Erase() | EndOrganisation():
            pass
        case Accept():
            if body.invitation_id is not None:
                data["invitation_id"] = body.invitation_id
            if body.expires is not None:
                data["invitation_expires"] = int(body.expires.timestamp() * 1000)
        case Redrive() | Discard():
            data["dead_letter"] = body.dead_letter
            data["dead_endpoint"] = endpoint
        case _:
            assert_never(body)
    return data


def _write_members_and_name(data: Json, body: Writing, endpoint: Endpoint) -> None:
    if (delta := body.members) is not None:
        data["members"] = {
            "clear": delta.clear,
            "add": list(delta.add),
            "remove": list(delta.remove),
        }
    if body.name_key is not None:
        data[NAME_KEYS[endpoint]] = body.name_key


def from_data(
    kind: Kind, endpoint: Endpoint, data: Mapping[str, Any], extensions: Mapping[str, str]
) -> Body:
    """The body of a request of this kind; a field that the kind does not use is checked as well.

    Raises MalformedEvent, KeyError, TypeError, ValueError or OverflowError for what is not as it
    should be.
    """
    resource, operations = data.get("resource"), tuple(data.get("operations", ()))
    members, expires = _members(data.get("members")), data.get("invitation_expires")
    ends_at = None if expires is None else from_milliseconds(expires)
    _check_shape(data, operations)
    name_key = data.get(NAME_KEYS[endpoint])
    match kind:
        case "member.create" | "group.create":
            if resource is None or name_key is None:
                return Incomplete(True, resource, name_key, members)
            return Create(resource, name_key, members)
        case "member.replace" | "group.replace":
            if resource is None:
                return Incomplete(False, None, name_key, members)
            return Replace(resource, name_key, members)
        case "member.patch" | "group.patch":
            return Patch(operations, name_key, members)
        case "member.delete" | "group.delete":
            return Delete()
        case "member.accept":
            return Accept(data.get("invitation_id"), ends_at)
        case "member.erase":
            return Erase()
        case "dead.redrive":
            return Redrive(extensions["causationid"], _name(data))
        case "dead.discard":
            return Discard(extensions["causationid"], _name(data))
        case "organisation.delete":
            return EndOrganisation()
        case _:
            assert_never(kind)


def _check_shape(data: Mapping[str, Any], operations: Sequence[object]) -> None:
    """What is looked at before the decision: a wrong type there would stop the whole batch."""
    if not isinstance(data.get("resource"), dict | None):
        raise MalformedEvent("the resource is no object")
    if not all(isinstance(operation, dict) for operation in operations):
        raise MalformedEvent("an operation is no object")
    for name in NAME_KEYS.values():
        if not isinstance(data.get(name), str | None):
            raise MalformedEvent(f"{name} is no text")


def _members(data: Mapping[str, Any] | None) -> MemberDelta | None:
    if data is None:
        return None
    return MemberDelta(
        clear=bool(data["clear"]), add=_ids(data["add"]), remove=_ids(data["remove"])
    )


def _ids(values: Sequence[object]) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise TypeError("ids of members are text")
    return tuple(map(str, values))


def _name(data: Mapping[str, Any]) -> str:
    value = data["dead_letter"]
    if not isinstance(value, str):
        raise TypeError("dead_letter is no text")
    return value
