"""A supervisor ends in order with the first signal, whoever is left to hear what it says."""

import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollcall_local.stack.process import wait_until
from tests.integration.stack.up import COMMAND, TIMEOUT_S, is_gone, read, rollcall

pytestmark = pytest.mark.timeout(240)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STARTS_WITHIN_S = 150.0
ENDS_WITHIN_S = 60.0
"""Where nothing ends by force: a stuck one would take 90 s."""
Leave = Callable[[], None]


def closed_pipe() -> tuple[int, Leave]:
    """The writing end of a pipe, and what closes the other one."""
    reader, writer = os.pipe()
    return writer, lambda: os.close(reader)


def closed_terminal() -> tuple[int, Leave]:
    """A terminal whose reader reads, and what makes it go away."""
    master, slave = pty.openpty()
    must_leave = threading.Event()

    def read() -> None:
        while not must_leave.is_set():
            if select.select([master], [], [], 0.05)[0]:
                os.read(master, 65536)
        os.close(master)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def leave() -> None:
        must_leave.set()
        reader.join(10)

    return slave, leave


def stopped_terminal() -> tuple[int, Leave]:
    """A terminal that takes a few lines and no more, as after Ctrl-S."""
    _, slave = pty.openpty()
    return slave, lambda: None


def full_disk() -> tuple[int, Leave]:
    """A file that takes nothing."""
    return os.open("/dev/full", os.O_WRONLY), lambda: None


