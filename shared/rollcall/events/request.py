"""Requests: accepted operations that ingress puts on `rollcall.requests` for the provisioner.

A request is a header, which every request has, and a body, which says what is asked for
(bodies.py). The event's type follows from both.

A request is canonical and carries all that the decision needs, settings in force included, so that
the same log gives the same directory at any later time. The types are versioned; a released
version is never changed, only followed by the next one.

`rules` is the number of the rules by which the request is decided (rollcall/directory/rules.py), so
that a new rule does not change what an old log leads to. It is a field beside `settings` and not in
it, because the release before `rules` treats unknown settings as a malformed event. This release
ignores unknown settings.

Version 2 of a replace, patch or delete has a precondition. A reader that knows only version 1 would
apply it unconditionally, and with a version of its own such a reader halts instead. A request
without a precondition is written as version 1, byte for byte as before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, Literal, assert_never, get_args

from rollcall.events import body_data
from rollcall.events import precondition as preconditions
from rollcall.events.bodies import (
    AboutDead,
    Accept,
    Body,
    Create,
    Delete,
    Discard,
    EndOrganisation,
    Erase,
    Incomplete,
    Json,
    Patch,
    Redrive,
    Replace,
    Writing,
)
from rollcall.events.bodies import Endpoint as Endpoint
from rollcall.events.bodies import Kind as Kind
from rollcall.events.bodies import MemberDelta as MemberDelta
from rollcall.events.envelope import Event, MalformedEvent, NewerVersion
from rollcall.events.precondition import Precondition
from rollcall.events.upcast import upcast

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
"""Source of the requests that only an operator can make."""
CONSOLE: Final = "/rollcall/console"
"""Source of the requests of people who are signed in to the console."""
ACCOUNT: Final = "account:"
"""The beginning of `actor` in those."""
FIRST_RULES: Final = 1
"""The rules of requests without a `rules` field: they were written before rules had numbers."""
RULES: Final = 3
"""The rules that this release writes into requests (docs/decisions/0036)."""
MAX_ACCEPT_S: Final = 50.0
"""Most seconds from a request's receipt within which the broker may append it, however a replica of
ingress is set: an organisation's last event waits for as long (rollcall/control/offboarding)."""
CREATES: Final[frozenset[str]] = frozenset({"member.create", "group.create"})
"""The kinds that make a resource."""


Promise = Literal["decision"]
"""`decision`: the sender is answered with the decision, whichever it is, or that it is not known;
so a refusal is no success that is taken back. Without one, success may be answered before."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The organisation's settings in force when the request was accepted.

    In the data `unique_external_ids` is a field beside `settings`, for the same reason as `rules`,
    and is written only if it is true.
    """

    profile: str = "compatible"
    unique_group_names: bool = True
    confirm_on_accept: bool = True
    unique_external_ids: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One accepted operation on one resource of one organisation: the header, and the body.

    `endpoint` says where the resource is found; of what is about a dead letter, the resource of
    that. The `resource_id` of an organisation's end, and of a redrive that lets a parked
    organisation go on, is the organisation's. `precondition` makes it version 2 of its type.
    `rules` is the number of the rules that decide it. `accept_by_ms`, `answer_by_ms` are epoch
    milliseconds of the broker's clock. `is_answered`: its sender is answered with success before
    it is decided, although a reply is asked for. `promise`: what its sender is answered with.
    """

    id: str
    endpoint: Endpoint
    organisation_id: str
    resource_id: str
    time: datetime
    body: Body
    settings: Settings = field(default_factory=Settings)
    rules: int = RULES
    precondition: Precondition | None = None
    actor: str = "key:unknown"
    accept_by_ms: int | None = None
    answer_by_ms: int | None = None
    is_answered: bool = False
    promise: Promise | None = None
    reply_to: int | None = None
    traceparent: str | None = None

    @property
    def is_member(self) -> bool:
        """Whether the resource is a member (a User on the wire), not a group."""
        return self.endpoint == "Users"

    @property
    def is_final(self) -> bool:
        """Whether it takes away more than one resource's row: it is a batch of its own."""
        return isinstance(self.body, Erase | EndOrganisation)

    @property
    def is_about_dead(self) -> bool:
        """Whether it is about a dead letter."""
        return isinstance(self.body, AboutDead)

    @property
    def is_release(self) -> bool:
        """Whether it releases a parked organisation: a redrive of the organisation itself."""
        return self.is_about_dead and self.resource_id == self.organisation_id

    @property
    def stands_alone(self) -> bool:
        """Whether it is applied in a batch of its own: later requests must find its effect in the
        rows, and it must find the rows of earlier ones."""
        return self.is_final or self.is_release

    @property
    def members(self) -> MemberDelta | None:
        """The change of a group's members; None where the body has none."""
        return self.body.members if isinstance(self.body, Writing) else None

    @property
    def name_key(self) -> str | None:
        """The normalised name that the body writes, a `userName` or a group's `displayName`."""
        return self.body.name_key if isinstance(self.body, Writing) else None

    def with_members(self, delta: MemberDelta | None) -> "Request":
        """The request with another change of the group's members, where its body has one."""
        if isinstance(self.body, Writing) and self.body.members is not delta:
            return replace(self, body=replace(self.body, members=delta))
        return self

    @property
    def kind(self) -> Kind:
        """What the type and the metrics call it, for example `member.create`."""
        match self.body:
            case Create():
                return "member.create" if self.is_member else "group.create"
            case Replace():
                return "member.replace" if self.is_member else "group.replace"
            case Patch():
                return "member.patch" if self.is_member else "group.patch"
            case Incomplete(is_create=True):
                return "member.create" if self.is_member else "group.create"
            case Incomplete():
                return "member.replace" if self.is_member else "group.replace"
            case Delete():
                return "member.delete" if self.is_member else "group.delete"
            case Accept():
                return "member.accept"
            case Erase():
                return "member.erase"
            case Redrive():
                return "dead.redrive"
            case Discard():
                return "dead.discard"
            case EndOrganisation():
                return "organisation.delete"
            case _:
                assert_never(self.body)

    @property
    def type(self) -> str:
        """CloudEvents type, for example `io.rollcall.request.member.create.v1`."""
        version = UNCONDITIONAL if self.precondition is None else CONDITIONAL
        return f"{TYPE_PREFIX}{self.kind}.v{version}"

    @property
    def subject(self) -> str:
        """CloudEvents subject: `ORGANISATION/Users/ID` or `ORGANISATION/Groups/ID`."""
        return f"{self.organisation_id}/{self.endpoint}/{self.resource_id}"


