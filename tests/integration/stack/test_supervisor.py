"""The supervisor over small commands: order, readiness, restarts, and how it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rollcall_local.stack.errors import StackError
from rollcall_local.stack.part import Part, Plan, StartStep
from rollcall_local.stack.runner import Runner
from rollcall_local.stack.supervisor import Supervisor

_DEADLINE_S = 15.0
_LIVES = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


@dataclass(slots=True)
class KeepingReporter:
    """A reporter that remembers."""

    lines: list[str] = field(default_factory=list)
    is_ready: bool = False

    def say(self, line: str) -> None:
        self.lines.append(line)

    def working(self, on: Sequence[str], for_s: float) -> None:
        """Nothing to remember."""

    def ready(self) -> None:
        self.is_ready = True

    def failed(self, line: str, detail: str, exit_code: int) -> None:
        self.lines.append(line)


@dataclass(slots=True)
class Running:
    """A supervisor at work."""

    supervisor: Supervisor
    reporter: KeepingReporter
    runners: list[Runner]
    task: "asyncio.Task[int]"

    def pid(self, name: str) -> int | None:
        return next(each.pid for each in self.runners if each.part.label == name)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            while not is_so():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def a_part(folder: Path, name: str, code: str = _LIVES) -> Part:
    """A part that is ready once its process has made a file; the file goes before each start."""
    sign = folder / f"{name}.ready"

    def prepare() -> list[str]:
        sign.unlink(missing_ok=True)
        return [sys.executable, "-c", code, str(sign)]

    log = folder / f"{name}.log"
    return Part(name, name, log, prepare, sign.exists, os.environ, folder)


def a_plan(*parts: Part) -> Plan:
    return Plan(
        (tuple(StartStep(part.label, part) for part in parts),), tuple(p.service for p in parts)
    )


@asynccontextmanager
async def _running(plan: Plan, *, restart: bool = True) -> AsyncIterator[Running]:
    reporter = KeepingReporter()
    seen: list[Runner] = []

    def publish(runners: Sequence[Runner], is_ready: bool) -> None:
        seen[:] = runners

    supervisor = Supervisor(plan, reporter, publish, restart=restart)
    running = Running(supervisor, reporter, seen, asyncio.create_task(supervisor.run()))
    try:
        await running.until(lambda: reporter.is_ready or running.task.done())
        yield running
    finally:
        if not running.task.done():
            supervisor.stop()
        await asyncio.wait({running.task}, timeout=_DEADLINE_S)


async def test_a_part_that_dies_is_announced_and_started_again(tmp_path: Path) -> None:
    async with _running(a_plan(a_part(tmp_path, "one"))) as stack:
        first = stack.pid("one")
        assert first is not None

        os.kill(first, signal.SIGKILL)
        await stack.until(lambda: stack.pid("one") not in (first, None))
        await stack.until(lambda: any("is back" in line for line in stack.reporter.lines))

        assert "one ended (signal SIGKILL); again in 0.2 s" in stack.reporter.lines
        assert stack.runners[0].restarts == 1


async def test_a_part_that_is_only_silent_is_left_alone(tmp_path: Path) -> None:
    async with _running(a_plan(a_part(tmp_path, "one"), a_part(tmp_path, "two"))) as stack:
        frozen, other = stack.pid("one"), stack.pid("two")
        assert frozen is not None
        assert other is not None

        os.kill(frozen, signal.SIGSTOP)
        os.kill(other, signal.SIGKILL)
        await stack.until(lambda: stack.pid("two") not in (other, None))

        assert stack.pid("one") == frozen
        assert not any(line.startswith("one") for line in stack.reporter.lines)


async def test_no_restart_leaves_a_dead_part_as_it_is(tmp_path: Path) -> None:
    async with _running(a_plan(a_part(tmp_path, "one")), restart=False) as stack:
        first = stack.pid("one")
        assert first is not None

        os.kill(first, signal.SIGKILL)
        await stack.until(lambda: bool(stack.reporter.lines))

        assert stack.reporter.lines == ["one ended (signal SIGKILL) and is left so"]
        assert stack.pid("one") is None


async def test_the_wait_before_a_restart_doubles(tmp_path: Path) -> None:
    dies = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
    part = a_part(tmp_path, "one")
    starts: list[int] = []

    def prepare() -> list[str]:
        starts.append(1)
        command = part.prepare()
        return command if len(starts) == 1 else [*command[:2], dies, command[3]]

    async with _running(a_plan(replace(part, prepare=prepare))) as stack:
        first = stack.pid("one")
        assert first is not None

        os.kill(first, signal.SIGKILL)
        await stack.until(lambda: sum("again in" in line for line in stack.reporter.lines) >= 3)

        waits = [line.rsplit("again in ", 1)[1] for line in stack.reporter.lines if "again" in line]
        assert waits[:3] == ["0.2 s", "0.4 s", "0.8 s"]


async def test_a_part_that_ends_at_the_start_fails_it_with_its_last_words(tmp_path: Path) -> None:
    broken = a_part(tmp_path, "broken", "import sys; print('no such setting'); sys.exit(2)")
    good = a_part(tmp_path, "good")
    supervisor = Supervisor(a_plan(good, broken), KeepingReporter(), lambda *_: None, restart=True)

    with pytest.raises(StackError) as failed:
        await supervisor.run()

    assert "broken is not ready: exit status 2" in str(failed.value)
    assert "no such setting" in failed.value.detail


async def test_a_part_that_never_gets_ready_fails_the_start_in_time(tmp_path: Path) -> None:
    silent = a_part(tmp_path, "silent", "import time; time.sleep(600)")
    plan = replace(a_plan(silent), ready_timeout_s=0.5)

    with pytest.raises(StackError, match="silent is not ready: after 0 s"):
        await Supervisor(plan, KeepingReporter(), lambda *_: None, restart=True).run()


async def test_work_after_readiness_that_fails_stops_the_start(tmp_path: Path) -> None:
    async def fail() -> None:
        raise ValueError("no such table")

    plan = Plan(((StartStep("postgres", a_part(tmp_path, "postgres"), fail),),))

    with pytest.raises(StackError, match="postgres: ValueError: no such table"):
        await Supervisor(plan, KeepingReporter(), lambda *_: None, restart=True).run()


async def test_the_second_stage_starts_when_the_first_is_ready(tmp_path: Path) -> None:
    first, second = a_part(tmp_path, "first"), a_part(tmp_path, "second")
    was_ready: list[bool] = []

    def prepare() -> list[str]:
        was_ready.append(first.is_ready())
        return second.prepare()

    stages = (StartStep("first", first),), (StartStep("second", replace(second, prepare=prepare)),)

    async with _running(Plan(stages)):
        pass

    assert was_ready == [True]


async def test_parts_are_stopped_in_order(tmp_path: Path) -> None:
    says = (
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n"
        "    with open('order', 'a') as file: file.write(sys.argv[2] + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(600)\n"
    )

    def naming(name: str) -> Part:
        part = a_part(tmp_path, name, says)
        return replace(part, prepare=lambda: [*part.prepare(), name])

    plan = replace(
        a_plan(*map(naming, ("kafka", "ingress", "notifier"))),
        stop_order=("notifier", "ingress", "kafka"),
    )

    async with _running(plan):
        pass

    assert (tmp_path / "order").read_text() == "notifier ingress kafka "


async def test_a_part_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(600)\n"
    )
    part = replace(a_part(tmp_path, "stubborn", stubborn), stop_timeout_s=0.3)

    async with _running(a_plan(part)) as stack:
        stack.supervisor.stop()
        code = await asyncio.wait_for(stack.task, _DEADLINE_S)

    assert code == 0


async def test_a_second_request_to_stop_kills_at_once(tmp_path: Path) -> None:
    stubborn = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(600)\n"
    )
    part = replace(a_part(tmp_path, "stubborn", stubborn), stop_timeout_s=600)

    async with _running(a_plan(part)) as stack:
        stack.supervisor.stop()
        stack.supervisor.stop()
        code = await asyncio.wait_for(stack.task, _DEADLINE_S)

    assert code == 0
