"""`rollcall up`, `status`, `down` as processes, with real Kafka, Postgres and mailbox.

The services have stand-ins (`up_with_stand_ins.py`): what they do is tried elsewhere.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from rollcall.kafka.admin import wait_until_reachable
from rollcall.runtime.config import Settings, load
from rollcall_local.stack import ports
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.folder import Folder
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.postgres import native as postgres_native
from rollcall_local.stack.process import wait_until
from rollcall_operator.deployment import find
from tests.integration.stack.up import COMMAND, TIMEOUT_S, a_stack, is_gone, read, rollcall

_KEYS = {
    "scim_url", "scim_urls", "kafka_bootstrap", "kafka_kind", "database_url", "smtp", "mailbox",
    "pids", "logs", "metrics", "console_url",
}  # fmt: skip
_WORKERS = {
    "ingress", "provisioner", "notifier", "console", "kafka", "postgres", "supervisor",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder (0700, a space in its name) of a stack that several tests look at."""
    data = tmp_path_factory.mktemp("of one owner")
    data.chmod(0o700)
    with a_stack(data, "--replicas", "ingress=2", ROLLCALL_NOTIFIER_GRACE_S="7"):
        yield data


def test_stack_json_is_the_contract(shared_data: Path) -> None:
    found = read(shared_data)

    assert set(found) == _KEYS
    assert found["scim_url"].startswith("http://127.0.0.1:")
    assert found["scim_urls"][0] == found["scim_url"]
    assert len(set(found["scim_urls"])) == 2
    assert found["console_url"].startswith("http://127.0.0.1:")
    assert found["kafka_kind"] == "native"
    assert found["mailbox"] == str(shared_data.resolve() / ".rollcall" / "mailbox")
    assert set(found["pids"]) == _WORKERS
    assert {name: len(pids) for name, pids in found["pids"].items()} == {
        **dict.fromkeys(_WORKERS, 1),
        "ingress": 2,
    }
    assert len(found["metrics"]["ingress"]) == 2
    assert found["metrics"]["ingress"][0].endswith("/metrics")
    assert all(Path(log).is_file() for log in found["logs"].values())
    assert set(found["logs"]) >= _WORKERS


async def test_stack_json_leads_to_real_servers(shared_data: Path) -> None:
    found = read(shared_data)
    smtp_host, smtp_port = found["smtp"].split(":")
    with socket.create_connection((smtp_host, int(smtp_port)), timeout=5) as connection:
        greeting = connection.recv(100)
    database = await asyncpg.connect(found["database_url"], timeout=10)
    try:
        role = await database.fetchval("SELECT current_user")
    finally:
        await database.close()

    assert greeting.startswith(b"220")
    assert role == "rollcall_owner"
    assert kafka_native.answers(int(found["kafka_bootstrap"].split(":")[1]))


async def test_the_local_kafka_accepts_only_logins_from_the_secrets(
    shared_data: Path,
) -> None:
    bootstrap = read(shared_data)["kafka_bootstrap"]
    as_commands = find(shared_data)
    secret = json.loads((shared_data / ".rollcall" / "secrets.json").read_text())["kafka"]

    await wait_until_reachable(as_commands, 30)

    assert as_commands.kafka_sasl_password.get_secret_value() == secret
    for stranger in (
        load(Settings, kafka_bootstrap=bootstrap),
        as_commands.model_copy(update={"kafka_sasl_password": SecretStr("guessed")}),
    ):
        with pytest.raises(TimeoutError):
            await wait_until_reachable(stranger, 1.5)


def test_the_callers_variables_reach_the_services_and_ours_stay_ours(shared_data: Path) -> None:
    found = read(shared_data)

    said = json.loads(Path(found["logs"]["notifier"]).read_text().splitlines()[0])

    assert said["ROLLCALL_NOTIFIER_GRACE_S"] == "7"
    assert said["ROLLCALL_KAFKA_BOOTSTRAP"] == found["kafka_bootstrap"]
    assert said["ROLLCALL_KAFKA_SASL_MECHANISM"] == "SCRAM-SHA-512"
    assert "rollcall_notifier:" in said["ROLLCALL_DATABASE_URL"]
    assert said["ROLLCALL_LOG_FORMAT"] == "json"


def test_only_two_services_know_the_invitation_secret(shared_data: Path) -> None:
    logs = read(shared_data)["logs"]

    knows = {
        name: "ROLLCALL_INVITATION_SECRET" in json.loads(Path(log).read_text().splitlines()[0])
        for name, log in logs.items()
        if name in ("ingress", "provisioner", "notifier", "console")
    }

    assert knows == {"ingress": True, "notifier": True, "provisioner": False, "console": False}


