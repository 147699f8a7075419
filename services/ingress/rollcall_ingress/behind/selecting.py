"""One look-up with the overlay: which accepted requests it needs, and their fold. Pure, no I/O.

The theory. What a request does depends on the resource it is about and on who holds the names
that it may not share; a group's request also on which of its members exist. So the requests that a
look-up needs are those that are connected with it: about the resource, writing such names, about
the resources that hold these names, and so on. Everything that Postgres returned for them is exact
only if the requests about *that* are folded as well; `uncovered` says what is still missing, and
the caller reads again. In the end the provisioner's own fold runs over the connected requests at
or above `next_offset`, and gives for the looked-up resource what it will give there.

Other members that a group's request names matter only where the group is what is looked up, where
an unknown one refuses the whole request, or where a request depends on the group's version.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import orjson

from rollcall.directory.fold import fold_batch
from rollcall.directory.state import Group, Json, Member, State
from rollcall.directory.touch import Touch, touches
from rollcall.events.bodies import Create, Delete, Endpoint, MemberDelta, Patch, Replace
from rollcall.events.request import Request
from rollcall.postgres.directory_search import Related, Resource
from rollcall.postgres.overlay_read import Wanted
from rollcall.postgres.search_keys import member_display_name_key
from rollcall.scim.limits import MAX_RESOURCE_BYTES
from rollcall.scim.work import MAX_WORK, most_work
from rollcall_ingress.behind.accepted import (
    USUAL_RESOURCE_BYTES,
    Accepted,
    Kind,
    Node,
    resource_node,
)
from rollcall_ingress.behind.overlay import Overlay

Attribute = Literal["id", "userName", "externalId", "displayName"]

NODES_AT_ONCE: Final = 200
KINDS: Final[dict[tuple[Endpoint, Attribute], Kind]] = {
    ("Users", "id"): "member",
    ("Users", "userName"): "user_name",
    ("Users", "externalId"): "member_external_id",
    ("Users", "displayName"): "member_display_name",
    ("Groups", "id"): "group",
    ("Groups", "externalId"): "group_external_id",
    ("Groups", "displayName"): "group_display_name",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What is looked up: resources whose `attribute` equals `key` (normalised as they are kept).

    `with_related`: a User's groups, a Group's members are wanted too. `more`: further keys.
    """

    organisation_id: str
    endpoint: Endpoint
    attribute: Attribute
    key: str
    with_related: bool = False
    more: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys."""
        return (self.key, *self.more)

    @property
    def nodes(self) -> list[Node]:
        """The nodes of what is looked up. Raises KeyError for what cannot be."""
        kind = KINDS[self.endpoint, self.attribute]
        return [(kind, key) for key in self.keys]


@dataclass(slots=True)
class Loaded:
    """What Postgres returned, of one snapshot: a partial state and how far it is applied.

    `displays`: id → name of members that are shown in a group or are only known to exist.
    """

    state: State
    next_offset: int
    displays: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One request to fold; `request` names only those members that matter."""

    offset: int
    append_time: datetime
    request: Request
    work: int = 0


