"""`rollcall key create|list|limit|revoke`: API keys. A secret is shown once."""

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rollcall.control import organisations
from rollcall.control.errors import ControlError
from rollcall.control.key_use import last_used
from rollcall.control.organisations import Limits
from rollcall.control.settings import OperatorSettings
from rollcall.control.tenancy_log import open_log, read_tenancy
from rollcall.events.envelope import format_time
from rollcall.runtime.clock import now
from rollcall.runtime.errors import Unavailable
from rollcall.tenancy.api_key import NewKey
from rollcall.tenancy.limits import SCOPES
from rollcall.tenancy.organisation import ApiKey
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import OrgArgument
from rollcall_operator.owner import open_as_owner
from rollcall_operator.terminal import CommandError

COLUMNS: Final = ("public_id", "name", "created", "expires", "revoked", "last_used")
LIMITS: Final = ("networks", "scopes")
"""Columns beside those where any key is limited."""
STATEMENT_S: Final = 5.0


def register(app: typer.Typer) -> None:
    """Add `key` to the command line."""
    key = typer.Typer(help="API keys: create, list, limit, revoke.", no_args_is_help=True)
    key.command("create")(create)
    key.command("list")(list_all)
    key.command("limit")(limit)
    key.command("revoke")(revoke)
    app.add_typer(key, name="key")


NetworkOption = Annotated[
    list[str] | None,
    typer.Option(help="Network that it may be used from, CIDR; repeatable. None: any."),
]
ScopeOption = Annotated[
    list[str] | None,
    typer.Option(help=f"What it may do: {', '.join(SCOPES)}; repeatable. None: all."),
]


def create(
    org: OrgArgument,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, max=36500, help="Days until it stops working.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="From when it does not work: a date (00:00 UTC) or a time.")
    ] = None,
    network: NetworkOption = None,
    scope: ScopeOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Make a key; it is shown once."""
    until = terminal.run(_expiry(expires_in_days, expires))
    limits = Limits(tuple(network or ()), tuple(scope or ()))
    settings, record, made = terminal.run(_create(data, org, name, until, limits))
    if as_json:
        described = {"scim_base_url": settings.scim_base_url(record.organisation_id)}
        terminal.print_json({**described, "api_key": made.text, **describe(record, None)})
        return
    print(f"API key (secret or bearer token)   {made.text}")
    ends = "does not expire" if until is None else f"expires {format_time(until)}"
    print(f"It {ends}. It is shown this once and kept nowhere.")


def list_all(org: OrgArgument, data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """List an organisation's keys, without their secrets."""
    keys, used, note = terminal.run(_list(data, org))
    if note:
        print(note, file=sys.stderr)
    described = [describe(key, used.get(key.public_id)) for key in keys]
    if as_json:
        terminal.print_json(described)
        return
    print_keys(described)


def limit(
    org: OrgArgument,
    public_id: Annotated[str, typer.Argument(metavar="PUBLIC_ID", help="See `rollcall key list`.")],
    network: NetworkOption = None,
    scope: ScopeOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Set a key's limits in the place of those it had; without an option they are taken away.

    A replica of a release that does not know limits refuses the key.
    """
    limits = Limits(tuple(network or ()), tuple(scope or ()))
    key = terminal.run(_limit(data, org, public_id, limits))
    if as_json:
        terminal.print_json(describe(key, None))
        return
    print(f"{key.public_id} ({key.name}) may be used from {', '.join(key.networks) or 'anywhere'}.")
    print(f"It may do {', '.join(key.scopes) or 'everything'}.")


def revoke(
    org: OrgArgument,
    public_id: Annotated[str, typer.Argument(metavar="PUBLIC_ID", help="See `rollcall key list`.")],
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key: within a second it opens nothing any more."""
    key = terminal.run(_revoke(data, org, public_id))
    described = describe(key, None)
    if as_json:
        terminal.print_json(described)
        return
    print(f"{key.public_id} ({key.name}) is revoked since {described['revoked']}.")


def print_keys(described: list[dict[str, Any]]) -> None:
    """A table of keys, as `describe` has them."""
    is_any_limited = any(each[name] for each in described for name in LIMITS)
    columns = (*COLUMNS, *LIMITS) if is_any_limited else COLUMNS
    terminal.print_table(columns, [[_shown(each[name]) for name in columns] for each in described])


def _shown(value: str | list[str] | None) -> str:
    return (", ".join(value) if isinstance(value, list) else value) or "-"


def describe(key: ApiKey, used: datetime | None) -> dict[str, Any]:
    """A key as JSON shows it, never its secret; the names are a contract with scripts."""
    return {
        "organisation_id": key.organisation_id,
        "public_id": key.public_id,
        "name": key.name,
        "created": format_time(key.created),
        "expires": _time(key.expires),
        "revoked": _time(key.revoked),
        "last_used": _time(used),
        "networks": list(key.networks),
        "scopes": list(key.scopes),
    }


async def _expiry(days: int | None, text: str | None) -> datetime | None:
    if days is not None and text is not None:
        raise CommandError("give --expires-in-days or --expires, not both")
    if days is not None:
        return now() + timedelta(days=days)
    return None if text is None else organisations.parse_expiry(text, now())


async def _create(
    data: Path, org: str, name: str, expires: datetime | None, limits: Limits
) -> tuple[OperatorSettings, ApiKey, NewKey]:
    settings = find(data)
    async with open_log(settings) as log:
        organisation = (await log.read()).organisation(org)
        made = await organisations.create_key(
            log, organisation.id, name=name, expires=expires,
            networks=limits.networks, scopes=limits.scopes,
        )  # fmt: skip
        return settings, *made


async def _list(data: Path, org: str) -> tuple[list[ApiKey], dict[str, datetime], str]:
    settings = find(data)
    tenancy = await read_tenancy(settings)
    organisation = tenancy.organisation(org)
    used: dict[str, datetime] = {}
    note = ""
    try:
        async with open_as_owner(
            settings, "key list", statement_timeout_s=STATEMENT_S, max_size=1
        ) as database:
            used = await last_used(database, organisation.id)
    except (ControlError, Unavailable) as error:
        note = f"When keys were last used is not known: {error}."
    return tenancy.keys_of(organisation.id), used, note


async def _limit(data: Path, org: str, public_id: str, limits: Limits) -> ApiKey:
    settings = find(data)
    async with open_log(settings) as log:
        return await organisations.limit_key(
            log, org, public_id, networks=limits.networks, scopes=limits.scopes
        )


async def _revoke(data: Path, org: str, public_id: str) -> ApiKey:
    settings = find(data)
    async with open_log(settings) as log:
        return await organisations.revoke_key(log, org, public_id)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
