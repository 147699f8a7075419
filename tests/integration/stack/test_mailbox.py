"""The mailbox over a real socket: what it stores, and each way to misbehave."""

import asyncio
import email
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from rollcall_local.stack import ports
from rollcall_local.stack.mailbox import Rule, misbehave
from rollcall_local.stack.process import Child, wait_until


@dataclass(frozen=True, slots=True)
class Running:
    """A running mailbox."""

    port: int
    maildir: Path
    behaviour: Path

    def mails(self) -> list[Path]:
        """Every mail that was stored."""
        return sorted((self.maildir / "new").iterdir())


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Running]:
    running = Running(ports.choose(), tmp_path / "maildir", tmp_path / "behaviour.json")
    command = [sys.executable, "-m", "rollcall_local.stack.mailbox"]
    command += ["--port", str(running.port), "--maildir", str(running.maildir)]
    command += ["--behaviour-file", str(running.behaviour)]
    child = Child()
    child.spawn(command, log=tmp_path / "log", env=os.environ, cwd=Path.cwd())
    assert wait_until(lambda: ports.is_open(running.port), 10)
    yield running
    child.end([signal.SIGTERM, signal.SIGKILL], 5)


def a_mail(subject: str = "Welcome", body: str = "Hello\n.with a dot\n") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "rollcall@example.org"
    message["Subject"] = subject
    message.set_content(body)
    return message


async def _send(mailbox: Running, to: str = "ana@example.org", **options: str) -> str:
    _, answer = await aiosmtplib.send(
        a_mail(**options),
        hostname="127.0.0.1",
        port=mailbox.port,
        recipients=[to],
        sender="bounce@example.org",
        start_tls=False,
        timeout=5,
    )
    return answer


async def test_a_mail_is_one_file_with_its_envelope(mailbox: Running) -> None:
    await _send(mailbox)

    (file,) = mailbox.mails()
    stored = email.message_from_bytes(file.read_bytes())
    assert stored["X-RcptTo"] == "ana@example.org"
    assert stored["X-MailFrom"] == "bounce@example.org"
    assert stored["Subject"] == "Welcome"
    assert stored.get_payload() == "Hello\n.with a dot\n"


async def test_a_thousand_mails_arrive_in_a_few_seconds(mailbox: Running) -> None:
    since = time.monotonic()

    async def connection() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=mailbox.port, start_tls=False)
        async with client:
            for _ in range(100):
                await client.send_message(a_mail(), sender="a@example.org", recipients=["b@c.org"])

    await asyncio.gather(*(connection() for _ in range(10)))

    assert len(mailbox.mails()) == 1000
    assert time.monotonic() - since < 30


async def test_a_refusal_for_now_is_a_451_for_the_next_two_recipients(mailbox: Running) -> None:
    misbehave(mailbox.behaviour, [Rule("refuse_for_now", stage="rcpt", times=2)])

    codes = []
    for _ in range(3):
        try:
            await _send(mailbox)
        except aiosmtplib.SMTPRecipientsRefused as refused:
            codes.append(refused.recipients[0].code)

    assert codes == [451, 451]
    assert len(mailbox.mails()) == 1


async def test_a_refusal_for_good_hits_only_the_recipients_it_names(mailbox: Running) -> None:
    misbehave(mailbox.behaviour, [Rule("refuse", stage="data", recipient="bob@")])

    await _send(mailbox, "ana@example.org")
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await _send(mailbox, "bob@example.org")

    assert refused.value.code == 550
    assert len(mailbox.mails()) == 1


@pytest.mark.parametrize("stage", ["rcpt", "data"])
async def test_a_dropped_connection_stores_nothing(mailbox: Running, stage: str) -> None:
    misbehave(mailbox.behaviour, [Rule("drop", stage="data" if stage == "data" else "rcpt")])

    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await _send(mailbox)

    assert mailbox.mails() == []


async def test_slowness_delays_the_answer(mailbox: Running) -> None:
    misbehave(mailbox.behaviour, [Rule("delay", seconds=0.7, times=1)])
    since = time.monotonic()

    await _send(mailbox)

    assert time.monotonic() - since >= 0.7
    assert len(mailbox.mails()) == 1


async def test_yes_then_reset_stores_the_mail_and_says_yes(mailbox: Running) -> None:
    misbehave(mailbox.behaviour, [Rule("reset_after_yes", times=1)])
    reader, writer = await asyncio.open_connection("127.0.0.1", mailbox.port)
    lines = ["EHLO me", "MAIL FROM:<a@b.org>", "RCPT TO:<c@d.org>", "DATA"]

    await reader.readline()
    for line in lines:
        writer.write(f"{line}\r\n".encode())
        while (await reader.readline())[3:4] == b"-":
            pass
    writer.write(b"Subject: x\r\n\r\nbody\r\n.\r\n")
    answer = await reader.readline()
    with pytest.raises(ConnectionResetError):
        await reader.readline()

    writer.close()
    assert answer.startswith(b"250")
    assert len(mailbox.mails()) == 1


async def test_removing_the_rules_makes_it_well_behaved_again(mailbox: Running) -> None:
    misbehave(mailbox.behaviour, [Rule("refuse")])
    with pytest.raises(aiosmtplib.SMTPDataError):
        await _send(mailbox)

    misbehave(mailbox.behaviour, [])
    await _send(mailbox)

    assert len(mailbox.mails()) == 1
