"""`rollcall org create|list|set|export|delete`: organisations, as records of the tenancy topic."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.operator import organisations, terminal
from services.operator.commands import org_leaving
from services.operator.deployment import HERE, DataOption, JsonOption, OperatorSettings, find
from services.operator.tenancy_log import Tenancy, open_log
from shared.events.envelope import format_time
from shared.tenancy.api_key import NewKey
from shared.tenancy.organisation import Organisation

NameArgument = Annotated[str, typer.Argument(help="Its name, as its people know it.")]
OrganisationArgument = Annotated[
    str, typer.Argument(metavar="ORG", help="Id of the organisation, or its name if unique.")
]


def register(app: typer.Typer) -> None:
    """Add `org` to the command line."""
    org = typer.Typer(
        help="Organisations: create, list, set, export, delete.", no_args_is_help=True
    )
    org.command("create")(create)
    org.command("list")(list_all)
    org.command("set")(set_values)
    org_leaving.register(org)
    app.add_typer(org, name="org")


def create(
    name: NameArgument,
    language: Annotated[str, typer.Option(help="Language of its mails: en or nl.")] = "en",
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Create an organisation and its first API key, which is shown once."""
    settings, organisation, key = terminal.run(_create(data, name, language))
    base = settings.scim_base_url(organisation.id)
    if as_json:
        terminal.print_json(
            {
                "organisation_id": organisation.id,
                "scim_base_url": base,
                "api_key": key.text,
                "partition": organisation.partition,
            }
        )
        return
    print(f"{organisation.name} is created, with the id {organisation.id}.")
    print("Paste these two into its identity provider:")
    print(f"  SCIM URL (tenant URL, base URL)    {base}")
    print(f"  API key (secret or bearer token)   {key.text}")
    print("The key is shown this once and kept nowhere; `rollcall key create` makes another.")


def list_all(data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """List organisations with their settings."""
    settings, tenancy = terminal.run(_read(data))
    found = sorted(tenancy.organisations.values(), key=lambda each: (each.created, each.id))
    if as_json:
        terminal.print_json([describe(settings, each) for each in found])
        return
    columns = ("name", "id", "scim", "profile", "language", "partition", "created")
    terminal.print_table(
        columns, [[_shown(describe(settings, each)[name]) for name in columns] for each in found]
    )


def set_values(
    org: OrganisationArgument,
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


async def _read(data: Path) -> tuple[OperatorSettings, Tenancy]:
    settings = find(data)
    async with open_log(settings) as log:
        return settings, await log.read()


async def _set(data: Path, org: str, values: list[str]) -> tuple[OperatorSettings, Organisation]:
    settings = find(data)
    organisations.parse_values(values)
    async with open_log(settings) as log:
        return settings, await organisations.change_organisation(log, org, values)


def _shown(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
