"""`rollcall stop` and `start` as the page about backups has them; its way to Postgres's tools."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollcall_local.stack.process import wait_until
from tests.integration.stack.up import a_stack, is_gone, read, rollcall

pytestmark = pytest.mark.timeout(240)
PAGE = Path(__file__).parents[3] / "docs" / "operations" / "backup.md"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a stack that runs."""
    folder = tmp_path_factory.mktemp("held")
    with a_stack(folder):
        yield folder


def states(data: Path) -> dict[str, str]:
    """Part → state."""
    shown = rollcall("status", "--data", str(data), "--json")
    return {part["name"]: part["state"] for part in json.loads(shown.stdout)["parts"]}


def test_services_are_stopped_and_stay_so_until_they_are_started(data: Path) -> None:
    before = read(data)["pids"]

    stopped = rollcall("stop", "provisioner", "notifier", "--data", str(data))

    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert all(is_gone(pid) for name in ("provisioner", "notifier") for pid in before[name])
    found = states(data)
    assert (found["provisioner"], found["notifier"], found["ingress"]) == (
        *("stopped", "stopped"),
        "ready",
    )
    os.kill(read(data)["pids"]["ingress"][0], signal.SIGKILL)  # others are watched as ever
    assert wait_until(lambda: read(data)["pids"]["ingress"] not in ([], before["ingress"]), 30)
    assert states(data)["provisioner"] == "stopped"

    started = rollcall("start", "provisioner", "notifier", "--data", str(data))

    assert (started.returncode, started.stderr) == (0, "")
    assert {states(data)[name] for name in ("provisioner", "notifier")} == {"ready"}
    assert read(data)["pids"]["provisioner"] != before["provisioner"]


def test_a_stack_with_a_stopped_service_ends_in_order(data: Path) -> None:
    """And begins with all of them."""
    rollcall("stop", "provisioner", "--data", str(data))

    down = rollcall("down", "--data", str(data))
    up = rollcall("up", "--detach", "--data", str(data))

    assert (down.returncode, up.returncode) == (0, 0)
    assert set(states(data).values()) == {"ready"}


@pytest.mark.parametrize("command", ["stop", "start"])
def test_what_is_not_there_is_one_line(data: Path, tmp_path: Path, command: str) -> None:
    for words in (["kafka", "--data", str(data)], ["ingress", "--data", str(tmp_path)]):
        refused = rollcall(command, *words)

        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1


def test_the_page_leads_to_tools_of_the_server_s_version(data: Path) -> None:
    [setup] = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    code = (
        'pg_dump --version; psql --no-align --tuples-only --dbname="$ROLLCALL_DATABASE_URL" '
        "--command='SHOW server_version'"
    )

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{setup}\n{code}"],
        cwd=data,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    dump, server = done.stdout.splitlines()
    assert dump.split()[-1].split(".")[0] == server.split(".")[0]
