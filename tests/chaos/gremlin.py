"""Makes things fail as the plan says, mends them, and notes when what was not well.

An operator's commands are in the plan as well: they are not to fail, whatever else does."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from rollcall.postgres.pool import Service
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.mailbox import Action, Rule
from tests.chaos.found import Disturbance
from tests.chaos.operations import Operation, operate
from tests.chaos.plan import Fault, Plan, Target
from tests.support.postgres_faults import LAUNCHER, MortalPostgres
from tests.support.stack import Process, Stack

PROCESSES: dict[Target, Service] = {
    "ingress-0": "ingress",
    "ingress-1": "ingress",
    "ingress-2": "ingress",
    "provisioner-0": "provisioner",
    "provisioner-1": "provisioner",
    "notifier-0": "notifier",
}
READY_S = 150.0
DRAIN_S = 60.0
SERVER_START_S = 180.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended though nobody had ended it."""

    target: Target
    status: int
    log: str


@dataclass(slots=True)
class Gremlin:
    """One run's."""

    stack: Stack
    broker: KafkaBroker
    postgres: MortalPostgres
    door_ports: dict[Target, int] = field(default_factory=dict)
    processes: dict[Target, Process] = field(default_factory=dict)
    disturbances: list[Disturbance] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    _locks: dict[Target, asyncio.Lock] = field(default_factory=dict)
    _in_hand: set[Target] = field(default_factory=set)

    async def start(self, doors: Sequence[Target]) -> None:
        """These of ingress, two provisioners, one notifier: all ready."""
        for target, service in PROCESSES.items():
            if service == "ingress" and target not in doors:
                continue
            self.processes[target] = await self._spawn(target)
        for target, process in self.processes.items():
            if process.door_port is not None:
                self.door_ports[target] = process.door_port
        await self.until_ready()

    async def until_ready(self) -> None:
        """Wait until each process says that it is."""
        await asyncio.gather(
            *(self.stack.until_ready(process, READY_S) for process in self.processes.values())
        )

    async def work(self, plan: Plan, began_s: float) -> None:
        """All faults, each at its moment (the monotonic clock); everything is mended at the end."""
        async with asyncio.TaskGroup() as group:
            for fault in plan.faults:
                wait_s = began_s + fault.at_s - time.monotonic()
                await asyncio.sleep(max(0.0, wait_s))  # the schedule is the plan's
                group.create_task(self._fault(fault, began_s + plan.seconds))
        await self.until_ready()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Processes that end by themselves are noted and started again while the block runs."""
        watch = asyncio.create_task(self._revive())
        try:
            yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _fault(self, fault: Fault, end_s: float) -> None:
        # A target that takes long to come back is late for its next fault, and spared what would
        # come after the end.
        async with self._locks.setdefault(fault.target, asyncio.Lock()):
            if time.monotonic() > end_s:
                return
            from_s = time.time()
            self._in_hand.add(fault.target)
            try:
                match fault.target:
                    case "kafka":
                        await self._hurt_kafka(fault)
                    case "postgres":
                        await self._hurt_postgres(fault)
                    case "smtp":
                        await self._hurt_smtp(fault)
                    case "operator":
                        self.operations.append(await operate(fault.trouble, self._operator()))
                    case _:
                        await self._hurt_process(fault)
            finally:
                self._in_hand.discard(fault.target)
            ended = Disturbance(fault.target, fault.trouble, from_s, time.time())
            self.disturbances.append(ended)

    async def _hurt_process(self, fault: Fault) -> None:
        process = self.processes[fault.target]
        if fault.trouble == "freeze":
            process.pause()
            await asyncio.sleep(fault.for_s)  # how long it is frozen
            process.resume()
            return
        if fault.trouble == "restart":
            await asyncio.to_thread(process.terminate, DRAIN_S)
        else:
            await asyncio.to_thread(process.kill)
            await asyncio.sleep(fault.for_s)  # how long it is gone
        self.processes[fault.target] = again = await self._spawn(fault.target)
        await self._ready_or_ended(again)

    async def _ready_or_ended(self, process: Process) -> None:
        """Until it is ready, or is not for other reasons: what it needs may be away as well.

        One that ends is for `_revive` to start again; at the end all must be ready.
        """
        with contextlib.suppress(AssertionError):
            await self.stack.until_ready(process, READY_S)

    async def _hurt_kafka(self, fault: Fault) -> None:
        if fault.trouble == "freeze":
            self.broker.pause()
            await asyncio.sleep(fault.for_s)  # how long it is frozen
            self.broker.resume()
            return
        await asyncio.to_thread(self.broker.kill)
        await asyncio.sleep(fault.for_s)  # how long it is gone
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(LAUNCHER, self.broker.start, SERVER_START_S)

    async def _hurt_postgres(self, fault: Fault) -> None:
        if fault.trouble == "freeze":
            await self.postgres.freeze()
            await asyncio.sleep(fault.for_s)  # how long it is frozen
            await self.postgres.thaw()
            return
        await self.postgres.kill()
        await asyncio.sleep(fault.for_s)  # how long it is gone
        await self.postgres.start()

    async def _hurt_smtp(self, fault: Fault) -> None:
        if fault.trouble == "away":
            await asyncio.to_thread(self.stack.stop_mailbox)
            await asyncio.sleep(fault.for_s)  # how long it is gone
            self.stack.start_mailbox()
            return
        actions: dict[str, Action] = {
            "refuse_for_now": "refuse_for_now",
            "drop": "drop",
            "reset_after_yes": "reset_after_yes",
        }
        self.stack.misbehave(Rule(actions[fault.trouble]))
        await asyncio.sleep(fault.for_s)  # how long it misbehaves
        self.stack.misbehave()

    def _operator(self) -> dict[str, str]:
        """What names the deployment to a command."""
        owner = self.stack.database_url("owner")
        return {**self.stack.environment, "ROLLCALL_DATABASE_URL": owner}

    async def _spawn(self, target: Target) -> Process:
        port = self.door_ports.get(target)
        variables = {} if port is None else {"ROLLCALL_INGRESS_PORT": str(port)}
        process = await self.stack.start(PROCESSES[target], ready=False, **variables)
        process.door_port = port or process.door_port
        return process

    async def _revive(self) -> None:
        """Start again what has ended by itself, as an orchestrator does, and note it."""
        while True:
            for target, process in list(self.processes.items()):
                if process.is_running() or target in self._in_hand:
                    continue
                self.ended.append(Ended(target, process.popen.wait(), process.explain()))
                self.processes[target] = await self._spawn(target)
            await asyncio.sleep(0.2)  # how often an orchestrator looks
