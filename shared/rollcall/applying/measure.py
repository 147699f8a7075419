"""What a batch would load, asked of Postgres in a few reads before its transaction, then cut.

The reads come before the transaction because a batch has to wait for its share of the process's
memory first, and nobody may wait for that with a connection in hand. What they say still holds in
the transaction: only this worker changes these rows, and its own changes are counted in `weigh`.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rollcall.applying.understand import Entry
from rollcall.applying.weight import Part, Resource, Sizes, cut, is_large, resource_of, weigh
from rollcall.directory.release import BYTES_AT_ONCE
from rollcall.events.request import Request
from rollcall.postgres import load_size
from rollcall.scim.limits import MAX_RESOURCE_BYTES

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

LARGEST: Final = 2 * MAX_RESOURCE_BYTES
"""What Postgres makes of the largest document as text, which is spaced."""
ORDINARY: Final = 64 * 1024
"""Rather large for a member; a change of it is decided in a millisecond or two."""


def needs_sizes(entries: Sequence[Entry]) -> bool:
    """Whether anything can be gained by asking: not for one small change, which stays one part."""
    requests = [entry.request for entry in entries if entry.request is not None]
    if len(requests) == 1:
        [request] = requests
        is_whole = request.members is not None and request.members.clear
        return is_whole or request.is_about_dead
    return any(request.kind not in ("member.create", "group.create") for request in requests)


async def load_sizes(connection: "Connection", entries: Sequence[Entry]) -> Sizes:
    """The sizes of what the entries name by id."""
    requests = [entry.request for entry in entries if entry.request is not None]
    members = {_pair(each) for each in requests if each.is_member and _is_loaded(each)}
    groups = {_pair(each) for each in requests if not each.is_member and _is_loaded(each)}
    whole = {_pair(each) for each in requests if each.members is not None and each.members.clear}
    dead = {resource_of(each) for each in requests if each.is_about_dead and not each.is_release}
    released = {resource_of(each): BYTES_AT_ONCE for each in requests if each.is_release}
    documents: dict[Resource, int] = {}
    memberships: dict[Resource, int] = {}
    found = await load_size.of_members(connection, members)
    for (organisation_id, member_id), (size, number) in found.items():
        documents[organisation_id, "Users", member_id] = size
        memberships[organisation_id, "Users", member_id] = number
    for (organisation_id, group_id), size in (
        await load_size.of_groups(connection, groups)
    ).items():
        documents[organisation_id, "Groups", group_id] = size
    for (organisation_id, group_id), number in (
        await load_size.of_whole_groups(connection, whole)
    ).items():
        memberships[organisation_id, "Groups", group_id] = number
    held = await load_size.of_held(connection, dead)
    return Sizes(documents, memberships, {**held, **released})


def assumed(entries: Sequence[Entry]) -> Sizes:
    """Sizes where nobody asked: of every resource the largest that it may have.

    For one change alone nothing hangs on it but whether a thread is worth its while: there a
    resource is taken for an ordinary one.
    """
    requests = [entry.request for entry in entries if entry.request is not None]
    size = LARGEST if len(requests) > 1 else ORDINARY
    return Sizes({resource_of(each): size for each in requests if _is_loaded(each)})


async def parts_of(entries: Sequence[Entry], sizes: Sizes) -> list[Part]:
    """The entries cut; in a thread where reading their operations takes a while."""
    if is_large([entry.record for entry in entries]):
        return await asyncio.to_thread(_parts_of, entries, sizes)
    return _parts_of(entries, sizes)


def _parts_of(entries: Sequence[Entry], sizes: Sizes) -> list[Part]:
    return cut(entries, weigh(entries, sizes))


def _is_loaded(request: Request) -> bool:
    """Whether a document is loaded by its id: a new id has none, an organisation neither."""
    return request.kind not in ("member.create", "group.create", "organisation.delete")


def _pair(request: Request) -> tuple[str, str]:
    return request.organisation_id, request.resource_id
