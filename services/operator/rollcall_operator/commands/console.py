"""`rollcall console link|break-glass|reseal|…`: ways into the console, and its sealed secrets."""

from pathlib import Path
from typing import Annotated

import typer

from rollcall.control import console_access
from rollcall.control.console_access import Link, Wanted
from rollcall.control.settings import OperatorSettings
from rollcall.events.envelope import format_time
from rollcall.runtime.sealed import CannotOpen, Sealer
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.owner import open_as_owner
from rollcall_operator.terminal import CommandError


def register(app: typer.Typer) -> None:
    """Add `console` to the command line."""
    console = typer.Typer(help="The console: who gets in, and its secrets.", no_args_is_help=True)
    console.command("link")(link)
    console.command("break-glass")(break_glass)
    console.command("reseal")(reseal)
    app.add_typer(console, name="console")


def link(
    email: Annotated[
        str, typer.Argument(metavar="EMAIL", help="Address with which the person signs in.")
    ],
    org: Annotated[
        list[str] | None,
        typer.Argument(metavar="ORG", help="Give a role in these: ids, or unique names."),
    ] = None,
    name: Annotated[str, typer.Option(help="The person's name, for a new account.")] = "",
    role: Annotated[str, typer.Option(help="owner, admin or auditor.")] = "owner",
    operator: Annotated[
        bool, typer.Option("--operator", help="Let the account see how the deployment is.")
    ] = False,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="How long the link works.")] = 15,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Make a link that signs in to the console once; makes the account if there is none."""
    wanted = Wanted(email, name, tuple(org or ()), role, operator, minutes=minutes)
    settings, made = terminal.run(_link(data, wanted))
    url = made.url(settings.console_url)
    if as_json:
        terminal.print_json(
            {
                "account_id": made.account.id,
                "email": made.account.email,
                "organisation_ids": [each.id for each in made.organisations],
                "url": url,
                "expires": format_time(made.expires),
            }
        )
        return
    for organisation in made.organisations:
        print(f"{made.account.email} is {role} of {organisation.name}.")
    print(url)
    print(f"The link signs in once, until {format_time(made.expires)}. It is kept nowhere.")


def break_glass(
    email: Annotated[
        str, typer.Argument(metavar="EMAIL", help="Address with which the account signs in.")
    ],
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="How long the link works.")] = 15,
    data: DataOption = HERE,
) -> None:
    """Make the one account for an emergency, with every role; each sign-in of it is an alarm."""
    wanted = Wanted(email, "Break glass", is_break_glass=True, minutes=minutes)
    settings, made = terminal.run(_link(data, wanted))
    print(made.url(settings.console_url))
    print(
        f"The link signs in once, until {format_time(made.expires)}. Set a password and a second "
        "step with it, and lock both away."
    )


def reseal(data: DataOption = HERE) -> None:
    """Encrypt all secrets with the first of ROLLCALL_CONSOLE_SECRET, after it was added."""
    done = terminal.run(_reseal(data))
    print(f"{done} encrypted again. A secret that is not the first may go now.")


async def _link(data: Path, wanted: Wanted) -> tuple[OperatorSettings, Link]:
    settings = find(data)
    async with open_as_owner(settings, "console link") as database:
        return settings, await console_access.make_link(settings, database, wanted)


async def _reseal(data: Path) -> int:
    settings = find(data)
    secret = settings.console_secret.get_secret_value()
    if not secret:
        raise CommandError("ROLLCALL_CONSOLE_SECRET is not set; it is the console's")
    try:
        async with open_as_owner(settings, "console reseal") as database:
            return await console_access.reseal(database, Sealer.of(secret))
    except (CannotOpen, ValueError) as error:
        raise CommandError(f"ROLLCALL_CONSOLE_SECRET: {error}") from error
