"""An HTTP body and an organisation's profile → the request event that the log keeps.

No input makes this raise anything but ScimError, and what is refused here is never published. It
is pure but for the id of a new resource, so a large body can be understood in a thread.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Literal

from rollcall.events.bodies import Body, Create, Delete, MemberDelta, Patch, Replace
from rollcall.events.precondition import Precondition
from rollcall.events.request import Request, Settings
from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import INGRESS_REPAIRS
from rollcall.runtime.ids import new_id
from rollcall.scim.body.json_body import Json, parse_object
from rollcall.scim.etag import read_versions
from rollcall.scim.patch.patch import parse_patch
from rollcall.scim.prefer import NO_PREFERENCES, Preferences
from rollcall.scim.profile import Profile
from rollcall.scim.resource import canonicalise
from rollcall.scim.schema import USER, ResourceSchema
from rollcall.scim.username import checked_key, display_name_key, user_name_key
from rollcall.tenancy.organisation import Organisation
from rollcall_ingress.aside import THREAD_FROM_BYTES
from rollcall_ingress.write.ignored_names import IGNORED

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

Verb = Literal["create", "replace", "patch", "delete"]

log = get_logger()


@dataclass(frozen=True, slots=True)
class Command:
    """What is known of a write before its body is read.

    `resource_id` is None for a create, whose id is minted here. `preferences` may choose another
    profile for this one request than the organisation's.
    """

    id: str
    verb: Verb
    schema: ResourceSchema
    resource_id: str | None
    organisation: Organisation
    actor: str
    time: datetime
    traceparent: str | None = None
    precondition: Precondition | None = None
    preferences: Preferences = NO_PREFERENCES


@dataclass(frozen=True, slots=True)
class Understood:
    """The request event, the names of the repairs that made it readable, the names ignored."""

    request: Request
    repairs: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


async def understand(command: Command, body: bytes) -> Request:
    """The request event that `command` with this body means, understood in a thread if large.

    Repairs are counted and logged, ignored names noted. Raises ScimError.
    """
    if len(body) > THREAD_FROM_BYTES:
        understood = await asyncio.to_thread(understand_body, command, body)
    else:
        understood = understand_body(command, body)
    if understood.repairs:
        for rule in understood.repairs:
            INGRESS_REPAIRS.labels(rule).inc()
        log.debug("request.repaired", request_id=command.id, rules=understood.repairs)
    if understood.ignored:
        IGNORED.note(command.organisation.id, understood.ignored)
    return understood.request


def understand_body(command: Command, body: bytes) -> Understood:
    """The request event that `command` with this body means (RFC 7644 §3.3 to §3.6).

    Raises ScimError: what is wrong with the body, and nothing else, whatever the bytes.
    """
    if command.verb == "delete":
        return Understood(_request(command, Delete()))
    parsed = parse_object(body)
    if command.verb == "patch":
        return _understand_patch(command, parsed)
    canonical = canonicalise(
        parsed, command.schema, _profile(command), is_replace=command.verb == "replace"
    )
    members: MemberDelta | None = None
    if canonical.members is not None:
        members = MemberDelta(clear=command.verb == "replace", add=_ids(canonical.members))
    name_key = _written_name(canonical.resource, command.schema)
    asked: Body
    if command.verb == "replace":
        asked = Replace(canonical.resource, name_key, members)
    elif name_key is not None:
        asked = Create(canonical.resource, name_key, members)
    else:
        raise LookupError("a resource without the name that its schema requires")
    return Understood(_request(command, asked), canonical.repairs, canonical.ignored)


def read_precondition(
    verb: Verb, if_match: Sequence[str], if_none_match: Sequence[str]
) -> Precondition | None:
    """What the header lines ask of the resource's version (RFC 7644 §3.14); None for nothing.

    What is created has no version yet, so there they say nothing. Raises InvalidValue.
    """
    if verb == "create" or not (if_match or if_none_match):
        return None
    return Precondition(
        read_versions(if_match, "If-Match"), read_versions(if_none_match, "If-None-Match")
    )


def valid_traceparent(values: Sequence[str]) -> str | None:
    """The client's trace context if there is exactly one and it is one (W3C Trace Context)."""
    if len(values) == 1 and _TRACEPARENT.fullmatch(values[0]):
        return values[0]
    return None


def _understand_patch(command: Command, parsed: Json) -> Understood:
    patch = parse_patch(parsed, command.schema, _profile(command))
    members: MemberDelta | None = None
    if patch.members is not None:
        delta = patch.members
        members = MemberDelta(delta.clear, _ids(delta.add), _ids(delta.remove))
    # The last value that is written to a name is the one that stays.
    last_written = {
        operation["path"]: operation["value"]
        for operation in patch.operations
        if "value" in operation
    }
    name_key = _written_name(last_written, command.schema)
    return Understood(
        _request(command, Patch(patch.operations, name_key, members)),
        patch.repairs,
        patch.ignored,
    )


def _written_name(values: Json, schema: ResourceSchema) -> str | None:
    """The key of the `userName` of a User, or of the `displayName` of a Group, that is written."""
    name = values.get("userName" if schema is USER else "displayName")
    if not isinstance(name, str):
        return None
    if schema is USER:
        return checked_key(user_name_key(name), "userName")
    return checked_key(display_name_key(name), "displayName")


def _ids(given: Sequence[str]) -> tuple[str, ...]:
    """Members' ids as they are kept: UUIDs in lower case, which means the same (RFC 9562 §4)."""
    return tuple(dict.fromkeys(each.lower() if len(each) == 36 else each for each in given))


def _request(command: Command, body: Body) -> Request:
    organisation = command.organisation
    return Request(
        id=command.id,
        endpoint="Users" if command.schema is USER else "Groups",
        organisation_id=organisation.id,
        resource_id=command.resource_id or new_id(),
        time=command.time,
        body=body,
        settings=_settings(
            _profile(command).value,
            organisation.unique_group_names,
            organisation.confirm_on_accept,
            organisation.unique_external_ids,
        ),
        precondition=command.precondition,
        actor=command.actor,
        traceparent=command.traceparent,
    )


_settings = cache(Settings)


def _profile(command: Command) -> Profile:
    return command.preferences.profile(command.organisation.profile)
