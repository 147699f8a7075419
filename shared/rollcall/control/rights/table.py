"""What each service's Kafka principal may do on the topics: the table, applied and checked.

A principal that may write the requests topic can change every directory, and one that may read it
reads personal data. So the table below lists everything that our principals get, with the reason,
and `check` also reports what other principals were given on our topics.

Kafka's super users are set in the brokers' own settings and are not visible here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rollcall.control.rights.bindings import (
    ANY_HOST,
    Binding,
    Operation,
    Pattern,
    Permission,
    ResourceType,
    add_bindings,
    read_bindings,
)
from rollcall.events.topics import Topics
from rollcall.runtime.config import Settings

PRINCIPAL: Final = "rollcall-{service}"
"""A service's principal without its type; for client certificates their distinguished name."""
SERVICES: Final = ("ingress", "provisioner", "notifier", "console", "operator")
CLUSTER: Final = "kafka-cluster"
EVERYBODY: Final = "User:*"

_DESCRIBED_BY: Final = frozenset(
    {Operation.READ, Operation.WRITE, Operation.DELETE, Operation.ALTER}
)
_HARMLESS: Final = frozenset({Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS})
"""Lag monitors need these; they show numbers, never what is in a record."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the principals; `{service}` in `pattern` is replaced by the service."""

    pattern: str = PRINCIPAL

    def principal(self, service: str) -> str:
        """As Kafka writes it: `User:rollcall-ingress`."""
        return f"User:{self.pattern.replace('{service}', service)}"


def required(topics: Topics, names: Names = Names()) -> list[Binding]:
    """Every binding that the services need, and no more."""
    return [
        *_ingress(topics, names.principal("ingress")),
        *_provisioner(topics, names.principal("provisioner")),
        *_notifier(topics, names.principal("notifier")),
        *_console(topics, names.principal("console")),
        *_operator(topics, names.principal("operator")),
    ]


async def apply(settings: Settings, names: Names) -> list[str]:
    """Add what is missing; a line for each. Nothing is taken away: `check` names what is too much.

    Raises NoAuthorizer, MayNot, Unavailable.
    """
    found = await read_bindings(settings)
    missing = [
        each
        for each in required(Topics(settings.topic_prefix), names)
        if not _is_allowed(each, found)
    ]
    await add_bindings(settings, missing)
    return [f"{_subject(each)} may {_verb(each)} {_object(each)}" for each in missing]


async def check(settings: Settings, names: Names) -> list[str]:
    """What differs from the table, a line each. Raises NoAuthorizer, MayNot, Unavailable."""
    return differences(Topics(settings.topic_prefix), names, await read_bindings(settings))


def differences(topics: Topics, names: Names, found: frozenset[Binding]) -> list[str]:
    """What is missing, what is denied, and what other principals may do on our topics."""
    wanted = required(topics, names)
    lines = [
        f"{_subject(each)} may not {_verb(each)} {_object(each)}; "
        "add it with `rollcall topics apply --principals`"
        for each in wanted
        if not _is_allowed(each, found)
    ]
    return lines + [
        f"{_subject(each)} may {_verb(each)} {_object(each)}, and must not; "
        "remove it with kafka-acls.sh --remove"
        for each in sorted(found)
        if _is_too_much(each, topics, wanted)
    ]


def _ingress(topics: Topics, who: str) -> Iterator[Binding]:
    # Writing brings DESCRIBE: the log's end is asked before a resource is called absent.
    yield _topic(who, topics.requests, Operation.WRITE)
    # What every replica has accepted and nobody has applied yet is read from the log.
    yield _topic(who, topics.requests, Operation.READ)
    yield _topic(who, topics.replies, Operation.READ)
    # Its own marks, by which it knows how far it has read the replies.
    yield _topic(who, topics.replies, Operation.WRITE)
    yield _topic(who, topics.tenancy, Operation.READ)


def _provisioner(topics: Topics, who: str) -> Iterator[Binding]:
    yield _topic(who, topics.requests, Operation.READ)
    # It starts on no topic without append times.
    yield _topic(who, topics.requests, Operation.DESCRIBE_CONFIGS)
    yield _topic(who, topics.tenancy, Operation.READ)
    yield _topic(who, topics.replies, Operation.WRITE)
    yield _topic(who, topics.outcomes, Operation.WRITE)
    # After a restore they say what was decided before it.
    yield _topic(who, topics.outcomes, Operation.READ)
    yield _topic(who, topics.dead, Operation.WRITE)
    yield _group(who, f"{topics.prefix}.provisioner", Pattern.LITERAL, Operation.READ)
    yield _group(who, f"{topics.prefix}.provisioner.tenancy", Pattern.LITERAL, Operation.READ)


