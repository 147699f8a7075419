"""One Kafka principal for each service: what each may do, tried out, and what each may not."""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaError,
    MemberIdRequired,
    NoError,
    NotCoordinatorForGroupError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import JoinGroupRequest
from pydantic import SecretStr
from typer.testing import CliRunner

from rollcall.control import doctor
from rollcall.control.rights import table as acls
from rollcall.control.rights.bindings import (
    Binding,
    MayNot,
    NoAuthorizer,
    Operation,
    Pattern,
    ResourceType,
    add_bindings,
    read_bindings,
)
from rollcall.control.rights.logins import set_logins
from rollcall.control.rights.table import Names
from rollcall.control.settings import OperatorSettings
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics, check_topics, wait_until_reachable
from rollcall.kafka.client import client_options
from rollcall.runtime.config import Settings, load
from rollcall_local.stack import ports
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings
from rollcall_operator.cli import app
from tests.support.servers import KafkaServer

pytestmark = pytest.mark.timeout(240)
ADMINISTRATOR = "administrator"
SERVICES = ("ingress", "provisioner", "notifier", "console", "operator")
LOGINS = (ADMINISTRATOR, "somebody", *(f"rollcall-{service}" for service in SERVICES))
KINDS = ("requests", "replies", "outcomes", "dead", "tenancy")
NAMES = Names()
PAST_THE_RIGHTS = (MemberIdRequired, NotCoordinatorForGroupError, CoordinatorNotAvailableError)

WRITES = {
    "ingress": {"requests", "replies"},
    "provisioner": {"replies", "outcomes", "dead"},
    "notifier": {"outcomes"},
    "console": {"requests", "tenancy"},
    "operator": set(KINDS),
    "somebody": set(),
}
READS = {
    "ingress": {"requests", "replies", "tenancy"},
    "provisioner": {"requests", "outcomes", "tenancy"},
    "notifier": {"outcomes"},
    "console": {"requests", "tenancy"},
    "operator": set(KINDS),
    "somebody": set(),
}


@dataclass(frozen=True, slots=True)
class GuardedKafka:
    """A broker that asks who comes, with the topics of one deployment."""

    bootstrap: str
    prefix: str

    @property
    def topics(self) -> Topics:
        return Topics(self.prefix, requests_partitions=2, replies_partitions=1)

    def settings(self, login: str) -> Settings:
        """As a service or a person: `ingress` logs in as `rollcall-ingress`."""
        name = f"rollcall-{login}" if login in SERVICES else login
        return load(
            Settings,
            kafka_bootstrap=self.bootstrap,
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="PLAIN",
            kafka_sasl_username=name,
            kafka_sasl_password=f"{name}-password",
            topic_prefix=self.prefix,
        )


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """The address of a broker with an authorizer; everybody is known, nobody may do anything."""
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-"))
    plain, controller, guarded = (ports.choose(), ports.choose(), ports.choose())
    started = KafkaBroker(
        BrokerSettings(folder, plain, controller, extra=guards(plain, controller, guarded))
    )
    started.start()
    try:
        yield f"127.0.0.1:{guarded}"
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


def guards(plain: int, controller: int, guarded: int) -> dict[str, str]:
    addresses = (
        f"PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{guarded}"
        f",CONTROLLER://127.0.0.1:{controller}"
    )
    users = " ".join(f'user_{name}="{name}-password"' for name in LOGINS)
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listeners": addresses,
        "advertised.listeners": addresses,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{module} required {users};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The broker itself comes to its controller without a login.
        "super.users": f"User:ANONYMOUS;User:{ADMINISTRATOR}",
    }


def deployment(broker: str) -> GuardedKafka:
    """Topics of a prefix of its own, and no rights yet."""
    made = GuardedKafka(broker, f"acl{uuid.uuid4().hex[:10]}")
    settings = made.settings(ADMINISTRATOR)
    asyncio.run(apply_topics(settings, made.topics, replication=1))
    return made


@pytest.fixture
def guarded(broker: str) -> GuardedKafka:
    return deployment(broker)


@pytest.fixture(scope="module")
def applied(broker: str) -> GuardedKafka:
    """A deployment whose principals have what they need; its tests add nothing to that."""
    made = deployment(broker)
    asyncio.run(acls.apply(made.settings(ADMINISTRATOR), NAMES))
    return made


async def may_write(kafka: GuardedKafka, login: str, topic: str) -> bool:
    producer = AIOKafkaProducer(
        **client_options(kafka.settings(login)),
        acks="all",
        # As the services do. It takes a right to write anything, which a stranger has not.
        enable_idempotence=login in SERVICES,
    )
    await producer.start()
    try:
        await asyncio.wait_for(producer.send_and_wait(topic, b"{}", key=b"o", partition=0), 20)
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
        return False
    finally:
        await producer.stop()
    return True


