"""`rollcall api-key create|list|revoke`: keys of the admin API. A key is shown once."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rollcall.control.console.api_keys import NewAdminKey, make_admin_key
from rollcall.control.tenancy_log import NotThere, find_organisation
from rollcall.events.envelope import format_time
from rollcall.postgres.console import console_api_keys as keys
from rollcall.postgres.console.console_api_keys import SCOPES, AdminKey
from rollcall.runtime.clock import now
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.owner import open_as_owner

COLUMNS: Final = ("public_id", "name", "organisation_id", "scopes", "expires", "revoked")


def register(app: typer.Typer) -> None:
    """Add `api-key` to the command line."""
    api_key = typer.Typer(help="Keys of the admin API: create, list, revoke.", no_args_is_help=True)
    api_key.command("create")(create)
    api_key.command("list")(list_all)
    api_key.command("revoke")(revoke)
    app.add_typer(api_key, name="api-key")


def create(
    scope: Annotated[
        list[str], typer.Option(help=f"What it may do: {', '.join(SCOPES)}; repeatable.")
    ],
    org: Annotated[
        str | None,
        typer.Argument(metavar="[ORG]", help="For this organisation alone; none: for all."),
    ] = None,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, max=36500, help="Days until it stops working.")
    ] = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Make a key of the admin API; it is shown once."""
    record, text = terminal.run(_create(data, org, name, scope, expires_in_days))
    if as_json:
        terminal.print_json({"api_key": text, **describe(record)})
        return
    print(f"Key of the admin API   {text}")
    where = "every organisation" if record.organisation_id is None else record.organisation_id
    print(f"It may do {', '.join(record.scopes)} in {where}. It is shown this once, kept nowhere.")


def list_all(data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """List the keys of the admin API, without their secrets."""
    described = [describe(each) for each in terminal.run(_list(data))]
    if as_json:
        terminal.print_json(described)
        return
    rows = [
        [", ".join(each[name]) if name == "scopes" else each[name] or "-" for name in COLUMNS]
        for each in described
    ]
    terminal.print_table(COLUMNS, rows)


def revoke(
    public_id: Annotated[
        str, typer.Argument(metavar="PUBLIC_ID", help="See `rollcall api-key list`.")
    ],
    data: DataOption = HERE,
) -> None:
    """Revoke a key of the admin API: it opens nothing any more."""
    terminal.run(_revoke(data, public_id))
    print(f"{public_id} is revoked.")


def describe(key: AdminKey) -> dict[str, Any]:
    """A key as JSON shows it, never its secret."""
    return {
        "public_id": key.public_id,
        "organisation_id": key.organisation_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created": format_time(key.created),
        "expires": None if key.expires is None else format_time(key.expires),
        "revoked": None if key.revoked is None else format_time(key.revoked),
        "last_used": None if key.last_used is None else format_time(key.last_used),
    }


async def _create(
    data: Path, org: str | None, name: str, scopes: list[str], days: int | None
) -> tuple[AdminKey, str]:
    settings = find(data)
    organisation = None if org is None else await find_organisation(settings, org)
    async with open_as_owner(settings, "api-key create") as database:
        return await make_admin_key(
            database,
            NewAdminKey(
                name,
                scopes,
                None if organisation is None else organisation.id,
                None if days is None else now() + timedelta(days=days),
            ),
        )


async def _list(data: Path) -> list[AdminKey]:
    async with (
        open_as_owner(find(data), "api-key list") as database,
        database.connection() as connection,
    ):
        return await keys.list_all(connection)


async def _revoke(data: Path, public_id: str) -> None:
    async with (
        open_as_owner(find(data), "api-key revoke") as database,
        database.connection() as connection,
    ):
        if not await keys.revoke_any(connection, public_id):
            raise NotThere(f"there is no key {public_id!r} of the admin API")
