"""What identity providers asked and were answered: all that the model knows of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Attributes = Mapping[str, Any]
"""Of a User: userName, externalId, displayName, title, active, email. Of a group: displayName."""
Verb = Literal["create", "replace", "patch", "delete"]
Endpoint = Literal["Users", "Groups"]
NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What a write wants. `attributes` are all of a create or replace, the written of a patch.

    Members of a group: `members` are all of them (None: not spoken of), `add` and `remove` of a
    patch.
    """

    verb: Verb
    endpoint: Endpoint
    attributes: Attributes = field(default_factory=dict)
    members: frozenset[str] | None = None
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    """A resource as an answer or the directory shows it: sorted pairs, and a group's members."""

    attributes: tuple[tuple[str, Any], ...]
    members: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Seen:
    """A representation in an answer: of which resource, in which version, showing what.

    None is no version at all: a state in which changes that others accepted may be missing.
    """

    endpoint: Endpoint
    resource_id: str
    version: str | None
    state: State


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request and its answer. A retry is an attempt of its own.

    `token` travels as trace id, so that the log tells which attempt a record is of. Times are of
    the wall clock. `status` is `NO_ANSWER` where none came. `effect` is None for a read.
    """

    token: str
    organisation: str
    provider: str
    step: int
    what: str
    endpoint: Endpoint
    resource_id: str | None
    """Whom it is about, as its address or, for a create, its answer says."""
    effect: Effect | None
    sent_s: float
    answered_s: float
    status: int
    is_pending: bool = False
    has_retry_after: bool = False
    is_unknown: bool = False
    """A 503 that says that the change may have been applied, or may yet be."""
    if_match: str | None = None
    looked_up: str | None = None
    """The name that a look-up asked for."""
    seen: tuple[Seen, ...] = ()

    @property
    def is_yes(self) -> bool:
        """Whether it was told success."""
        return 200 <= self.status < 300

    @property
    def took_s(self) -> float:
        return self.answered_s - self.sent_s


def seen_in(endpoint: Endpoint, body: Any) -> tuple[Seen, ...]:
    """The representations in an answer's body: a resource, or a list of them."""
    if not isinstance(body, dict):
        return ()
    if "Resources" in body:
        return tuple(each for item in body["Resources"] for each in seen_in(endpoint, item))
    if "id" not in body:
        return ()
    tag = body.get("meta", {}).get("version")
    version = None if tag is None else version_of(tag)
    return (Seen(endpoint, body["id"], version, state_of(endpoint, body)),)


def version_of(tag: str) -> str:
    """What is between the quotes of an entity tag."""
    return tag.removeprefix("W/").strip('"')


def state_of(endpoint: Endpoint, body: Mapping[str, Any]) -> State:
    """The attributes that the model follows, of a representation or a stored document."""
    if endpoint == "Groups":
        members = frozenset(each["value"] for each in body.get("members", ()))
        return State((("displayName", body.get("displayName")),), members)
    names = ("active", "displayName", "externalId", "title", "userName")
    email = next((each["value"] for each in body.get("emails", ())), None)
    pairs = {name: body.get(name) for name in names} | {"email": email}
    return State(tuple(sorted(pairs.items())))
