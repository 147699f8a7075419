"""What the overlay keeps of one organisation, and how it is found: by node, by crowd. No I/O."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rollcall.events.bodies import Delete
from rollcall.events.request import Endpoint
from rollcall_ingress.behind.accepted import Accepted, Node


@dataclass(slots=True)
class OrganisationIndex:
    """Accepted requests of one organisation; all of them stand in one partition.

    `crowds` are the offsets of those that name too many members to be found by each of them.
    """

    entries: dict[int, Accepted] = field(default_factory=dict)
    by_node: dict[Node, dict[int, None]] = field(default_factory=dict)
    crowds: dict[int, None] = field(default_factory=dict)
    deletes: dict[int, None] = field(default_factory=dict)
    about: dict[Endpoint, dict[str, int]] = field(
        default_factory=lambda: {"Users": {}, "Groups": {}}
    )
    """Id of a User or a Group → how many requests are about it."""

    def keep(self, entry: Accepted) -> None:
        """Take in an accepted request."""
        offset, request = entry.offset, entry.request
        self.entries[offset] = entry
        for node in entry.prepared.nodes:
            self.by_node.setdefault(node, {})[offset] = None
        if entry.prepared.crowd:
            self.crowds[offset] = None
        if request.is_member and isinstance(request.body, Delete):
            self.deletes[offset] = None
        about = self.about[request.endpoint]
        about[request.resource_id] = about.get(request.resource_id, 0) + 1

    def drop(self, entry: Accepted) -> None:
        """Take out a request that is kept."""
        offset, request = entry.offset, entry.request
        del self.entries[offset]
        self.crowds.pop(offset, None)
        self.deletes.pop(offset, None)
        for node in entry.prepared.nodes:
            offsets = self.by_node[node]
            del offsets[offset]
            if not offsets:
                del self.by_node[node]
        about = self.about[request.endpoint]
        about[request.resource_id] -= 1
        if not about[request.resource_id]:
            del about[request.resource_id]

    def find(self, nodes: Iterable[Node]) -> list[Accepted]:
        """The requests that have one of the nodes, in no order; each once a node."""
        return [self.entries[offset] for node in nodes for offset in self.offsets(node)]

    def offsets(self, node: Node) -> Iterator[int]:
        """Where the requests stand that have this node."""
        yield from self.by_node.get(node, ())
        if node[0] == "named" and self.crowds:
            member_id = node[1]
            for offset in self.crowds:
                if member_id in self.entries[offset].prepared.crowd:
                    yield offset
