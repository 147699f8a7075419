"""A broker in a container, where a Docker daemon answers: `rollcall up --kafka docker`.

Our child is `docker run`, which passes signals on; a container that a killed one left behind is
removed before the next start. The log is kept in a volume of the container's name.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from services.operator.stack import kafka_native
from services.operator.stack.errors import StackError

IMAGE = "apache/kafka:4.3.1"
_DATA = "/var/lib/kafka/data"
_CONTROLLER_PORT = 9093
_ASK_TIMEOUT_S = 5.0
_REMOVE_TIMEOUT_S = 30.0


def environment(port: int) -> dict[str, str]:
    """Return the variables from which the image makes its `server.properties`.

    The broker listens on `port` in the container, which has to be published as the same port of
    127.0.0.1.
    """
    lone = kafka_native.BrokerSettings(Path("/unused"), port, _CONTROLLER_PORT)
    variables = {
        f"KAFKA_{key.upper().replace('.', '_')}": value
        for key, value in kafka_native.server_properties(lone).items()
        if not key.startswith("controller.quorum.")
    }
    return variables | {
        "CLUSTER_ID": "RollcallDevelopmentAAA",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:{_CONTROLLER_PORT}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{_CONTROLLER_PORT}",
        "KAFKA_LOG_DIRS": _DATA,
    }


def prepare(port: int, root: Path) -> list[str]:
    """Remove what an earlier run left and return the command of a broker for the stack in `root`.

    Blocks. Raises StackError when no daemon answers.
    """
    docker = shutil.which("docker")
    if docker is None or not _answers(docker):
        raise StackError(
            "--kafka docker: no Docker daemon answers; --kafka native needs none", exit_code=2
        )
    name = f"rollcall-kafka-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
    subprocess.run(
        [docker, "rm", "--force", name],
        capture_output=True,
        check=False,
        timeout=_REMOVE_TIMEOUT_S,
    )
    command = [docker, "run", "--rm", "--name", name, "--publish", f"127.0.0.1:{port}:{port}"]
    command += ["--volume", f"{name}:{_DATA}"]
    for key, value in environment(port).items():
        command += ["--env", f"{key}={value}"]
    return [*command, IMAGE]


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