def test_what_is_secret_is_readable_by_its_owner_only(shared_data: Path) -> None:
    root = shared_data / ".rollcall"

    modes = {
        name: (root / name).stat().st_mode & 0o077
        for name in ("secrets.json", "stack.json", "mailbox", "kafka", "logs")
    }

    assert modes == dict.fromkeys(modes, 0)
    assert shared_data.stat().st_mode & 0o777 == 0o700


def test_a_second_up_on_the_same_folder_names_the_first(shared_data: Path) -> None:
    supervisor = read(shared_data)["pids"]["supervisor"][0]

    refused = rollcall("up", "--data", str(shared_data))

    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert str(supervisor) in refused.stderr


def test_status_shows_every_part(shared_data: Path) -> None:
    shown = rollcall("status", "--data", str(shared_data), "--json")

    found = json.loads(shown.stdout)
    assert shown.returncode == 0
    assert found["ready"] is True
    assert [part["name"] for part in found["parts"]] == [
        "kafka", "postgres", "mailbox", "ingress 1", "ingress 2", "provisioner", "notifier",
        "console",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["postgres", "kafka", "mailbox"])
def test_status_sees_that_a_part_is_frozen(shared_data: Path, name: str) -> None:
    parts = json.loads(rollcall("status", "--data", str(shared_data), "--json").stdout)["parts"]
    pid = next(part["pid"] for part in parts if part["name"] == name)

    os.kill(pid, signal.SIGSTOP)
    try:
        shown = rollcall("status", "--data", str(shared_data))
    finally:
        os.kill(pid, signal.SIGCONT)

    assert shown.returncode == 1
    assert [line.split()[0] for line in shown.stdout.splitlines() if "not ready" in line] == [name]


@pytest.mark.parametrize("name", ["postgres", "kafka", "provisioner"])
def test_a_killed_part_comes_back_at_the_same_place(shared_data: Path, name: str) -> None:
    before = read(shared_data)

    os.kill(before["pids"][name][0], signal.SIGKILL)

    def is_back() -> bool:
        now = read(shared_data)["pids"][name]
        shown = rollcall("status", "--data", str(shared_data))
        return now not in ([], before["pids"][name]) and shown.returncode == 0

    assert wait_until(is_back, 30, every_s=0.2)
    after = read(shared_data)
    assert {**after, "pids": 0} == {**before, "pids": 0}
    assert kafka_native.answers(int(after["kafka_bootstrap"].split(":")[1]))
    assert postgres_native.answers(int(after["database_url"].rsplit(":", 1)[1].split("/")[0]))


def test_children_die_with_a_killed_supervisor_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with a_stack(tmp_path) as first:
        pids = [pid for each in first["pids"].values() for pid in each]

        os.kill(first["pids"]["supervisor"][0], signal.SIGKILL)

        if sys.platform == "linux":
            assert wait_until(lambda: all(map(is_gone, pids)), 10)
            left = rollcall("org", "list", "--data", str(tmp_path))
            assert left.returncode == 2
            assert "no stack runs" in left.stderr
            again = rollcall("up", "--detach", "--data", str(tmp_path))
            assert again.returncode == 0, again.stdout + again.stderr
            second = read(tmp_path)
            assert {**second, "pids": 0} == {**first, "pids": 0}


def test_down_stops_everything_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    with a_stack(tmp_path) as found:
        pids = [pid for each in found["pids"].values() for pid in each]

        first = rollcall("down", "--data", str(tmp_path))
        second = rollcall("down", "--data", str(tmp_path))

        assert first.returncode == 0
        assert wait_until(lambda: all(map(is_gone, pids)), 5.0)
        assert not (tmp_path / ".rollcall" / "stack.json").exists()
        assert second.returncode == 0
        assert "No stack runs" in second.stdout


