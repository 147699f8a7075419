"""`rollcall mails`: what the local mailbox of a stack has got, readable."""

import sys
from typing import Annotated, Any

import typer

from services.operator import terminal
from services.operator.deployment import HERE, DataOption, JsonOption
from services.operator.stack import mails as maildir
from services.operator.stack.folder import Folder
from services.operator.stack.mails import Mail
from shared.observability import output


def register(app: typer.Typer) -> None:
    """Add `mails` to the command line."""
    app.command("mails")(mails)


def mails(
    data: DataOption = HERE,
    last: Annotated[bool, typer.Option("--last", help="Only the newest.")] = False,
    recipient: Annotated[
        str, typer.Option("--recipient", metavar="ADDRESS", help="Only to this address.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Show the mails in the local mailbox: decoded, oldest first, links whole."""
    output.survive()
    folder = Folder(data.resolve())
    if not folder.mailbox.is_dir():
        terminal.fail(
            f"no mailbox in {folder.data}; start a stack with `rollcall up`, or name its folder "
            "with --data",
            2,
        )
    found = [
        mail
        for mail in maildir.read(folder.mailbox)
        if not recipient or recipient.strip().lower() in (each.lower() for each in mail.to)
    ]
    if last:
        found = found[-1:]
    if as_json:
        terminal.print_json([_as_json(mail) for mail in found])
        return
    if not found:
        print(f"No mails{f' to {recipient}' if recipient else ''} in {folder.mailbox}.")
    _can_say_everything()
    for number, mail in enumerate(found):
        print("\n" + "-" * 72 + "\n" if number else "", end="")
        _show(mail)


def _can_say_everything() -> None:
    """A terminal without UTF-8 gets question marks rather than an error."""
    stream: Any = sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")


def _show(mail: Mail) -> None:
    date = mail.date.strftime("%Y-%m-%d %H:%M:%S UTC") if mail.date else "none"
    for name, value in (
        ("To", ", ".join(mail.to)),
        ("From", mail.sender),
        ("Subject", mail.subject),
        ("Date", date),
        ("File", mail.file),
    ):
        print(f"{name + ':':<9}{value}")
    print(f"\n{mail.text}")
    if mail.links:
        print("\nLinks:")
    for link in mail.links:
        print(link)


def _as_json(mail: Mail) -> dict[str, Any]:
    return {
        "to": list(mail.to),
        "from": mail.sender,
        "subject": mail.subject,
        "date": mail.date.isoformat() if mail.date else None,
        "text": mail.text,
        "links": list(mail.links),
        "file": str(mail.file),
    }
