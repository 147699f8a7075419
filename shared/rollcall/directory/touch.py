"""The keys that a request may touch, known before it is decided: a batch loads in few queries."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rollcall.directory.rules import are_external_ids_unique
from rollcall.events.bodies import Create, Patch, Replace
from rollcall.events.request import Request

Json = dict[str, Any]


@dataclass(slots=True)
class Touch:
    """Keys of one organisation to load: rows by id, unique names by key, memberships by pair.

    External ids are included only where they must be unique.
    `members_with_groups`: members whose groups and memberships are all needed.
    `whole_groups`: groups of which all member ids are needed.
    `known`: ids for which only their existence as a member matters.
    `pairs`: memberships (group, member) for which only their existence matters; a request that
    replaces all members of a group loads `whole_groups` instead.
    """

    members: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    user_names: set[str] = field(default_factory=set)
    member_external_ids: set[str] = field(default_factory=set)
    group_names: set[str] = field(default_factory=set)
    group_external_ids: set[str] = field(default_factory=set)
    members_with_groups: set[str] = field(default_factory=set)
    whole_groups: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)


def touches(requests: Iterable[Request]) -> dict[str, Touch]:
    """Organisation id → the keys that its requests may touch."""
    found: dict[str, Touch] = {}
    for request in requests:
        touch = found.setdefault(request.organisation_id, Touch())
        if request.is_about_dead:
            _touch_dead(touch, request)
        elif request.is_member:
            _touch_member(touch, request)
        else:
            _touch_group(touch, request)
    return found


def _touch_member(touch: Touch, request: Request) -> None:
    touch.members.add(request.resource_id)
    if not isinstance(request.body, Create):  # a new id is in no group
        touch.members_with_groups.add(request.resource_id)
    if (name_key := request.name_key) is not None:
        touch.user_names.add(name_key)
    if are_external_ids_unique(request):
        touch.member_external_ids.update(external_ids_of(request))


def _touch_dead(touch: Touch, request: Request) -> None:
    """Only the resource itself: the held events, once loaded, add their own keys."""
    if request.is_member:
        touch.members_with_groups.add(request.resource_id)
    else:
        touch.groups.add(request.resource_id)


def _touch_group(touch: Touch, request: Request) -> None:
    group_id = request.resource_id
    touch.groups.add(group_id)
    if (name_key := request.name_key) is not None:
        touch.group_names.add(name_key)
    if are_external_ids_unique(request):
        touch.group_external_ids.update(external_ids_of(request))
    if (delta := request.members) is None:
        return
    touch.known.update(delta.add)
    if delta.clear:
        touch.whole_groups.add(group_id)
        return
    touch.pairs.update((group_id, member_id) for member_id in delta.add)
    touch.pairs.update((group_id, member_id) for member_id in delta.remove)


def external_ids_of(request: Request) -> set[str]:
    """The values that the request writes to `externalId`."""
    written: list[Any] = []
    match request.body:
        case Create(resource) | Replace(resource):
            written = [resource.get("externalId")]
        case Patch(operations):
            written = [each.get("value") for each in operations if each.get("path") == "externalId"]
    return {value for value in written if isinstance(value, str)}
