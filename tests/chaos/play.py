"""One run: a deployment, identity providers at work, a gremlin, and the judgement.

`arena` brings the servers, which runs may share; `play` is one run on a deployment of its own.
"""

import asyncio
import contextlib
import itertools
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.postgres import roles as postgres_roles
from tests.chaos.case import Case, Violation, make_case, tell
from tests.chaos.gremlin import Gremlin
from tests.chaos.history import Attempt
from tests.chaos.judge import judge, taken_back
from tests.chaos.look import is_settled, look
from tests.chaos.operations import Operation
from tests.chaos.plan import ORGANISATIONS, Plan, Scene, make_plan
from tests.chaos.provider import AtWork
from tests.support.databases import create_database, drop_database
from tests.support.postgres_faults import MortalPostgres
from tests.support.scim_client import SCIM, Answer, Client
from tests.support.servers import PostgresServer, own_kafka, own_postgres
from tests.support.stack import Organisation, Stack, running

RESTS_WITHIN_S = 60.0
"""Rebalances, an election, leases and the longest retry, one after the other, on two cores."""
SETTLES_S = 240.0
MOST_REPORTED = 5
ENVIRONMENT = {
    "ROLLCALL_INGRESS_REPLY_BUDGET_S": "2",
    "ROLLCALL_NOTIFIER_INVITATION_GRACE_S": "2",
    "ROLLCALL_NOTIFIER_SETTLE_S": "1",
    # The model expects every mail; few people go to and fro all the time.
    "ROLLCALL_NOTIFIER_RECIPIENT_MAILS": "100000",
    "ROLLCALL_NOTIFIER_RECIPIENT_MAILS_A_DAY": "100000",
    "ROLLCALL_NOTIFIER_RETRY_MAXIMUM_S": "4",
    "ROLLCALL_NOTIFIER_LEASE_S": "5",
}


@dataclass(frozen=True, slots=True)
class Arena:
    """The servers that a run may hurt."""

    broker: KafkaBroker
    postgres: MortalPostgres


@dataclass(frozen=True, slots=True)
class ClientByTurns(Client):
    """Sends each request to the next door, as a load balancer without stickiness does."""

    doors: Iterator[str] = field(default_factory=lambda: iter(()))

    async def call(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        """One request below the organisation's base at the next door."""
        door = Client(self.session, next(self.doors))
        return await door.call(method, path, body, **headers)


@dataclass(slots=True)
class Played:
    """A run and what is wrong with it."""

    plan: Plan
    case: Case
    violations: list[Violation]
    gremlin: Gremlin
    unfinished: int
    seconds: float
    settled_s: float
    statuses: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.statuses.items()))
        pending = sum(attempt.is_pending for attempt in self.case.history)
        return (
            f"seed {self.plan.seed}: {len(self.case.history)} requests ({counts}; {pending} "
            f"pending, {self._optimistic()} not promised, "
            f"{len(self.case.found.refused)} told and refused), "
            f"{len(self.case.found.mails)} mails, {len(self.gremlin.disturbances)} faults, "
            f"{self._operated()}, "
            f"{self.unfinished} steps not begun, settled {self.settled_s:.1f} s after the end, "
            f"{self.seconds:.0f} s, {len(self.violations)} violations"
        )

    def _optimistic(self) -> int:
        """Writes on the log whose sender was promised no decision."""
        return sum(not self.case.is_promised(token) for token in self.case.applied)

    def _operated(self) -> str:
        done = self.gremlin.operations
        kinds = Counter(each.command for each in done if each.is_well)
        counts = " and ".join(f"{count} {name}" for name, count in sorted(kinds.items()))
        return f"{counts or 'no operation'} ended well in {sum(each.tries for each in done)} tries"

    def faults(self) -> str:
        """What was disturbed when, in seconds of the run."""
        began_s = min(attempt.sent_s for attempt in self.case.history)
        return "\n".join(
            f"  {each.from_s - began_s:6.1f} to {each.until_s - began_s:6.1f} s: "
            f"{each.target} {each.trouble}"
            for each in sorted(self.gremlin.disturbances, key=lambda each: each.from_s)
        )

    def tell(self) -> str:
        """The seed, and for the first violations what was asked and answered about the resource."""
        reported = [tell(each, self.case) for each in self.violations[:MOST_REPORTED]]
        kinds = Counter(each.what for each in self.violations)
        minutes = f"{self.plan.seconds / 60:g}"
        replay = f"make chaos SEED={self.plan.seed} MINUTES={minutes} SCENE={self.plan.scene}"
        return "\n".join([replay, str(dict(kinds)), self.faults(), *reported])


@contextlib.contextmanager
def arena() -> Iterator[Arena]:
    """A native broker and a native Postgres, started by a thread that lives on."""
    with own_kafka() as broker, own_postgres() as native:
        shared = PostgresServer(native.admin_url, "native")
        asyncio.run(postgres_roles.bootstrap(native.admin_url, shared.passwords, database=None))
        yield Arena(broker, MortalPostgres(native, shared, ""))


