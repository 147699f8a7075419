"""Accepted operations: what ingress puts on `rollcall.requests`, and the provisioner applies.

A request is canonical and carries all that the decision needs, settings in force included, so that
the same log gives the same directory at any later time. The types are versioned; a released
version is never changed, only followed by the next one.

`rules` is the number of the rules that decide it (rollcall/directory/rules.py): a new rule never
changes what an old log leads to. It stands beside the settings and not among them, because the
release before it takes unknown settings for a malformed event; this one passes over them.

Version 2 of a replace, patch or delete has a precondition. It is a version of its own because a
reader that knows only version 1 would apply it unconditionally: it must halt instead. What has no
precondition is written as version 1, byte for byte as before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Literal, get_args

from rollcall.events import precondition as preconditions
from rollcall.events.envelope import Event, MalformedEvent, NewerVersion, from_milliseconds
from rollcall.events.precondition import Precondition
from rollcall.events.upcast import upcast

Json = dict[str, Any]
Kind = Literal[
    "member.create",
    "member.replace",
    "member.patch",
    "member.delete",
    "member.accept",
    "member.erase",
    "group.create",
    "group.replace",
    "group.patch",
    "group.delete",
    "dead.redrive",
    "dead.discard",
    "organisation.delete",
]
Endpoint = Literal["Users", "Groups"]

KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))
ENDPOINTS: Final[frozenset[str]] = frozenset(get_args(Endpoint))
CONDITIONAL_KINDS: Final[frozenset[str]] = frozenset(
    f"{resource}.{verb}"
    for resource in ("member", "group")
    for verb in ("replace", "patch", "delete")
)
"""The kinds that may have a precondition, and so a version 2."""
UNCONDITIONAL: Final = 1
CONDITIONAL: Final = 2
TYPE_PREFIX: Final = "io.rollcall.request."
SOURCE: Final = "/rollcall/ingress"
OPERATOR: Final = "/rollcall/operator"
"""Source of the requests that only an operator makes."""
FIRST_RULES: Final = 1
"""The rules of requests that name none: they were written before rules had numbers."""
RULES: Final = 3
"""The rules that decide what this release accepts (docs/decisions/0036)."""
MAX_ACCEPT_S: Final = 50.0
"""Most seconds from a request's receipt within which the broker may append it, however a replica of
ingress is set: an organisation's last event waits for as long (rollcall/control/offboarding)."""
FINAL_KINDS: Final[frozenset[str]] = frozenset({"member.erase", "organisation.delete"})
"""The kinds after which something is gone for good, what is held of it in quarantine included."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The organisation's settings in force when the request was accepted.

    `unique_external_ids` stands beside `settings` in the data, as `rules` does and for the same
    reason, and only where it is on.
    """

    profile: str = "compatible"
    unique_group_names: bool = True
    confirm_on_accept: bool = True
    unique_external_ids: bool = False


