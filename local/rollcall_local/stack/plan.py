"""What `rollcall up` starts, with what settings: the parts of a whole stack."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rollcall_local.stack import noted, ports, services
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.folder import Folder, write_json
from rollcall_local.stack.kafka import docker as kafka_docker
from rollcall_local.stack.kafka import login as kafka_login
from rollcall_local.stack.kafka import native as kafka_native
from rollcall_local.stack.kafka import settings as kafka_settings
from rollcall_local.stack.kafka.login import Login
from rollcall_local.stack.options import Options
from rollcall_local.stack.part import Part, Plan, StartStep, answers_200
from rollcall_local.stack.postgres import native as postgres_native
from rollcall_local.stack.postgres import roles as postgres_roles
from rollcall_local.stack.postgres.binaries import account
from rollcall_local.stack.process import wait_until
from rollcall_local.stack.runner import Runner
from rollcall_local.stack.services import SERVICES
from rollcall_local.stack.stack_file import StackFile

_STOP_ORDER = ("console", "notifier", "provisioner", "ingress", "mailbox", "kafka", "postgres")
INVITATION_GRACE = "ROLLCALL_NOTIFIER_INVITATION_GRACE_S"
"""Seconds before an invitation is sent; 0 here, where mails only reach the local mailbox."""
_SEAL = "console-seal"
"""The name of the console's secret in `secrets.json`."""
_WITH_PAGES = ("ingress", "console")
"""Services that listen beside their admin port."""
_PORT_PATIENCE_S = 3.0  # what a killed supervisor leaves behind needs a moment to go


