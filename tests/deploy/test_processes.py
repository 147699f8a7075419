"""The commands of the manifests run as processes, with the variables and files of their pods."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.databases import TestDatabase
from tests.support.deploy.pods import SERVICES, Cluster, dev, empty_cluster, http
from tests.support.scim_client import SCIM, USER
from tests.support.servers import KafkaServer
from tests.support.stack import until


@pytest.fixture(scope="module")
def kafka_server(native_kafka: KafkaBroker) -> KafkaServer:
    """A broker of this module's own, set up as it must be."""
    return KafkaServer(native_kafka.bootstrap, "native")


@pytest.fixture
def cluster(
    tmp_path: Path, kafka_server: KafkaServer, empty_database: TestDatabase
) -> Iterator[Cluster]:
    with empty_cluster(tmp_path, kafka_server.bootstrap, empty_database) as made:
        yield made


@pytest.mark.timeout(300)
async def test_from_an_empty_cluster_to_the_first_member(cluster: Cluster) -> None:
    """Release, services, probes, an organisation, a member, the CronJobs, the drain."""
    waiting = cluster.start(dev().pod("ingress"), "schema")
    await until(
        lambda: "waiting for schema" in waiting.log.read_text(), "the pod waits for the schema"
    )
    release = dev().pod("release")
    for container in release.containers:
        done = cluster.run(release, container["name"])
        assert done.returncode == 0, done.stderr
    await asyncio.to_thread(waiting.process.wait, 30)
    assert waiting.process.returncode == 0, waiting.explain()

    started = {service: cluster.start(dev().pod(service), service) for service in SERVICES}
    for service, each in started.items():
        await each.is_probed()
        # The same question, as compose or a hand asks it.
        asked = cluster.run(
            dev().pod(service), service, "health", "--url", each.admin_url("/readyz")
        )
        assert (asked.returncode, asked.stderr) == (0, "")

    created = cluster.run(dev().pod("operator"), "operator", "org", "create", "Acme", "--json")
    made = json.loads(created.stdout)
    door = started["ingress"].variables["ROLLCALL_INGRESS_PORT"]
    async with http() as session:
        answer = await session.post(
            f"http://127.0.0.1:{door}{urlsplit(made['scim_base_url']).path}/Users",
            headers={**SCIM, "Authorization": f"Bearer {made['api_key']}"},
            json={"schemas": [USER], "userName": "ana@acme.example"},
        )
        assert answer.status == 201, await answer.text()

    for name in ("topics-check", "audit-months"):
        fired = cluster.run(dev().pod(name), name)
        assert fired.returncode == 0, fired.stdout + fired.stderr

    async with asyncio.TaskGroup() as group:
        for each in started.values():
            group.create_task(each.ends_within_its_grace())


async def test_the_operators_pod_waits_until_it_gets_sigterm(cluster: Cluster) -> None:
    started = cluster.start(dev().pod("operator"), "operator")
    await until(
        lambda: "ready for commands" in started.log.read_text(), "the operator's pod is ready"
    )

    await started.ends_within_its_grace()


async def test_what_is_waited_for_in_vain_ends_with_a_line_and_status_1(cluster: Cluster) -> None:
    done = cluster.run(dev().pod("ingress"), "schema", "wait", "schema", "--timeout", "1")

    assert done.returncode == 1
    assert "waiting for schema: Postgres (its schema or grants" in done.stderr
    assert done.stderr.endswith("rollcall: not there after 1 s\n")
