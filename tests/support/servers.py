"""Real servers for tests, chosen once a run and never skipped in silence. A pytest plugin.

`pytest_plugins = ["tests.support.servers"]` in the root conftest brings the fixtures
`kafka_server`, `postgres_server` (shared, session), `native_kafka`, `native_postgres` (a module's
own, to be killed) and the lines in pytest's header.

Which server (`ROLLCALL_TEST_SERVERS=external|docker|native` forces one):

1. external: `ROLLCALL_KAFKA_BOOTSTRAP`, `ROLLCALL_DATABASE_URL` (a superuser's) are set;
2. docker: a daemon answers within a second and has the image, or gets it;
3. native: Kafka from its jars, Postgres from the wheel.

A shared server belongs to a keeper, a process of its own that ends with pytest's main process
(and takes the server along), whatever becomes of the xdist workers that use it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from rollcall_local.stack import ports, process
from rollcall_local.stack.kafka import docker as kafka_docker
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.kafka.native import KafkaBroker
from rollcall_local.stack.kafka.settings import BrokerSettings
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.native import PostgresServer as NativePostgres
from rollcall_local.stack.postgres.native import ServerSettings
from tests.support import ahead_of_time, scratch

_RUN = "ROLLCALL_TEST_RUN_FOLDER"  # set by pytest's main process, inherited by its workers
_MAIN = "ROLLCALL_TEST_MAIN_PID"
_KINDS = ("external", "docker", "native")
_ADDRESSES = {"kafka": "ROLLCALL_KAFKA_BOOTSTRAP", "postgres": "ROLLCALL_DATABASE_URL"}
IMAGES = {"kafka": kafka_docker.IMAGE, "postgres": "postgres:18"}
_START_TIMEOUT_S = 180.0  # the first run of all fetches jars
_PASSWORD = "only-for-tests"
# Nobody kills the shared broker, so its session may outlast every pause of a busy machine: one
# that its own controller takes for dead fails all tests at once. Thousands of topics need a heap.
_SHARED_BROKER: Final[dict[str, Any]] = {"heap_mib": 1024, "broker_session_timeout_ms": "60000"}
_keepers: list[subprocess.Popen[bytes]] = []


def _is_running(pid: int) -> bool:
    """Whether a process of that id exists (a zombie counts)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True, slots=True)
class KafkaServer:
    """The run's shared broker. Nobody may kill it: tests that do so take `native_kafka`.

    It is patient with itself (`_SHARED_BROKER`), which `rollcall topics check` and `doctor` refuse.
    Modules about these override the fixture `kafka_server` by a `native_kafka` of their own.
    """

    bootstrap: str
    kind: str


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The run's shared server: a superuser's URL, and the password of each role of ours."""

    admin_url: str
    kind: str

    @property
    def passwords(self) -> Mapping[str, str]:
        """Role → password, for every role that the services log in as."""
        return dict.fromkeys(postgres_roles.ROLES, _PASSWORD)

    def url(self, database: str, role: str | None = None) -> str:
        """Return the URL of a database as a role of ours, by default as the superuser."""
        scheme, rest = self.admin_url.split("://", 1)
        login, address = rest.rsplit("@", 1)
        if role is not None:
            login = f"{role}:{_PASSWORD}"
        return f"{scheme}://{login}@{address.split('/', 1)[0]}/{database}"


# What pytest calls


def pytest_configure(config: pytest.Config) -> None:
    """Choose the servers, in the main process only: workers inherit the choice."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    # Compiled once: not by each worker, and by each of the hundreds of processes that tests start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    os.environ[_RUN] = str(scratch.make())
    os.environ[_MAIN] = str(os.getpid())
    if choose("kafka") == "native":
        ahead_of_time.use(os.environ)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which servers the tests of this run will use."""
    return [f"{what}: {choose(what)}" for what in _ADDRESSES]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the keepers and wait for them. Were we killed, they notice."""
    if "PYTEST_XDIST_WORKER" in os.environ or os.environ.get(_MAIN) != str(os.getpid()):
        return
    folder = Path(os.environ[_RUN])
    for answer in folder.glob("*.json"):
        _stop_keeper(int(json.loads(answer.read_text())["keeper"]))
    scratch.remove(folder)
    del os.environ[_RUN], os.environ[_MAIN]


@pytest.fixture(scope="session")
def kafka_server() -> KafkaServer:
    """The shared broker: every test makes topics of its own."""
    return KafkaServer(**_obtain("kafka"))


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """The shared server, with the roles made: every test clones a database of its own."""
    return PostgresServer(**_obtain("postgres"))


@pytest.fixture(scope="module")
def native_kafka() -> Iterator[KafkaBroker]:
    """A broker of this module's own, to be killed, frozen and restarted."""
    with own_kafka() as broker:
        yield broker


@pytest.fixture(scope="module")
def native_postgres() -> Iterator[NativePostgres]:
    """A Postgres of this module's own, to be killed, frozen and restarted."""
    with own_postgres() as server:
        yield server


# Servers of one's own


@contextlib.contextmanager
def own_kafka(heap_mib: int = 256, **extra: str) -> Iterator[KafkaBroker]:
    """Start a native broker in a folder of its own; stop and remove it afterwards.

    `extra` holds broker settings, with `_` for the dots of their names.
    """
    with _folder() as folder:
        port = ports.choose()
        settings = BrokerSettings(
            folder,
            port,
            ports.choose([port]),
            heap_mib=heap_mib,
            extra={name.replace("_", "."): value for name, value in extra.items()},
        )
        broker = KafkaBroker(settings)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


