"""Kafka's access control lists: read and added to, one binding at a time.

The client library knows the requests (KIP-140) and has no method for them, so they are handed to
the connection that its admin client keeps. Numbers are those of Kafka's protocol.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from aiokafka.errors import ClusterAuthorizationFailedError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from rollcall.kafka.admin import admin_client, ask
from rollcall.runtime.config import Settings
from rollcall.runtime.errors import Unavailable

_TIMEOUT_S: Final = 30.0
_SECURITY_DISABLED: Final = 54
_ANY: Final = 1
ANY_HOST: Final = "*"


class ResourceType(IntEnum):
    """What a binding is about."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5


class Pattern(IntEnum):
    """Whether a binding names one resource, or all whose names begin so."""

    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """What a binding allows; READ, WRITE, DELETE and ALTER bring DESCRIBE with them."""

    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12


class Permission(IntEnum):
    """A denial is stronger than any permission."""

    DENY = 2
    ALLOW = 3


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """One line of Kafka's access control lists; `principal` has its type, `User:name`."""

    resource_type: ResourceType
    name: str
    pattern: Pattern
    principal: str
    operation: Operation
    permission: Permission = Permission.ALLOW
    host: str = ANY_HOST


class NoAuthorizer(Exception):
    """This Kafka has no authorizer: every client may do everything."""


class MayNot(Exception):
    """This principal may not read, or may not change, the access control lists."""


async def read_bindings(settings: Settings) -> frozenset[Binding]:
    """Every binding that Kafka has. Kinds that are newer than this code are left out.

    Raises NoAuthorizer, MayNot, Unavailable.
    """
    everything = DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY)
    async with admin_client(settings) as admin:
        answer = await ask(admin, everything)
    _check(answer.error_code, answer.error_message)
    return frozenset(_known(answer.resources))


async def add_bindings(settings: Settings, bindings: Iterable[Binding]) -> None:
    """Add bindings; existing ones stay as they are. Raises NoAuthorizer, MayNot, Unavailable."""
    async with admin_client(settings) as admin:
        for each in bindings:
            request = CreateAclsRequest(
                each.resource_type,
                each.name,
                each.pattern,
                each.principal,
                each.host,
                each.operation,
                each.permission,
            )
            for code, message in (await ask(admin, request)).creation_responses:
                _check(code, message)


def _known(resources: Iterable[Any]) -> Iterable[Binding]:
    for resource_type, name, pattern, entries in resources:
        for principal, host, operation, permission in entries:
            try:
                yield Binding(
                    ResourceType(resource_type),
                    name,
                    Pattern(pattern),
                    principal,
                    Operation(operation),
                    Permission(permission),
                    host,
                )
            except ValueError:
                continue


def _check(code: int, message: str | None) -> None:
    if not code:
        return
    if code == _SECURITY_DISABLED:
        raise NoAuthorizer("this Kafka has no authorizer: every client may do everything")
    error = for_code(code)
    if error is ClusterAuthorizationFailedError:
        raise MayNot("this principal may not read or change access control lists")
    raise Unavailable(f"Kafka (access control lists: {error.__name__}: {message})")