@dataclass(slots=True)
class Selection:
    """The requests that a look-up needs, as far as known: grows by `extend`.

    Of those that were accepted up to number `until`: what comes while it grows is not mixed in.
    """

    target: Target
    until: int
    entries: dict[int, Accepted] = field(default_factory=dict)
    nodes: set[Node] = field(default_factory=set)
    exact_groups: set[str] = field(default_factory=set)
    """Groups all of whose named members matter, because a request of theirs asks for it."""

    def extend(self, overlay: Overlay, nodes: Iterable[Node]) -> Iterator[None]:
        """Take in all accepted requests that are connected with the nodes.

        Yields after some milliseconds of work each, so that the caller can let others in between.
        """
        waiting = [node for node in nodes if node not in self.nodes]
        self.nodes.update(waiting)
        done = 0
        while waiting:
            at_once, waiting = waiting[:NODES_AT_ONCE], waiting[NODES_AT_ONCE:]
            for entry in overlay.entries(self.target.organisation_id, at_once):
                if entry.number <= self.until and entry.offset not in self.entries:
                    self.entries[entry.offset] = entry
                    waiting.extend(self._new(self._connected(overlay, entry)))
            done += len(at_once)
            if done >= NODES_AT_ONCE:
                done = 0
                yield

    def ordered(self) -> list[Step]:
        """The requests in the order of the log, trimmed to what the look-up needs of them."""
        mattering = self._mattering()
        return [
            Step(
                offset,
                entry.append_time,
                self._trimmed(entry.request, mattering),
                entry.prepared.work,
            )
            for offset, entry in sorted(self.entries.items())
        ]

    def removes(self, node: Node) -> bool:
        """Whether one of the requests removes the resource, whose id nothing will have again."""
        return any(
            isinstance(entry.request.body, Delete) and entry.prepared.resource == node
            for entry in self.entries.values()
        )

    def touch(self) -> Touch:
        """The keys of the nodes, and what the selected requests touch."""
        organisation_id = self.target.organisation_id
        requests = [step.request for step in self.ordered()]
        touch = touches(requests).get(organisation_id) or Touch()
        for kind, key in self.nodes:
            match kind:
                case "member":
                    touch.members.add(key)
                case "group":
                    touch.groups.add(key)
                case "user_name":
                    touch.user_names.add(key)
                case "member_external_id":
                    touch.member_external_ids.add(key)
                case "group_display_name":
                    touch.group_names.add(key)
                case "group_external_id":
                    touch.group_external_ids.add(key)
                case "member_display_name" | "named":
                    continue
        return touch

    def _mattering(self) -> frozenset[str]:
        """Members whose memberships matter in a look-up of Users."""
        return frozenset(key for kind, key in self.nodes if kind in ("member", "named"))

    def _trimmed(self, request: Request, mattering: frozenset[str]) -> Request:
        """The request with those of the named members that matter, where not all of them do."""
        delta = request.members
        if (
            delta is None
            or self.target.endpoint == "Groups"
            or request.resource_id in self.exact_groups
        ):
            return request
        add = tuple(mattering.intersection(delta.add))
        gone = mattering.difference(add) if delta.clear else mattering.intersection(delta.remove)
        return request.with_members(MemberDelta(add=add, remove=tuple(gone)))

    def _connected(self, overlay: Overlay, entry: Accepted) -> Iterable[Node]:
        prepared = entry.prepared
        kind, resource_id = prepared.resource
        yield from prepared.owned
        if kind == "member":
            if self.target.endpoint == "Users" and self.target.with_related:
                yield "named", resource_id
        elif self.target.endpoint == "Groups" or resource_id in self.exact_groups:
            yield from (("member", member_id) for member_id in prepared.named)
        elif prepared.needs_all_named:
            self.exact_groups.add(resource_id)
            for of_group in overlay.entries(self.target.organisation_id, [prepared.resource]):
                yield from (("member", member_id) for member_id in of_group.prepared.named)

    def _new(self, nodes: Iterable[Node]) -> list[Node]:
        fresh = [node for node in dict.fromkeys(nodes) if node not in self.nodes]
        self.nodes.update(fresh)
        return fresh


def begin(overlay: Overlay, target: Target) -> tuple[Selection, list[Node]]:
    """An empty selection, and the nodes by which to extend it before Postgres is asked."""
    nodes = target.nodes
    if target.endpoint == "Users" and target.attribute == "id" and target.with_related:
        nodes.extend(("named", key) for key in target.keys)
    return Selection(target, overlay.last_number), nodes


def wanted(selection: Selection, removed: Iterable[str]) -> Wanted:
    """What Postgres is asked for: the target, and what the selected requests touch.

    `removed`: members that accepted requests remove.
    """
    target = selection.target
    is_member = target.endpoint == "Users"
    return Wanted(
        selection.touch(),
        member_display_names=frozenset(
            key for kind, key in selection.nodes if kind == "member_display_name"
        ),
        groups_of_all=is_member and target.with_related,
        members_of_all=not is_member and target.with_related,
        # Who is removed leaves groups, and moves their versions.
        in_any_group=frozenset(() if is_member else removed),
    )


def uncovered(overlay: Overlay, selection: Selection, loaded: Loaded) -> list[Node]:
    """Resources of the loaded state whose accepted requests are not among the selected ones."""
    state, target = loaded.state, selection.target
    nodes: list[Node] = [("member", member_id) for member_id in state.members]
    if target.endpoint == "Groups" or target.with_related:
        nodes.extend(("group", group_id) for group_id in state.groups)
    if target.endpoint == "Users" and target.with_related:
        nodes.extend(("named", member_id) for member_id in state.members)
    if target.endpoint == "Groups":
        pending = overlay.pending("Users", target.organisation_id)
        nodes.extend(
            ("member", member_id)
            for member_ids in state.memberships.values()
            for member_id in pending & member_ids
        )
    missing = [
        node
        for node in nodes
        if node not in selection.nodes and overlay.has_node(target.organisation_id, node)
    ]
    if target.endpoint == "Users":
        # About whom nothing is accepted may still be taken out of a group that is replaced.
        selection.nodes.update({("member", each) for each in state.members} - set(missing))
    return missing