@contextlib.contextmanager
def own_postgres(kind: type[NativePostgres] = NativePostgres) -> Iterator[NativePostgres]:
    """Start a native Postgres in a folder of its own; stop and remove it afterwards."""
    with _folder() as folder:
        settings = ServerSettings(folder, ports.choose(), secrets.token_urlsafe(12), durable=False)
        server = kind(settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
            server.remove()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# The choice


def choose(what: str) -> str:
    """Return `external`, `docker` or `native` for `kafka` or `postgres`; decided once a run."""
    remembered = f"ROLLCALL_TEST_{what.upper()}"
    if remembered not in os.environ:
        os.environ[remembered] = _decide(what)
    return os.environ[remembered]


def _decide(what: str) -> str:
    forced = os.environ.get("ROLLCALL_TEST_SERVERS", "")
    if forced and forced not in _KINDS:
        raise pytest.UsageError(f"ROLLCALL_TEST_SERVERS may be {', '.join(_KINDS)}")
    if forced == "external" and not os.environ.get(_ADDRESSES[what]):
        raise pytest.UsageError(f"ROLLCALL_TEST_SERVERS=external needs {_ADDRESSES[what]}")
    if forced:
        return forced
    if os.environ.get(_ADDRESSES[what]):
        return "external"
    return "docker" if _docker_has(IMAGES[what]) else "native"


def _docker_has(image: str) -> bool:
    """Tell whether a daemon answers within a second and has the image, or can pull it."""
    if shutil.which("docker") is None:
        return False

    def works(*arguments: str, timeout_s: float) -> bool:
        try:
            done = subprocess.run(
                ["docker", *arguments], capture_output=True, timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    if not works("version", "--format", "{{.Server.Version}}", timeout_s=1.0):
        return False
    has = works("image", "inspect", image, timeout_s=5.0)
    return has or works("pull", "--quiet", image, timeout_s=120.0)


# The keeper


def _obtain(what: str) -> dict[str, str]:
    """Return what the keeper of `what` wrote, starting the keeper when there is none yet."""
    folder = Path(os.environ[_RUN])
    answer = folder / f"{what}.json"
    with (folder / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answer.exists():
            _start_keeper(what, folder, answer)
    found: dict[str, str] = json.loads(answer.read_text())
    if "error" in found:
        raise RuntimeError(f"no {what} for the tests ({choose(what)}): {found['error']}")
    del found["keeper"]
    return found


def _start_keeper(what: str, folder: Path, answer: Path) -> None:
    root = Path(__file__).parents[2]
    log = folder / f"{what}-keeper.log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.support.servers", what, choose(what)],
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _keepers.append(keeper)
    # It outlives the worker that started it; Popen must not complain of that at our end.
    atexit.register(setattr, keeper, "returncode", 0)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not answer.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no {what} for the tests: {log.read_text()[-2000:]}")
        time.sleep(0.02)


def _stop_keeper(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 15.0
    while time.monotonic() < deadline:
        for keeper in _keepers:
            keeper.poll()  # ours would stay zombies
        if not _is_running(pid):
            return
        time.sleep(0.02)


def keep(what: str, kind: str) -> None:
    """Hold a server until pytest's main process has ended or a SIGTERM comes."""
    folder = Path(os.environ[_RUN])
    with contextlib.ExitStack() as stack:
        try:
            found = asdict(_start_kafka(kind, stack) if what == "kafka" else _pg(kind, stack))
        except Exception as error:  # told to every test that wanted the server
            detail = getattr(error, "detail", "")
            found = {"error": f"{type(error).__name__}: {error}\n{detail}"}
        draft = folder / f".{what}.json"
        draft.write_text(json.dumps({**found, "keeper": os.getpid()}))
        draft.rename(folder / f"{what}.json")
        main_pid = int(os.environ[_MAIN])
        _wait_for_end(main_pid)
    if not _is_running(main_pid):  # it was killed and cannot tidy up
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_end(main_pid: int) -> None:
    reader, writer = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(writer, b"x"))
    waiting = [reader]
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            waiting.append(os.pidfd_open(main_pid))
    while not select.select(waiting, [], [], 0.5)[0]:
        if not _is_running(main_pid):
            return


def _start_kafka(kind: str, stack: contextlib.ExitStack) -> KafkaServer:
    if kind == "external":
        return KafkaServer(os.environ[_ADDRESSES["kafka"]], kind)
    if kind == "docker":
        return KafkaServer(_kafka_container(stack), kind)
    return KafkaServer(stack.enter_context(own_kafka(**_SHARED_BROKER)).bootstrap, kind)


def _kafka_container(stack: contextlib.ExitStack) -> str:
    from testcontainers.core.container import DockerContainer

    # The advertised port must be known before the start, so it is chosen and bound.
    port = ports.choose()
    container = DockerContainer(IMAGES["kafka"]).with_bind_ports(port, port)
    for key, value in kafka_docker.environment(port).items():
        container = container.with_env(key, value)
    stack.enter_context(container)
    if not process.wait_until(lambda: kafka_native.answers(port), 60.0, every_s=0.1):
        raise RuntimeError("the Kafka container does not answer")
    return f"127.0.0.1:{port}"


def _pg(kind: str, stack: contextlib.ExitStack) -> PostgresServer:
    import asyncio

    if kind == "external":
        url = os.environ[_ADDRESSES["postgres"]]
    elif kind == "docker":
        from testcontainers.community.postgres import PostgresContainer

        container = stack.enter_context(PostgresContainer(IMAGES["postgres"], driver=None))
        url = container.get_connection_url()
    else:
        url = stack.enter_context(own_postgres()).admin_url
    server = PostgresServer(url, kind)
    asyncio.run(postgres_roles.bootstrap(url, server.passwords, database=None))
    return server


if __name__ == "__main__":
    keep(sys.argv[1], sys.argv[2])
