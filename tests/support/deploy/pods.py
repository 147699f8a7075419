"""Containers of the dev overlay, run with the variables and files of their pods. No test in here.

Changed are addresses only: of Kafka, Postgres and the mail server (those of this run), the ports
(several runs share this machine), the topics' prefix, and the folder in which a pod's files lie.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from rollcall_local.stack import ports
from tests.support.databases import TestDatabase
from tests.support.deploy.manifests import Json, Manifests, Pod, built, mounted_keys
from tests.support.stack import until

SERVICES = ("ingress", "provisioner", "notifier", "console")
END_S = 120.0
Wrap = Callable[[list[str], Mapping[str, str], Path], list[str]]
"""Command of a container, its `ROLLCALL_…` variables, its files → the command to run here."""


def dev() -> Manifests:
    """The overlay that everything here is of."""
    return built("dev")


def as_process(command: list[str], variables: Mapping[str, str], files: Path) -> list[str]:
    """The command itself, from this installation: our entry point, or our Python."""
    return [str(Path(sys.executable).with_name(command[0])), *command[1:]]


@dataclass(slots=True)
class Cluster:
    """What stands in for one: addresses, a folder for the pods' files, the processes."""

    folder: Path
    bootstrap: str
    database: TestDatabase
    prefix: str
    wrap: Wrap = as_process
    taken: list[int] = field(default_factory=list)
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def environment(self, pod: Pod, container: Json) -> dict[str, str]:
        """The container's variables with our addresses; its files are written."""
        environment = dev().environment(container)
        files = self.folder / pod.component
        for key in mounted_keys(pod, container):
            path = files / key.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.at_our_address(dev().secret(key.name)[key.key]))
            path.chmod(0o644)  # in a container another user reads it, whatever our umask
            for folder in path.parents:
                if folder.is_relative_to(files):
                    folder.chmod(0o755)
        for name, value in environment.items():
            if name.endswith("_FILE"):
                environment[name] = str(files / value.lstrip("/"))
            elif name.endswith("_PORT") and "SMTP" not in name:
                environment[name] = str(ports.choose(self.taken))
                self.taken.append(int(environment[name]))
        return {
            **environment,
            "ROLLCALL_KAFKA_BOOTSTRAP": self.bootstrap,
            "ROLLCALL_TOPIC_PREFIX": self.prefix,
            "ROLLCALL_SMTP_HOST": "127.0.0.1",
        }

    def at_our_address(self, secret: str) -> str:
        """A database URL with this run's server; its role, and anything else, as it is."""
        url = urlsplit(secret)
        if url.scheme != "postgresql":
            return secret
        assert url.username is not None
        return self.database.server.url(self.database.name, url.username)

    def command(self, pod: Pod, container: Json, variables: Mapping[str, str]) -> list[str]:
        """As the kubelet would start it: its own command, or the image's entry point."""
        command = [*container.get("command", ["rollcall"]), *container["args"]]
        return self.wrap(command, variables, self.folder / pod.component)

    def run(self, pod: Pod, name: str, *instead: str) -> "subprocess.CompletedProcess[str]":
        """Run a container to its end, or another `rollcall` command in its place."""
        container = container_of(pod, name)
        if instead:
            container = {**container, "command": ["rollcall"], "args": list(instead)}
        variables = self.environment(pod, container)
        return subprocess.run(
            self.command(pod, container, variables),
            cwd=self.folder,
            env={**surroundings(), **variables},
            capture_output=True,
            text=True,
            timeout=END_S,
            check=False,
        )

    def start(self, pod: Pod, name: str) -> "Started":
        """Start a container."""
        container = container_of(pod, name)
        variables = self.environment(pod, container)
        log = self.folder / f"{pod.component}-{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(pod, container, variables),
                cwd=self.folder,
                env={**surroundings(), **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.running.append(process)
        return Started(pod, name, process, variables, log)


@dataclass(frozen=True, slots=True)
class Started:
    """A container that runs."""

    pod: Pod
    name: str
    process: "subprocess.Popen[bytes]"
    variables: Mapping[str, str]
    log: Path

    def admin_url(self, path: str) -> str:
        """The address of a probe."""
        port = self.variables[f"ROLLCALL_{self.name.upper()}_ADMIN_PORT"]
        return f"http://127.0.0.1:{port}{path}"

    def explain(self) -> str:
        """The end of its log, for a failed expectation."""
        return f"{self.name}: {self.log.read_text(errors='replace')[-3000:]}"

    async def is_probed(self) -> None:
        """Wait until each probe of the manifests answers 200, in their order."""
        container = container_of(self.pod, self.name)
        async with http() as session:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                url = self.admin_url(container[probe]["httpGet"]["path"])

                async def answers(url: str = url) -> bool:
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        async with session.get(url) as answer:
                            return answer.status == 200
                    return False

                await until(answers, f"{self.name}: {probe}", 60.0, self.explain)

    async def ends_within_its_grace(self) -> None:
        """SIGTERM; it must end well before the kubelet would kill it."""
        grace_s = self.pod.spec["terminationGracePeriodSeconds"]
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, grace_s)

        assert self.process.returncode == 0, self.explain()
        assert time.monotonic() - began < grace_s


def surroundings() -> dict[str, str]:
    """This process's variables but ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith("ROLLCALL_")}


def container_of(pod: Pod, name: str) -> Json:
    """A container of a pod by its name."""
    [found] = [each for each in pod.containers if each["name"] == name]
    return found


@contextlib.asynccontextmanager
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client with patience of ten seconds."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@contextlib.contextmanager
def empty_cluster(
    folder: Path, bootstrap: str, database: TestDatabase, wrap: Wrap = as_process
) -> Iterator[Cluster]:
    """A Kafka without topics of ours, a database without a schema; ends what was started."""
    made = Cluster(folder, bootstrap, database, f"deploy{uuid.uuid4().hex[:10]}", wrap)
    try:
        yield made
    finally:
        for process in made.running:
            if process.poll() is None:
                process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait(10)
