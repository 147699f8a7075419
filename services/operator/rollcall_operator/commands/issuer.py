"""`rollcall issuer add|list|secret|remove`: who signs admins in, by OpenID Connect."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rollcall.control.console import issuers
from rollcall.control.console.issuers import NewIssuer
from rollcall.control.settings import OperatorSettings
from rollcall.postgres.console.console_issuers import Issuer, IssuerRole
from rollcall.runtime.sealed import Sealer
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.owner import open_as_owner
from rollcall_operator.terminal import CommandError

COLUMNS: Final = ("name", "url", "client_id", "roles")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As the sign-in page names it.")]
SecretOption = Annotated[
    Path | None,
    typer.Option(help="File with the client's secret; `-` reads it from standard input."),
]


def register(app: typer.Typer) -> None:
    """Add `issuer` to the command line."""
    issuer = typer.Typer(
        help="Issuers of OpenID Connect: add, list, secret, remove.", no_args_is_help=True
    )
    issuer.command("add")(add)
    issuer.command("list")(list_all)
    issuer.command("secret")(secret)
    issuer.command("remove")(remove)
    app.add_typer(issuer, name="issuer")


def add(
    name: NameArgument,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The issuer, as its discovery document says.")
    ],
    client_id: Annotated[str, typer.Option(help="The client's id at the issuer.")],
    role: Annotated[
        list[str],
        typer.Option(help="VALUE=owner@ORG (admin, auditor) or VALUE=operator; repeatable."),
    ],
    secret_file: SecretOption = None,
    claim: Annotated[
        str, typer.Option(help="Claim of the ID token with the values, such as groups or roles.")
    ] = "groups",
    tenant: Annotated[
        list[str] | None,
        typer.Option(help="Entra of several tenants: a tenant that counts; repeatable."),
    ] = None,
    unlisted: Annotated[
        bool, typer.Option("--unlisted", help="The sign-in page does not name it.")
    ] = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Let an issuer sign admins in."""
    wanted = NewIssuer(name, url, client_id, "", claim, role, tuple(tenant or ()), not unlisted)
    settings, made = terminal.run(_add(data, wanted, secret_file))
    root = settings.console_url
    addresses = {
        "id": made.id,
        "redirect_uri": f"{root}/sign-in/answer",
        "backchannel_logout_uri": f"{root}/sign-in/issuers/{made.id}/logout",
        "sign_in_url": f"{root}/sign-in/with/{made.id}",
    }
    if as_json:
        terminal.print_json(addresses)
        return
    print(f"{made.name} signs admins in. Enter at the issuer:")
    print(f"redirect URI             {addresses['redirect_uri']}")
    print(f"back-channel logout URI  {addresses['backchannel_logout_uri']}")
    print(f"A link that goes straight to it: {addresses['sign_in_url']}")


def list_all(data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """List the issuers, without their secrets."""
    found = [_described(*each) for each in terminal.run(_list(data))]
    if as_json:
        terminal.print_json(found)
        return
    rows = [
        [each["name"], each["url"], each["client_id"], "\n".join(each["roles"])] for each in found
    ]
    terminal.print_table(COLUMNS, rows)


def secret(
    name: NameArgument,
    secret_file: Annotated[
        Path, typer.Option(help="File with the secret; `-` reads it from standard input.")
    ],
    data: DataOption = HERE,
) -> None:
    """Replace the client's secret."""
    terminal.run(_secret(data, name, secret_file))
    print(f"{name} has another secret; it counts from the next sign-in.")


def remove(name: NameArgument, data: DataOption = HERE) -> None:
    """Remove an issuer, the accounts that it speaks of, and their sessions."""
    terminal.run(_remove(data, name))
    print(f"{name} signs nobody in any more.")


def _described(issuer: Issuer, roles: list[IssuerRole]) -> dict[str, Any]:
    given = [
        f"{each.value}={each.role}" + (f"@{each.organisation_id}" if each.organisation_id else "")
        for each in roles
    ]
    return {
        "id": issuer.id,
        "name": issuer.name,
        "url": issuer.url,
        "client_id": issuer.client_id,
        "claim": issuer.roles_claim,
        "roles": given,
        "tenants": list(issuer.tenants),
        "listed": issuer.is_listed,
        "has_secret": issuer.secret_sealed is not None,
    }


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    if not text.strip():
        raise CommandError(f"{path} is empty")
    return text.strip()


def _sealer(settings: OperatorSettings) -> Sealer:
    try:
        return Sealer.of(settings.console_secret.get_secret_value())
    except ValueError as error:
        raise CommandError(f"ROLLCALL_CONSOLE_SECRET, the console's: {error}") from error


async def _add(
    data: Path, wanted: NewIssuer, secret_file: Path | None
) -> tuple[OperatorSettings, Issuer]:
    settings = find(data)
    wanted = replace(wanted, secret=_read(secret_file))
    async with open_as_owner(settings, "issuer add") as database:
        return settings, await issuers.add_issuer(settings, database, _sealer(settings), wanted)


async def _list(data: Path) -> list[tuple[Issuer, list[IssuerRole]]]:
    async with open_as_owner(find(data), "issuer list") as database:
        return await issuers.list_issuers(database)


async def _secret(data: Path, name: str, secret_file: Path) -> None:
    settings = find(data)
    text = _read(secret_file)
    async with open_as_owner(settings, "issuer secret") as database:
        await issuers.set_secret(database, _sealer(settings), name, text)


async def _remove(data: Path, name: str) -> None:
    async with open_as_owner(find(data), "issuer remove") as database:
        await issuers.remove_issuer(database, name)
