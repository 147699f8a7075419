"""A local SMTP server that writes a Maildir, for `rollcall up` and for tests.

    python -m rollcall_local.stack.mailbox --port P --maildir DIR [--behaviour-file F]

One delivery is one file in `DIR/new`; the recipient and the sender of the envelope are its first
headers, `X-RcptTo` and `X-MailFrom`. It is no mail server: nothing leaves the machine.

The behaviour file makes it misbehave. It is read again whenever it has changed, before each
command:

    {"rules": [{"action": "refuse", "stage": "rcpt", "times": 2, "recipient": "ana@"}]}

The first rule that fits is followed. `action`: `refuse_for_now` (451), `refuse` (550), `drop` (the
connection is closed without an answer), `delay` (waits `seconds`, then goes on with the rules
after it), `reset_after_yes` (the mail is stored, 250 is sent, the connection is reset). `stage`:
`rcpt` or `data` (before the answer to the whole mail); `reset_after_yes` is always `data`.
`times`: only for that many matching mails. `recipient`: only for recipients that contain this text.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from aiosmtpd.smtp import SMTP, Envelope, Session

from rollcall_local.stack import owned

Action = Literal["refuse_for_now", "refuse", "drop", "delay", "reset_after_yes"]
Stage = Literal["rcpt", "data"]
_SIZE_LIMIT_BYTES = 33_554_432


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to misbehave; see the module's docstring."""

    action: Action
    stage: Stage = "data"
    times: int | None = None
    recipient: str = ""
    seconds: float = 0.0


def misbehave(behaviour_file: Path, rules: Sequence[Rule]) -> None:
    """Replace the rules of a running server; an empty list makes it well-behaved again."""
    content = json.dumps({"rules": [asdict(rule) for rule in rules]})
    owned.replace(behaviour_file, content.encode())


class Behaviour:
    """The rules in force and how often each has been followed since they were written."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._version: tuple[int, int] | None = None
        self._rules: list[Rule] = []
        self._hits: list[int] = []

    def _refresh(self) -> None:
        if self._file is None:
            return
        try:
            found = self._file.lstat()
        except FileNotFoundError:
            self._rules, self._hits, self._version = [], [], None
            return
        version = (found.st_mtime_ns, found.st_ino)
        if version == self._version:
            return
        self._rules = [Rule(**rule) for rule in json.loads(owned.read_bytes(self._file))["rules"]]
        self._hits = [0] * len(self._rules)
        self._version = version

    def next_rules(self, stage: Stage, recipients: Sequence[str]) -> list[Rule]:
        """Return the rules to follow now: any number of delays, then at most one other."""
        self._refresh()
        chosen: list[Rule] = []
        for index, rule in enumerate(self._rules):
            if rule.times is not None and self._hits[index] >= rule.times:
                continue
            at = "data" if rule.action == "reset_after_yes" else rule.stage
            if at != stage or not any(rule.recipient in to for to in recipients):
                continue
            self._hits[index] += 1
            chosen.append(rule)
            if rule.action != "delay":
                break
        return chosen


class Mailbox:
    """The handler that aiosmtpd calls for each recipient and each mail."""

    def __init__(self, maildir: Path, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._numbers = itertools.count(1)
        maildir.parent.mkdir(parents=True, exist_ok=True)
        with owned.opened(maildir, make=True) as folder:
            self._tmp, self._new, _ = (
                owned.open_below(folder, name, make=True, shown=maildir / name)
                for name in ("tmp", "new", "cur")
            )

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer RCPT."""
        for rule in self._behaviour.next_rules("rcpt", [address]):
            if refusal := await _follow(rule, server):
                return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Answer the whole mail."""
        must_reset = False
        for rule in self._behaviour.next_rules("data", envelope.rcpt_tos):
            if rule.action == "reset_after_yes":
                must_reset = True
            elif refusal := await _follow(rule, server):
                return refusal
        self._store(envelope)
        if must_reset:
            await server.push("250 OK")
            await _end_connection(server, by_reset=True)
        return "250 OK"

    def _store(self, envelope: Envelope) -> None:
        content = envelope.content or b""
        body = content.encode() if isinstance(content, str) else bytes(content)
        head = "".join(f"X-RcptTo: {to}\n" for to in envelope.rcpt_tos)
        head += f"X-MailFrom: {envelope.mail_from}\n"
        name = f"{time.time_ns()}.{os.getpid()}_{next(self._numbers)}.rollcall"
        draft = owned.open_file(self._tmp, name, os.O_WRONLY, make=True)
        with os.fdopen(draft, "wb") as file:
            file.write(head.encode(errors="surrogateescape") + body.replace(b"\r\n", b"\n"))
        os.rename(name, name, src_dir_fd=self._tmp, dst_dir_fd=self._new)


async def _follow(rule: Rule, server: SMTP) -> str:
    """Do what the rule says; return a refusal, or an empty text to go on."""
    match rule.action:
        case "refuse_for_now":
            return "451 4.3.2 try again later"
        case "refuse":
            return "550 5.1.1 no such mailbox"
        case "delay":
            await asyncio.sleep(rule.seconds)
        case "drop" | "reset_after_yes":
            await _end_connection(server, by_reset=rule.action != "drop")
    return ""


async def _end_connection(server: SMTP, *, by_reset: bool) -> None:
    transport = server.transport
    if not isinstance(transport, asyncio.WriteTransport):
        return  # closed already
    if by_reset:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # The loss of the connection cancels this task; nothing may be answered before that.
    async with asyncio.timeout(10):
        await asyncio.get_running_loop().create_future()


async def serve(port: int, maildir: Path, behaviour_file: Path | None, host: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    mailbox = Mailbox(maildir, Behaviour(behaviour_file))

    def session() -> SMTP:
        return SMTP(
            mailbox,
            data_size_limit=_SIZE_LIMIT_BYTES,
            enable_SMTPUTF8=True,
            hostname="mailbox.localhost",
            ident="Rollcall mailbox",
            loop=loop,
        )

    server = await loop.create_server(session, host, port, backlog=512)
    done = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    await done.wait()
    server.close()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m rollcall_local.stack.mailbox")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--maildir", type=Path, required=True)
    parser.add_argument("--behaviour-file", type=Path)
    given = parser.parse_args()
    try:
        asyncio.run(serve(given.port, given.maildir, given.behaviour_file, given.host))
    except owned.NotOurs as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