@dataclass(frozen=True, slots=True)
class MemberDelta:
    """A change of a group's members: first `clear`, then `remove`, then `add` (disjoint ids)."""

    clear: bool = False
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One accepted operation on one resource of one organisation.

    `resource` is the canonical resource of a create or a replace; `operations` are the canonical
    PATCH operations; `members` is the change of a group's members (create: only `add`; replace:
    `clear` and `add`, or None where the request did not speak of members). `user_name_key` and
    `display_name_key` are the normalised names that the operation writes, if it writes one: they
    travel with the request, so that a new release of the normalisation moves nobody.
    `invitation_id` and `invitation_expires` belong to `member.accept` only. A request about a dead
    letter names it twice: by the id of the event that is dead (`dead_id`, on the wire
    `causationid`) and by its place (`dead_letter`, `topic/partition/offset`); `dead_endpoint` says
    whether its resource is a member or a group. The `resource_id` of `organisation.delete`, and of
    a redrive that lets a parked organisation go on, is the organisation's. `precondition` makes it
    version 2 of its type. `rules` is the number of the rules that decide it. `accept_by_ms`,
    `answer_by_ms` are epoch milliseconds of the broker's clock. `is_answered`: its sender is
    answered with success before it is decided, although a reply is asked for.
    """

    id: str
    kind: Kind
    organisation_id: str
    resource_id: str
    time: datetime
    settings: Settings = field(default_factory=Settings)
    rules: int = RULES
    resource: Json | None = None
    operations: tuple[Json, ...] = ()
    members: MemberDelta | None = None
    user_name_key: str | None = None
    display_name_key: str | None = None
    invitation_id: str | None = None
    invitation_expires: datetime | None = None
    dead_id: str | None = None
    dead_letter: str | None = None
    dead_endpoint: Endpoint | None = None
    precondition: Precondition | None = None
    actor: str = "key:unknown"
    accept_by_ms: int | None = None
    answer_by_ms: int | None = None
    is_answered: bool = False
    reply_to: int | None = None
    traceparent: str | None = None

    @property
    def is_member(self) -> bool:
        """Whether the resource is a member (a User on the wire), not a group."""
        return self.endpoint == "Users"

    @property
    def is_final(self) -> bool:
        """Whether it takes away more than one resource's row: it is a batch of its own."""
        return self.kind in FINAL_KINDS

    @property
    def is_about_dead(self) -> bool:
        """Whether it is about a dead letter: `dead.redrive` or `dead.discard`."""
        return self.kind.startswith("dead.")

    @property
    def is_release(self) -> bool:
        """Whether it lets a parked organisation go on: a redrive of the organisation itself."""
        return self.is_about_dead and self.resource_id == self.organisation_id

    @property
    def stands_alone(self) -> bool:
        """Whether it is a batch of its own: what comes behind it must find it done, and what it
        takes up must be in the rows."""
        return self.is_final or self.is_release

    @property
    def endpoint(self) -> Endpoint:
        """Where the resource is found: `Users` or `Groups`; of a whole organisation: `Users`."""
        if self.dead_endpoint is not None:
            return self.dead_endpoint
        return "Groups" if self.kind.startswith("group.") else "Users"

    @property
    def type(self) -> str:
        """CloudEvents type, for example `io.rollcall.request.member.create.v1`."""
        version = UNCONDITIONAL if self.precondition is None else CONDITIONAL
        return f"{TYPE_PREFIX}{self.kind}.v{version}"

    @property
    def subject(self) -> str:
        """CloudEvents subject: `ORGANISATION/Users/ID` or `ORGANISATION/Groups/ID`."""
        return f"{self.organisation_id}/{self.endpoint}/{self.resource_id}"


def to_event(request: Request) -> Event:
    """The CloudEvent that carries `request`; absent fields are left out of the data."""
    data: Json = {
        "organisation_id": request.organisation_id,
        "resource_id": request.resource_id,
        "actor": request.actor,
        "settings": {
            "profile": request.settings.profile,
            "unique_group_names": request.settings.unique_group_names,
            "confirm_on_accept": request.settings.confirm_on_accept,
        },
    }
    if request.rules != FIRST_RULES:
        data["rules"] = request.rules
    if request.settings.unique_external_ids:
        data["unique_external_ids"] = True
    if request.resource is not None:
        data["resource"] = request.resource
    if request.operations:
        data["operations"] = list(request.operations)
    if request.members is not None:
        data["members"] = {
            "clear": request.members.clear,
            "add": list(request.members.add),
            "remove": list(request.members.remove),
        }
    for name in (
        "user_name_key",
        "display_name_key",
        "invitation_id",
        "dead_letter",
        "dead_endpoint",
    ):
        value = getattr(request, name)
        if value is not None:
            data[name] = value
    if request.precondition is not None:
        data["precondition"] = preconditions.to_data(request.precondition)
    if request.invitation_expires is not None:
        data["invitation_expires"] = int(request.invitation_expires.timestamp() * 1000)
    extensions: dict[str, str] = {}
    if request.accept_by_ms is not None:
        extensions["acceptby"] = str(request.accept_by_ms)
    if request.reply_to is not None and request.answer_by_ms is not None:
        extensions["replyto"] = str(request.reply_to)
        extensions["answerby"] = str(request.answer_by_ms)
        if request.is_answered:
            extensions["answered"] = "1"
    if request.dead_id is not None:
        extensions["causationid"] = request.dead_id
    return Event(
        id=request.id,
        type=request.type,
        source=OPERATOR if request.is_about_dead or request.is_final else SOURCE,
        subject=request.subject,
        time=request.time,
        data=data,
        extensions=extensions,
        traceparent=request.traceparent,
    )


