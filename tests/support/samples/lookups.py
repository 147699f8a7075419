"""Look-ups over a conversation, and what the whole fold says of them. No test in here."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from rollcall.directory.fold import fold_batch
from rollcall.directory.state import State
from rollcall.events.envelope import from_milliseconds
from rollcall.events.request import Endpoint, Request
from rollcall.postgres.directory_search import Resource
from rollcall.postgres.search_keys import member_display_name_key
from rollcall.tail.lookup import Attribute, Target
from tests.support.builders import ORGANISATION, resource_of, resourced
from tests.support.samples.directory_store import APPENDED_MS
from tests.support.samples.speaker import GROUPS, MEMBERS, NAMES, Speaker

AT = from_milliseconds(APPENDED_MS)
NAMED: tuple[tuple[Endpoint, Attribute], ...] = (
    ("Users", "userName"),
    ("Users", "displayName"),
    ("Groups", "displayName"),
)


def folded(*requests: Request) -> State:
    state = State(ORGANISATION)
    fold_batch({ORGANISATION: state}, [(request, AT) for request in requests])
    return state


def targets() -> Iterator[Target]:
    """Every look-up that could find something of the conversations."""
    keys: dict[tuple[Endpoint, Attribute], Iterable[str]] = {
        ("Users", "id"): MEMBERS,
        ("Groups", "id"): GROUPS,
        **{
            (endpoint, attribute): {name.casefold() for name in NAMES}
            for endpoint, attribute in NAMED
        },
        ("Users", "externalId"): ("x-1", "X-1", "x-2"),
        ("Groups", "externalId"): ("x-1", "X-1", "x-2"),
    }
    for (endpoint, attribute), those in keys.items():
        for key in those:
            for related in (True, False):
                yield Target(ORGANISATION, endpoint, attribute, frozenset({key}), related)


def expected(state: State, target: Target) -> list[Any]:
    """The same from the whole directory."""
    found: list[Any] = []
    if target.endpoint == "Users":
        for member in sorted(state.members.values(), key=lambda each: each.id):
            keys = {
                "id": member.id,
                "userName": member.user_name_key,
                "externalId": member.external_id,
                "displayName": member_display_name_key(member.resource),
            }
            if keys[target.attribute] in target.keys:
                ids = sorted(group for group, ids in state.memberships.items() if member.id in ids)
                names = [(each, state.groups[each].resource["displayName"]) for each in ids]
                found.append(Resource(member, tuple(names) if target.with_related else ()))
        return found
    for group in sorted(state.groups.values(), key=lambda each: each.id):
        keys = {
            "id": group.id,
            "externalId": group.external_id,
            "displayName": group.display_name_key,
        }
        if keys[target.attribute] in target.keys:
            ids = sorted(state.memberships[group.id])
            shown = [(each, state.members[each].resource) for each in ids]
            related = [(key, each.get("displayName")) for key, each in shown]
            found.append(Resource(group, tuple(related) if target.with_related else ()))
    return found


def a_conversation(seed: int, length: int) -> list[Request]:
    """One organisation's; members have display names that others have too."""
    speaker = Speaker(seed)
    found = []
    for request in speaker.conversation(length):
        resource = resource_of(request)
        if request.is_member and resource is not None and speaker.chance.random() < 0.5:
            name = speaker.chance.choice(NAMES)
            request = resourced(request, {**resource, "displayName": name})
        found.append(replace(request, organisation_id=ORGANISATION))
    return found
