"""Measure what a batch would load, in a few reads before its transaction, and cut it into parts.

The reads come before the transaction because a batch first has to wait for its share of the
process's memory, and it must not hold a connection while it waits. The sizes are still right in the
transaction: only this worker changes these rows, and `weigh` adds the batch's own changes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rollcall.applying.understand import Entry
from rollcall.applying.weight import (
    THREAD_BYTES,
    Part,
    Resource,
    Sizes,
    cut,
    is_large,
    resource_of,
    weigh,
)
from rollcall.directory.release import BYTES_AT_ONCE
from rollcall.events.bodies import Create, EndOrganisation
from rollcall.events.request import Request
from rollcall.postgres import load_size
from rollcall.scim.limits import MAX_RESOURCE_BYTES

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

LARGEST: Final = 2 * MAX_RESOURCE_BYTES
"""Most bytes of a document as text in Postgres, which adds spaces to the JSON."""
ORDINARY: Final = 64 * 1024
"""Bytes of a rather large member; a change of it is decided in a millisecond or two."""
SMALL: Final = 4 * 1024
"""Bytes that most members have not."""


def needs_sizes(entries: Sequence[Entry]) -> bool:
    """Whether sizes can change how the batch is cut. One small change is one part in any case."""
    requests = [entry.request for entry in entries if entry.request is not None]
    if len(requests) == 1:
        [request] = requests
        is_whole = request.members is not None and request.members.clear
        return is_whole or request.is_about_dead
    return any(not isinstance(request.body, Create) for request in requests)


async def load_sizes(connection: "Connection", entries: Sequence[Entry]) -> Sizes:
    """Load the sizes of the resources that the entries name by id."""
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
    """Sizes for a batch that is not measured: the largest possible size for every resource.

    For a single change, which is one part in any case, an ordinary size is assumed: it decides only
    whether the change is calculated in a thread.
    """
    requests = [entry.request for entry in entries if entry.request is not None]
    size = LARGEST if len(requests) > 1 else ORDINARY
    return Sizes({resource_of(each): size for each in requests if _is_loaded(each)})


async def ordinary_part(entries: Sequence[Entry]) -> Part | None:
    """The entries as one part that is not measured, because it loads nothing large; None otherwise.

    Whether that holds is seen when the part is loaded (`rollcall.postgres.batch_begin`). Some
    requests load what has no bound: the members of a whole group, held events, an organisation.
    """
    requests = [entry.request for entry in entries if entry.request is not None]
    if any(_is_unbounded(each) for each in requests):
        return None
    loaded = {resource_of(each) for each in requests if _is_loaded(each)}
    most_bytes = max(SMALL, min(ORDINARY, THREAD_BYTES // (2 * max(1, len(requests)))))
    parts = await parts_of(entries, Sizes(dict.fromkeys(loaded, most_bytes)))
    return replace(parts[0], most_bytes=most_bytes) if len(parts) == 1 else None


async def parts_of(entries: Sequence[Entry], sizes: Sizes) -> list[Part]:
    """Cut the entries into parts; in a thread if reading their operations takes long."""
    if is_large([entry.record for entry in entries]):
        return await asyncio.to_thread(_parts_of, entries, sizes)
    return _parts_of(entries, sizes)


def _parts_of(entries: Sequence[Entry], sizes: Sizes) -> list[Part]:
    return cut(entries, weigh(entries, sizes))


def _is_unbounded(request: Request) -> bool:
    is_whole = request.members is not None and request.members.clear
    return is_whole or request.is_about_dead or isinstance(request.body, EndOrganisation)


def _is_loaded(request: Request) -> bool:
    """Whether its document is loaded by id: a new resource and an organisation have none."""
    return not isinstance(request.body, Create | EndOrganisation)


def _pair(request: Request) -> tuple[str, str]:
    return request.organisation_id, request.resource_id