class Stack:
    """One stack: its parts and the files that describe them. `say` gets a line about slow steps."""

    def __init__(self, options: Options, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self.options = options
        self.folder = Folder.at(options.data, making=True)
        self.kafka_kind = options.kafka_kind
        self._replicas = {name: options.replicas.get(name, 1) for name in SERVICES}
        fixed = {} if options.port is None else {"ingress-1": options.port}
        for name, port in fixed.items():
            self._until_free(name, port)  # a later start would get the taken port again
        self._ports = self.folder.ports(self._port_names(), fixed)
        names = [postgres_native.SUPERUSER, *postgres_roles.ROLES, "invitation", _SEAL]
        names += [] if self.kafka_kind == "external" else [kafka_login.SECRET]
        self._secrets = self.folder.secrets(names)
        self._login = Login.of(self.kafka_kind, self._secrets.get(kafka_login.SECRET))
        self._database = postgres_native.ServerSettings(
            self.folder.root / "postgres", self._ports["postgres"], self._secrets["postgres"]
        )
        self._environment = dict(os.environ)

    def check_ports(self) -> None:
        """Raise StackError when another program has one of our ports."""
        for name, port in self._ports.items():
            self._until_free(name, port)

    def _until_free(self, name: str, port: int) -> None:
        if wait_until(lambda: ports.is_free(port), _PORT_PATIENCE_S):
            return
        if name == "ingress-1":
            remedy = "stop that program, or choose another port with --port"
        else:
            remedy = f"stop that program, or remove {self.folder.ports_file} for new ports"
        raise StackError(f"port {port} ({name}) is taken by another program: {remedy}", exit_code=2)

    def plan(self) -> Plan:
        """Return all steps of the start."""
        first = (
            self._kafka(),
            StartStep("postgres", self._postgres(), self._prepare_database),
            StartStep("mailbox", self._mailbox()),
        )
        replicas = [(name, n) for name in SERVICES for n in range(1, self._replicas[name] + 1)]
        second = tuple(StartStep(part.label, part) for part in map(self._service, replicas))
        return Plan((first, second), _STOP_ORDER)

    def publish(self, runners: Sequence[Runner], is_ready: bool) -> None:
        """Rewrite `status.json`, and `stack.json` once all parts have been ready."""
        parts = [
            {
                "service": each.part.service,
                "name": each.part.label,
                "state": each.state,
                "pid": each.pid,
                "started": noted.started(each.pid),
                "address": each.part.address,
                "ready_url": each.part.ready_url,
                "restarts": each.restarts,
                "log": str(each.part.log),
            }
            for each in runners
        ]
        prefix = self._environment.get("ROLLCALL_TOPIC_PREFIX")
        status = {"supervisor": os.getpid(), "ready": is_ready, "parts": parts}
        write_json(self.folder.status_file, {**status, "topic_prefix": prefix})
        if is_ready:
            self.stack_file(runners).save(self.folder)

    def stack_file(self, runners: Sequence[Runner]) -> StackFile:
        """Return what `stack.json` has to say now."""

        def pids(service: str) -> list[int]:
            return [r.pid for r in runners if r.part.service == service and r.pid is not None]

        logged = ("supervisor", *dict.fromkeys(each.part.service for each in runners))
        return StackFile(
            scim_url=self.scim_url,
            scim_urls=self.scim_urls,
            kafka_bootstrap=self.kafka_bootstrap,
            kafka_kind=self.kafka_kind,
            database_url=self._database_url(postgres_roles.OWNER),
            smtp=self._smtp,
            mailbox=str(self.folder.mailbox),
            pids={
                **{name: pids(name) for name in (*SERVICES, "kafka", "postgres")},
                "supervisor": [os.getpid()],
            },
            logs={name: str(self.folder.log(name)) for name in logged},
            metrics={
                name: [
                    f"http://127.0.0.1:{self._ports[f'{name}-{n}-admin']}/metrics"
                    for n in range(1, self._replicas[name] + 1)
                ]
                for name in SERVICES
            },
            console_url=self.console_url,
        )

    @property
    def scim_url(self) -> str:
        """The root URL of the first ingress."""
        return self.scim_urls[0]

    @property
    def scim_urls(self) -> list[str]:
        """The root URL of each ingress."""
        numbers = range(1, self._replicas["ingress"] + 1)
        return [f"http://127.0.0.1:{self._ports[f'ingress-{number}']}" for number in numbers]

    @property
    def console_url(self) -> str:
        """The root URL of the first console."""
        return f"http://127.0.0.1:{self._ports['console-1']}"

    @property
    def kafka_bootstrap(self) -> str:
        """Kafka's address for our services."""
        if self.kafka_kind == "external":
            return self._environment["ROLLCALL_KAFKA_BOOTSTRAP"]
        return f"127.0.0.1:{self._ports['kafka']}"

    @property
    def invitation_grace_s(self) -> str:
        """How long the notifier waits before an invitation leaves, in seconds."""
        return self._environment.get(INVITATION_GRACE, "0")

    @property
    def _smtp(self) -> str:
        host = self._environment.get("ROLLCALL_SMTP_HOST")
        port = self._environment.get("ROLLCALL_SMTP_PORT", "25" if host else "")
        return f"{host or '127.0.0.1'}:{port or self._ports['smtp']}"

    def _port_names(self) -> list[str]:
        names = ["postgres", "smtp"]
        if self.kafka_kind != "external":
            names += ["kafka", "kafka-controller"]
        for name, count in self._replicas.items():
            for number in range(1, count + 1):
                names += [f"{name}-{number}"] if name in _WITH_PAGES else []
                names.append(f"{name}-{number}-admin")
        return names

    def _database_url(self, role: str) -> str:
        return self._database.url(role, self._secrets[role], postgres_roles.DATABASE)

    # Kafka

    def _kafka(self) -> StartStep:
        if self.kafka_kind == "external":
            return StartStep("kafka topics", then=self._apply_topics)
        settings = kafka_settings.BrokerSettings(
            self.folder.root / "kafka",
            self._ports["kafka"],
            self._ports["kafka-controller"],
            login=self._login,
        )
        variables: dict[str, str] = {}
        prepare: Callable[[], list[str]] = lambda: kafka_native.prepare(settings, self._say)  # noqa: E731
        if self.kafka_kind == "docker":
            variables = kafka_docker.environment(settings.port, self._login)
            prepare = lambda: kafka_docker.prepare(settings.port, self.folder.root, variables)  # noqa: E731
        part = Part(
            "kafka",
            "kafka",
            self.folder.log("kafka"),
            prepare,
            lambda: kafka_native.answers(settings.port),
            {**self._environment, **variables},
            self.folder.root,
            address=settings.bootstrap,
        )
        return StartStep("kafka", part, self._apply_topics)

    async def _apply_topics(self) -> None:
        # Slow to import, so while the broker comes up or not at all.
        from rollcall.events.topics import Topics
        from rollcall.kafka.admin import apply_topics, wait_until_reachable
        from rollcall.runtime.config import Settings, load
        from rollcall.runtime.errors import InvalidSettings, Unavailable

        try:
            login = {} if self._login is None else self._login.settings()
            settings = load(Settings, kafka_bootstrap=self.kafka_bootstrap, **login)
            if self._login is not None:
                await wait_until_reachable(settings)  # that it answers says less there
            await apply_topics(settings, Topics(settings.topic_prefix), replication=1)
        except InvalidSettings as error:
            line = " ".join(str(error).split())
            raise StackError(f"settings are missing or wrong: {line}", exit_code=2) from error
        except Unavailable as error:
            raise StackError(f"{error.what} is unavailable") from error

    # Postgres

    def _postgres(self) -> Part:
        runs_as = account()
        log = self.folder.log("postgres")
        return Part(
            "postgres",
            "postgres",
            log,
            lambda: postgres_native.prepare(self._database, runs_as),
            lambda: postgres_native.answers(self._database.port),
            self._environment,
            Path("/") if runs_as else self.folder.root,
            address=f"127.0.0.1:{self._database.port}",
            account=runs_as,
            stop_signals=(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL),
            is_passing=lambda: postgres_native.is_passing(log),
        )

    async def _prepare_database(self) -> None:
        passwords = {role: self._secrets[role] for role in postgres_roles.ROLES}
        await postgres_roles.bootstrap(self._database.admin_url, passwords)
        from rollcall.observability.logging import configure  # slow to import, as the next
        from rollcall.postgres.migrate import migrate

        configure("operator", level="warning", log_format="auto")
        await migrate(self._database_url(postgres_roles.OWNER))

    # Ours

    def _mailbox(self) -> Part:
        port = self._ports["smtp"]
        arguments = ["--port", str(port), "--maildir", str(self.folder.mailbox)]
        arguments += ["--behaviour-file", str(self.folder.behaviour_file)]
        return Part(
            "mailbox",
            "mailbox",
            self.folder.log("mailbox"),
            lambda: _python("rollcall_local.stack.mailbox", *arguments),
            lambda: ports.is_open(port),
            self._python_environment(),
            Path.cwd(),
            address=f"127.0.0.1:{port}",
        )

    def _service(self, replica: tuple[str, int]) -> Part:
        name, number = replica
        admin_port = self._ports[f"{name}-{number}-admin"]
        ready_url = f"http://127.0.0.1:{admin_port}/readyz"
        port = self._ports[f"{name}-{number}"] if name in _WITH_PAGES else admin_port
        return Part(
            name,
            name if self._replicas[name] == 1 else f"{name} {number}",
            self.folder.log(name),
            lambda: service_command(name),
            lambda: answers_200(ready_url),
            self._service_environment(name, number),
            Path.cwd(),
            address=f"127.0.0.1:{port}",
            ready_url=ready_url,
            is_held=lambda: name in self.folder.held(),
        )

    def _service_environment(self, name: str, number: int) -> dict[str, str]:
        """Return what we must decide, over what the caller said, over our defaults."""
        defaults = {
            "ROLLCALL_ENVIRONMENT": "development",
            "ROLLCALL_LOG_FORMAT": "json",
            "ROLLCALL_PUBLIC_URL": self.scim_url,
            f"ROLLCALL_{name.upper()}_ADMIN_HOST": "127.0.0.1",
        }
        owned = {
            "ROLLCALL_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            **self._kafka_variables(),
            "ROLLCALL_DATABASE_URL": self._database_url(f"rollcall_{name}"),
            f"ROLLCALL_{name.upper()}_ADMIN_PORT": str(self._ports[f"{name}-{number}-admin"]),
        }
        if name in _WITH_PAGES:
            defaults[f"ROLLCALL_{name.upper()}_HOST"] = "127.0.0.1"
            owned[f"ROLLCALL_{name.upper()}_PORT"] = str(self._ports[f"{name}-{number}"])
        if name == "console" and "ROLLCALL_CONSOLE_SECRET_FILE" not in self._environment:
            defaults["ROLLCALL_CONSOLE_SECRET"] = self._secrets[_SEAL]
        if name == "notifier":
            defaults[INVITATION_GRACE] = "0"
            defaults["ROLLCALL_SMTP_FROM"] = "Rollcall <rollcall@localhost.localdomain>"
            if "ROLLCALL_SMTP_HOST" not in self._environment:
                defaults["ROLLCALL_SMTP_HOST"] = "127.0.0.1"
                defaults["ROLLCALL_SMTP_PORT"] = str(self._ports["smtp"])
        if (
            name in ("ingress", "notifier")
            and "ROLLCALL_INVITATION_SECRET_FILE" not in self._environment
        ):
            defaults["ROLLCALL_INVITATION_SECRET"] = self._secrets["invitation"]
        return {**defaults, **self._python_environment(), **owned}

    def _kafka_variables(self) -> dict[str, str]:
        """The login of our services at the stack's Kafka; it overrides the caller's variables."""
        if self._login is None:
            return {}
        return {f"ROLLCALL_{name.upper()}": value for name, value in self._login.settings().items()}

    def _python_environment(self) -> dict[str, str]:
        """The caller's variables, and where to find our packages: `-P` looks nowhere else."""
        paths = [services.search_path(), *self._environment.get("PYTHONPATH", "").split(os.pathsep)]
        path = os.pathsep.join(each for each in paths if each)
        return {**self._environment, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def service_command(name: str) -> list[str]:
    """Return how one of our services is started."""
    return _python(services.module_of(name))


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", module, *arguments]