def _notifier(topics: Topics, who: str) -> Iterator[Binding]:
    yield _topic(who, topics.outcomes, Operation.READ)
    # A sent mail is an outcome as well.
    yield _topic(who, topics.outcomes, Operation.WRITE)
    yield _group(who, f"{topics.prefix}-notifier", Pattern.LITERAL, Operation.READ)


def _console(topics: Topics, who: str) -> Iterator[Binding]:
    # What its users do to organisations and keys; the present state is read from the same topic.
    yield _topic(who, topics.tenancy, Operation.READ)
    yield _topic(who, topics.tenancy, Operation.WRITE)
    # A member revoked, restored or removed, and a dead letter redriven, are requests.
    yield _topic(who, topics.requests, Operation.WRITE)
    # Where its end is, for the page Operations: not what is in it.
    yield _topic(who, topics.outcomes, Operation.DESCRIBE)
    # How much waits; and whether a redrive of the same letter is in the log already.
    yield _topic(who, topics.requests, Operation.READ)


def _operator(topics: Topics, who: str) -> Iterator[Binding]:
    """Topics are made and altered, never deleted; access control lists are read, never changed."""
    every_topic = (
        Operation.READ,
        Operation.WRITE,
        Operation.CREATE,
        Operation.ALTER,
        Operation.DESCRIBE_CONFIGS,
        Operation.ALTER_CONFIGS,
    )
    for operation in every_topic:
        yield Binding(ResourceType.TOPIC, f"{topics.prefix}.", Pattern.PREFIXED, who, operation)
    yield _group(who, topics.prefix, Pattern.PREFIXED, Operation.DESCRIBE)
    # The brokers' sessions (decision 0010), and these lists.
    for operation in (Operation.DESCRIBE, Operation.DESCRIBE_CONFIGS):
        yield Binding(ResourceType.CLUSTER, CLUSTER, Pattern.LITERAL, who, operation)


def _topic(who: str, name: str, operation: Operation) -> Binding:
    return Binding(ResourceType.TOPIC, name, Pattern.LITERAL, who, operation)


def _group(who: str, name: str, pattern: Pattern, operation: Operation) -> Binding:
    return Binding(ResourceType.GROUP, name, pattern, who, operation)


def _is_allowed(wanted: Binding, found: Iterable[Binding]) -> bool:
    """Whether some binding allows it, by any name and pattern, and none denies it."""
    concerning = [
        each
        for each in found
        if each.principal in (wanted.principal, EVERYBODY)
        and each.resource_type is wanted.resource_type
        and each.host == ANY_HOST
        and _implies(each, wanted.operation)
    ]
    return not any(
        each.permission is Permission.DENY and _overlaps(each, wanted) for each in concerning
    ) and any(each.permission is Permission.ALLOW and _covers(each, wanted) for each in concerning)


def _is_too_much(found: Binding, topics: Topics, wanted: Iterable[Binding]) -> bool:
    """Whether it gives something on a topic of ours that the table does not."""
    if found.permission is Permission.DENY or found.resource_type is not ResourceType.TOPIC:
        return False
    ours = Binding(
        ResourceType.TOPIC, f"{topics.prefix}.", Pattern.PREFIXED, EVERYBODY, Operation.ALL
    )
    if found.operation in _HARMLESS or not _overlaps(found, ours):
        return False
    # Facts without personal data: other systems may read them.
    of_outcomes = found.pattern is Pattern.LITERAL and found.name == topics.outcomes
    if of_outcomes and found.operation is Operation.READ:
        return False
    return not any(
        each.principal == found.principal
        and each.operation is found.operation
        and _covers(each, found)
        for each in wanted
    )


def _implies(given: Binding, operation: Operation) -> bool:
    if given.operation in (operation, Operation.ALL):
        return True
    return (
        given.permission is Permission.ALLOW
        and operation is Operation.DESCRIBE
        and given.operation in _DESCRIBED_BY
    )


def _covers(given: Binding, wanted: Binding) -> bool:
    """Whether all that `wanted` names is among what `given` names."""
    if given.pattern is Pattern.PREFIXED:
        return wanted.name.startswith(given.name)
    if given.name == "*":
        return True
    return wanted.pattern is Pattern.LITERAL and wanted.name == given.name


def _overlaps(one: Binding, other: Binding) -> bool:
    """Whether there is a name that both may mean."""
    if _covers(one, other) or _covers(other, one):
        return True
    return one.name == "*" or other.name == "*"


def _subject(binding: Binding) -> str:
    return binding.principal.removeprefix("User:")


def _verb(binding: Binding) -> str:
    if binding.operation is Operation.ALL:
        return "do everything with"
    return binding.operation.name.lower().replace("_", " ")


def _object(binding: Binding) -> str:
    kind = binding.resource_type.name.lower().replace("_", " ")
    if binding.resource_type is ResourceType.CLUSTER:
        return "the cluster"
    begins = "s that begin with" if binding.pattern is Pattern.PREFIXED else ""
    return f"the {kind}{begins} {binding.name}"
