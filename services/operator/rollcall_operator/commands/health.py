"""`rollcall health --url`: ask a probe, for images that have no curl and no shell."""

import http.client
import json
from typing import Annotated
from urllib.parse import urlsplit

import typer

from rollcall_operator import terminal
from rollcall_operator.exits import Exit

REASONS_BYTES = 64 * 1024
CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


def register(app: typer.Typer) -> None:
    """Add `health` to the command line."""
    app.command("health")(health)


def health(
    url: Annotated[str, typer.Option(help="The probe, `http://127.0.0.1:8081/readyz`.")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")] = 2.0,
) -> None:
    """Ask a probe; exit status 0 if it answers 200, otherwise 1 and a line that says why."""
    parts = urlsplit(url)
    try:
        connection = CONNECTIONS[parts.scheme](parts.netloc, timeout=timeout)
    except (KeyError, http.client.InvalidURL):
        terminal.fail("--url must be http://HOST:PORT/PATH or https://HOST:PORT/PATH", 2)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        body = answer.read(REASONS_BYTES)
    except (OSError, http.client.HTTPException) as error:
        terminal.fail(f"no answer: {error or type(error).__name__}", Exit.NO)
    finally:
        connection.close()
    if answer.status != 200:
        terminal.fail(f"status {answer.status}{_reasons(body)}", Exit.NO)


def _reasons(body: bytes) -> str:
    """The reasons in the probe's answer, if it is one of ours."""
    try:
        return ": " + ", ".join(json.loads(body)["reasons"])
    except (ValueError, KeyError, TypeError):
        return ""
