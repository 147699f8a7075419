"""The directory as it must be: each request in the order of the log, decided by plain rules. Pure.

Written from RFC 7644 and the documents, without the code that it is the measure of. A request is
what its sender wanted (`Effect`), never what the log holds of it; of the log it takes order, ids
and times only.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.found import Logged, ResourceKey, Stored
from tests.chaos.history import Attempt, Effect, State


@dataclass(frozen=True, slots=True)
class PersonState:
    """What a person was from one moment on; `invitation` is the open one, by its request's id."""

    from_s: float
    is_there: bool
    is_active: bool
    invitation: str | None
    address: str | None


@dataclass(slots=True)
class Person:
    """A member. `reached_at`: where its mails go, which a revocation does not move."""

    attributes: dict[str, Any]
    version: str
    invitation: str | None
    reached_at: str


@dataclass(slots=True)
class Group:
    """A group."""

    name: str
    version: str
    members: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Directory:
    """One organisation's. `apply` decides one request and tells its status."""

    persons: dict[str, Person] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    life: defaultdict[str, list[PersonState]] = field(default_factory=lambda: defaultdict(list))
    """Member → its states, in their order."""
    versions: defaultdict[str, list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Resource → (offset, version), in their order."""

    def apply(self, record: Logged, attempt: Attempt, at_s: float) -> int:
        """Decide what `attempt` wanted; `at_s` is when that was recorded."""
        effect = attempt.effect
        assert effect is not None
        there: Mapping[str, Person | Group] = (
            self.persons if effect.endpoint == "Users" else self.groups
        )
        if effect.verb != "create":
            resource = there.get(record.resource_id)
            if resource is None:
                return 404
            if attempt.if_match is not None and attempt.if_match != resource.version:
                return 412
        if effect.endpoint == "Users":
            return self._person(effect, record, at_s)
        return self._group(effect, record)

    # Users

    def _person(self, effect: Effect, record: Logged, at_s: float) -> int:
        id_ = record.resource_id
        if effect.verb == "delete":
            return self._remove(id_, record, at_s)
        before = self.persons.get(id_)
        attributes = dict(effect.attributes)
        if effect.verb == "patch" and before is not None:
            attributes = before.attributes | attributes
        if before is not None and attributes == before.attributes:
            return 200
        if self._is_taken(id_, attributes):
            return 409
        invitation, reached_at = None, attributes["email"]
        if before is not None:
            invitation = before.invitation
            if not attributes["active"] and invitation is not None:
                reached_at = before.reached_at  # whatever is written while it is revoked
            elif reached_at != before.reached_at:
                invitation = None
        if attributes["active"] and invitation is None:
            invitation = record.id
        self.persons[id_] = Person(attributes, record.id, invitation, reached_at)
        self.versions[id_].append((record.offset, record.id))
        state = PersonState(at_s, True, attributes["active"], invitation, reached_at)
        self.life[id_].append(state)
        return 201 if before is None else 200

    def _is_taken(self, id_: str, attributes: Mapping[str, Any]) -> bool:
        return any(
            other_id != id_ and _same_names(other.attributes, attributes)
            for other_id, other in self.persons.items()
        )

    def _remove(self, id_: str, record: Logged, at_s: float) -> int:
        del self.persons[id_]
        for group_id, group in self.groups.items():
            if id_ in group.members:
                group.members.remove(id_)
                group.version = record.id
                self.versions[group_id].append((record.offset, record.id))
        self.life[id_].append(PersonState(at_s, False, False, None, None))
        return 204

    # Groups

    def _group(self, effect: Effect, record: Logged) -> int:
        id_ = record.resource_id
        if effect.verb == "delete":
            del self.groups[id_]
            return 204
        before = self.groups.get(id_)
        name = effect.attributes.get("displayName", before.name if before is not None else "")
        members = self._members(effect, before)
        if before is not None and name == before.name and members == before.members:
            return 200 if effect.verb == "replace" else 204
        if any(
            other_id != id_ and other.name.lower() == name.lower()
            for other_id, other in self.groups.items()
        ):
            return 409
        self.groups[id_] = Group(name, record.id, members)
        self.versions[id_].append((record.offset, record.id))
        return 201 if before is None else 200 if effect.verb == "replace" else 204

    def _members(self, effect: Effect, before: Group | None) -> set[str]:
        """Whom the organisation does not have cannot be in a group; the rest goes on."""
        members = set(before.members) if before is not None else set()
        if effect.members is not None:
            members = set(effect.members)
        members -= effect.remove - effect.add
        members |= effect.add
        return members & self.persons.keys()

    # What it holds

    def stored(
        self, organisation: str
    ) -> tuple[dict[ResourceKey, Stored], dict[ResourceKey, Stored]]:
        """Persons and groups, as the directory would show them."""
        persons = {
            (organisation, id_): Stored(each.version, State(tuple(sorted(each.attributes.items()))))
            for id_, each in self.persons.items()
        }
        groups = {
            (organisation, id_): Stored(
                each.version, State((("displayName", each.name),), frozenset(each.members))
            )
            for id_, each in self.groups.items()
        }
        return persons, groups


def _same_names(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one["userName"].lower() == other["userName"].lower())
