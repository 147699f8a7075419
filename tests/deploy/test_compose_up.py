"""deploy/compose.yaml brought up for real, used, taken down, and brought up again with its data.

The image is built by the real Dockerfile; Kafka, Postgres and Mailpit are stand-ins with the same
settings contract, because no registry is reached.
"""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from rollcall_local.demo import conversation, player
from rollcall_local.demo.client import ScimClient, Tally, open_session
from rollcall_local.stack import ports
from tests.support.deploy import stand_in_images
from tests.support.deploy.docker_engine import ROOT, Engine, Missing, engine
from tests.support.stack import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]
IMAGE = f"rollcall-test-compose:{os.getpid()}"
PROJECT = f"rollcalltest{os.getpid()}"
SERVICES = ("kafka", "postgres", "mailpit", "ingress", "provisioner", "notifier", "console")
UP_S = 420.0


@dataclass(frozen=True, slots=True)
class Composed:
    """The file under a project name of this run."""

    docker: Engine
    command: tuple[str, ...]
    variables: Mapping[str, str]

    def __call__(self, *arguments: str) -> str:
        """Run compose; its output. Fails with what it said."""
        done = subprocess.run(
            [*self.command, "-p", PROJECT, "-f", str(ROOT / "deploy/compose.yaml"), *arguments],
            env={**self.docker.environment, **self.variables},
            capture_output=True,
            text=True,
            timeout=UP_S,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout

    def health(self) -> dict[str, str]:
        """Service → what its health check says, of those that run."""
        found = {}
        for service in SERVICES:
            labels = [f"project={PROJECT}", f"service={service}", "oneoff=False"]
            filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
            ids = self.docker("ps", "--quiet", *filters).split()
            for each in ids:
                found[service] = self.docker(
                    "inspect", "--format", "{{.State.Health.Status}}", each
                )
        return found

    async def up(self) -> None:
        """Start all of it, and wait until every health check says so."""
        try:
            await asyncio.to_thread(self, "up", "--detach")
        except AssertionError as error:
            error.add_note(self("logs", "--tail=40")[-8000:])
            error.add_note(str(self.health()))
            raise
        await until(
            lambda: self.health() == dict.fromkeys(SERVICES, "healthy"),
            "every service is healthy",
            UP_S,
            lambda: f"{self.health()}\n{self('logs', '--tail=20')[-6000:]}",
        )

    def here(self, url: str) -> str:
        """A link of ours at this machine's port."""
        return f"http://127.0.0.1:{self.variables['ROLLCALL_PORT']}{urlsplit(url).path}"


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    """An engine with the images, and the file ready to be brought up."""
    with engine() as docker:
        docker.build(IMAGE, docker.base())
        stand_in_images.build(docker)
        door = ports.choose()
        variables = {
            "ROLLCALL_IMAGE": IMAGE,
            **{
                f"{role.upper()}_IMAGE": stand_in_images.image(role)
                for role in stand_in_images.ROLES
            },
            "ROLLCALL_PORT": str(door),
            "MAILBOX_PORT": str(ports.choose([door])),
            "ROLLCALL_PUBLIC_URL": f"http://127.0.0.1:{door}",
            **made_passwords(),
        }
        made = Composed(docker, compose_command(docker), variables)
        try:
            yield made
        finally:
            made("down", "--volumes", "--remove-orphans")
            docker("image", "rm", "--force", IMAGE)


def made_passwords() -> dict[str, str]:
    """What `deploy/compose/make-env` writes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ".env"
        subprocess.run([ROOT / "deploy" / "compose" / "make-env", file], check=True, timeout=30)
        return dict(line.split("=") for line in file.read_text().splitlines())


def compose_command(docker: Engine) -> tuple[str, ...]:
    """The engine's plug-in, or Debian's docker-compose. Raises Missing."""
    plugin = subprocess.run(
        [docker.client, "compose", "version"], capture_output=True, check=False, timeout=30
    )
    if plugin.returncode == 0:
        return (docker.client, "compose")
    if found := shutil.which("docker-compose"):
        return (found,)
    raise Missing("there is no compose: install Docker's plug-in, or Debian's docker-compose")


async def mails(composed: Composed) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{composed.variables['MAILBOX_PORT']}/api/v1/messages"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        found: list[dict[str, Any]] = (await answer.json(content_type=None))["messages"]
        return found


async def test_it_comes_up_works_and_keeps_its_data(composed: Composed) -> None:
    await composed.up()
    created = composed("run", "--rm", "-T", "operator", "org", "create", "Acme", "--json")
    made = json.loads(created[created.index("{") :])
    base = composed.here(made["scim_base_url"])
    assert "WRONG" not in composed("run", "--rm", "-T", "operator", "doctor")

    async with open_session(4) as session:
        client = ScimClient(session, base, made["api_key"])
        names = {"apiKey": made["api_key"], "otherOrgApiKey": made["api_key"]}
        steps = [step for step in conversation.load("okta-oin") if "otherOrg" not in str(step)]
        played = await player.play(client, steps, names=names, tally=Tally())
        before = (await client.send("GET", "/Users?count=100", tally=Tally())).document
    assert [str(each) for each in played if each.differences] == []
    assert before["totalResults"] > 0

    async def arrived() -> bool:
        return bool(await mails(composed))

    await until(arrived, "an invitation is in the mailbox", 60.0)

    await asyncio.to_thread(composed, "down")
    await composed.up()

    async with open_session(4) as session:
        client = ScimClient(session, base, made["api_key"])
        after = (await client.send("GET", "/Users?count=100", tally=Tally())).document
    assert after == before
    assert await mails(composed)
