"""Checks of everything a deployment needs, one finding each, with what to do.

Nothing is changed, so it may run at any time, as the operator or, with fewer findings, with the
login of a service. A check that needs another one which failed is left out: there is one line for
each cause.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qs, urlsplit

import asyncpg

from rollcall.control.rights import table as acls
from rollcall.control.rights.bindings import MayNot, NoAuthorizer
from rollcall.control.rights.table import Names
from rollcall.control.settings import OperatorSettings
from rollcall.events.topics import Topics
from rollcall.kafka import admin
from rollcall.postgres import migrate, pool
from rollcall.postgres.upkeep import rights
from rollcall.runtime.errors import Unavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

TIMEOUT_S: Final = 30.0
REACH_S: Final = 5.0
OLDEST_POSTGRES: Final = 15
COMMON_DATABASES: Final = ("postgres", "template1")
MAX_SKEW: Final = timedelta(seconds=2)
"""Requests must be on the log ten seconds after they came: clocks may eat a fifth of that."""

Connect = Callable[[], "AbstractAsyncContextManager[Connection]"]
State = Literal["ok", "wrong", "note", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `wrong` says what to do; `note` is nothing that we can change."""

    subject: str
    state: State
    line: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the deployment should have: replicas of each partition, names of the principals."""

    replication: int
    names: Names


async def examine(settings: OperatorSettings, wanted: Wanted, connect: Connect) -> list[Finding]:
    """Look at everything; `connect` opens Postgres.

    Raises nothing for what is away: that is a finding.
    """
    found = look_at_settings(settings)
    kafka, postgres = await asyncio.gather(
        _bounded("kafka", look_at_kafka(settings, wanted)),
        _bounded("postgres", look_at_postgres(settings, connect)),
    )
    return [*found, *kafka, *postgres]


def look_at_settings(settings: OperatorSettings) -> list[Finding]:
    """Settings that are acceptable in development only."""
    wrong = list(_unsafe(settings)) if settings.environment == "production" else []
    if not settings.database_url.get_secret_value():
        wrong.append("ROLLCALL_DATABASE_URL is not set, so Postgres is not looked at; set it")
    if wrong:
        return [Finding("settings", "wrong", line) for line in wrong]
    return [Finding("settings", "ok", f"complete, for {settings.environment}")]


def _unsafe(settings: OperatorSettings) -> list[str]:
    lines = []
    protocol = settings.kafka_security_protocol
    if not protocol.endswith("SSL"):
        lines.append(
            f"Kafka is spoken to without encryption ({protocol}); "
            "set ROLLCALL_KAFKA_SECURITY_PROTOCOL to SASL_SSL or SSL"
        )
    if not (protocol.startswith("SASL") or settings.kafka_cert_file):
        lines.append(
            "Kafka gets no login; set ROLLCALL_KAFKA_SASL_USERNAME and its password, "
            "or ROLLCALL_KAFKA_CERT_FILE"
        )
    url = urlsplit(settings.database_url.get_secret_value())
    if url.scheme and parse_qs(url.query).get("sslmode", [""])[-1] != "verify-full":
        lines.append(
            "Postgres's certificate is not checked; set sslmode=verify-full and sslrootcert to "
            "ROLLCALL_DATABASE_URL"
        )
    if not settings.public_url.startswith("https://"):
        lines.append("links that are given out are not encrypted; set ROLLCALL_PUBLIC_URL to https")
    return lines


async def look_at_kafka(settings: OperatorSettings, wanted: Wanted) -> list[Finding]:
    """Reachable, topics as they must be, rights as they must be."""
    unreached = [
        line
        for server in settings.kafka_bootstrap.split(",")
        if (line := await _unreached(server.strip()))
    ]
    found = [Finding("kafka", "wrong", line) for line in unreached]
    if len(unreached) == len(settings.kafka_bootstrap.split(",")):
        return found
    try:
        await admin.wait_until_reachable(settings, REACH_S * 2)
    except TimeoutError:
        line = (
            "a broker's port is open, and none lets us in; check ROLLCALL_KAFKA_SECURITY_PROTOCOL, "
            "the principal and its password, and ROLLCALL_KAFKA_CA_FILE"
        )
        return [*found, Finding("kafka", "wrong", line)]
    who = settings.kafka_sasl_username if "SASL" in settings.kafka_security_protocol else ""
    if not found:
        found.append(Finding("kafka", "ok", f"answers{f' to {who}' if who else ''}"))
    return [
        *found,
        *await _looked("topics", lambda: _topics(settings, wanted)),
        *await _looked("rights on topics", lambda: _acls(settings, wanted)),
    ]


async def _unreached(server: str) -> str | None:
    """Why a bootstrap server cannot be connected to, with what to do; None where it can."""
    host, _, port = server.rpartition(":")
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except socket.gaierror:
        return f"{server}: unknown host name; correct ROLLCALL_KAFKA_BOOTSTRAP"
    except TimeoutError:
        return f"{server}: no answer in {REACH_S:g} s; see to the network policies between"
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return f"{server}: {reason}; start the broker, or correct ROLLCALL_KAFKA_BOOTSTRAP"
    writer.close()
    return None


async def _topics(settings: OperatorSettings, wanted: Wanted) -> list[Finding]:
    lines = await admin.check_topics(
        settings, Topics(settings.topic_prefix), replication=wanted.replication
    )
    mend = f"run `rollcall topics apply --replication {wanted.replication}`"
    if not lines:
        return [Finding("topics", "ok", "all as they must be")]
    return [_of_topics(settings, line, mend) for line in lines]


def _of_topics(settings: OperatorSettings, line: str, mend: str) -> Finding:
    if not admin.is_of_broker(line):
        return Finding("topics", "wrong", f"{line}; {_mend(line, mend)}")
    if settings.kafka_managed:
        return Finding("topics", "note", line)
    hint = "where the brokers are not yours to configure, set ROLLCALL_KAFKA_MANAGED=true"
    return Finding("topics", "wrong", f"{line}; {hint}")


def _mend(line: str, mend: str) -> str:
    # Replicas are moved by Kafka's own tool; we never do that.
    return "move its replicas with kafka-reassign-partitions.sh" if "replication" in line else mend


async def _acls(settings: OperatorSettings, wanted: Wanted) -> list[Finding]:
    subject = "rights on topics"
    try:
        lines = await acls.check(settings, wanted.names)
    except NoAuthorizer as error:
        if settings.environment != "production":
            return [Finding(subject, "ok", f"{error}, which will do for development")]
        return [Finding(subject, "wrong", f"{error}; set authorizer.class.name on every broker")]
    except MayNot:
        return [Finding(subject, "unknown", "this login may not see them; ask as the operator")]
    if not lines:
        return [Finding(subject, "ok", "each principal has what it needs, and no more")]
    return [Finding(subject, "wrong", line) for line in lines]


async def look_at_postgres(settings: OperatorSettings, connect: Connect) -> list[Finding]:
    """Reachable, a primary of a version that will do, schema, rights, clocks."""
    if not settings.database_url.get_secret_value():
        return []  # the settings' finding
    try:
        async with connect() as connection:
            facts, found = await _server(connection)
            if any(each.state == "wrong" for each in found):
                return found
            found += await _schema(connection)
            if found[-1].state == "ok":
                found += await _rights(connection)
                found += await _public(connection, settings)
                found += await _clocks(connection, facts)
            return found
    except Unavailable as error:
        return [Finding("postgres", "wrong", _of_postgres(error))]
    except asyncpg.ClientConfigurationError:
        line = "ROLLCALL_DATABASE_URL cannot be read: postgresql://ROLE:PASSWORD@HOST/DATABASE"
        return [Finding("postgres", "wrong", line)]


def _of_postgres(error: Unavailable) -> str:
    match error.what:
        case pool.REFUSED:
            return "it refuses the login; correct role and password in ROLLCALL_DATABASE_URL"
        case pool.NOT_MIGRATED:
            return "no such database, or no right to it; see docs/reference/database.md, Roles"
        case _:
            return "no answer; check the address in ROLLCALL_DATABASE_URL, and the network"


async def _server(connection: "Connection") -> tuple[rights.ServerFacts, list[Finding]]:
    began = datetime.now(UTC)
    facts = await rights.server_facts(connection)
    version = facts.version // 10_000
    if facts.is_standby:
        line = "this is a standby; name the primary in ROLLCALL_DATABASE_URL"
        return facts, [Finding("postgres", "wrong", line)]
    if version < OLDEST_POSTGRES:
        line = f"version {version} is too old; {OLDEST_POSTGRES} or later is needed"
        return facts, [Finding("postgres", "wrong", line)]
    middle = began + (datetime.now(UTC) - began) / 2
    found = [Finding("postgres", "ok", f"version {version}, the primary")]
    if abs(facts.clock - middle) > MAX_SKEW:
        found.append(Finding("clocks", "wrong", _skewed("Postgres", facts.clock - middle)))
    return facts, found


async def _schema(connection: "Connection") -> list[Finding]:
    try:
        missing = await migrate.pending(connection)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        missing = ["every migration"]
    except asyncpg.InsufficientPrivilegeError:
        line = "this role may not see it; run `rollcall migrate` as the owner, which grants it"
        return [Finding("schema", "wrong", line)]
    if missing:
        return [Finding("schema", "wrong", f"lacks {', '.join(missing)}; run `rollcall migrate`")]
    return [Finding("schema", "ok", "that of this release")]


async def _rights(connection: "Connection") -> list[Finding]:
    subject = "rights in Postgres"
    wanted, found = rights.of_release(migrate.available()), await rights.granted(connection)
    lines = [
        f"{each.role} has no {each}; as the owner: GRANT {each} TO {each.role}"
        for each in sorted(wanted - found)
    ] + [
        f"{each.role} has {each}, and must not; as the owner: REVOKE {each} FROM {each.role}"
        for each in sorted(found - wanted)
    ]
    if not lines:
        return [Finding(subject, "ok", "each role has what it needs, and no more")]
    return [Finding(subject, "wrong", line) for line in lines]


async def _public(connection: "Connection", settings: OperatorSettings) -> list[Finding]:
    """What Postgres gives every role; only a superuser may take it away, so it is a note."""
    if settings.environment != "production":
        return []
    ours = await connection.fetchval("SELECT current_database()")
    found = await rights.public(connection, (*COMMON_DATABASES, ours))
    see = "docs/reference/database.md, Roles, has the statements for a superuser"
    return [
        Finding("rights in Postgres", "note", f"every role {may}; {see}")
        for thing, privileges in found.items()
        for may in [
            f"may use large objects in {ours} ({privileges} functions)"
            if thing == "large objects"
            else f"has {privileges} ON DATABASE {thing}"
        ]
    ]


async def _clocks(connection: "Connection", facts: rights.ServerFacts) -> list[Finding]:
    """Kafka's clock is known from the last record only: whether it is ahead, not behind."""
    newest = await rights.newest_append_time(connection)
    ahead = newest - datetime.now(UTC) if newest is not None else timedelta(0)
    if ahead > MAX_SKEW:
        return [Finding("clocks", "wrong", _skewed("Kafka", ahead))]
    return [Finding("clocks", "ok", "as far as can be seen from here, they agree")]


def _skewed(whose: str, difference: timedelta) -> str:
    side = "ahead of" if difference > timedelta(0) else "behind"
    seconds = abs(difference.total_seconds())
    return f"{whose}'s is {seconds:.1f} s {side} ours; synchronise them (NTP on every machine)"


async def _looked(subject: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await look()
    except Unavailable as error:
        return [Finding(subject, "unknown", f"cannot be looked at: {error}")]


async def _bounded(subject: str, look: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(TIMEOUT_S * 2):
            return await look
    except TimeoutError:
        return [Finding(subject, "wrong", f"no end in {TIMEOUT_S * 2:g} s; see to the network")]
