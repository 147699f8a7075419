"""`rollcall mails`: what the notifier composes, through real SMTP into the mailbox, read back."""

import json
import os
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollcall_local.stack import mails, ports
from rollcall_local.stack.process import wait_until
from rollcall_notifier.compose import Letter, Sender, compose

LINK = "https://scim.example.com/i/" + "Zm9vYmFy-_" * 20 + "?a=b&c=d%3D=="
SENDER = Sender("rollcall@example.org", "Rollcall")


def a_mail(address: str, link: str | None = LINK, name: str = "Ana") -> EmailMessage:
    """What the notifier makes."""
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    return compose(
        Letter(
            *("invitation", address, name, "Zürich & Söhne", "nl"),
            message_id="<1@example.org>",
            written=now,
            link=link,
            expires=now if link else None,
        ),
        SENDER,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a stack whose mailbox got three mails."""
    folder = tmp_path_factory.mktemp("stack")
    port = ports.choose()
    box = folder / ".rollcall" / "mailbox"
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "rollcall_local.stack.mailbox"),
            *("--port", str(port), "--maildir", str(box)),
        ]
    )
    try:
        assert wait_until(lambda: ports.greets(port), 20)
        with smtplib.SMTP("127.0.0.1", port) as client:
            for address in ("ana@example.org", "bo@example.org", "Ana@example.org"):
                client.send_message(a_mail(address))
            # The subject as a stranger would have it: a terminal that obeys it clears its screen.
            bad = EmailMessage(policy=SMTP)
            bad["To"], bad["From"] = "eve@example.org", "eve@example.org"
            bad.set_content("\x1b[2Jgone")
            client.send_message(bad)
        yield folder
    finally:
        server.terminate()
        server.wait(10)


def run(data: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "rollcall_operator", "mails", "--data", str(data), *words],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_a_mail_is_shown_decoded_with_its_link_on_a_line_of_its_own(data: Path) -> None:
    done = run(data, "--last", "--recipient", "ana@example.org")

    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert LINK in lines[lines.index("Links:") :]
    assert "To:      Ana@example.org" in lines
    assert any(line.startswith("Subject: ") and "Zürich & Söhne" in line for line in lines)
    assert "Date:    2026-03-01 12:00:00 UTC" in lines
    assert "=C3" not in done.stdout


def test_all_of_them_come_in_their_order_or_those_of_one_address(data: Path) -> None:
    everybody = json.loads(run(data, "--json").stdout)
    ana = json.loads(run(data, "--json", "--recipient", "ana@EXAMPLE.org").stdout)
    newest = json.loads(run(data, "--json", "--last", "--recipient", "bo@example.org").stdout)

    assert [mail["to"] for mail in everybody] == [
        ["ana@example.org"], ["bo@example.org"], ["Ana@example.org"], ["eve@example.org"]
    ]  # fmt: skip
    assert [mail["to"] for mail in ana] == [["ana@example.org"], ["Ana@example.org"]]
    assert newest[0]["links"] == [LINK]
    assert newest[0]["date"] == "2026-03-01T12:00:00+00:00"
    assert Path(newest[0]["file"]).is_file()


def test_a_terminal_is_given_nothing_to_obey(data: Path) -> None:
    shown = run(data, "--recipient", "eve@example.org").stdout

    assert "gone" in shown
    assert "\x1b" not in shown


def test_an_empty_mailbox_is_said(data: Path) -> None:
    done = run(data, "--recipient", "nobody@example.org")

    assert done.returncode == 0
    assert "No mails to nobody@example.org" in done.stdout
    assert json.loads(run(data, "--recipient", "nobody@example.org", "--json").stdout) == []


def test_a_folder_without_a_mailbox_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--data" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("Acme",),
        ("--reason", "removed"),
        ("--unsent", "--last"),
        ("--unsent", "--recipient", "a@b.example"),
    ],
)
def test_what_belongs_to_the_mailbox_and_what_to_the_unsent_is_not_mixed(
    data: Path, words: tuple[str, ...]
) -> None:
    done = run(data, *words)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_and_a_terminal_without_utf_8_are_no_errors(data: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    left = subprocess.run(
        [sys.executable, "-m", "rollcall_operator", "mails", "--data", str(data)],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    ascii_only = run(data, PYTHONIOENCODING="ascii")

    assert (left.returncode, left.stderr) == (0, b"")
    assert ascii_only.returncode == 0
    assert LINK in ascii_only.stdout


PATH = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='<>"'),
    min_size=1,
    max_size=300,
).filter(lambda text: text[-1] not in ".,;:!?)]}'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=PATH, policy=st.sampled_from([SMTP, SMTPUTF8]), before=st.text(max_size=80))
def test_any_link_comes_out_whole(path: str, policy: object, before: str, tmp_path: Path) -> None:
    link = f"https://scim.example.com/{path}"
    message = EmailMessage(policy=policy)  # type: ignore[arg-type]
    text = "".join(each for each in before if each.isprintable() and each not in ":<>")
    message.set_content(f"{text} {link}\nand more", cte="quoted-printable")
    (tmp_path / "new").mkdir(exist_ok=True)
    (tmp_path / "new" / "1").write_bytes(message.as_bytes())

    [found] = mails.read(tmp_path)

    assert found.links == (link,)
