"""A soak: many seeds of kills under load until so many changes have been acknowledged.

    python -m tests.crash.soak [--changes 1000000] [--per-seed 20000] [--seed N]

Each seed is a deployment of its own on native servers: clients create members and set titles,
while one of ingress, provisioner, notifier or the broker is SIGKILLed and started again, at random
moments. Then every acknowledged change must be in Postgres, once, and nothing else but for what
was never answered. Prints a line a seed; exit status 1 with the seed at the first that fails.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from rollcall.postgres.pool import Service
from rollcall_local.stack.kafka.native import KafkaBroker
from tests.support.databases import TestDatabase, create_database, drop_database
from tests.support.load import applied
from tests.support.scim_client import Client
from tests.support.servers import PostgresServer, own_kafka, own_postgres
from tests.support.stack import SERVICES, Organisation, Stack, running, until

CLIENTS = 40
KILL_EVERY_S = (0.5, 2.5)
BROKER_START_S = 180.0


@dataclass(slots=True)
class Known:
    """What the clients were told: user name → id of a create; id → titles by their answers."""

    created: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    titles: dict[str, str] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)
    refused: int = 0
    acknowledged: int = 0


async def client_work(client: Client, known: Known, number: int, target: int) -> None:
    """Create a member, set its title twice, and again, until enough is acknowledged."""
    count = 0
    while known.acknowledged < target:
        count += 1
        name = f"s{number}x{count}@soak.example"
        try:
            answer = await client.create_user(name)
        except (aiohttp.ClientError, TimeoutError):
            known.unanswered.add(name)
            await asyncio.sleep(0.2)  # the pace of a client whose door is gone
            continue
        if answer.status != 201:
            known.refused += 1
            # The one thing that is left open: the acknowledgement may have got lost (§3).
            known.unanswered.add(name)
            continue
        member_id = answer.body["id"]
        known.created[name] = member_id
        known.acknowledged += 1
        for turn in range(2):
            title = f"t{count}-{turn}"
            operation = {"op": "replace", "path": "title", "value": title}
            try:
                answer = await client.patch(f"/Users/{member_id}", operation)
            except (aiohttp.ClientError, TimeoutError):
                known.uncertain.add(member_id)
                break
            if answer.status in (200, 204):
                known.titles[member_id] = title
                known.acknowledged += 1
            else:
                known.refused += 1
                known.uncertain.add(member_id)


async def gremlin(stack: Stack, broker: KafkaBroker, dice: random.Random, kills: list[str]) -> None:
    """Kill something now and then, and start it again at once."""
    while True:
        await asyncio.sleep(dice.uniform(*KILL_EVERY_S))
        victim = dice.choice([*SERVICES, "kafka"])
        kills.append(victim)
        if victim == "kafka":
            await asyncio.to_thread(broker.kill)
            broker.start(BROKER_START_S)
            continue
        service: Service = victim  # type: ignore[assignment]
        for process in stack.running(service):
            process.kill()
        await stack.start(service)


async def play(seed: int, changes: int, broker: KafkaBroker, server: PostgresServer) -> int:
    """One seed; the number of acknowledged changes. Raises AssertionError."""
    dice = random.Random(seed)
    name = await create_database(server)
    database = TestDatabase(name, server)
    known, kills = Known(), list[str]()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rollcall-soak-") as folder:
        prefix = f"s{uuid.uuid4().hex[:10]}"
        async with running(Path(folder), broker.bootstrap, prefix, database.url) as stack:
            stack.environment["ROLLCALL_INGRESS_REPLY_BUDGET_S"] = "2"
            stack.environment["ROLLCALL_NOTIFIER_INVITATION_GRACE_S"] = "3600"
            await stack.start_all()
            organisation = await stack.organisation()
            async with stack.client(organisation) as client:
                trouble = asyncio.create_task(gremlin(stack, broker, dice, kills))
                work = asyncio.create_task(work_together(client, known, changes))
                await asyncio.wait([trouble, work], return_when=asyncio.FIRST_COMPLETED)
                if trouble.done():
                    work.cancel()
                    await trouble  # what could not be started again, say: no verdict on us
                await work
                trouble.cancel()
                await asyncio.wait([trouble])
            await revive(stack)
            await until(lambda: applied(stack, organisation), "the log is applied", 120)
            await judge(stack, organisation, known)
    await drop_database(server, name)
    print(
        f"seed {seed}: {known.acknowledged} acknowledged, 0 lost, {known.refused} refused, "
        f"{len(known.unanswered) + len(known.uncertain)} never answered, {len(kills)} kills, "
        f"{time.monotonic() - began_s:.0f} s",
        flush=True,
    )
    return known.acknowledged


async def work_together(client: Client, known: Known, changes: int) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client_work(client, known, number, changes))


async def revive(stack: Stack) -> None:
    """Whatever the gremlin left dead lives again."""
    for service in SERVICES:
        if not stack.running(service):
            await stack.start(service)


async def judge(stack: Stack, organisation: Organisation, known: Known) -> None:
    """Every acknowledged create and title is there, once; nothing that nobody sent is."""
    rows = await stack.rows(
        "SELECT id::text, document ->> 'userName' AS name, document ->> 'title' AS title "
        "FROM directory.member WHERE organisation_id = $1::uuid",
        organisation.id,
    )
    by_name = {row["name"]: row for row in rows}
    assert len(by_name) == len(rows), "a name is there twice"
    lost = [n for n, i in known.created.items() if n not in by_name or by_name[n]["id"] != i]
    assert not lost, f"{len(lost)} acknowledged creates are lost: {lost[:3]}"
    extra = set(by_name) - set(known.created) - known.unanswered
    assert not extra, f"{len(extra)} are there that nobody was told of: {sorted(extra)[:3]}"
    by_id = {row["id"]: row["title"] for row in rows}
    wrong = [
        member_id
        for member_id, title in known.titles.items()
        if member_id not in known.uncertain and by_id[member_id] != title
    ]
    assert not wrong, f"{len(wrong)} members have another title than was acknowledged: {wrong[:3]}"


def main() -> None:
    """Play seeds until enough is acknowledged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--per-seed", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    args = parser.parse_args()
    total, seed, began_s = 0, args.seed, time.monotonic()
    with own_kafka() as broker, own_postgres() as postgres:
        server = PostgresServer(postgres.admin_url, "native")
        asyncio.run(prepare(server))
        while total < args.changes:
            try:
                total += asyncio.run(play(seed, args.per_seed, broker, server))
            except AssertionError as failure:
                print(f"seed {seed} failed after {total} acknowledged changes: {failure}")
                sys.exit(1)
            seed += 1
    rate = total / (time.monotonic() - began_s)
    print(f"{total} acknowledged changes over seeds {args.seed}..{seed - 1}: 0 lost; {rate:.0f}/s")


async def prepare(server: PostgresServer) -> None:
    """The roles that the services log in as."""
    from rollcall_local.stack.postgres import roles as postgres_roles

    await postgres_roles.bootstrap(server.admin_url, server.passwords, database=None)


if __name__ == "__main__":
    main()
