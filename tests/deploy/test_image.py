"""The image, built by the real Dockerfile on a base made from Debian, run as a cluster would."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.databases import TestDatabase
from tests.support.deploy.docker_engine import ROOT, Engine, engine
from tests.support.deploy.pods import SERVICES, dev, empty_cluster
from tests.support.servers import KafkaServer
from tests.support.stack import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]
IMAGE = f"rollcall-test:{os.getpid()}"
LIMIT_BYTES = 250_000_000
ALONE = ("run", "--rm", "--network", "none")
CONFINED = [
    *("--rm", "--network", "host", "--read-only", "--tmpfs", "/tmp:size=64m", "--cap-drop", "ALL"),
    *("--user", "10001:10001", "--security-opt", "no-new-privileges"),
]
"""As `restricted` pods run; on this machine's network, where Kafka and Postgres are."""


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    """An engine that has the image."""
    with engine() as found:
        found.build(IMAGE, found.base(), VERSION="0.0.0-test", REVISION="abc")
        yield found
        found("image", "rm", "--force", IMAGE)


def in_image(docker: Engine, code: str) -> str:
    return docker(*ALONE, "--read-only", "--entrypoint", "python3", IMAGE, "-c", code)


def test_the_image_says_how_it_runs_and_what_it_is(docker: Engine) -> None:
    found = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", IMAGE))

    assert found["User"] == "10001:10001"
    assert found["Entrypoint"] == ["rollcall"]
    labels = {name.rpartition(".")[2]: value for name, value in found["Labels"].items()}
    assert labels["version"] == "0.0.0-test"
    assert labels["revision"] == "abc"
    assert labels["licenses"] == "Apache-2.0"
    assert not [each for each in found["Env"] if each.startswith("ROLLCALL_")]


def test_the_image_is_small_beyond_its_base(docker: Engine) -> None:
    sizes = [
        int(docker("image", "inspect", "--format", "{{.Size}}", image))
        for image in (IMAGE, docker.base())
    ]

    print(f"{(sizes[0] - sizes[1]) / 1e6:.0f} MB beyond the base")
    assert 0 < sizes[0] - sizes[1] < LIMIT_BYTES


def test_the_image_holds_the_pinned_packages_and_no_other(docker: Engine) -> None:
    code = (
        "import importlib.metadata as m, re;"
        "print(*{re.sub('[-_.]+', '-', d.name).lower() for d in m.distributions()})"
    )
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE)

    assert set(in_image(docker, code).split()) - {"rollcall"} == set(pinned) - {"colorama"}


def test_the_image_is_compiled_and_cannot_be_changed_by_its_user(docker: Engine) -> None:
    code = (
        "import os, pathlib, rollcall_ingress.app as a;"
        "folder = pathlib.Path(a.__file__).parent;"
        "print(len(list((folder / '__pycache__').glob('app.*.pyc'))),"
        " [str(p) for p in pathlib.Path('/opt').rglob('*')"
        " if not p.is_symlink() and os.access(p, os.W_OK)], os.getuid())"
    )

    assert docker(*ALONE, "--entrypoint", "python3", IMAGE, "-c", code) == "1 [] 10001"


async def test_every_service_runs_read_only_and_ends_well(
    docker: Engine, tmp_path: Path, kafka_server: KafkaServer, empty_database: TestDatabase
) -> None:
    """The release's Job, then each service, as process 1, with the variables of its pod."""

    def in_container(command: list[str], variables: Mapping[str, str], files: Path) -> list[str]:
        entry_point, *arguments = command
        given = [f"--env={name}={value}" for name, value in variables.items()]
        mount = f"--volume={files}:{files}:ro"
        host = ["--host", docker.host] if docker.host else []
        run = [docker.client, *host, "run", *CONFINED, *given, mount, "--entrypoint", entry_point]
        return [*run, IMAGE, *arguments]

    with empty_cluster(tmp_path, kafka_server.bootstrap, empty_database, in_container) as cluster:
        release = dev().pod("release")
        for container in release.containers:
            done = cluster.run(release, container["name"])
            assert done.returncode == 0, done.stderr
        services = [cluster.start(dev().pod(service), service) for service in SERVICES]
        for each in services:
            await each.is_probed()
        operator = cluster.start(dev().pod("operator"), "operator")
        await until(lambda: "ready for commands" in operator.log.read_text(), "operator is ready")

        for each in (*services, operator):
            await each.ends_within_its_grace()