def from_event(event: Event) -> Request:
    """The request in `event`. Raises MalformedEvent, or NewerVersion for a version yet unknown."""
    kind, version = _kind_and_version(event.type)
    data = event.data
    if not isinstance(data, dict):
        raise MalformedEvent("the data of a request is an object")
    try:
        if version == CONDITIONAL and data["precondition"] is None:
            raise ValueError("a version 2 says what must hold")
        data = upcast(kind, version, newest_of(kind), data)
        conditions = data.get("precondition")
        settings = _settings(data)
        members = _members(data.get("members"))
        expires = data.get("invitation_expires")
        request = Request(
            id=event.id,
            kind=kind,
            organisation_id=_text(data, "organisation_id"),
            resource_id=_text(data, "resource_id"),
            time=event.time,
            settings=settings,
            rules=_rules(data),
            resource=data.get("resource"),
            operations=tuple(data.get("operations", ())),
            members=members,
            user_name_key=data.get("user_name_key"),
            display_name_key=data.get("display_name_key"),
            invitation_id=data.get("invitation_id"),
            invitation_expires=None if expires is None else from_milliseconds(expires),
            dead_id=event.extensions["causationid"] if kind.startswith("dead.") else None,
            dead_letter=_text(data, "dead_letter") if kind.startswith("dead.") else None,
            dead_endpoint=_endpoint(data) if kind.startswith("dead.") else None,
            precondition=None if conditions is None else preconditions.from_data(conditions),
            actor=_text(data, "actor"),
            accept_by_ms=_integer(event.extensions, "acceptby"),
            answer_by_ms=_integer(event.extensions, "answerby"),
            is_answered="answered" in event.extensions,
            reply_to=_integer(event.extensions, "replyto"),
            traceparent=event.traceparent,
        )
    except NewerVersion:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error
    if request.subject != event.subject:
        raise MalformedEvent("the subject does not agree with the data")
    return request


def has_precondition(event_type: str) -> bool:
    """Whether a type is that of a request with a precondition; False for what is no type."""
    return event_type.startswith(TYPE_PREFIX) and event_type.endswith(f".v{CONDITIONAL}")


def kind_of(event_type: str) -> Kind:
    """The kind in a type. Raises MalformedEvent, or NewerVersion."""
    return _kind_and_version(event_type)[0]


def newest_of(kind: str) -> int:
    """The newest version of a kind, which is the one that is read; older ones are upcast."""
    return CONDITIONAL if kind in CONDITIONAL_KINDS else UNCONDITIONAL


def types() -> list[str]:
    """Every type that is read, sorted."""
    return sorted(
        [f"{TYPE_PREFIX}{kind}.v{UNCONDITIONAL}" for kind in KINDS]
        + [f"{TYPE_PREFIX}{kind}.v{CONDITIONAL}" for kind in CONDITIONAL_KINDS]
    )


def _kind_and_version(event_type: str) -> tuple[Kind, int]:
    if not event_type.startswith(TYPE_PREFIX):
        raise MalformedEvent(f"{event_type!r} is no type of a request")
    kind, _, version = event_type.removeprefix(TYPE_PREFIX).rpartition(".v")
    if not version.isascii() or not version.isdigit():
        raise MalformedEvent(f"{event_type!r} has no version")
    if int(version) > newest_of(kind) or kind not in KINDS:
        raise NewerVersion(f"{event_type!r} is newer than this release knows")
    return kind, int(version)  # type: ignore[return-value]


_SETTINGS: Final = frozenset(each.name for each in fields(Settings)) - {"unique_external_ids"}


def _settings(data: Mapping[str, Any]) -> Settings:
    """The settings that this release knows; a later one may have written more of them."""
    known = {name: value for name, value in data["settings"].items() if name in _SETTINGS}
    are_unique = data.get("unique_external_ids", False)
    if type(are_unique) is not bool:
        raise TypeError("unique_external_ids is neither true nor false")
    return Settings(**known, unique_external_ids=are_unique)


def _rules(data: Mapping[str, Any]) -> int:
    """Raises NewerVersion for rules that this release cannot decide by: the partition halts."""
    rules = data.get("rules", FIRST_RULES)
    if type(rules) is not int or rules < FIRST_RULES:
        raise ValueError("rules is no number of rules")
    if rules > RULES:
        raise NewerVersion(f"rules {rules} are newer than this release knows")
    return rules


def _members(data: Mapping[str, Any] | None) -> MemberDelta | None:
    if data is None:
        return None
    return MemberDelta(
        clear=bool(data["clear"]), add=_ids(data["add"]), remove=_ids(data["remove"])
    )


def _ids(values: Sequence[object]) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str):
            raise TypeError("ids of members are text")
    return tuple(map(str, values))


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _endpoint(data: Mapping[str, Any]) -> Endpoint:
    endpoint = data["dead_endpoint"]
    if endpoint not in ENDPOINTS:
        raise ValueError("dead_endpoint is neither Users nor Groups")
    return endpoint  # type: ignore[no-any-return]


def _integer(extensions: Mapping[str, str], name: str) -> int | None:
    text = extensions.get(name)
    return None if text is None else int(text)
