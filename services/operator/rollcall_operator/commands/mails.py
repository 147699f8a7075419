"""`rollcall mails`: what the local mailbox of a stack has got, readable; and what did not leave."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rollcall.control.tenancy_log import find_organisation
from rollcall.events.envelope import format_time
from rollcall.observability import output
from rollcall.postgres import notification
from rollcall.postgres.notification import UnsentNotice
from rollcall_local.stack import mails as maildir
from rollcall_local.stack.folder import Folder
from rollcall_local.stack.mails import Mail
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import OnlyOrgArgument
from rollcall_operator.owner import open_as_owner

COLUMNS: Final = ("time", "kind", "state", "reason", "organisation_id", "member_id", "event_id")
MOST: Final = 1000


def register(app: typer.Typer) -> None:
    """Add `mails` to the command line."""
    app.command("mails")(mails)


def mails(
    org: OnlyOrgArgument = None,
    data: DataOption = HERE,
    last: Annotated[bool, typer.Option("--last", help="Only the newest.")] = False,
    recipient: Annotated[
        str, typer.Option("--recipient", metavar="ADDRESS", help="Only to this address.")
    ] = "",
    unsent: Annotated[
        bool,
        typer.Option("--unsent", help="What did not leave instead: dropped or failed, and why."),
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", help="With --unsent: only for this reason.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST, help="With --unsent: list at most this many.")
    ] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show the mails in the local mailbox: decoded, oldest first, links whole.

    With --unsent, of any deployment: the notices that did not leave, newest first, no personal
    data.
    """
    if unsent:
        if last or recipient:
            terminal.fail("--last and --recipient are for the mailbox; leave them out", 2)
        _show_unsent(data, org, reason, limit, as_json)
        return
    if org or reason:
        terminal.fail("an organisation and --reason are for what did not leave: add --unsent", 2)
    output.survive()
    folder = Folder.at(data)
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


def _show_unsent(data: Path, org: str | None, reason: str, limit: int, as_json: bool) -> None:
    found = terminal.run(_unsent(data, org, reason or None, limit + 1))
    described = [_described(each) for each in found[:limit]]
    if as_json:
        terminal.print_json(described)
    elif described:
        terminal.print_table(
            COLUMNS, [[str(each[name] or "-") for name in COLUMNS] for each in described]
        )
    else:
        print("No such notice was dropped or has failed.")
    if len(found) > limit:
        print(f"There are more than {limit}: --limit, --reason or an organisation", file=sys.stderr)


async def _unsent(
    data: Path, org: str | None, reason: str | None, limit: int
) -> list[UnsentNotice]:
    settings = find(data)
    of = None if org is None else (await find_organisation(settings, org)).id
    async with open_as_owner(settings) as database, database.connection() as connection:
        return await notification.unsent(connection, of, reason, limit=limit)


def _described(notice: UnsentNotice) -> dict[str, Any]:
    """As JSON; scripts rely on the names."""
    return {
        "time": format_time(notice.event_time),
        "kind": notice.kind,
        "state": notice.state,
        "reason": notice.reason,
        "organisation_id": notice.organisation_id,
        "member_id": notice.member_id,
        "event_id": notice.event_id,
    }


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