def work_to_fold(loaded: Loaded, steps: Iterable[Step], enough: int) -> int:
    """The units that the PATCHes at or above `next_offset` come to at most, counted to `enough`.

    None comes to more than MAX_WORK, because it is refused then.
    """
    units = 0
    sizes: dict[Node, int] = {}
    for step in steps:
        request, body = step.request, step.request.body
        if step.offset < loaded.next_offset or not isinstance(body, Patch | Replace):
            continue
        if units + step.work > enough:
            return units + step.work
        node = resource_node(request.endpoint, request.resource_id)
        size = sizes.get(node)
        if size is None:
            size = len(orjson.dumps(_resource_of(loaded.state, request)))
        if size <= USUAL_RESOURCE_BYTES:
            units += step.work
        else:
            operations = body.operations if isinstance(body, Patch) else ()
            units += min(most_work(operations, size, enough=MAX_WORK), MAX_WORK)
        sizes[node] = min(size + _written_bytes(request), MAX_RESOURCE_BYTES)
    return units


def _written_bytes(request: Request) -> int:
    """Bytes of what the request writes."""
    match request.body:
        case Create(resource) | Replace(resource):
            return len(orjson.dumps(resource))
        case Patch(operations):
            return len(orjson.dumps(operations))
        case _:
            return 0


def _resource_of(state: State, request: Request) -> Json | None:
    held: Mapping[str, Member | Group] = state.members if request.is_member else state.groups
    found = held.get(request.resource_id)
    return None if found is None else found.resource


def fold_over(loaded: Loaded, steps: Iterable[Step]) -> State:
    """Fold the requests at or above `next_offset` into the state, in order; it is modified.

    This is `rollcall.directory.fold` as the provisioner runs it: a request that it will refuse,
    park
    or set aside changes nothing here either. What is below `next_offset` is in the state already.
    """
    state = loaded.state
    batch = [
        (step.request, step.append_time) for step in steps if step.offset >= loaded.next_offset
    ]
    fold_batch({state.organisation_id: state}, batch)
    return state


def find(loaded: Loaded, target: Target) -> list[Resource]:
    """The resources of a folded state that the target means, in order of their ids."""
    state, is_member = loaded.state, target.endpoint == "Users"
    held: Mapping[str, Member | Group] = state.members if is_member else state.groups
    external = state.member_external_ids if is_member else state.group_external_ids
    match target.attribute:
        case "id":
            ids = [*target.keys]
        case "userName":
            ids = [state.user_names.get(key, "") for key in target.keys]
        case "externalId":
            ids = [each for key in target.keys for each in external.get(key, ())]
        case "displayName":
            ids = [row.id for row in held.values() if _display_name_key(row) in target.keys]
    rows = [held[each] for each in sorted({*ids}) if each in held]
    return [Resource(row, _related(loaded, row) if target.with_related else ()) for row in rows]


def _display_name_key(row: Member | Group) -> str | None:
    return (
        member_display_name_key(row.resource) if isinstance(row, Member) else row.display_name_key
    )


def _related(loaded: Loaded, row: Member | Group) -> Related:
    if isinstance(row, Member):
        return _groups_of(loaded.state, row)
    return _members_of(loaded, row)


def _groups_of(state: State, member: Member) -> Related:
    return tuple(
        (group_id, str(state.groups[group_id].resource["displayName"]))
        for group_id in sorted(state.groups_of.get(member.id, ()))
    )


def _members_of(loaded: Loaded, group: Group) -> Related:
    """The group's members who have a row; one that is only in quarantine has none to show."""
    state = loaded.state
    shown: list[tuple[str, str | None]] = []
    for member_id in sorted(state.memberships.get(group.id, ())):
        member = state.members.get(member_id)
        if member is not None:
            shown.append((member_id, member.resource.get("displayName")))
        elif member_id in state.known_members and member_id in loaded.displays:
            shown.append((member_id, loaded.displays[member_id]))
    return tuple(shown)
