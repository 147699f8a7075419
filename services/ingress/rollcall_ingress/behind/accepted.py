"""An accepted request as the overlay keeps it: its place in the log, what it is about, its weight.

`prepare` costs about as much as the request is long (a group of 100,000 members: some 20 ms), so
it is done in a thread if `understand` was. No I/O.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from rollcall.directory.touch import Touch, external_ids_of, touches
from rollcall.events.bodies import Create, Endpoint, Patch, Replace
from rollcall.events.request import Request
from rollcall.postgres.search_keys import member_display_name_key
from rollcall.scim.profile import Profile
from rollcall.scim.username import display_name_key
from rollcall.scim.work import MAX_WORK, most_work

Kind = Literal[
    "member",
    "group",
    "user_name",
    "member_external_id",
    "member_display_name",
    "group_display_name",
    "group_external_id",
    "named",
]
Node = tuple[Kind, str]
"""What requests have in common: a resource, a name that one writes, a member that a group names."""

NAMED_ONE_BY_ONE: Final = 1000
"""Members that a request names, up to which it is indexed by each of them."""
ENTRY_BYTES: Final = 1200
"""What an entry weighs beside its request: the objects that hold it, and its places in indexes."""
NODE_BYTES: Final = 250
"""One more place in an index: key, dictionary, slot."""
USUAL_RESOURCE_BYTES: Final = 4096
SLOT_BYTES: Final = 8
SET_SLOT_BYTES: Final = 64
"""A member of a large frozenset, hash and spare slots included."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with what the overlay finds it by, and the bytes of memory that it takes.

    `nodes` are those under which it is indexed; of these, `owned` are its resource and the names
    that it may not share. `crowd` holds the ids that it adds or removes
    where they are too many for that. `work` are the units that its PATCH comes to at most on a
    resource of usual size (`shared/rollcall/scim/work.py`).
    """

    request: Request
    nodes: frozenset[Node]
    owned: tuple[Node, ...]
    crowd: frozenset[str]
    size_bytes: int
    work: int = 0

    @property
    def resource(self) -> Node:
        """The resource that the request is about."""
        return resource_node(self.request.endpoint, self.request.resource_id)

    @property
    def named(self) -> Iterator[str]:
        """The members that a group's request adds or removes."""
        members = self.request.members
        if members is not None:
            yield from members.add
            yield from members.remove

    @property
    def needs_all_named(self) -> bool:
        """Whether one unknown member refuses the whole request (interop profile), or it depends
        on the group's version, which moves with who is known."""
        request = self.request
        return request.precondition is not None or request.settings.profile == Profile.INTEROP


@dataclass(frozen=True, slots=True)
class Accepted:
    """A prepared request that the broker has appended in time.

    `number` counts what this process has accepted, in that order.
    """

    number: int
    offset: int
    append_time: datetime
    prepared: Prepared

    @property
    def request(self) -> Request:
        """The request."""
        return self.prepared.request


def resource_node(endpoint: Endpoint, resource_id: str) -> Node:
    """The node of a resource."""
    return ("member" if endpoint == "Users" else "group"), resource_id


def prepare(request: Request) -> Prepared:
    """The request with its keys and its weight. Not for requests about dead letters."""
    # Its members are indexed below; a touch would hold each of them twice more.
    touch = touches([request.with_members(None)])[request.organisation_id]
    owned = (resource_node(request.endpoint, request.resource_id), *_names(touch))
    nodes = {*owned, *_external_ids(request), *_display_names(request)}
    named: tuple[str, ...] = ()
    if (delta := request.members) is not None:
        named = (*delta.add, *delta.remove)
    crowd: frozenset[str] = frozenset()
    if len(named) > NAMED_ONE_BY_ONE:
        crowd = frozenset(named)
    else:
        nodes.update(("named", member_id) for member_id in named)
    size = (
        ENTRY_BYTES
        + NODE_BYTES * len(nodes)
        + SET_SLOT_BYTES * len(crowd)
        + sum(map(sys.getsizeof, named))
        + SLOT_BYTES * len(named)
        + weight(_written(request))
    )
    work = 0
    if isinstance(request.body, Patch) and request.body.operations:
        work = min(most_work(request.body.operations, USUAL_RESOURCE_BYTES, MAX_WORK), MAX_WORK)
    return Prepared(request, frozenset(nodes), owned, crowd, size, work)


def _written(request: Request) -> Any:
    """The resource or the operations that the request brings."""
    match request.body:
        case Create(resource) | Replace(resource):
            return resource
        case Patch(operations):
            return list(operations)
        case _:
            return None


def weight(value: Any) -> int:
    """Bytes that a JSON value takes in memory; text that is shared is counted each time."""
    size, left = 0, [value]
    while left:
        each = left.pop()
        size += sys.getsizeof(each)
        if isinstance(each, dict):
            size += sum(map(sys.getsizeof, each))
            left.extend(each.values())
        elif isinstance(each, list | tuple):
            left.extend(each)
    return size


def _names(touch: Touch) -> Iterator[Node]:
    yield from (("user_name", key) for key in touch.user_names)
    yield from (("member_external_id", key) for key in touch.member_external_ids if key)
    yield from (("group_display_name", key) for key in touch.group_names)
    yield from (("group_external_id", key) for key in touch.group_external_ids if key)


def _external_ids(request: Request) -> Iterator[Node]:
    """The external ids that the request writes."""
    kind: Kind = "member_external_id" if request.is_member else "group_external_id"
    yield from ((kind, key) for key in external_ids_of(request) if key)


def _display_names(request: Request) -> Iterator[Node]:
    """A member's `displayName`, which others may have as well."""
    if not request.is_member:
        return
    match request.body:
        case Create(resource) | Replace(resource):
            key = member_display_name_key(resource)
            if key is not None:
                yield "member_display_name", key
        case Patch(operations):
            for operation in operations:
                value = operation.get("value")
                if operation.get("path") == "displayName" and isinstance(value, str):
                    yield "member_display_name", display_name_key(value)
