"""A deployment with a history worth rebuilding, and the commands over it. No test in here."""

import asyncio
import json
import os
import random
import resource
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from rollcall.control.deployment import Deployment as Reached
from rollcall.control.rebuild import rebuild, snapshot, verify
from rollcall.control.rebuild.rebuild import Options, Report
from rollcall.control.rebuild.snapshot import Manifest
from rollcall.control.rebuild.verify import Verified
from rollcall.control.settings import OperatorSettings
from rollcall.events.request import Request, Settings
from rollcall.runtime.clock import now_ms
from rollcall.runtime.config import load
from rollcall.runtime.ids import new_id
from rollcall_operator.cli import app
from rollcall_operator.owner import open_deployment
from rollcall_operator.progress_bar import Bar
from tests.support.builders import (
    ORGANISATION,
    OTHER_ORGANISATION,
    a_group,
    a_member,
    a_request,
    an_id,
    create,
    patch,
    redrive,
    regroup,
    replacing,
)
from tests.support.deployment import Deployment
from tests.support.poison import FIX as FIX
from tests.support.poison import REFUSE_TITLE as REFUSE_TITLE
from tests.support.stack import until

POISON = "Poison"
TABLES = (
    "member",
    "group",
    "group_member",
    "resource_count",
    "dead_letter",
    "parked",
    "parked_organisation",
)
PARTITION_OF = {ORGANISATION: 0, OTHER_ORGANISATION: 1}
NO_WAIT = {"accept_by_ms": None}


def history(seed: int, count: int, *, first: int = 1000) -> list[Request]:
    """Requests of two organisations: members and groups, copies, late ones, refused ones."""
    chance = random.Random(seed)
    made: list[Request] = []
    members: dict[str, list[int]] = {ORGANISATION: [], OTHER_ORGANISATION: []}
    groups: dict[str, list[int]] = {ORGANISATION: [], OTHER_ORGANISATION: []}
    for number in range(first, first + count):
        organisation = chance.choice((ORGANISATION, OTHER_ORGANISATION))
        own, own_groups = members[organisation], groups[organisation]
        at: dict[str, Any] = {"organisation_id": organisation, "id": an_id(500_000 + number)}
        kind = chance.choice(("create",) * 4 + ("title", "revoke", "delete", "group", "regroup"))
        if kind == "create" or not own:
            request = replace(create(number, f"user{number % 50}@example.org"), **at)
            own.append(number)
        elif kind == "title":
            request = replace(_patch(chance.choice(own), "title", f"T{number}"), **at)
        elif kind == "revoke":
            request = replace(_patch(chance.choice(own), "active", bool(number % 2)), **at)
        elif kind == "delete":
            request = a_request("member.delete", an_id(chance.choice(own)), **at)
        elif kind == "group" or not own_groups:
            request = a_request(
                "group.create", an_id(number), resource={"displayName": f"Group {number}"}, **at
            )
            own_groups.append(number)
        else:
            group = a_group(chance.choice(own_groups))
            added = (an_id(chance.choice(own)),)
            request = replace(regroup(group, add=added, clear=chance.random() < 0.3), **at)
        if chance.random() < 0.05:
            request = replace(request, accept_by_ms=1)  # appended too late
        made.append(request)
        if chance.random() < 0.1:
            made.append(chance.choice(made[-20:]))  # a copy
    return made


def _patch(number: int, path: str, value: Any) -> Request:
    return patch(a_member(number), replacing(path, value))


def sharing(seed: int, count: int, *, first: int = 1000) -> list[Request]:
    """A log of two releases: at first external ids that meet are refused, then they are shared,
    but by an organisation that asks for the contrary."""
    chance = random.Random(seed)
    made: list[Request] = []
    for number in range(first, first + count):
        is_later = number >= first + count // 3
        at: dict[str, Any] = {
            "id": an_id(600_000 + number),
            "organisation_id": chance.choice((ORGANISATION, OTHER_ORGANISATION)),
            "rules": 2 if is_later and chance.random() < 0.9 else 1,
            "settings": Settings(unique_external_ids=is_later and chance.random() < 0.3),
        }
        value = chance.choice(("alice", "Alice", "x", ""))
        member, group = chance.randint(1, 12), chance.randint(50, 55)
        named = {"displayName": f"Group {number % 9}", "externalId": value}
        made.append(
            chance.choice(
                (
                    replace(create(member, f"u{number % 20}@example.org", externalId=value), **at),
                    replace(create(member, f"v{number}@example.org", externalId=value), **at),
                    replace(_patch(member, "externalId", value), **at),
                    replace(_patch(member, "title", f"T{number}"), **at),
                    a_request("member.delete", an_id(member), **at),
                    a_request("group.create", an_id(group), resource=named, **at),
                    a_request("group.replace", an_id(group), resource=named, **at),
                    a_request("group.delete", an_id(group), **at),
                )
            )
        )
    return made


async def send_all(deployment: Deployment, requests: Sequence[Request]) -> dict[int, int]:
    """Append them, each to its organisation's partition; partition → offset behind the last."""
    ends: dict[int, int] = {}
    for request in requests:
        partition = PARTITION_OF[request.organisation_id]
        sent = await deployment.send(request, partition)
        ends[partition] = sent.offset + 1
    return ends


