"""What the image of Kafka is told by `--kafka docker` and by compose, tried on the broker itself.

The image makes its `server.properties` of variables (`__` is `_`, `___` is `-`, `_` is a dot); here
that is done by hand, for a native broker. Only its addresses and folders are this machine's.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rollcall.events.topics import Topics
from rollcall.kafka.admin import apply_topics, check_topics, wait_until_reachable
from rollcall.runtime.config import Settings, load
from rollcall_local.stack import ports
from rollcall_local.stack.kafka import docker as kafka_docker
from rollcall_local.stack.kafka.login import Login
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings
from tests.support.deploy.compose import composed

pytestmark = pytest.mark.timeout(240)
PASSWORD = "of-a-container"
ELSEWHERE = ("log.dirs", "controller.quorum.voters", "controller.quorum.bootstrap.servers")


@dataclass(frozen=True, slots=True)
class Imaged:
    """A broker with an image's settings, and what our services are told about it."""

    bootstrap: str
    settings: dict[str, str]

    def client(self, **changed: str) -> Settings:
        given = {**self.settings, "kafka_bootstrap": self.bootstrap, **changed}
        return load(Settings, **given)


def by_docker() -> tuple[dict[str, str], dict[str, str]]:
    login = Login.of("docker", PASSWORD)
    assert login is not None
    return kafka_docker.environment(9092, login), login.settings()


def by_compose() -> tuple[dict[str, str], dict[str, str]]:
    services = composed(ROLLCALL_KAFKA_SASL_PASSWORD=PASSWORD)["services"]
    ours = services["ingress"]["environment"]
    names = [name for name in ours if re.match("ROLLCALL_KAFKA_S", name)]
    settings = {name.removeprefix("ROLLCALL_").lower(): str(ours[name]) for name in names}
    return services["kafka"]["environment"], settings


def properties(variables: dict[str, str], port: int, controller: int) -> dict[str, str]:
    found = {}
    for name, value in variables.items():
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS":
            key = name.removeprefix("KAFKA_").lower()
            key = key.replace("___", "-").replace("__", " ").replace("_", ".").replace(" ", "_")
            found[key] = str(value)
    for name in ("listeners", "advertised.listeners"):
        found[name] = f"CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"
    return {key: value for key, value in found.items() if key not in ELSEWHERE}


@pytest.fixture(scope="module", params=[by_docker, by_compose], ids=["docker", "compose"])
def door(request: pytest.FixtureRequest) -> Iterator[Imaged]:
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-"))
    variables, settings = request.param()
    port = ports.choose()
    controller = ports.choose([port])
    extra = properties(variables, port, controller)
    broker = KafkaBroker(BrokerSettings(folder, port, controller, extra=extra))
    broker.start()
    try:
        yield Imaged(broker.bootstrap, settings)
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def test_our_services_get_in(door: Imaged) -> None:
    settings = door.client()
    topics = Topics(settings.topic_prefix, requests_partitions=2, replies_partitions=1)

    await wait_until_reachable(settings, 30)
    await apply_topics(settings, topics, replication=1)

    assert await check_topics(settings, topics, replication=1) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"kafka_security_protocol": "PLAINTEXT"},
        {"kafka_sasl_password": "guessed"},
        {"kafka_sasl_username": "somebody"},
    ],
)
async def test_no_other_client_gets_in(door: Imaged, changed: dict[str, str]) -> None:
    with pytest.raises(TimeoutError):
        await wait_until_reachable(door.client(**changed), 1.5)