async def may_read(kafka: GuardedKafka, login: str, topic: str) -> bool:
    """Asked by hand: a consumer waits for a topic that it may not read."""
    ask = FetchRequest(100, 0, 1024, 0, [(topic, [(0, 0, 1024)])])
    [(_, [partition])] = (await answer_to(kafka, login, ask)).topics
    return is_allowed(partition[1], TopicAuthorizationFailedError)


async def may_join(kafka: GuardedKafka, login: str, group: str) -> bool:
    """Asked by hand: nobody stays in the group. Rights come first, then who coordinates it."""
    ask = JoinGroupRequest(group, 6000, 6000, "", None, "consumer", [("range", b"")])
    error = (await answer_to(kafka, login, ask)).error_code
    return is_allowed(error, GroupAuthorizationFailedError, *PAST_THE_RIGHTS)


async def answer_to(kafka: GuardedKafka, login: str, request: Any) -> Any:
    admin = AIOKafkaAdminClient(**client_options(kafka.settings(login)))
    await admin.start()
    try:
        return await asyncio.wait_for(admin._send_request(request), 20)
    finally:
        await admin.close()


def is_allowed(code: int, refusal: type[KafkaError], *granted: type[KafkaError]) -> bool:
    error = for_code(code)
    assert error in (NoError, refusal, *granted), error
    return error is not refusal


@pytest.mark.parametrize("login", [*SERVICES, "somebody"])
async def test_a_service_writes_what_is_its_own_and_nothing_else(
    applied: GuardedKafka, login: str
) -> None:
    allowed = {
        kind for kind in KINDS if await may_write(applied, login, getattr(applied.topics, kind))
    }

    assert allowed == WRITES[login]


@pytest.mark.parametrize("login", [*SERVICES, "somebody"])
async def test_a_service_reads_what_it_needs_and_nothing_else(
    applied: GuardedKafka, login: str
) -> None:
    for kind in KINDS:
        assert await may_write(applied, ADMINISTRATOR, getattr(applied.topics, kind))

    allowed = {
        kind for kind in KINDS if await may_read(applied, login, getattr(applied.topics, kind))
    }

    assert allowed == READS[login]


async def test_a_service_joins_its_own_group_only(applied: GuardedKafka) -> None:
    """Who joins another's group takes its partitions away."""
    groups = {
        f"{applied.prefix}.provisioner": "provisioner",
        f"{applied.prefix}.provisioner.tenancy": "provisioner",
        f"{applied.prefix}-notifier": "notifier",
    }

    allowed = {
        (login, group)
        for login in (*SERVICES, "somebody")
        for group in groups
        if await may_join(applied, login, group)
    }

    assert allowed == {(owner, group) for group, owner in groups.items()}


@pytest.mark.parametrize("login", SERVICES)
async def test_no_service_deletes_topics_or_gives_rights(applied: GuardedKafka, login: str) -> None:
    settings = applied.settings(login)
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        answer = await admin.delete_topics([applied.topics.requests])
        errors = {for_code(code) for _, code, *_ in answer.topic_error_codes}
    except KafkaError as error:
        errors = {type(error)}
    finally:
        await admin.close()

    assert errors == {TopicAuthorizationFailedError}
    with pytest.raises(MayNot):
        await add_bindings(settings, acls.required(applied.topics, NAMES)[:1])


async def test_the_operator_looks_after_topics_and_reads_the_rights(applied: GuardedKafka) -> None:
    settings = applied.settings("operator")

    assert await apply_topics(settings, applied.topics, replication=1) == []
    assert await check_topics(settings, applied.topics, replication=1) == []
    assert await acls.check(settings, NAMES) == []


async def test_what_is_there_is_not_made_again(applied: GuardedKafka) -> None:
    before = await read_bindings(applied.settings(ADMINISTRATOR))

    done = await acls.apply(applied.settings(ADMINISTRATOR), NAMES)

    assert done == []
    assert await read_bindings(applied.settings(ADMINISTRATOR)) == before


async def test_what_is_missing_and_what_is_too_much_is_named(guarded: GuardedKafka) -> None:
    settings = guarded.settings(ADMINISTRATOR)
    requests, outcomes = guarded.topics.requests, guarded.topics.outcomes
    wanted = acls.required(guarded.topics, NAMES)
    taken = next(each for each in wanted if each.name == requests)
    given = [
        topic_binding(requests, "User:somebody", Operation.WRITE),
        topic_binding(requests, "User:monitor", Operation.DESCRIBE),
        topic_binding(outcomes, "User:warehouse", Operation.READ),
    ]
    await add_bindings(settings, [each for each in wanted if each != taken])
    await add_bindings(settings, given)

    found = await acls.check(settings, NAMES)

    missing, too_much = found
    assert missing.startswith(f"rollcall-ingress may not write the topic {requests}; add it with")
    assert too_much.startswith(f"somebody may write the topic {requests}, and must not; remove")


def topic_binding(name: str, principal: str, operation: Operation) -> Binding:
    return Binding(ResourceType.TOPIC, name, Pattern.LITERAL, principal, operation)


