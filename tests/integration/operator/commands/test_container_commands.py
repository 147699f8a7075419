"""The commands that containers and pods are started with: serve, health, wait."""

import asyncio
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rollcall_local.stack.services import installed
from rollcall_operator.cli import app
from tests.support.databases import TestDatabase
from tests.support.servers import KafkaServer

ROLLCALL = [sys.executable, "-m", "rollcall_operator"]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


@contextmanager
def probe(status: int, body: bytes) -> Iterator[str]:
    """A server that answers every GET so; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name there
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/readyz"
        finally:
            server.shutdown()
            thread.join()


def test_serve_knows_every_service_and_not_itself() -> None:
    assert {"ingress", "notifier", "provisioner"} <= set(installed())
    assert "operator" not in installed()


def test_serve_becomes_the_service_and_hands_on_its_arguments_and_status() -> None:
    """Status 2 with the settings' mistakes is what the service itself says."""
    clean = {name: value for name, value in os.environ.items() if "ROLLCALL" not in name}
    process = subprocess.Popen(
        [*ROLLCALL, "serve", "provisioner", "--print-config"],
        env=clean,
        stderr=subprocess.PIPE,
        text=True,
    )

    _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert errors.startswith("Settings are missing or wrong:\n  ROLLCALL_KAFKA_BOOTSTRAP")


def test_serve_takes_the_place_of_its_process(tmp_path: Path) -> None:
    """So signals reach the service: it is the very process that was started."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nprint(os.getpid(), sys.orig_argv[-1], flush=True)\n"
    )
    clean = {name: value for name, value in os.environ.items() if "ROLLCALL" not in name}
    process = subprocess.Popen(
        [*ROLLCALL, "serve", "notifier"],
        env={**clean, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    output, _ = process.communicate(timeout=60)

    assert output.split() == [str(process.pid), "notifier", str(process.pid), "rollcall_notifier"]


def test_serve_names_the_services_for_one_that_does_not_exist(cli: CliRunner) -> None:
    for name in ("nobody", "operator", "../ingress"):
        done = cli.invoke(app, ["serve", name])

        assert done.exit_code == 2
        assert "ingress, notifier, provisioner" in done.stderr


def test_health_is_0_where_the_probe_says_so(cli: CliRunner) -> None:
    with probe(200, b'{"status":"ok"}') as url:
        done = cli.invoke(app, ["health", "--url", url])

    assert (done.exit_code, done.output) == (0, "")


def test_health_gives_the_probes_reasons(cli: CliRunner) -> None:
    with probe(503, b'{"status":"failing","reasons":["draining","no keys"]}') as url:
        done = cli.invoke(app, ["health", "--url", url])

    assert done.exit_code == 1
    assert done.stderr == "rollcall: status 503: draining, no keys\n"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"reasons": 5}'])
def test_health_reads_answers_of_others_as_well(cli: CliRunner, body: bytes) -> None:
    with probe(502, body) as url:
        done = cli.invoke(app, ["health", "--url", url])

    assert (done.exit_code, done.stderr) == (1, "rollcall: status 502\n")


def test_health_is_1_without_an_answer(cli: CliRunner) -> None:
    done = cli.invoke(app, ["health", "--url", "http://127.0.0.1:1/readyz"])

    assert done.exit_code == 1
    assert done.stderr.startswith("rollcall: no answer: ")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "127.0.0.1:8081", "http://127.0.0.1:x/"])
def test_health_takes_addresses_of_http_only(cli: CliRunner, url: str) -> None:
    done = cli.invoke(app, ["health", "--url", url])

    assert done.exit_code == 2
    assert "--url must be" in done.stderr


def test_wait_ends_at_once_where_everything_is_there(
    cli: CliRunner,
    kafka_server: KafkaServer,
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any service's login will do."""
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", kafka_server.bootstrap)
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", database.url("notifier"))

    done = cli.invoke(app, ["wait", "kafka", "postgres", "schema"])

    assert done.exit_code == 0
    assert done.stdout == "kafka is there\npostgres is there\nschema is there\n"


def test_wait_names_the_migration_that_is_missing(
    cli: CliRunner, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget() -> None:
        async with database.connect() as connection:
            await connection.execute(
                "DELETE FROM rollcall.migration"
                " WHERE name = (SELECT max(name) FROM rollcall.migration)"
            )

    asyncio.run(forget())
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("ROLLCALL_DATABASE_URL", database.url("ingress"))

    done = cli.invoke(app, ["wait", "schema", "--timeout", "1"])

    assert done.exit_code == 1
    assert "waiting for schema: the schema (it lacks 00" in done.stderr


def test_wait_for_postgres_needs_an_address(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.delenv("ROLLCALL_DATABASE_URL", raising=False)
    monkeypatch.delenv("ROLLCALL_DATABASE_URL_FILE", raising=False)

    done = cli.invoke(app, ["wait", "postgres"])

    assert (done.exit_code, done.stderr) == (2, "rollcall: ROLLCALL_DATABASE_URL is not set\n")
