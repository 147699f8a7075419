"""Builders for the tests of PATCH."""

from typing import Any

from rollcall.scim.body.json_body import Json
from rollcall.scim.patch.patch import PATCH_URN, Patch, apply_patch, parse_patch
from rollcall.scim.profile import Profile
from rollcall.scim.schema import USER, ResourceSchema

WORK: Json = {"value": "work@x.example", "type": "work", "primary": True}
HOME: Json = {"value": "home@x.example", "type": "home"}


def a_member(**attributes: Any) -> Json:
    """A canonical user."""
    return {"userName": "ana", **attributes}


def add(path: str | None, value: Any) -> Json:
    return _operation("add", path, value)


def replace(path: str | None, value: Any) -> Json:
    return _operation("replace", path, value)


def remove(path: str | None, **more: Any) -> Json:
    operation: Json = {"op": "remove", **more}
    return operation if path is None else {**operation, "path": path}


def _operation(op: str, path: str | None, value: Any) -> Json:
    operation: Json = {"op": op, "value": value}
    return operation if path is None else {**operation, "path": path}


def parsed(
    *operations: Any, schema: ResourceSchema = USER, profile: Profile = Profile.COMPATIBLE
) -> Patch:
    body = {"schemas": [PATCH_URN], "Operations": list(operations)}
    return parse_patch(body, schema, profile)


def patched(
    resource: Json,
    *operations: Json,
    schema: ResourceSchema = USER,
    profile: Profile = Profile.COMPATIBLE,
) -> Json:
    """The resource after the operations, parsed and applied."""
    patch = parsed(*operations, schema=schema, profile=profile)
    return apply_patch(resource, patch.operations, schema, profile)
