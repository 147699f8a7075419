"""What the demo prints at its end: tables, expectations, and where to go on."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from rollcall_local.demo import narrator, verdict
from rollcall_local.demo.organisations import DemoOrganisation
from rollcall_local.demo.scenario import Result

ShowTable = Callable[[Sequence[str], Sequence[Sequence[str]]], None]
"""(columns, rows)"""
STATUSES = ("invited", "accepted", "confirmed", "revoked")
STATES = ("sent", "due", "dropped", "failed")


def show(result: Result, show_table: ShowTable) -> None:
    """Print the tables and each expectation."""
    narrator.say()
    columns = ("requests", "sent", "answered", "pending", "failed", "p50", "p99")
    show_table(columns, verdict.phase_rows(result.phases))
    narrator.say()
    show_table(
        ("members", *STATUSES),
        [
            [name, *(f"{counts[status]:,}" for status in STATUSES)]
            for name, counts in result.members.items()
        ],
    )
    narrator.say()
    show_table(
        ("mails", *STATES),
        [
            [kind, *(f"{counts[state]:,}" for state in STATES)]
            for kind, counts in sorted(verdict.mail_table(result.notices).items())
        ],
    )
    narrator.say(f"\nLag: {result.lag:,} records\n")
    for check in result.checks:
        narrator.say(str(check))
    failed = sum(not check.has_held for check in result.checks)
    narrator.say(
        f"\n{failed} of {len(result.checks)} expectations did not hold."
        if failed
        else f"\nAll {len(result.checks)} expectations held."
    )


def show_the_way(organisation: DemoOrganisation, mailbox: Path, console: str) -> None:
    """Print what a newcomer needs to go on: URL, key, mails, a line to paste, the console."""
    lines: Sequence[tuple[str, str]] = (
        ("SCIM URL", organisation.base),
        ("API key", organisation.key),
        ("Mails", _show_mails(mailbox)),
    )
    narrator.say("\nAn empty organisation for you:")
    for name, value in lines:
        narrator.say(f"  {name:<9} {value}")
    narrator.say("\nInvite somebody:")
    narrator.say(curl(organisation))
    narrator.say("\nSee it in the console (this link signs in once):")
    narrator.say(f"  {console}")


def _show_mails(mailbox: Path) -> str:
    """A command that shows the newest mail, as it has to be typed here."""
    program = sys.argv[0] if Path(sys.argv[0]).name == "rollcall" else "rollcall"
    data = mailbox.parents[1]
    where = "" if data == Path.cwd() else f" --data {shlex.quote(str(data))}"
    return f"{program} mails --last{where}"


def curl(organisation: DemoOrganisation) -> str:
    """A command that creates a member, as it stands, once."""
    body = orjson.dumps(
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": "ada@newcomer.example",
            "displayName": "Ada",
        }
    ).decode()
    return (
        f"  curl -sS -H 'Authorization: Bearer {organisation.key}' "
        f"-H 'Content-Type: application/scim+json' -d '{body}' {organisation.base}/Users"
    )