async def play(
    seed: int,
    seconds: float,
    at: Arena,
    *,
    scene: Scene = "everything",
    logs: Path | None = None,
) -> Played:
    """Play the plan of the seed and judge it; `logs` is where the logs of all parts are kept."""
    began_s = time.monotonic()
    plan = make_plan(seed, seconds, scene)
    at.postgres.database = await create_database(at.postgres.shared)
    prefix = f"chaos{uuid.uuid4().hex[:10]}"
    with tempfile.TemporaryDirectory(prefix="rollcall-chaos-") as folder:
        async with running(Path(folder), at.broker.bootstrap, prefix, at.postgres.url) as stack:
            stack.environment |= ENVIRONMENT
            stack.forks = False  # an ingress that is back before the provisioner has forgotten
            gremlin = Gremlin(stack, at.broker, at.postgres)
            try:
                await gremlin.start(plan.doors)
                async with gremlin.watching():
                    history, unfinished = await _work(stack, plan, gremlin)
                    trail = await _settle(stack)
                found = await look(stack, gremlin.disturbances)
            finally:
                if logs is not None:
                    _keep(logs / str(seed), Path(folder), at)
    await drop_database(at.postgres.shared, at.postgres.database)
    case = make_case(history, found)
    violations = [
        *_at_rest(trail),
        *_processes(gremlin),
        *_operations(gremlin.operations),
        *judge(case),
        *(taken_back(case) if plan.scene == "kills" else ()),
    ]
    statuses = Counter(str(each.status) if each.status else "none" for each in history)
    return Played(
        plan,
        case,
        violations,
        gremlin,
        unfinished,
        time.monotonic() - began_s,
        trail[-1][0],
        statuses,
    )


def _keep(into: Path, folder: Path, at: Arena) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for log in (*folder.glob("*.log"), at.broker.log, at.postgres.native.log):
        shutil.copy(log, into)


async def _work(stack: Stack, plan: Plan, gremlin: Gremlin) -> tuple[list[Attempt], int]:
    """Everybody at once; the providers end what they have begun."""
    history: list[Attempt] = []
    ports = [gremlin.door_ports[target] for target in plan.doors]
    async with contextlib.AsyncExitStack() as exits:
        at_work = []
        for number, name in enumerate(ORGANISATIONS):
            organisation = await stack.organisation(name)
            # By turns, or an organisation to one replica as a load balancer may do.
            own = ports if plan.scene == "kills" else [ports[number % len(ports)]]
            for provider in (each for each in plan.providers if each.organisation == name):
                client = await exits.enter_async_context(_client(organisation, own))
                work = AtWork(plan.seed, provider, organisation.id, client, history)
                at_work.append(work)
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(gremlin.work(plan, began_s))
            for work in at_work:
                group.create_task(work.work(began_s, plan.seconds))
    return history, sum(work.unfinished for work in at_work)


@contextlib.asynccontextmanager
async def _client(organisation: Organisation, ports: Sequence[int]) -> AsyncIterator[Client]:
    """A client with connections of its own, which gives up after 60 s; to these ports by turns."""
    headers = {**SCIM, "Authorization": f"Bearer {organisation.key}"}
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        # A retry behind our back would be a request that nobody wrote down.
        session._retry_connection = False
        yield ClientByTurns(
            session,
            "",
            itertools.cycle([f"http://127.0.0.1:{port}/v2/{organisation.id}" for port in ports]),
        )


async def _settle(stack: Stack) -> list[tuple[float, str]]:
    """Wait until nothing moves. Seconds after the end, and what was left then, where that changed.

    The last one has nothing left, unless it was too long to wait for.
    """
    began_s = time.monotonic()
    trail = [(0.0, await is_settled(stack))]
    while trail[-1][1] and time.monotonic() - began_s < SETTLES_S:
        await asyncio.sleep(0.3)  # how often it is looked
        left = await is_settled(stack)
        if left != trail[-1][1]:
            trail.append((time.monotonic() - began_s, left))
    return trail


def _at_rest(trail: list[tuple[float, str]]) -> Iterator[Violation]:
    after_s, left = trail[-1]
    if left or after_s > RESTS_WITHIN_S:
        recent = "; ".join(f"{each_s:.0f} s: {what or 'nothing'}" for each_s, what in trail[-12:])
        yield Violation("no rest", "", None, f"lag 0 within {RESTS_WITHIN_S:g} s", recent)


def _operations(operations: Sequence[Operation]) -> Iterator[Violation]:
    for each in operations:
        if not each.is_well:
            yield Violation(
                f"rollcall {each.command} failed",
                "",
                None,
                "exit status 0, once Kafka and Postgres are there",
                f"exit status {each.status} at try {each.tries}, after {each.taken_s:.0f} s\n"
                f"{each.said}",
            )


def _processes(gremlin: Gremlin) -> Iterator[Violation]:
    for each in gremlin.ended:
        yield Violation(
            "a process ended by itself",
            "",
            None,
            f"{each.target} goes on",
            f"exit status {each.status}\n{each.log}",
        )
