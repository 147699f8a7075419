"""TLS and SASL against a real broker: who we say we are, and whom we believe."""

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rollcall.control.organisations import create_organisation
from rollcall.control.tenancy_log import open_log
from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics, check_topics, wait_until_reachable
from rollcall.runtime.config import Settings, load
from rollcall_local.stack import ports
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings

USER = "rollcall-ingress"
PASSWORD = "only-for-tests"
MECHANISMS = ("PLAIN", "SCRAM-SHA-512")
JAAS = "org.apache.kafka.common.security"
TOOL_S = 60.0


@dataclass(frozen=True, slots=True)
class SecuredBroker:
    """A broker with a listener for TLS and SASL, and the authority that vouches for it."""

    bootstrap: str
    authority: Path

    def settings(self, mechanism: str, **changed: str) -> Settings:
        """What a service would be given."""
        given = {
            "kafka_bootstrap": self.bootstrap,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": mechanism,
            "kafka_sasl_username": USER,
            "kafka_sasl_password": PASSWORD,
            "kafka_ca_file": str(self.authority),
            "topic_prefix": f"p{uuid.uuid4().hex[:10]}",
        }
        return load(Settings, **{**given, **changed})


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredBroker]:
    """A broker of this module's own. Its plain listener is for the tools that make the user."""
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-"))
    plain, controller, safe = (ports.choose(), ports.choose(), ports.choose())
    settings = BrokerSettings(
        folder, plain, controller, extra=listeners(folder, plain, controller, safe)
    )
    make_certificate(folder)
    broker = KafkaBroker(settings)
    broker.start()
    try:
        make_scram_user(settings)
        yield SecuredBroker(f"127.0.0.1:{safe}", folder / "authority.pem")
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def listeners(folder: Path, plain: int, controller: int, safe: int) -> dict[str, str]:
    addresses = (
        f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{safe}"
        f",CONTROLLER://127.0.0.1:{controller}"
    )
    one = "listener.name.sasl_ssl"
    return {
        "listeners": addresses,
        "advertised.listeners": addresses,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT"
        ),
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        f"{one}.plain.sasl.jaas.config": (
            f'{JAAS}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        f"{one}.scram-sha-512.sasl.jaas.config": f"{JAAS}.scram.ScramLoginModule required;",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "server.pem"),
    }


def make_certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1 that vouches for itself."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "authority.pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=TOOL_S)
    both = (folder / "key.pem").read_text() + (folder / "authority.pem").read_text()
    (folder / "server.pem").write_text(both)


def make_scram_user(settings: BrokerSettings) -> None:
    """As an operator would, with Kafka's own tool."""
    java = kafka_native.prepare(settings)
    machine = java[: java.index("kafka.Kafka")]
    secret = f"SCRAM-SHA-512=[password={PASSWORD}]"
    tool = ["kafka.admin.ConfigCommand", "--bootstrap-server", settings.bootstrap, "--alter"]
    tool += ["--add-config", secret, "--entity-type", "users", "--entity-name", USER]
    done = subprocess.run(
        [*machine, *tool], capture_output=True, text=True, timeout=TOOL_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_every_kind_of_client_gets_in_with_the_right_password(
    secured: SecuredBroker, mechanism: str
) -> None:
    """Admin, producer and reader, over TLS."""
    settings = secured.settings(mechanism)
    topics = Topics(settings.topic_prefix, requests_partitions=2, replies_partitions=1)

    await apply_topics(settings, topics, replication=1)
    async with open_log(settings) as log:
        made, _ = await create_organisation(log, "Acme", "en")
        found = await log.read()

    assert made.id in found.organisations
    assert await check_topics(settings, topics, replication=1) == []


@pytest.mark.parametrize(
    ("mechanism", "changed"),
    [
        ("PLAIN", {"kafka_sasl_password": "another"}),
        ("SCRAM-SHA-512", {"kafka_sasl_password": "another"}),
        ("SCRAM-SHA-512", {"kafka_sasl_username": "nobody"}),
        ("SCRAM-SHA-512", {"kafka_ca_file": ""}),
        ("SCRAM-SHA-512", {"kafka_security_protocol": "SASL_PLAINTEXT"}),
    ],
)
async def test_no_other_login_gets_in(
    secured: SecuredBroker, mechanism: str, changed: dict[str, str]
) -> None:
    """Nor do we speak to a broker for whom no authority vouches."""
    with pytest.raises(TimeoutError):
        await wait_until_reachable(secured.settings(mechanism, **changed), timeout_s=3.0)