def test_ctrl_c_in_the_foreground_stops_everything_cleanly(tmp_path: Path) -> None:
    stack_file = tmp_path / ".rollcall" / "stack.json"
    up = subprocess.Popen(
        [*COMMAND, "up", "--data", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert wait_until(stack_file.exists, TIMEOUT_S)
        pids = [pid for each in read(tmp_path)["pids"].values() for pid in each]

        os.killpg(up.pid, signal.SIGINT)  # as a terminal does
        code = up.wait(60)
    finally:
        up.kill()
        up.wait()
        rollcall("down", "--data", str(tmp_path), "--remove")

    assert code == 0
    assert wait_until(lambda: all(map(is_gone, pids)), 5.0)


@pytest.mark.parametrize("how", [(), ("--detach",)])
def test_a_taken_port_is_one_line(tmp_path: Path, how: tuple[str, ...]) -> None:
    with socket.socket() as taken:
        port = ports.choose()
        taken.bind(("127.0.0.1", port))
        taken.listen()

        refused = rollcall("up", *how, "--data", str(tmp_path), "--port", str(port))

    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert str(port) in refused.stderr
    assert "--port" in refused.stderr


def test_a_port_that_was_refused_is_not_kept(tmp_path: Path) -> None:
    with socket.socket() as taken:
        port = ports.choose()
        taken.bind(("127.0.0.1", port))
        taken.listen()

        rollcall("up", "--data", str(tmp_path), "--port", str(port))

    assert port not in Folder(tmp_path).ports(["ingress-1"], {}).values()


def test_a_part_moves_away_from_the_port_that_the_caller_wants(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.make()
    before = folder.ports(["kafka", "postgres"], {})

    after = folder.ports(["kafka", "postgres", "ingress-1"], {"ingress-1": before["kafka"]})

    assert after["ingress-1"] == before["kafka"] != after["kafka"]
    assert after["postgres"] == before["postgres"]


@pytest.mark.parametrize("env", [{"ROLLCALL_TOPIC_PREFIX": "a b"}, {"ROLLCALL_LOG_LEVEL": "loud"}])
def test_a_wrong_setting_ends_with_status_2(tmp_path: Path, env: dict[str, str]) -> None:
    refused = rollcall("up", "--data", str(tmp_path), **env)
    rollcall("down", "--data", str(tmp_path), "--remove")

    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert next(iter(env)) in refused.stderr


def test_a_folder_without_rights_is_one_line(tmp_path: Path) -> None:
    """Root may write everywhere, so it becomes nobody for this."""
    tmp_path.chmod(0o500)
    mine = os.geteuid()

    os.seteuid(mine or 65534)
    try:
        with pytest.raises(StackError) as refused:
            Folder(tmp_path / "data").make()
    finally:
        os.seteuid(mine)

    assert refused.value.exit_code == 2
    assert "--data" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_data_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    refused = rollcall("up", "--data", str(tmp_path / "file"))

    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1


def test_external_kafka_without_an_address_is_one_line(tmp_path: Path) -> None:
    refused = rollcall("up", "--data", str(tmp_path), "--kafka", "external")

    assert refused.returncode == 2
    assert "ROLLCALL_KAFKA_BOOTSTRAP" in refused.stderr


def test_docker_without_a_daemon_is_one_line(tmp_path: Path) -> None:
    env = {"DOCKER_HOST": "tcp://127.0.0.1:9"}  # nobody listens there

    refused = rollcall("up", "--data", str(tmp_path), "--kafka", "docker", **env)
    rollcall("down", "--data", str(tmp_path), "--remove")

    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "Docker" in refused.stderr


def test_jars_that_cannot_be_had_are_one_line(tmp_path: Path) -> None:
    env = {"ROLLCALL_KAFKA_LIBS": str(tmp_path)}

    refused = rollcall("up", "--data", str(tmp_path), "--kafka", "native", **env)
    rollcall("down", "--data", str(tmp_path), "--remove")

    assert refused.returncode == 2
    assert "ROLLCALL_KAFKA_LIBS" in refused.stderr


def test_an_external_kafka_is_used_and_not_started(
    tmp_path: Path, native_kafka: kafka_native.KafkaBroker
) -> None:
    env = {"ROLLCALL_KAFKA_BOOTSTRAP": native_kafka.bootstrap}

    with a_stack(tmp_path, **env) as found:
        assert found["kafka_kind"] == "external"
        assert found["kafka_bootstrap"] == native_kafka.bootstrap
        assert found["pids"]["kafka"] == []


def test_commands_use_the_topics_of_the_stack_they_are_pointed_at(
    tmp_path: Path, native_kafka: kafka_native.KafkaBroker
) -> None:
    env = {"ROLLCALL_KAFKA_BOOTSTRAP": native_kafka.bootstrap}

    with a_stack(tmp_path, **env, ROLLCALL_TOPIC_PREFIX="of-its-own"):
        rollcall("org", "create", "Ours", "--data", str(tmp_path))
        ours = rollcall("org", "list", "--data", str(tmp_path), ROLLCALL_TOPIC_PREFIX="another")

    assert "Ours" in ours.stdout


def test_help_needs_none_of_the_services_libraries() -> None:
    code = (
        "import sys, rollcall_operator.cli as cli\n"
        "sys.argv = ['rollcall', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'aiokafka', 'asyncpg', 'pydantic', 'structlog'} & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.strip().endswith("[]")
    assert "demo" in done.stdout