def _source(request: Request) -> str:
    if request.actor.startswith(ACCOUNT):
        return CONSOLE
    return OPERATOR if request.is_about_dead or request.is_final else SOURCE


def to_event(request: Request) -> Event:
    """The CloudEvent that carries `request`; its data omits absent fields."""
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
    data.update(body_data.to_data(request.body, request.endpoint))
    if request.precondition is not None:
        data["precondition"] = preconditions.to_data(request.precondition)
    extensions: dict[str, str] = {}
    if request.accept_by_ms is not None:
        extensions["acceptby"] = str(request.accept_by_ms)
    if request.reply_to is not None and request.answer_by_ms is not None:
        extensions["replyto"] = str(request.reply_to)
        extensions["answerby"] = str(request.answer_by_ms)
        if request.is_answered:
            extensions["answered"] = "1"
    if request.promise is not None:
        extensions["promise"] = request.promise
    if isinstance(request.body, AboutDead):
        extensions["causationid"] = request.body.dead_id
    return Event(
        id=request.id,
        type=request.type,
        source=_source(request),
        subject=request.subject,
        time=request.time,
        data=data,
        extensions=extensions,
        traceparent=request.traceparent,
    )


def from_event(event: Event) -> Request:
    """The request in `event`. Raises MalformedEvent, or NewerVersion for an unknown version."""
    kind, version = _kind_and_version(event.type)
    data = event.data
    if not isinstance(data, dict):
        raise MalformedEvent("the data of a request is an object")
    try:
        endpoint = _endpoint(kind, data)
        if version == CONDITIONAL and data["precondition"] is None:
            raise ValueError("a version 2 says what must hold")
        data = upcast(kind, version, newest_of(kind), data)
        conditions = data.get("precondition")
        settings = _settings(data)
        request = Request(
            id=event.id,
            endpoint=endpoint,
            organisation_id=_text(data, "organisation_id"),
            resource_id=_text(data, "resource_id"),
            time=event.time,
            body=body_data.from_data(kind, endpoint, data, event.extensions),
            settings=settings,
            rules=_rules(data),
            precondition=None if conditions is None else preconditions.from_data(conditions),
            actor=_text(data, "actor"),
            accept_by_ms=_integer(event.extensions, "acceptby"),
            answer_by_ms=_integer(event.extensions, "answerby"),
            is_answered="answered" in event.extensions,
            promise="decision" if event.extensions.get("promise") == "decision" else None,
            reply_to=_integer(event.extensions, "replyto"),
            traceparent=event.traceparent,
        )
    except (MalformedEvent, NewerVersion):
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MalformedEvent(f"{event.type} is not as its version says: {error!r}") from error
    if request.subject != event.subject:
        raise MalformedEvent("the subject does not agree with the data")
    return request


def has_precondition(event_type: str) -> bool:
    """Whether the type is that of a request with a precondition; False for an unknown type."""
    return event_type.startswith(TYPE_PREFIX) and event_type.endswith(f".v{CONDITIONAL}")


def kind_of(event_type: str) -> Kind:
    """The kind in a type. Raises MalformedEvent, or NewerVersion."""
    return _kind_and_version(event_type)[0]


def newest_of(kind: str) -> int:
    """The newest version of a kind. Only this one is read; older ones are upcast to it."""
    return CONDITIONAL if kind in CONDITIONAL_KINDS else UNCONDITIONAL


def types() -> list[str]:
    """All types that are read, sorted."""
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
    """The settings that this release knows. A later release may have written more of them."""
    known = {name: value for name, value in data["settings"].items() if name in _SETTINGS}
    are_unique = data.get("unique_external_ids", False)
    if type(are_unique) is not bool:
        raise TypeError("unique_external_ids is neither true nor false")
    return Settings(**known, unique_external_ids=are_unique)


def _rules(data: Mapping[str, Any]) -> int:
    """Raises NewerVersion for rules that this release does not know: the partition halts."""
    rules = data.get("rules", FIRST_RULES)
    if type(rules) is not int or rules < FIRST_RULES:
        raise ValueError("rules is no number of rules")
    if rules > RULES:
        raise NewerVersion(f"rules {rules} are newer than this release knows")
    return rules


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _endpoint(kind: Kind, data: Mapping[str, Any]) -> Endpoint:
    """Where the resource is found, which only what is about a dead letter says in its data."""
    match kind:
        case "group.create" | "group.replace" | "group.patch" | "group.delete":
            return "Groups"
        case "dead.redrive" | "dead.discard":
            endpoint = data["dead_endpoint"]
            if endpoint not in ENDPOINTS:
                raise ValueError("dead_endpoint is neither Users nor Groups")
            return endpoint  # type: ignore[no-any-return]
        case _:
            return "Users"


def _integer(extensions: Mapping[str, str], name: str) -> int | None:
    text = extensions.get(name)
    return None if text is None else int(text)