async def test_a_kafka_without_an_authorizer_says_so(kafka_server: KafkaServer) -> None:
    settings = load(Settings, kafka_bootstrap=kafka_server.bootstrap)

    with pytest.raises(NoAuthorizer):
        await read_bindings(settings)


def test_the_command_gives_the_rights_and_checks_them(
    guarded: GuardedKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """First as Kafka's administrator, then as the operator."""
    monkeypatch.chdir(tmp_path)
    administrator = guarded.settings(ADMINISTRATOR)
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", administrator.kafka_bootstrap)
    monkeypatch.setenv("ROLLCALL_KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("ROLLCALL_KAFKA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("ROLLCALL_TOPIC_PREFIX", guarded.prefix)
    cli = CliRunner()

    def run(login: str, *command: str) -> tuple[int, str]:
        name = guarded.settings(login).kafka_sasl_username
        monkeypatch.setenv("ROLLCALL_KAFKA_SASL_USERNAME", name)
        monkeypatch.setenv("ROLLCALL_KAFKA_SASL_PASSWORD", f"{name}-password")
        done = cli.invoke(app, ["topics", *command])
        return done.exit_code, done.output

    before = run(ADMINISTRATOR, "check", "--principals")
    made = run(ADMINISTRATOR, "apply", "--principals")
    again = run(ADMINISTRATOR, "apply", "--principals")
    checked = run("operator", "check", "--principals")
    refused = run("ingress", "check", "--principals")
    same_for_all = run("operator", "check", "--principals", "--principal-name", "CN=rollcall")

    assert before[0] == 1
    assert f"rollcall-ingress may not write the topic {guarded.topics.requests}" in before[1]
    assert f"rollcall-ingress may write the topic {guarded.topics.requests}" in made[1]
    assert again == (0, "Every topic and every principal is as it must be.\n")
    assert checked == again
    assert refused[0] == 2
    assert same_for_all[0] == 2


async def test_the_doctor_looks_at_the_rights(guarded: GuardedKafka) -> None:
    """As the operator it sees what is wrong; as a service it says that it may not look."""

    async def rights(login: str) -> list[tuple[str, str]]:
        settings = guarded.settings(login).model_dump()
        found = await doctor.look_at_kafka(
            OperatorSettings(**settings), doctor.Wanted(replication=1, names=NAMES)
        )
        return [(e.state, e.line) for e in found if e.subject == "rights on topics"]

    await acls.apply(guarded.settings(ADMINISTRATOR), NAMES)
    well = await rights("operator")
    as_a_service = await rights("ingress")
    stranger = topic_binding(guarded.topics.tenancy, "User:somebody", Operation.ALL)
    await add_bindings(guarded.settings(ADMINISTRATOR), [stranger])
    [(state, line)] = await rights("operator")

    assert well == [("ok", "each principal has what it needs, and no more")]
    assert as_a_service == [("unknown", "this login may not see them; ask as the operator")]
    assert state == "wrong"
    assert line.startswith(
        f"somebody may do everything with the topic {guarded.topics.tenancy}, and must not; "
    )


def test_the_command_makes_the_principals_logins(
    guarded: GuardedKafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the very files that the Secrets are made of."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "BOOTSTRAP": guarded.bootstrap,
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": "PLAIN",
        "SASL_USERNAME": ADMINISTRATOR,
        "SASL_PASSWORD": f"{ADMINISTRATOR}-password",
    }.items():
        monkeypatch.setenv(f"ROLLCALL_KAFKA_{name}", value)
    monkeypatch.setenv("ROLLCALL_TOPIC_PREFIX", guarded.prefix)
    command = ["topics", "apply", "--passwords", "."]

    without = CliRunner().invoke(app, command)
    for service in SERVICES:
        (tmp_path / f"{service}-kafka-password").write_text(f"{service} by SCRAM\n")
    made = CliRunner().invoke(app, command)

    assert (without.exit_code, "cannot read ingress-kafka-password" in without.stderr) == (2, True)
    assert made.exit_code == 0, made.output
    assert "rollcall-notifier may log in with its password" in made.output
    assert "by SCRAM" not in made.output
    for service in SERVICES:
        scram = guarded.settings(service).model_copy(
            update={
                "kafka_sasl_mechanism": "SCRAM-SHA-512",
                "kafka_sasl_password": SecretStr(f"{service} by SCRAM"),
            }
        )
        wrong = scram.model_copy(update={"kafka_sasl_password": SecretStr("another")})
        asyncio.run(wait_until_reachable(scram, timeout_s=20.0))
        with pytest.raises(TimeoutError):
            asyncio.run(wait_until_reachable(wrong, timeout_s=1.5))


async def test_no_service_makes_logins(applied: GuardedKafka) -> None:
    for service in SERVICES:
        with pytest.raises(MayNot):
            await set_logins(applied.settings(service), {"rollcall-ingress": "taken over"})