async def apply_all(deployment: Deployment, requests: Sequence[Request]) -> None:
    """Append them, and wait until the provisioner has applied them."""
    for partition, end in (await send_all(deployment, requests)).items():
        await deployment.applied(end, partition)


async def announced(deployment: Deployment) -> None:
    """Wait until the positions say that all is announced: the provisioner moves them later."""

    async def is_so() -> bool:
        rows = await deployment.rows(
            "SELECT bool_and(published_offset = next_offset) AS all FROM directory.progress"
        )
        return bool(rows[0]["all"])

    await until(is_so, "all is announced, and the positions say so", 30)


async def contents(deployment: Deployment, schema: str = "directory") -> dict[str, list[str]]:
    """Every row of the directory as text, in order, and the positions that a fold gives."""
    found = {}
    for table in TABLES:
        rows = await deployment.rows(f'SELECT t::text AS row FROM {schema}."{table}" AS t')
        found[table] = sorted(row["row"] for row in rows)
    rows = await deployment.rows(
        f"SELECT topic, partition, next_offset, published_offset, last_event_id::text, "
        f"last_append_time::text, epoch, state FROM {schema}.progress ORDER BY 1, 2"
    )
    found["progress"] = [str(tuple(row)) for row in rows]
    return found


def settings_of(deployment: Deployment) -> OperatorSettings:
    """What the command reads from the environment."""
    return load(
        OperatorSettings,
        kafka_bootstrap=deployment.settings.kafka_bootstrap,
        topic_prefix=deployment.settings.topic_prefix,
        database_url=deployment.database.url("owner"),
    )


@asynccontextmanager
async def world_of(deployment: Deployment) -> AsyncIterator[Reached]:
    """What the commands work with."""
    async with open_deployment(settings_of(deployment), "test") as world:
        yield world


async def do_rebuild(deployment: Deployment, **options: Any) -> Report:
    """`rollcall rebuild`."""
    async with world_of(deployment) as world:
        with Bar(is_shown=False) as meter:
            return await rebuild.rebuild(world, Options(**options), meter)


async def do_verify(deployment: Deployment, from_snapshot: Path | None = None) -> Verified:
    """`rollcall verify`."""
    async with world_of(deployment) as world:
        with Bar(is_shown=False) as meter:
            return await verify.verify(world, from_snapshot, meter)


async def do_snapshot(deployment: Deployment, to: Path) -> Manifest:
    """`rollcall snapshot`."""
    async with world_of(deployment) as world:
        with Bar(is_shown=False) as meter:
            return await snapshot.take(world, to, meter)


def environment_of(deployment: Deployment) -> dict[str, str]:
    """What the command line finds the deployment by."""
    return {
        "ROLLCALL_KAFKA_BOOTSTRAP": deployment.settings.kafka_bootstrap,
        "ROLLCALL_TOPIC_PREFIX": deployment.settings.topic_prefix,
        "ROLLCALL_DATABASE_URL": deployment.database.url("owner"),
    }


async def rollcall(deployment: Deployment, *arguments: str) -> Result:
    """The command line, beside the test's deployment."""
    environment = environment_of(deployment)
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)


async def start(
    deployment: Deployment, *arguments: str, **options: Any
) -> asyncio.subprocess.Process:
    """The command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall_operator", *arguments),
        env={**os.environ, **environment_of(deployment)},
        **options,
    )


async def without_room(deployment: Deployment, *arguments: str) -> tuple[int | None, str]:
    """Status and complaint of a command that may write no more than ten bytes into a file."""
    process = await start(
        deployment,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def rollcall_json(deployment: Deployment, *arguments: str, code: int = 0) -> Any:
    """What it prints for scripts."""
    done = await rollcall(deployment, *arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


async def execute(deployment: Deployment, statement: str) -> None:
    """As the owner."""
    async with deployment.database.connect() as connection:
        await connection.execute(statement)


def fresh(request: Request) -> Request:
    """The request under an id of now."""
    return replace(request, id=new_id(), accept_by_ms=now_ms() + 60_000)


async def poisoned(deployment: Deployment) -> None:
    """A member in quarantine with a request behind it, one that was redriven, one discarded."""
    await execute(deployment, REFUSE_TITLE)
    wrong = [
        replace(patch(a_member(number), replacing("title", POISON)), id=an_id(700_000 + number))
        for number in (1, 2, 3)
    ]
    await apply_all(
        deployment,
        [
            *(create(number, f"poisoned{number}@example.org") for number in (1, 2, 3)),
            *wrong,
        ],
    )
    # Not in one batch with those: what the next event replaces never reaches Postgres.
    await apply_all(
        deployment,
        [
            replace(patch(a_member(2), replacing("title", "Bosun")), id=an_id(700_012)),
            replace(patch(a_member(3), replacing("title", "Cook")), id=an_id(700_013)),
            replace(redrive(wrong[0], 700_021)),  # fails again
        ],
    )
    await execute(deployment, FIX)
    await apply_all(
        deployment,
        [redrive(wrong[1], 700_022), redrive(wrong[2], 700_023, kind="dead.discard")],
    )


def heed_ctrl_c() -> None:
    """A process started in the background is told to ignore it, and so are its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