@contextmanager
def up(data: Path, stream: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`rollcall up` in the foreground, ready, that speaks into this stream."""
    process = subprocess.Popen(
        [*COMMAND, "up", "--data", str(data)],
        stdin=subprocess.DEVNULL,
        stdout=stream,
        stderr=stream,
        start_new_session=True,
    )
    os.close(stream)
    try:
        assert wait_until((data / ".rollcall" / "stack.json").exists, _STARTS_WITHIN_S)
        yield process
    finally:
        process.kill()
        process.wait()
        rollcall("down", "--data", str(data), "--remove")


def pids(data: Path) -> list[int]:
    """Every process of the stack."""
    return [pid for each in read(data)["pids"].values() for pid in each]


def ended_in_order(data: Path, running: list[int]) -> None:
    """Every process is gone, the files say so, and nothing was ended by force."""
    assert wait_until(lambda: all(map(is_gone, running)), 5.0)
    assert not (data / ".rollcall" / "stack.json").exists()
    assert not (data / ".rollcall" / "status.json").exists()
    said = (data / ".rollcall" / "logs" / "postgres.log").read_text()
    assert said.rstrip().endswith("database system is shut down")


QUICK = (
    (closed_pipe, signal.SIGINT),
    (closed_terminal, signal.SIGHUP),
    (full_disk, signal.SIGTERM),
)
"""One of each signal; every other pair is long, because each starts a whole stack."""


@pytest.mark.parametrize(
    ("make", "number"),
    [
        pytest.param(make, number, marks=() if (make, number) in QUICK else pytest.mark.long)
        for make in (closed_pipe, closed_terminal, stopped_terminal, full_disk)
        for number in SIGNALS
    ],
)
def test_the_first_signal_ends_it_whatever_its_output_is(
    make: Callable[[], tuple[int, Leave]], number: signal.Signals, tmp_path: Path
) -> None:
    stream, leave = make()
    with up(tmp_path, stream) as process:
        running = pids(tmp_path)
        leave()

        process.send_signal(number)
        code = process.wait(ENDS_WITHIN_S)

        assert code == 0
        ended_in_order(tmp_path, running)


@pytest.mark.parametrize(
    "make", [closed_pipe, pytest.param(closed_terminal, marks=pytest.mark.long)]
)
def test_down_ends_a_supervisor_whose_output_is_gone(
    make: Callable[[], tuple[int, Leave]], tmp_path: Path
) -> None:
    """And it goes on until then: a part that dies is brought back, which it cannot tell."""
    stream, leave = make()
    with up(tmp_path, stream) as process:
        leave()
        [killed] = read(tmp_path)["pids"]["provisioner"]
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda: read(tmp_path)["pids"]["provisioner"] not in ([], [killed]), 20)
        running = pids(tmp_path)

        stopped = rollcall("down", "--data", str(tmp_path))

        assert (stopped.returncode, process.wait(5)) == (0, 0)
        assert "Stopped the stack" in stopped.stdout
        ended_in_order(tmp_path, running)


def as_large_as_can_be(file: Path) -> None:
    """A file to which nothing can be added, as if its disk were full (EFBIG)."""
    with file.open("wb") as opened:
        smallest, beyond = 0, 2**63
        while beyond - smallest > 1:
            size = (smallest + beyond) // 2
            try:
                opened.truncate(size)
                smallest = size
            except OSError:
                beyond = size
        opened.truncate(smallest)


@pytest.mark.long
def test_a_full_disk_under_its_log_keeps_it_from_nothing(tmp_path: Path) -> None:
    logs = tmp_path / ".rollcall" / "logs"
    logs.mkdir(parents=True)
    as_large_as_can_be(logs / "supervisor.log")
    stream, leave = closed_pipe()
    with up(tmp_path, stream) as process:
        running = pids(tmp_path)
        leave()

        process.send_signal(signal.SIGINT)

        assert process.wait(ENDS_WITHIN_S) == 0
        ended_in_order(tmp_path, running)


@pytest.mark.long
def test_a_terminal_that_says_twice_that_it_closes_is_one_who_asks_once(tmp_path: Path) -> None:
    stream, leave = closed_terminal()
    with up(tmp_path, stream) as process:
        running = pids(tmp_path)
        leave()

        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            is_gone_at_once = wait_until(lambda: is_gone(process.pid), 0.2)
            assert not is_gone_at_once or process.wait(1) == 0

        assert process.wait(ENDS_WITHIN_S) == 0
        ended_in_order(tmp_path, running)


def test_a_second_signal_kills_what_is_left(tmp_path: Path) -> None:
    stream, leave = closed_pipe()
    with up(tmp_path, stream) as process:
        running = pids(tmp_path)
        leave()
        for service in ("notifier", "provisioner", "ingress"):
            [pid] = read(tmp_path)["pids"][service]
            os.kill(pid, signal.SIGSTOP)  # so that an orderly end takes its ten seconds each

        process.send_signal(signal.SIGINT)
        log = tmp_path / ".rollcall" / "logs" / "supervisor.log"
        assert wait_until(lambda: log.exists() and "stopping" in log.read_text(), 10)
        process.send_signal(signal.SIGINT)

        process.wait(10)
        assert wait_until(lambda: all(map(is_gone, running)), 5.0)


@pytest.mark.long
def test_a_reader_that_leaves_ends_the_wait_of_a_detached_start_and_not_the_stack(
    tmp_path: Path,
) -> None:
    """`rollcall up --detach | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*COMMAND, "up", "--detach", "--data", str(tmp_path)],
            stdout=writer,
            stderr=writer,
            timeout=TIMEOUT_S,
            check=False,
        )

        assert done.returncode == 0
        assert rollcall("status", "--data", str(tmp_path)).returncode == 0
    finally:
        os.close(writer)
        rollcall("down", "--data", str(tmp_path), "--remove")


ROLLCALL = str(Path(sys.executable).with_name("rollcall"))
DEMO = f"{ROLLCALL} demo --stay --joiners 20 --leavers 2 --absorbed 8 --data"


@pytest.mark.long
@pytest.mark.timeout(240)
def test_ctrl_c_on_a_demo_behind_tee_ends_all_of_it(tmp_path: Path) -> None:
    """The terminal signals the whole group: `tee` is gone before anybody says a word."""
    shown, demo = tmp_path / "shown", f"{DEMO} {tmp_path}"
    shell = subprocess.Popen(
        [
            "bash",
            "-c",
            f"{demo} 2>&1 | tee {shown}; echo ${{PIPESTATUS[0]}} > {shown}.code",
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert wait_until(lambda: shown.exists() and "stays up" in shown.read_text(), 180)
        running = pids(tmp_path)

        members = group(shell.pid)
        for name, pid in sorted(members, key=lambda each: each[0] != "tee"):
            if name == "tee":
                os.kill(pid, signal.SIGINT)
                assert wait_until(lambda: is_gone(pid), 10)  # noqa: B023
            elif name != "bash":
                os.kill(pid, signal.SIGINT)
        shell.wait(60)

        has_held = "not hold" not in shown.read_text()
        assert (tmp_path / "shown.code").read_text().strip() == ("0" if has_held else "1")
        ended_in_order(tmp_path, running)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
        rollcall("down", "--data", str(tmp_path), "--remove")


def group(leader: int) -> list[tuple[str, int]]:
    """Name and id of every process in a group."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pgid=,pid=,comm="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(maxsplit=2) for line in listing.splitlines()]
    return [(name, int(pid)) for of, pid, name in rows if int(of) == leader]


@pytest.mark.timeout(240)
@pytest.mark.long
def test_a_demo_whose_reader_leaves_ends_in_order(tmp_path: Path) -> None:
    """`make run | head -3`."""
    done = subprocess.run(
        ["bash", "-c", f"{DEMO} {tmp_path} | head -3; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.stdout.count("\n") == 3
    assert "Traceback" not in done.stderr
    assert done.returncode == 130
    assert not (tmp_path / ".rollcall" / "stack.json").exists()
    said = (tmp_path / ".rollcall" / "logs" / "postgres.log").read_text()
    assert said.rstrip().endswith("database system is shut down")
    assert "No stack runs" in rollcall("down", "--data", str(tmp_path), "--remove").stdout
