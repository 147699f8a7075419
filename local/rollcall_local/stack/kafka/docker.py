"""A broker in a container, where a Docker daemon answers: `rollcall up --kafka docker`.

Our child is `docker run`, which passes signals on; a container that a killed one left behind is
removed before the next start. The log is kept in a volume of the container's name.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from rollcall_local.stack.errors import StackError
from rollcall_local.stack.kafka.login import Login
from rollcall_local.stack.kafka.settings import BrokerSettings, server_properties

IMAGE = "apache/kafka:4.3.1@sha256:77e3df9054047a88b520d0cc46e16696d3b22022e1d580aeccd2632df6532837"
_DATA = "/var/lib/kafka/data"
_CONTROLLER_PORT = 9093
_ASK_TIMEOUT_S = 5.0
_REMOVE_TIMEOUT_S = 30.0


def environment(port: int, login: Login | None = None) -> dict[str, str]:
    """Return the variables from which the image makes its `server.properties`.

    The broker listens on `port` in the container, which has to be published as the same port of
    127.0.0.1.
    """
    lone = BrokerSettings(Path("/unused"), port, _CONTROLLER_PORT, login=login)
    variables = {
        f"KAFKA_{key.upper().replace('-', '___').replace('.', '_')}": value
        for key, value in server_properties(lone).items()
        if not key.startswith("controller.quorum.")
    }
    client = "PLAINTEXT" if login is None else "CLIENT"
    return variables | {
        "CLUSTER_ID": "RollcallDevelopmentAAA",
        "KAFKA_LISTENERS": f"{client}://:{port},CONTROLLER://localhost:{_CONTROLLER_PORT}",
        "KAFKA_ADVERTISED_LISTENERS": f"{client}://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{_CONTROLLER_PORT}",
        "KAFKA_LOG_DIRS": _DATA,
    }


def prepare(port: int, root: Path, variables: Iterable[str]) -> list[str]:
    """Remove what an earlier run left and return the command of a broker for the stack in `root`.

    `variables` are the names of those in `environment`: they hold a password, and everybody may
    read a command line, so `docker` finds them in its own environment. Blocks. Raises StackError
    when no daemon answers.
    """
    docker = shutil.which("docker")
    if docker is None or not _answers(docker):
        raise StackError(
            "--kafka docker: no Docker daemon answers; --kafka native needs none", exit_code=2
        )
    container = f"rollcall-kafka-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
    subprocess.run(
        [docker, "rm", "--force", container],
        capture_output=True,
        check=False,
        timeout=_REMOVE_TIMEOUT_S,
    )
    return [docker, *arguments(container, port, variables)]


def arguments(container: str, port: int, variables: Iterable[str]) -> list[str]:
    """Return the arguments of `docker` for a broker without privileges, with these variables."""
    words = ["run", "--rm", "--name", container, "--publish", f"127.0.0.1:{port}:{port}"]
    words += ["--volume", f"{container}:{_DATA}"]
    words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    for name in variables:
        words += ["--env", name]
    return [*words, IMAGE]


def _answers(docker: str) -> bool:
    try:
        asked = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            check=False,
            timeout=_ASK_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0
