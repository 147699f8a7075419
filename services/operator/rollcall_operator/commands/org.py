"""`rollcall org …`: organisations, as records of the tenancy topic."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rollcall.control import organisations
from rollcall.control.errors import ControlError
from rollcall.control.org_show import Overview, complete, look_at
from rollcall.control.settings import OperatorSettings
from rollcall.control.tenancy_log import Tenancy, open_log, read_tenancy
from rollcall.events.envelope import format_time
from rollcall.runtime.errors import Unavailable
from rollcall.tenancy.api_key import NewKey
from rollcall.tenancy.organisation import Organisation
from rollcall_operator import terminal
from rollcall_operator.commands import key, org_offboarding
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import OrgArgument, YesOption
from rollcall_operator.owner import open_as_owner

COLUMNS: Final = ("name", "id", "scim", "profile", "language", "partition", "created")

NameArgument = Annotated[str, typer.Argument(help="Its name, as its people know it.")]


def register(app: typer.Typer) -> None:
    """Add `org` to the command line."""
    org = typer.Typer(
        help="Organisations: create, list, show, set, export, delete.", no_args_is_help=True
    )
    org.command("create")(create)
    org.command("list")(list_all)
    org.command("show")(show)
    org.command("set")(set_values)
    org_offboarding.register(org)
    app.add_typer(org, name="org")


def create(
    name: NameArgument,
    language: Annotated[str, typer.Option(help="Language of its mails: en or nl.")] = "en",
    yes: YesOption = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Create an organisation and its first API key, which is shown once."""
    if not yes and (same := terminal.run(_named(data, name))):
        ids = ", ".join(each.id for each in same)
        terminal.confirm(
            f"There is an organisation named {name.strip()!r} already ({ids}). Create another one?"
        )
    settings, organisation, made = terminal.run(_create(data, name, language))
    base = settings.scim_base_url(organisation.id)
    if as_json:
        terminal.print_json(
            {
                "organisation_id": organisation.id,
                "scim_base_url": base,
                "api_key": made.text,
                "partition": organisation.partition,
            }
        )
        return
    print(f"{organisation.name} is created, with the id {organisation.id}.")
    print("Paste these two into its identity provider:")
    print(f"  SCIM URL (tenant URL, base URL)    {base}")
    print(f"  API key (secret or bearer token)   {made.text}")
    print("The key is shown this once and kept nowhere; `rollcall key create` makes another.")


def list_all(data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """List organisations with their settings."""
    settings, tenancy = terminal.run(_read(data))
    found = sorted(tenancy.organisations.values(), key=lambda each: (each.created, each.id))
    if as_json:
        terminal.print_json([describe(settings, each) for each in found])
        return
    terminal.print_table(
        COLUMNS, [[_shown(describe(settings, each)[name]) for name in COLUMNS] for each in found]
    )


def show(org: OrgArgument, data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """Show one organisation: settings, keys, how many members, how far it is, last contact."""
    settings, found = terminal.run(_show(data, org))
    described = {
        "organisation_id": found.organisation.id,
        "scim_base_url": settings.scim_base_url(found.organisation.id),
        **found.to_json(),
    }
    keys = [key.describe(each, found.used.get(each.public_id)) for each in found.keys]
    if as_json:
        terminal.print_json({**described, "keys": keys})
        return
    for name, value in described.items():
        if name != "note":
            print(f"{name:<20}{_counts(value) if isinstance(value, dict) else _shown(value)}")
    print()
    if keys:
        key.print_keys(keys)
    else:
        print("No keys.")
    if found.note:
        print(found.note, file=sys.stderr)


def set_values(
    org: OrgArgument,
    values: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE...", help="Of: " + ", ".join(organisations.MAY_SET) + "."
        ),
    ],
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Change settings of an organisation; with a wrong key or value, lists what may be set."""
    settings, organisation = terminal.run(_set(data, org, values))
    if as_json:
        terminal.print_json(describe(settings, organisation))
        return
    now_set = organisations.settings_of(organisation).items()
    print(f"{organisation.id}: " + ", ".join(f"{key}={_shown(value)}" for key, value in now_set))


def describe(settings: OperatorSettings, organisation: Organisation) -> dict[str, Any]:
    """An organisation as JSON shows it; the names are a contract with scripts."""
    return {
        "organisation_id": organisation.id,
        "id": organisation.id,
        "scim_base_url": settings.scim_base_url(organisation.id),
        **organisations.settings_of(organisation),
        "partition": organisation.partition,
        "created": format_time(organisation.created),
    }


async def _create(
    data: Path, name: str, language: str
) -> tuple[OperatorSettings, Organisation, NewKey]:
    settings = find(data)
    async with open_log(settings) as log:
        return settings, *await organisations.create_organisation(log, name, language)


async def _named(data: Path, name: str) -> list[Organisation]:
    """The organisations that have this name, but for letter case and outer white space."""
    _, tenancy = await _read(data)
    return [
        each
        for each in tenancy.organisations.values()
        if each.name.casefold() == name.strip().casefold()
    ]


async def _read(data: Path) -> tuple[OperatorSettings, Tenancy]:
    settings = find(data)
    return settings, await read_tenancy(settings)


async def _show(data: Path, org: str) -> tuple[OperatorSettings, Overview]:
    settings = find(data)
    found = await look_at(settings, org)
    try:
        async with open_as_owner(settings, "org show") as database:
            await complete(found, settings, database)
    except (ControlError, Unavailable) as error:
        found.note = f"What Postgres holds of it is not known: {error}."
    return settings, found


async def _set(data: Path, org: str, values: list[str]) -> tuple[OperatorSettings, Organisation]:
    settings = find(data)
    organisations.parse_values(values)
    async with open_log(settings) as log:
        return settings, await organisations.change_organisation(log, org, values)


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items()) or "none"


def _shown(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
